package l4

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"weir/conf"
	"weir/l4/sniff"
)

// rulesOf makes rules of routes whose pools are only names.
func rulesOf(t testing.TB, routes []conf.L4Route) []rule {
	t.Helper()
	var rules []rule
	for _, c := range routes {
		c.Pool, c.L7 = "", "l7"
		r, err := newRule(&Listener{Name: "t"}, &c)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, r)
	}
	return rules
}

// client is what a test knows of a connection; the hello is made to fit.
type client struct {
	source   string
	protocol sniff.Protocols
	sni      string
	alpn     []string
}

func (c client) known(t testing.TB) known {
	t.Helper()
	k := known{protocol: c.protocol}
	if c.source != "" {
		k.source = netip.MustParseAddr(c.source)
	}
	if c.protocol == sniff.TLS {
		k.hello = helloOf(t, c.sni, c.alpn)
	}
	return k
}

// helloOf is the result of sniffing a small ClientHello.
func helloOf(t testing.TB, sni string, alpn []string) *sniff.Hello {
	t.Helper()
	vector := func(b string) string { return string([]byte{byte(len(b) >> 8), byte(len(b))}) + b }
	ext := ""
	if sni != "" {
		ext += "\x00\x00" + vector(vector("\x00"+vector(sni)))
	}
	list := ""
	for _, p := range alpn {
		list += string([]byte{byte(len(p))}) + p
	}
	if list != "" {
		ext += "\x00\x10" + vector(vector(list))
	}
	body := "\x03\x03" + strings.Repeat("r", 32) + "\x00" + vector("\x13\x01") + "\x01\x00" + vector(ext)
	b := "\x16\x03\x01" + vector("\x01\x00"+vector(body))
	h := new(sniff.Hello)
	if v := sniff.ClientHello([]byte(b), 64<<10, h); v != sniff.Done {
		t.Fatalf("the hello of the test is %v", v)
	}
	return h
}

func TestTableOrder(t *testing.T) {
	f := func(routes []conf.L4Route, c client, want string) {
		t.Helper()
		for i := range routes {
			routes[i].Name = routes[i].DerivedName()
		}
		table := newTable(rulesOf(t, routes))
		k := c.known(t)
		to, _ := table.find(&k)
		got := ""
		if to != nil {
			got = to.name
		}
		if got != want {
			t.Errorf("%+v goes to %q, want %q", c, got, want)
		}
	}
	// From the least specific to the most, so that the file's order would be wrong.
	all := []conf.L4Route{
		{Source: []string{"0.0.0.0/0"}},
		{Source: []string{"10.0.0.0/8"}},
		{Source: []string{"10.1.0.0/16"}},
		{Protocol: []string{"http1"}},
		{Protocol: []string{"tls"}},
		{Protocol: []string{"tls"}, Source: []string{"10.0.0.0/8"}},
		{ALPN: []string{"h2"}},
		{ALPN: []string{"h2"}, Protocol: []string{"tls"}},
		{SNI: []string{"*.test"}},
		{SNI: []string{"*.a.test"}, Source: []string{"10.1.0.0/16"}},
		{SNI: []string{"x.a.test"}},
		{SNI: []string{"x.a.test"}, ALPN: []string{"first"}},
		{SNI: []string{"x.a.test"}, ALPN: []string{"second"}},
	}
	f(all, client{source: "192.0.2.1"}, "source:0.0.0.0/0")
	f(all, client{source: "10.2.0.1"}, "source:10.0.0.0/8")
	f(all, client{source: "10.1.0.1"}, "source:10.1.0.0/16")
	f(all, client{source: "2001:db8::1"}, "")
	f(all, client{}, "") // a unix socket
	f(all, client{source: "10.1.0.1", protocol: sniff.HTTP1}, "protocol:http1")
	f(all, client{source: "10.1.0.1", protocol: sniff.HTTP2}, "source:10.1.0.0/16")
	f(all, client{source: "10.1.0.1", protocol: sniff.TLS}, "protocol:tls+source:10.0.0.0/8")
	f(all, client{source: "192.0.2.1", protocol: sniff.TLS}, "protocol:tls")
	f(all, client{source: "10.1.0.1", protocol: sniff.TLS, alpn: []string{"x", "h2"}}, "alpn:h2+protocol:tls")
	f(all, client{source: "10.1.0.1", protocol: sniff.TLS, sni: "b.test", alpn: []string{"h2"}}, "*.test")
	f(all, client{source: "10.1.0.1", protocol: sniff.TLS, sni: "b.a.test"}, "*.a.test+source:10.1.0.0/16")
	f(all, client{source: "10.2.0.1", protocol: sniff.TLS, sni: "b.a.test"}, "*.test")
	f(all, client{source: "10.1.0.1", protocol: sniff.TLS, sni: "x.a.test"}, "x.a.test")
	f(all, client{protocol: sniff.TLS, sni: "x.a.test", alpn: []string{"second"}}, "x.a.test+alpn:second")
	f(all, client{protocol: sniff.TLS, sni: "x.a.test", alpn: []string{"second", "first"}}, "x.a.test+alpn:first")
	f(all, client{source: "10.1.0.1", protocol: sniff.TLS, sni: "test"}, "protocol:tls+source:10.0.0.0/8")
	f(nil, client{protocol: sniff.TLS, sni: "x"}, "")
}

// twin chooses as docs/routing.md says it, route by route.
func twin(rules []rule, k *known) *destination {
	var best *destination
	var bestRank []int
	for i := range rules {
		rank := rankOf(&rules[i], k)
		if rank != nil && (best == nil || slices.Compare(rank, bestRank) > 0) {
			best, bestRank = rules[i].to, rank
		}
	}
	return best
}

// rankOf is nil where a condition does not hold. A greater rank comes first.
func rankOf(r *rule, k *known) []int {
	name, alpn, protocol, source := 0, 0, 0, -1
	if len(r.sni) > 0 {
		for _, p := range r.sni {
			sni := ""
			if k.hello != nil {
				sni = string(k.hello.SNI())
			}
			suffix, wildcard := strings.CutPrefix(p, "*")
			switch {
			case !wildcard && sni == p:
				name = 1000
			case wildcard && strings.HasSuffix(sni, suffix) && sni != "":
				name = max(name, len(p))
			}
		}
		if name == 0 {
			return nil
		}
	}
	if len(r.alpn) > 0 {
		if k.hello == nil {
			return nil
		}
		for p := range k.hello.ALPN {
			if slices.Contains(r.alpn, string(p)) {
				alpn = 1
			}
		}
		if alpn == 0 {
			return nil
		}
	}
	if r.protocols != 0 {
		if protocol = 1; r.protocols&k.protocol == 0 {
			return nil
		}
	}
	if len(r.sources) > 0 {
		for _, p := range r.sources {
			if p.Contains(k.source) {
				source = max(source, p.Bits())
			}
		}
		if source < 0 {
			return nil
		}
	}
	return []int{name, alpn, protocol, source}
}

// someOf draws from a small set, so that conditions meet; nil as often as not.
func someOf(rnd *rand.Rand, from ...string) []string {
	if rnd.IntN(2) == 0 {
		return nil
	}
	rnd.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	return from[:1+rnd.IntN(min(3, len(from)))]
}

func randomRoute(rnd *rand.Rand) conf.L4Route {
	return conf.L4Route{
		SNI:      someOf(rnd, "a.test", "b.a.test", "c.b.a.test", "*.test", "*.a.test", "*.b.a.test", "other"),
		ALPN:     someOf(rnd, "h2", "http/1.1", "postgresql", "x"),
		Protocol: someOf(rnd, "tls", "http1", "http2", "postgres"),
		Source: someOf(rnd, "0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "::/0",
			"2001:db8::/32", "2001:db8::1/128"),
	}
}

func randomClient(rnd *rand.Rand) client {
	one := func(from ...string) string { return from[rnd.IntN(len(from))] }
	return client{
		source:   one("", "10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.9.9", "192.0.2.1", "2001:db8::1", "2001:db8::2", "::1"),
		protocol: sniff.Protocols(1) << rnd.IntN(5) &^ 16,
		sni:      one("", "a.test", "b.a.test", "c.b.a.test", "d.c.b.a.test", "test", "other", "x.other", "xa.test"),
		alpn:     someOf(rnd, "h2", "http/1.1", "postgresql", "x", "y"),
	}
}

// The table agrees with a slow twin that goes through the routes one by one. Routes
// with the same conditions, which a checked file has not, are in file order.
func TestTableAgainstTwin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 8))
	for range 3000 {
		routes := make([]conf.L4Route, rnd.IntN(20))
		for i := range routes {
			routes[i] = randomRoute(rnd)
			routes[i].Name = fmt.Sprint(i)
		}
		rules := rulesOf(t, routes)
		table := newTable(rules)
		for range 30 {
			c := randomClient(rnd)
			k := c.known(t)
			want := twin(rules, &k)
			if got, _ := table.find(&k); got != want {
				t.Fatalf("%+v among %+v: got %+v, want %+v", c, routes, got, want)
			}
			bare := known{source: k.source}
			applies := slices.ContainsFunc(rules, func(r rule) bool {
				inside := func(p netip.Prefix) bool { return p.Contains(k.source) }
				return r.byBytes() && (len(r.sources) == 0 || slices.ContainsFunc(r.sources, inside))
			})
			if table.needsBytes(k.source) != applies {
				t.Fatalf("from %v among %+v: needs bytes is %v", k.source, routes, !applies)
			}
			// Where bytes are not needed, they must not matter.
			if to, _ := table.find(&bare); !applies && to != want {
				t.Fatalf("%+v among %+v: got %+v without bytes, %+v with them", c, routes, to, want)
			}
		}
	}
}

// manyRoutes are thousands of each kind.
func manyRoutes(t testing.TB) table {
	var routes []conf.L4Route
	for i := range 5000 {
		network := fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)
		routes = append(routes,
			conf.L4Route{Name: "exact", SNI: []string{fmt.Sprintf("n%d.test", i)}},
			conf.L4Route{Name: "wildcard", SNI: []string{fmt.Sprintf("*.w%d.test", i)}, ALPN: []string{"h2"}},
			conf.L4Route{Name: "source", Source: []string{network}},
			conf.L4Route{Name: "both", SNI: []string{"busy.test"}, Source: []string{network}})
	}
	return newTable(rulesOf(t, routes))
}

func TestTableOfThousands(t *testing.T) {
	table := manyRoutes(t)
	f := func(c client, want, name string) {
		t.Helper()
		k := c.known(t)
		if to, got := table.find(&k); to == nil || to.name != want || got != name {
			t.Fatalf("%+v: got %+v %q, want %q %q", c, to, got, want, name)
		}
		if raceEnabled {
			return
		}
		if n := testing.AllocsPerRun(100, func() { table.find(&k); table.needsBytes(k.source) }); n != 0 {
			t.Errorf("%+v: %v allocations, want 0", c, n)
		}
	}
	f(client{protocol: sniff.TLS, sni: "n4999.test"}, "exact", "n4999.test")
	f(client{protocol: sniff.TLS, sni: "x.y.w77.test", alpn: []string{"h2"}}, "wildcard", "")
	f(client{source: "10.19.249.1"}, "source", "")
	f(client{source: "10.19.249.1", protocol: sniff.TLS, sni: "x.y.w77.test"}, "source", "")
	f(client{source: "10.19.249.1", protocol: sniff.TLS, sni: "busy.test"}, "both", "busy.test")
}

func BenchmarkTableOfThousands(b *testing.B) {
	table := manyRoutes(b)
	k := client{source: "10.19.249.1", protocol: sniff.TLS, sni: "x.y.w77.test", alpn: []string{"h2"}}.known(b)
	b.ReportAllocs()
	for b.Loop() {
		if to, _ := table.find(&k); to == nil {
			b.Fatal("no route")
		}
	}
}
