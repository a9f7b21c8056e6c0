package conf

import (
	"bytes"
	"fmt"
	"strings"
)

// Reference gives docs/config.md: every table and key, from the schema.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString(referenceIntro)
	writeExample(&b, referenceExample)
	b.WriteString("\n## Values\n\n| Type | Written as |\n|---|---|\n")
	for _, v := range referenceValues {
		fmt.Fprintf(&b, "| %s | %s |\n", v.typ, cell(v.doc))
	}

	b.WriteString("\n## Tables\n\n")
	root := schema().info()
	root.walk(func(ti tableInfo) {
		if ti.head != "" {
			fmt.Fprintf(&b, "- [`%s`](#%s)\n", ti.head, anchor(ti.head))
		}
	})
	root.walk(func(ti tableInfo) {
		if ti.head != "" {
			writeTable(&b, ti)
		}
	})
	return b.Bytes()
}

func writeTable(b *bytes.Buffer, ti tableInfo) {
	fmt.Fprintf(b, "\n## `%s`\n\n%s\n\n", ti.head, ti.doc)
	b.WriteString("| Key | Type | Default | Limits | Meaning |\n|---|---|---|---|---|\n")
	for _, k := range ti.keys {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n",
			k.name, k.typeText(), k.defaultText(), cell(k.limits), cell(k.doc))
	}
	b.WriteString("\n")
	writeExample(b, ti.example)
}

// writeExample writes a fenced block that the tests load like a file.
func writeExample(b *bytes.Buffer, toml string) {
	fmt.Fprintf(b, "```toml\n%s\n```\n", strings.TrimSpace(toml))
}

func (k keyInfo) typeText() string {
	typ := k.typ
	if k.sub != nil {
		typ = fmt.Sprintf("[%s](#%s)", typ, anchor(k.sub().head))
	}
	if k.unit != "" {
		typ += ", " + k.unit
	}
	return cell(typ)
}

func (k keyInfo) defaultText() string {
	switch {
	case k.required:
		return "required"
	case k.none != "":
		return cell(k.none)
	case k.def != "":
		return "`" + cell(k.def) + "`"
	case k.sub != nil && strings.HasPrefix(k.typ, "array"):
		return "none"
	}
	return "its defaults"
}

// cell keeps text within one cell of a Markdown table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}

// anchor gives the link target that Markdown renderers make of a heading.
func anchor(head string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return -1
	}, head)
}

const referenceIntro = "# Configuration reference\n\n" +
	"<!-- Written by `weir docs config` from the schema in conf/. Do not edit. -->\n\n" +
	"Weir reads one [TOML](https://toml.io) file. It is checked as a whole before anything of it is\n" +
	"used: an unknown key, a wrong type, an impossible value or a name that leads nowhere is an error\n" +
	"with its line and column. `weir check` shows all of them at once:\n\n" +
	"```text\n" +
	referenceProblem +
	"\n```\n\n" +
	"A file with errors never replaces a running configuration. A file may be as short as this:\n\n"

// referenceProblem is what Parse says about a file with this mistake; a test
// holds it to that.
const referenceProblem = `weir.toml:3:1: unknown key "blance" in [pool.app]
  3 | blance = "least_conn"
    | ^^^^^^
    = did you mean balance?`

const referenceExample = `
[pool.app]
servers = ["127.0.0.1:3000"]

[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
pool = "app"
`

// referenceValues says how values are written that TOML has no type for.
var referenceValues = []struct{ typ, doc string }{
	{"duration", "A string of numbers with the units `ns`, `us`, `ms`, `s`, `m` and `h`: " +
		"`\"500ms\"`, `\"2s\"`, `\"1m30s\"`."},
	{"size", "A string of a number and a unit, or an integer that counts bytes. `KiB`, `MiB`, `GiB` and `TiB` " +
		"are powers of 1024; `KB`, `MB`, `GB` and `TB` are powers of 1000; `B` is a byte: `\"64KiB\"`."},
	{"address", "`\"host:port\"`, `\"[::1]:80\"`, `\"unix:/path\"`, or `\"unix:@name\"` for a socket in Linux's " +
		"abstract namespace. Servers may have DNS names. Listeners take IP addresses, or no host for every " +
		"interface: `\":80\"`."},
	{"file, directory", "A path. A relative one is relative to the directory of the configuration file."},
	{"secret", "The value itself, `\"env:NAME\"` for an environment variable, or `\"file:PATH\"` for what a file " +
		"holds. White space around the latter two is cut off. Weir never shows a secret."},
	{"name", "1 to 64 letters, digits, `_`, `-` and `.`."},
	{"host, server name", "A DNS name in any case. `*.example.com` is every name below example.com, at any depth."},
	{"network", "An address and the length of its prefix, `\"10.0.0.0/8\"`, or one address."},
	{"path pattern", "`\"/a/\"` is every path that starts with these segments, `\"=/a\"` this path only, " +
		"`\"/u/{id}\"` any one segment in place of the variable, and `\"~regex\"` what the regular expression " +
		"(RE2 syntax) finds."},
}
