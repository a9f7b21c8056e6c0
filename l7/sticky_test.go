package l7

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"weir/pool/backend"
)

const stickyConfig = "[pool.app.sticky]\ncookie = \"lb\"\nkey = \"0123456789abcdef\"\n"

// given returns the Set-Cookie fields of a response.
func given(res *http.Response) []string { return res.Header["Set-Cookie"] }

// value is what the first cookie of a response has, "" where there is none.
func value(res *http.Response) string {
	for _, c := range res.Cookies() {
		return c.Value
	}
	return ""
}

// A client gets a cookie once, and stays on the server that it came from.
func TestStickyKeepsTheServer(t *testing.T) {
	r := newBalanceRig(t, stickyConfig)
	c := r.dial()
	for range 6 {
		res, first := c.ask("/", "")
		if len(given(res)) != 1 || !strings.HasSuffix(given(res)[0], "; Path=/; HttpOnly; SameSite=Lax") {
			t.Fatalf("got cookies %q", given(res))
		}
		if strings.Contains(given(res)[0], "127.0.0.1") {
			t.Errorf("the cookie tells the server's address: %q", given(res))
		}
		for range 4 {
			res, again := c.ask("/", "Cookie: a=b; lb="+value(res)+"\r\n")
			if again != first || len(given(res)) != 0 {
				t.Errorf("server %s, then %s with cookies %q", first, again, given(res))
			}
		}
	}
	var text strings.Builder
	r.metrics.WritePrometheus(&text)
	for _, want := range []string{`{pool="app",result="kept"} 24`, `{pool="app",result="new"} 6`} {
		if !strings.Contains(text.String(), "weir_backend_sticky_total"+want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// What is not signed leads nowhere: another value is given out.
func TestStickyForgedCookie(t *testing.T) {
	c := newBalanceRig(t, stickyConfig).dial()
	servers := map[string]bool{}
	for _, forged := range []string{
		"", "1", "127.0.0.1:80", strings.Repeat("A", 22), strings.Repeat("x", 4000), "%00", `"quoted"`,
	} {
		res, server := c.ask("/", "Cookie: lb="+forged+"\r\n")
		servers[server] = true
		if len(value(res)) != 22 || value(res) == forged {
			t.Errorf("%.30q: got cookies %q", forged, given(res))
		}
	}
	if len(servers) != 3 {
		t.Errorf("forged cookies led to %v", servers)
	}
}

// When its server is out, a client goes to another and gets its cookie; a client
// whose server is only full keeps its own.
func TestStickyFailsOver(t *testing.T) {
	r := newBalanceRig(t, stickyConfig)
	c := r.dial()
	res, first := c.ask("/", "")
	mine := "Cookie: lb=" + value(res) + "\r\n"
	g := r.reg.Group("app")
	m := g.Pinned([]byte(value(res)))
	m.SetDrain(true)
	moved, second := c.ask("/", mine)
	if second == first || len(value(moved)) != 22 {
		t.Fatalf("server %s, then %s with cookies %q", first, second, given(moved))
	}
	if res, third := c.ask("/", "Cookie: lb="+value(moved)+"\r\n"); third != second || len(given(res)) != 0 {
		t.Errorf("server %s, then %s with cookies %q", second, third, given(res))
	}
	m.SetDrain(false)
	if res, again := c.ask("/", mine); again != first || len(given(res)) != 0 {
		t.Errorf("the server is back: got %s with cookies %q", again, given(res))
	}
}

// A server that refuses connections is not waited for: the same request moves on.
func TestStickyServerGone(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("up")) })
	r := newRig(t, `
[pool.app]
servers = ["127.0.0.1:1", "%s"]
`+stickyConfig+`
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
`, o.addr)
	dead := r.reg.Group("app").Members()[0]
	res, body := r.dial().ask("/", "Cookie: lb="+dead.Pin()+"\r\n")
	if body != "up" || len(value(res)) != 22 || value(res) == dead.Pin() {
		t.Errorf("got %q with cookies %q", body, given(res))
	}
}

// A server at its max_conns keeps its clients, though others serve them meanwhile.
func TestStickyServerBusy(t *testing.T) {
	named := func(name string) string {
		return newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }).addr
	}
	r := newRig(t, `
[pool.app]
servers = [{ addr = "%s", max_conns = 1 }, "%s"]
`+stickyConfig+`
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
`, named("1"), named("2"))
	g := r.reg.Group("app")
	m := g.Members()[0]
	var q backend.Query
	q.Prefer(m)
	if got, err := g.Pick(&q); got != m || err != nil {
		t.Fatalf("got %v, %v", got, err)
	}
	c := r.dial()
	if res, server := c.ask("/", "Cookie: lb="+m.Pin()+"\r\n"); server == "1" || len(given(res)) != 0 {
		t.Errorf("the server is full: got %s with cookies %q", server, given(res))
	}
	m.Done()
	if _, server := c.ask("/", "Cookie: lb="+m.Pin()+"\r\n"); server != "1" {
		t.Errorf("the server is free: got %s", server)
	}
}

func TestStickyAttributes(t *testing.T) {
	r := newBalanceRig(t, stickyConfig+`
max_age = "1h"
path = "/app"
domain = "Example.com"
same_site = "none"
secure = "always"
http_only = false
`)
	res, _ := r.dial().ask("/", "")
	want := "lb=" + value(res) + "; Path=/app; Domain=example.com; SameSite=None; Max-Age=3600; Secure"
	if got := given(res); len(got) != 1 || got[0] != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
