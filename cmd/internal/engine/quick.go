package engine

import (
	"fmt"
	"strings"

	"weir/conf"
)

// Quick returns the configuration of a proxy without a file: one listener of kind
// "http" or "tcp" in front of servers. The error is conf.Problems.
func Quick(kind, listen string, servers []string) (*conf.Config, error) {
	quoted := make([]string, len(servers))
	for i, s := range servers {
		quoted[i] = TOMLString(s)
	}
	text := "[pool.app]\nservers = [" + strings.Join(quoted, ", ") + "]\n"
	if kind == "http" {
		text += "[[l7]]\nname = \"http\"\nlisten = [" + TOMLString(listen) + "]\n[[l7.route]]\npool = \"app\"\n"
	} else {
		text += "[[l4]]\nname = \"tcp\"\nlisten = [" + TOMLString(listen) + "]\npool = \"app\"\n"
	}
	return conf.Parse("command line", []byte(text))
}

// TOMLString quotes s as a basic string of TOML.
func TOMLString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
