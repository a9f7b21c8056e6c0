package torture

import (
	"fmt"
	"strings"
)

// listenerNames are Weir's listeners. extra is there only in some configurations.
var listenerNames = []string{"web", "secure", "calm", "capped", "raw", "calmraw", "edge", "extra"}

// cap is how many connections the listener "capped" takes.
const capped = 16

// A variant is one of the configurations between which reloads change.
type variant struct {
	less  bool // the pool "calm" has one server, not two
	extra bool // one listener more
	wrong int  // 0: nothing, else which of the mistakes is in it
}

// mistakes are what makes a configuration a bad one.
var mistakes = []string{
	"nonsense = \n",
	"[[l7]]\nname = \"bad\"\nlisten = [\"127.0.0.1:1\"]\n[[l7.route]]\npool = \"nowhere\"\n",
	"[pool.bad]\nservers = [\"127.0.0.1:1\"]\nconnect_timeout = \"soon\"\n",
	"[pool.bad]\nservres = [\"127.0.0.1:1\"]\n",
}

// config writes a configuration, without [admin] and [process].
func (s *stage) config(v variant) string {
	var b strings.Builder
	b.WriteString("[access_log]\npath = \"/dev/null\"\n")
	for _, p := range sharedPools {
		pool := s.pools[p.name]
		if p.name == "calm" && v.less {
			pool = pool[1:]
		}
		s.writePool(&b, p.name, pool, "[pool."+p.name+".ejection]\nmax_time = \"1s\"\n")
	}
	for i := range rows {
		r := &rows[i]
		pool := s.pools[r.pool()]
		if r.backends > 0 {
			s.writePool(&b, r.pool(), pool, r.settings())
		}
	}
	s.writeHTTP(&b, "web", `header_timeout = "2s"`)
	writeRoutes(&b)
	s.writeHTTP(&b, "secure", `header_timeout = "2s"`)
	b.WriteString(s.identity.config(s.opts.Dir))
	writeRoutes(&b)
	b.WriteString("[[l7.route]]\npool = \"calm\"\n")
	s.writeHTTP(&b, "calm", "")
	b.WriteString("[[l7.route]]\npool = \"calm\"\n")
	s.writeHTTP(&b, "capped", fmt.Sprintf("max_conns = %d", capped))
	b.WriteString("[[l7.route]]\npool = \"calm\"\n")
	if v.extra {
		s.writeHTTP(&b, "extra", "")
		b.WriteString("[[l7.route]]\npool = \"mob\"\n")
	}
	fmt.Fprintf(&b, "[[l4]]\nname = \"raw\"\nlisten = [%q]\npool = \"mobraw\"\n", s.addr["raw"])
	fmt.Fprintf(&b, "[[l4]]\nname = \"calmraw\"\nlisten = [%q]\npool = \"calmraw\"\n", s.addr["calmraw"])
	fmt.Fprintf(&b, "[[l4]]\nname = \"edge\"\nlisten = [%q]\npool = \"calmraw\"\nsniff_timeout = \"1s\"\n"+
		"[[l4.route]]\nsni = [%q]\npool = %q\n", s.addr["edge"], serverName, helloPool)
	if v.wrong > 0 {
		b.WriteString(mistakes[v.wrong-1])
	}
	return b.String()
}

// writeRoutes writes those of the mob and of the rows.
func writeRoutes(b *strings.Builder) {
	b.WriteString("[[l7.route]]\nhost = [\"mob.test\"]\npool = \"mob\"\n" +
		"response_header_timeout = \"2s\"\nread_timeout = \"2s\"\n")
	for i := range rows {
		if r := &rows[i]; r.backends > 0 && !r.tls {
			fmt.Fprintf(b, "[[l7.route]]\nhost = [\"%s.test\"]\npool = %q\n%s\n", r.pool(), r.pool(), r.route)
		}
	}
}

func (s *stage) writePool(b *strings.Builder, name string, pool []*backend, settings string) {
	servers := make([]string, 0, len(pool)+1)
	for _, p := range pool {
		servers = append(servers, fmt.Sprintf("%q", p.addr()))
	}
	if name == holePool {
		servers = append(servers, fmt.Sprintf("%q", s.hole.addr))
	}
	top, tables, _ := strings.Cut(settings, "[")
	fmt.Fprintf(b, "[pool.%s]\nservers = [%s]\n%s[pool.%s.keepalive]\nidle_timeout = \"1s\"\n",
		name, strings.Join(servers, ", "), top, name)
	if tables != "" {
		b.WriteString("[" + tables)
	}
}

func (s *stage) writeHTTP(b *strings.Builder, name, settings string) {
	fmt.Fprintf(b, "[[l7]]\nname = %q\nlisten = [%q]\n%s\n", name, s.addr[name], settings)
}
