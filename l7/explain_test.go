package l7

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// explained is a listener with routes of every kind. Each route is known to the
// origin by the Host that it sends.
const explained = `
[pool.a]
servers = ["%s"]
[pool.b]
servers = ["%s"]
[pool.c]
servers = ["%s"]
[pool.shadow]
servers = ["%s"]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
max_body = "10B"
forwarded = true
hide_headers = ["X-Hidden"]
`

// explainedRoutes have ROUTE where name and rewrite_host go.
var explainedRoutes = []string{
	`host = ["a.example"], pool = "a"`,
	`host = ["a.example"], path = "/x", pool = "b"`,
	`host = ["*.example"], path = "=/x/y", pool = "b"`,
	`host = ["*.b.example"], pool = "c"`,
	`path = "/x", pool = "c"`,
	`path = "/x", method = ["PUT", "DELETE"], pool = "a"`,
	`path = "/x", header = [{ name = "X-A", exact = ["1", "2"] }], pool = "a"`,
	`path = "/x", header = [{ name = "X-A", prefix = "1" }, "X-B"], pool = "b"`,
	`path = "/x", source = ["127.0.0.0/8"], cookie = [{ name = "c", regex = "^[ab]" }], pool = "b"`,
	`path = "/x", source = ["10.0.0.0/8"], cookie = ["c"], pool = "c"`,
	`path = "/u/{id}", pool = "a"`,
	`path = "/u/{id}/{tab}", pool = "b"`,
	`path = "/u/{id}/me", query = [{ name = "q q", exact = ["1 2"] }], pool = "c"`,
	`path = "/u/{id}/me", query = [{ name = "q q", absent = true }], pool = "a"`,
	`path = '~\.php$', pool = "b"`,
	`path = "/only", method = ["POST", "GET"], pool = "a"`,
	`path = "/only", method = ["PATCH"], header = ["X-B"], pool = "a"`,
	`path = "/s", split = [{ pool = "a", weight = 1 }, { pool = "b", weight = 2 }], sticky = { cookie = "side" }`,
	`path = "/h", split = [{ pool = "a" }, { pool = "b" }, { pool = "c" }], sticky = { header = "X-A" }`,
	`path = "/r", split = [{ pool = "a" }, { pool = "c", weight = 0 }]`,
	`path = "/f", header = ["X-Forwarded-Port"], pool = "a"`,
	`path = "/f", cookie = [{ name = "c", absent = true }], pool = "b"`,
	`host = ["*.example"], cookie = [{ name = "beta", exact = ["1"] }], pool = "c"`,

	`path = "/act/to", redirect = { status = 307, path = "/x/{rest}?a={query}&c={client_ip}" }`,
	`path = "/act/tls", redirect = { status = 301, scheme = "https" }`,
	`path = "/act/away", redirect = { host = "new.example", path = "/{rest}?" }, response_headers = { set = { X-A = "{path}" } }`,
	`path = "/act/circle", redirect = { path = "/act/circle/{rest}" }`,
	`path = "=/act/fixed", respond = { status = 418, body = "short and stout", content_type = "text/plain" }, response_headers = { add = { X-A = "{method} {host}" } }`,
	`path = "=/act/empty", respond = { status = 204 }`,
	`path = "/act/p", pool = "a", rewrite_path = "/q/{rest}?{query}&was={path}"`,
	`path = "/act/{a}/{b}", pool = "b", rewrite_path = "/{b}/{a}"`,
	`path = "/act/h/{a}/{b}", pool = "b", rewrite_host = "ROUTE.{a}"`,
	`path = "/act/f", pool = "c", request_headers = { set = { X-A = "{host}{path}" }, add = { X-B = "2" }, remove = ["Cookie"] }, response_headers = { set = { X-Server = "weir" }, add = { X-A = "{client_ip}" }, remove = ["X-Gone"] }`,
	`path = "/act/abort", pool = "a", fault = { abort = 429, abort_percent = 100 }`,
	`path = "/act/slow", pool = "a", fault = { delay = "1ms", delay_percent = 100, abort = 503, abort_percent = 0 }`,
	`path = "/act/m", pool = "a", mirror = { pool = "shadow", max_pending = 1000 }`,
}

func explainedConfig() string {
	var b strings.Builder
	b.WriteString(explained + "route = [\n")
	for i, r := range explainedRoutes {
		name := fmt.Sprint("r", i)
		if strings.Contains(r, "ROUTE") {
			r = strings.ReplaceAll(r, "ROUTE", name)
		} else if strings.Contains(r, "pool = ") {
			r += fmt.Sprintf(", rewrite_host = %q", name)
		}
		fmt.Fprintf(&b, "  { name = %q, %s },\n", name, r)
	}
	return b.String() + "]\n"
}

// randomHead draws the head of a request from what the routes are about.
func randomHead(r *rand.Rand) (method, head string) {
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	method = one("GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "get", "OPTIONS")
	path := one(
		"/", "/x", "/x/", "/x/y", "/x/y/z", "/%78", "/xx", "/u/1", "/u/1/me", "/u//me", "/u/1/m%65", "/a.php", "/x/a.php",
		"/act/to", "/act/to/a/b", "/act/tls/x%41", "/act/away/x", "/act/circle/circle/x", "/act/circle/y", "/act/fixed",
		"/act/empty", "/act/p/%2d/x", "/act/1/2", "/act/%2e%2e/..", "/act/1/%2E", "/act/h/x-y/z", "/act/h/a%20b/z", "/act/f",
		"/act/f/x", "/act/abort", "/act/slow", "/act/m/1",
		"/only", "/only/x", "/s", "/s", "/h", "/h", "/r", "/f", "//x", "/x/../y", "/x%2fy", "/%zz", "*",
	)
	query := one("", "", "?", "?q+q=1+2", "?q%20q=1%202", "?q+q", "?a=1&q+q=%31+2&b", "?;")
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s HTTP/1.1\r\n", method, path, query)
	host := one("a.example", "A.Example.", "a.example:8080", "x.example", "x.b.example", "b.example", "other", "other", "127.0.0.1", "u@a")
	fmt.Fprintf(&b, "Host: %s\r\n", host)
	for range r.IntN(4) {
		name := one("X-A", "x-a", "X-B", "X_A", "X-Forwarded-Port", "Cookie", "Cookie", "Connection", "Content-Length",
			"X-Request-Id", "Upgrade")
		value := ""
		switch name {
		case "Cookie":
			value = one("c=a", "c=z", "side="+fmt.Sprint(r.IntN(50)), "beta=1", "beta=1; c=b", "x", "")
		case "Connection":
			value = one("X-A", "X-B, close", "keep-alive")
		case "Content-Length":
			value = one("0", "0", "0", "0", "0", "11", "-1")
		case "Upgrade":
			value = "h2c"
		default:
			value = one("1", "2", "12", "3", "")
		}
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	return method, b.String() + "\r\n"
}

func newExplainedRig(t *testing.T) *rig {
	named := func(name string) string {
		return newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
			for {
				head, err := readHead(br)
				if err != nil {
					return
				}
				_, host, _ := strings.Cut(head, "\r\nHost: ")
				host, _, _ = strings.Cut(host, "\r\n")
				host, _, _ = strings.Cut(host, ".")
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Pool: %s\r\nX-Route: %s\r\nX-Head: %x\r\n"+
					"X-Hidden: 1\r\nX-Gone: 1\r\nX-Server: origin\r\n\r\n", name, host, head)
			}
		}).addr
	}
	return newRig(t, explainedConfig(), named("a"), named("b"), named("c"), named("shadow"))
}

// TestExplainAgrees: what is explained is what happens, for ten thousand requests; with the
// race detector, which sees no more in more of them, for as many as take every route.
func TestExplainAgrees(t *testing.T) {
	t.Parallel()
	rg := newExplainedRig(t)
	snap := rg.server.snapshot.Load()
	r := rand.New(rand.NewPCG(7, 7))
	c := rg.dial()
	seen, mirrored := map[string]int{}, 0
	for i := range 10_000 {
		if raceEnabled && i%500 == 0 && unseen(seen) == "" {
			break
		}
		method, head := randomHead(r)
		client := netip.MustParseAddrPort(c.LocalAddr().String())
		want, err := rg.server.Explain(snap, Question{Listener: "web", Head: []byte(head), Client: client})
		if err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		c.send("%s", head)
		res, _, err := c.response(method)
		if err != nil {
			t.Fatal(err)
		}
		if problem := disagreement(want, res); problem != "" {
			t.Fatalf("%q\n%s\nexplained %+v\ngot %d %q", head, problem, want, res.StatusCode, res.Header)
		}
		if want.Mirror != nil && want.Mirror.Percent == 100 {
			mirrored++
		}
		seen[want.Route]++
		seen[fmt.Sprint("status ", want.Status)]++
		if res.Close || want.Status != 0 {
			c.Close()
			c = rg.dial()
		}
	}
	eventually(t, "the copies", func() bool { return rg.mirrorCount("sent") >= uint64(mirrored) })
	if n := rg.mirrorCount("sent") + rg.mirrorCount("left_out"); n != uint64(mirrored) || n == 0 {
		t.Errorf("%d requests were copied or to be, want %d", n, mirrored)
	}
	if problem := unseen(seen); problem != "" {
		t.Errorf("%s: %v", problem, seen)
	}
}

// unseen says which route was not taken that requests should take, or which status was not
// met; "" where all were.
func unseen(seen map[string]int) string {
	for i := range explainedRoutes {
		// One is for another network, one asks for a field that only trusted proxies can send.
		never := strings.Contains(explainedRoutes[i], "10.0.0.0/8") || strings.Contains(explainedRoutes[i], "Forwarded")
		if name := fmt.Sprint("r", i); (seen[name] == 0) != never {
			return fmt.Sprintf("%d requests took route %s", seen[name], name)
		}
	}
	for _, status := range []int{0, 204, 301, 307, 400, 404, 405, 413, 418, 500} {
		if seen[fmt.Sprint("status ", status)] == 0 {
			return fmt.Sprintf("no request with status %d", status)
		}
	}
	return ""
}

// disagreement says in what a response differs from the explanation, "" in nothing.
func disagreement(e *Explanation, res *http.Response) string {
	pool, route := res.Header.Get("X-Pool"), res.Header.Get("X-Route")
	taken := slices.IndexFunc(e.Routes, func(o RouteOutcome) bool { return o.Taken })
	switch {
	case len(e.Faults) > 0 && e.Faults[0].Status != 0: // it has 100 percent
		if e.Faults[0].Status != res.StatusCode || pool != "" {
			return "it was to fail"
		}
		return ""
	case e.Status != 0 && (e.Status != res.StatusCode || pool != ""):
		return "it was not to be served by a pool"
	case e.Allow != res.Header.Get("Allow"):
		return "another Allow"
	case e.Location != res.Header.Get("Location"):
		return "another Location"
	case !hasFields(res.Header, e.ResponseFields):
		return "other fields in the response"
	case e.Status != 0:
		return ""
	case pool == "":
		return "no pool has served it"
	case route != e.Route:
		return "another route"
	case taken < 0 || e.Routes[taken].Route != e.Route:
		return "the routes do not tell the one taken"
	case !slices.ContainsFunc(e.Pools, func(p PoolChance) bool { return p.Pool == pool }):
		return "another pool"
	case !sameHead(e.Sent, res.Header.Get("X-Head")):
		return "another head for the server"
	case res.Header.Get("X-Hidden") != "", slices.Contains(e.ResponseHidden, "x-gone") != (res.Header.Get("X-Gone") == ""):
		return "other fields are hidden"
	}
	return ""
}

// hasFields reports whether a response has all of the lines.
func hasFields(h http.Header, lines []string) bool {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		if !slices.Contains(h.Values(name), value) {
			return false
		}
	}
	return true
}

var madeID = regexp.MustCompile(`\b[0-9a-f]{32}\b`)

// sameHead compares the head that was explained with the one that came, in hex.
func sameHead(sent []string, came string) bool {
	b, err := hex.DecodeString(came)
	got := madeID.ReplaceAllString(string(b), MadeID)
	return err == nil && strings.Join(sent, "\r\n")+"\r\n\r\n" == got
}

func TestExplainSplit(t *testing.T) {
	rg := newExplainedRig(t)
	f := func(head, want string) {
		t.Helper()
		e, err := rg.server.Explain(rg.server.snapshot.Load(), Question{
			Listener: "web", Head: []byte(head + "Host: h\r\n\r\n"), Client: netip.MustParseAddrPort("127.0.0.1:1"),
		})
		if err != nil {
			t.Fatal(err)
		}
		got := e.PoolBy
		for _, p := range e.Pools {
			got += fmt.Sprintf(" %s:%g", p.Pool, p.Percent)
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", head, got, want)
		}
	}
	f("GET /s HTTP/1.1\r\n", "drawn, and kept in cookie side a:33.33 b:66.67")
	f("GET /s HTTP/1.1\r\nCookie: side=1\r\n", "cookie side b:100")
	f("GET /h HTTP/1.1\r\n", "drawn, since header x-a is missing a:33.33 b:33.33 c:33.33")
	f("GET /h HTTP/1.1\r\nX-A: 4\r\n", "header x-a c:100")
	f("GET /r HTTP/1.1\r\n", "drawn for each request a:100")
	f("GET /x HTTP/1.1\r\n", " c:100")
}

func TestExplainRefuses(t *testing.T) {
	rg := newExplainedRig(t)
	snap := rg.server.snapshot.Load()
	f := func(listener, head, want string) {
		t.Helper()
		_, err := rg.server.Explain(snap, Question{Listener: listener, Head: []byte(head)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want %q", head, err, want)
		}
	}
	f("nowhere", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", `cannot find l7 listener "nowhere"`)
	f("web", "GET / HTTP/1.1\r\nHost: h\r\n", "the head has 0")
	f("web", "GET / HTTP/1.1\r\nHost: h\r\n\r\nmore", "out of 31 bytes: the head has 27")
}
