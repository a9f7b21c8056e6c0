package route

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"weir/conf"
)

// request is one of a client in 10.1.2.3, with fields written "Name: value".
func request(query string, fields ...string) *Request {
	q := &Request{
		Host: []byte("h"), Path: []byte("/"), Method: []byte("GET"), Query: []byte(query),
		Source: netip.MustParseAddr("10.1.2.3"),
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		q.addField(name, value)
	}
	return q
}

func TestConditions(t *testing.T) {
	f := func(r conf.L7Route, q *Request, want bool) {
		t.Helper()
		tab, err := Build([]conf.L7Route{r})
		if err != nil {
			t.Fatal(err)
		}
		if _, v := tab.Find(q); (v == Found) != want {
			t.Errorf("%+v: %q %v: got %v, want %v", r, q.Query, q.Fields, v == Found, want)
		}
	}
	header := func(c conf.Condition) conf.L7Route { return conf.L7Route{Header: []conf.Condition{c}} }
	query := func(c conf.Condition) conf.L7Route { return conf.L7Route{Query: []conf.Condition{c}} }
	cookie := func(c conf.Condition) conf.L7Route { return conf.L7Route{Cookie: []conf.Condition{c}} }

	there := conf.Condition{Name: "X-A"}
	f(header(there), request("", "x-a: "), true)
	f(header(there), request("", "X-AB: 1"), false)
	two := conf.Condition{Name: "X-A", Exact: []string{"2", "3"}}
	f(header(two), request("", "X-a: 3"), true)
	f(header(two), request("", "X-a: 1", "X-b: 2"), false)
	f(header(two), request("", "X-a: 1", "X-a: 2"), true) // one line that fits is enough
	f(header(two), request("", "X-a: 2, 3"), false)
	f(header(conf.Condition{Name: "user-agent", Regex: "(?i)mobile"}), request("", "User-Agent: x MOBILE y"), true)
	f(header(conf.Condition{Name: "Accept", Prefix: "text/"}), request("", "Accept: text/html"), true)
	f(header(conf.Condition{Name: "Accept", Prefix: "text/"}), request("", "Accept: text"), false)
	none := conf.Condition{Name: "X-A", Absent: true}
	f(header(none), request(""), true)
	f(header(none), request("", "x-A: "), false)

	// What is not sent on does not count, in either direction.
	hop := request("", "X-A: 2")
	hop.Fields[0].Hop = true
	f(header(two), hop, false)
	f(header(none), hop, true)
	port := conf.Condition{Name: "X-Forwarded-Port", Exact: []string{"443"}}
	spoofed := request("", "X-Forwarded-Port: 443")
	f(header(port), spoofed, false)
	spoofed.Trusted = true
	f(header(port), spoofed, true)

	f(query(conf.Condition{Name: "a b"}), request("x&a+b"), true)
	f(query(conf.Condition{Name: "a b"}), request("x&%61%20b=1"), true)
	f(query(conf.Condition{Name: "a"}), request("A=1&b=a"), false)
	f(query(conf.Condition{Name: "a", Exact: []string{"1&2"}}), request("a=1%262"), true)
	f(query(conf.Condition{Name: "a", Exact: []string{"2"}}), request("a=1&a=2"), true)
	f(query(conf.Condition{Name: "a", Exact: []string{"%zz%4"}}), request("a=%zz%4"), true)
	f(query(conf.Condition{Name: "a", Exact: []string{"1;b=2"}}), request("a=1;b=2"), true)
	f(query(conf.Condition{Name: "a", Absent: true}), request("b=1&&=2"), true)
	f(query(conf.Condition{Name: "a", Regex: "^é$"}), request("a=%C3%A9"), true)

	f(cookie(conf.Condition{Name: "a", Exact: []string{"1"}}), request("", "Cookie: b=2;a=1"), true)
	f(cookie(conf.Condition{Name: "a", Exact: []string{"1"}}), request("", "Cookie: b=2", "cookie: a = 1 ;c"), true)
	f(cookie(conf.Condition{Name: "a", Exact: []string{"1"}}), request("", `Cookie: a="1"`), false)
	f(cookie(conf.Condition{Name: "a"}), request("", "Cookie: A=1; ba=1; a"), false)
	f(cookie(conf.Condition{Name: "a", Absent: true}), request("", "Cookie: a=="), false)

	f(conf.L7Route{Source: []string{"10.0.0.0/8"}}, request(""), true)
	f(conf.L7Route{Source: []string{"10.2.0.0/16", "2001:db8::/32"}}, request(""), false)
	local := request("")
	local.Source = netip.Addr{}
	f(conf.L7Route{Source: []string{"0.0.0.0/0", "::/0"}}, local, false)

	all := conf.L7Route{
		Header: []conf.Condition{there}, Query: []conf.Condition{{Name: "a"}}, Cookie: []conf.Condition{{Name: "c"}},
	}
	f(all, request("a", "X-A: 1", "Cookie: c=1"), true)
	f(all, request("a", "X-A: 1"), false)
}

func TestMoreSpecificConditionsFirst(t *testing.T) {
	f := func(q *Request, want int, routes ...conf.L7Route) {
		t.Helper()
		for range 2 { // the order of the file must not matter
			tab, err := Build(routes)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := tab.Find(q); got != want {
				t.Errorf("%+v: got %d, want %d", routes, got, want)
			}
			slices.Reverse(routes)
			want = len(routes) - 1 - want
		}
	}
	h := func(list ...conf.Condition) conf.L7Route { return conf.L7Route{Header: list} }
	exact := conf.Condition{Name: "X-A", Exact: []string{"12"}}
	prefix := conf.Condition{Name: "X-A", Prefix: "1"}
	regex := conf.Condition{Name: "X-A", Regex: "2"}
	there := conf.Condition{Name: "X-A"}
	q := request("q", "X-A: 12", "X-B: 1")
	f(q, 3, conf.L7Route{}, h(there), h(prefix), h(exact), h(regex))
	f(q, 2, conf.L7Route{}, h(regex), h(prefix), h(there))
	f(q, 1, h(there), h(regex))
	f(q, 1, h(exact), h(there, conf.Condition{Name: "X-B"}))
	f(q, 0, conf.L7Route{Source: []string{"10.0.0.0/8"}}, h(exact, prefix))
	f(q, 1, conf.L7Route{Source: []string{"10.0.0.0/8"}}, conf.L7Route{Source: []string{"192.0.2.0/24", "10.1.0.0/16"}})
	f(q, 0, conf.L7Route{Method: []string{"GET"}}, conf.L7Route{Source: []string{"10.1.2.3/32"}, Header: []conf.Condition{exact}})
	f(q, 0, conf.L7Route{Path: "/"}, h(exact)) // the path comes before conditions

	u := request("")
	u.Path = []byte("/u/me/x")
	f(u, 1, conf.L7Route{Path: "/{a}/{b}/{c}"}, conf.L7Route{Path: "/u/{b}/x"}, conf.L7Route{Path: "/{a}/{b}/x"})
	f(u, 0, conf.L7Route{Path: "/u/{b}/{c}"}, conf.L7Route{Path: "/{a}/me/{c}"}, conf.L7Route{Path: "/{a}/{b}/x"})
}

// TestMethodNotAllowedNeedsTheRest: a route whose conditions fail says nothing about
// methods.
func TestMethodNotAllowedNeedsTheRest(t *testing.T) {
	tab, err := Build([]conf.L7Route{
		{Method: []string{"PUT"}, Header: []conf.Condition{{Name: "X-A"}}},
		{Method: []string{"DELETE"}, Source: []string{"192.0.2.0/24"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, v := tab.Find(request("")); v != NotFound {
		t.Errorf("got verdict %d, want %d", v, NotFound)
	}
	q := request("", "X-A: 1")
	if _, v := tab.Find(q); v != MethodNotAllowed {
		t.Errorf("got verdict %d, want %d", v, MethodNotAllowed)
	}
	if got := string(tab.AppendAllow(nil, q)); got != "PUT" {
		t.Errorf("Allow is %q, want PUT", got)
	}
}

func TestExplainSaysWhy(t *testing.T) {
	tab, err := Build([]conf.L7Route{
		{},
		{Host: []string{"x", "y", "z", "a", "b"}},
		{Path: "/b"},
		{Path: "=/b"},
		{Path: "/u/{id}"},
		{Path: "~^/x"},
		{Method: []string{"PUT", "POST"}},
		{Source: []string{"192.0.2.0/24", "10.9.0.0/16"}},
		{Header: []conf.Condition{{Name: "X-A", Exact: []string{"1", "2"}}}},
		{Query: []conf.Condition{{Name: "a", Regex: "^b"}}},
		{Cookie: []conf.Condition{{Name: "c", Absent: true}}},
		{Header: []conf.Condition{{Name: "X-B", Prefix: "1"}}},
		{Path: "/"},
	})
	if err != nil {
		t.Fatal(err)
	}
	q := request("a="+strings.Repeat("c", 70), "X-A: 3", "Cookie: c=1")
	got := map[int]string{}
	for _, o := range tab.Explain(q) {
		got[o.Index] = o.Stage.String() + ": " + o.Why
	}
	for i, want := range []string{
		"matches: matches too, but ranks behind",
		"host: host is not x, y, z or 2 more",
		"path: path is not below /b/",
		"path: path is not /b",
		"path: path does not fit /u/{id}",
		"path: path does not match ~^/x",
		"method: method is not PUT or POST",
		"source: source 10.1.2.3 is not in 192.0.2.0/24 or 10.9.0.0/16",
		`condition: header x-a is "3", wanted one of "1, 2"`,
		`condition: query a is "` + strings.Repeat("c", 64) + `"..., wanted ~^b`,
		"condition: cookie c is there",
		"condition: header x-b is missing",
		"matches: ",
	} {
		if got[i] != want {
			t.Errorf("route %d: got %q, want %q", i, got[i], want)
		}
	}
}

func TestDeciding(t *testing.T) {
	tab, err := Build([]conf.L7Route{
		{Host: []string{"h"}, Path: "/", Header: []conf.Condition{{Name: "X-B"}, {Name: "X-A"}}},
		{Path: "/", Cookie: []conf.Condition{{Name: "c"}}, Source: []string{"10.0.0.0/8"}},
		{Path: "/other", Query: []conf.Condition{{Name: "q"}}},
		{Host: []string{"*.h"}, Header: []conf.Condition{{Name: "X-C"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	f := func(host, path, want string) {
		t.Helper()
		if got := fmt.Sprintf("%v", tab.Deciding([]byte(host), []byte(path))); got != want {
			t.Errorf("%s%s: got %s, want %s", host, path, got, want)
		}
	}
	f("h", "/", "{[x-a x-b] [] [c] true}")
	f("h", "/other", "{[x-a x-b] [q] [c] true}")
	f("i", "/", "{[] [] [c] true}")
	f("x.h", "*", "{[x-c] [] [] false}")
}

func TestConditionsAllocateNothing(t *testing.T) {
	tab, err := Build([]conf.L7Route{
		{
			Source: []string{"10.0.0.0/8"},
			Header: []conf.Condition{{Name: "X-A", Exact: []string{"1"}}, {Name: "User-Agent", Regex: "(?i)mobile"}},
			Query:  []conf.Condition{{Name: "a b", Regex: "^1 "}},
			Cookie: []conf.Condition{{Name: "c", Prefix: "x"}},
		},
		{Cookie: []conf.Condition{{Name: "d"}, {Name: "c", Absent: true}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	q := request("x=1&a+b=1+2", "X-A: 1", "User-Agent: a Mobile b", "Cookie: a=1; c=xyz")
	if got, _ := tab.Find(q); got != 0 {
		t.Fatalf("got route %d", got)
	}
	if n := testing.AllocsPerRun(100, func() { tab.Find(q) }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

func TestSplit(t *testing.T) {
	for _, weights := range [][]int{nil, {0}, {0, 0}, {1, -1}} {
		if _, err := NewSplit(weights); err == nil {
			t.Errorf("weights %v were accepted", weights)
		}
	}
	side := func(point uint64, want int, weights ...int) {
		t.Helper()
		s, err := NewSplit(weights)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Side(point); got != want {
			t.Errorf("%v: side %d, want %d", weights, got, want)
		}
	}
	side(0, 0, 1)
	side(math.MaxUint64, 0, 1)
	side(0, 1, 0, 1, 0)
	side(math.MaxUint64, 1, 0, 1, 0)
	side(math.MaxUint64, 2, 1_000_000, 1_000_000, 1)
	side(1<<63-1, 0, 50, 50)
	side(1<<63, 1, 50, 50)

	// Values that look alike spread, and more weight moves only who must.
	before, _ := NewSplit([]int{95, 5})
	after, _ := NewSplit([]int{80, 20})
	canary := 0
	for i := range 20_000 {
		p := Hash(fmt.Appendf(nil, "user-%d", i))
		canary += before.Side(p)
		if before.Side(p) == 1 && after.Side(p) == 0 {
			t.Fatalf("user-%d left the canary when it grew", i)
		}
	}
	if canary < 800 || canary > 1200 {
		t.Errorf("%d of 20000 on a side of 5 %%", canary)
	}
	if got := Hash([]byte("user-1")); got != Hash([]byte("user-1")) || got == Hash([]byte("user-2")) {
		t.Error("Hash is not a hash")
	}
}

// manyRoutes is a table of ten thousand routes on 100 hosts.
func manyRoutes(t testing.TB) *Table {
	var routes []conf.L7Route
	for i := range 10_000 {
		r := conf.L7Route{Host: []string{fmt.Sprintf("h%d.example.com", i%100)}, Path: fmt.Sprintf("/p%d/", i/100)}
		if i%10 == 0 {
			r.Header = []conf.Condition{{Name: "X-Version", Exact: []string{"2"}}}
		}
		routes = append(routes, r)
	}
	tab, err := Build(routes)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestTenThousandRoutesAllocateNothing(t *testing.T) {
	tab := manyRoutes(t)
	q := request("", "X-Version: 2")
	q.Host, q.Path = []byte("h50.example.com"), []byte("/p77/x/y")
	if got, _ := tab.Find(q); got != 7750 {
		t.Fatalf("got route %d", got)
	}
	if n := testing.AllocsPerRun(100, func() { tab.Find(q) }); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTenThousandRoutes(b *testing.B) {
	tab := manyRoutes(b)
	r := rand.New(rand.NewPCG(1, 1))
	var list []*Request
	for range 1024 {
		q := request("", "X-Version: 2", "User-Agent: x")
		q.Host = fmt.Appendf(nil, "h%d.example.com", r.IntN(100))
		q.Path = fmt.Appendf(nil, "/p%d/x/y", r.IntN(110))
		list = append(list, q)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		tab.Find(list[i&1023])
		i++
	}
}
