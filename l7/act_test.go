package l7

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/pool/metric"
)

// oneRoute is a listener with the given keys on its one route, and the pool "app".
func oneRoute(keys string) string {
	return `
		pool.app = { servers = ["%s"] }
		[[l7]]
		name = "web"
		listen = ["127.0.0.1:0"]
		trusted_proxies = ["10.0.0.0/8"]
		[[l7.route]]
		` + keys + `
	`
}

// echo answers with the request line and the fields whose names begin with X- or are
// Host, Cookie or Via, as they were received.
func echo(t *testing.T) *origin {
	return newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "origin")
		w.Header().Set("X-Server", "1")
		fmt.Fprintf(w, "%s %s host=%s", r.Method, r.RequestURI, r.Host)
		for _, name := range []string{"X-A", "X-B", "Cookie", "Via", "X-Real-Ip"} {
			if v := r.Header.Values(name); v != nil {
				fmt.Fprintf(w, " %s=%s", name, strings.Join(v, "|"))
			}
		}
	})
}

// TestRewrite: what the server gets for what the client asked for.
func TestRewrite(t *testing.T) {
	o := echo(t)
	f := func(keys, target, want string) {
		t.Helper()
		c := newRig(t, oneRoute(`pool = "app"`+"\n"+keys), o.addr).dial()
		if _, body := c.get(target); !strings.HasPrefix(body, want) {
			t.Errorf("%s for %s: got %q, want %q", keys, target, body, want)
		}
	}
	f(`path = "/a/"`+"\n"+`rewrite_path = "/{rest}"`, "/a/b?c=d", "GET /b?c=d host=www.example.com")
	f(`path = "/a/"`+"\n"+`rewrite_path = "/{rest}?"`, "/a/b?c=d", "GET /b host=")
	f(`path = "/a/"`+"\n"+`rewrite_path = "/x?from={path}&{query}"`, "/a/b?c=d", "GET /x?from=%2Fa%2Fb&c=d host=")
	f(`path = "/u/{id}"`+"\n"+`rewrite_path = "/x/{id}"`, "/u/7%20a", "GET /x/7%20a host=")
	f(`path = "/u/{id}"`+"\n"+`rewrite_host = "{id}.internal:80"`, "/u/7", "GET /u/7 host=7.internal:80")
	f(`rewrite_host = "App.Internal"`, "/", "GET / host=app.internal")
	f(`path = '~^/(\w+)/(?P<n>\d+)$'`+"\n"+`rewrite_path = "/{n}/{1}"`, "/abc/12", "GET /12/abc host=")
}

// TestRewriteRefuses: a value that would make a path or a host that no request has.
func TestRewriteRefuses(t *testing.T) {
	o := echo(t)
	f := func(keys, target string) {
		t.Helper()
		c := newRig(t, oneRoute(`pool = "app"`+"\n"+keys), o.addr).dial()
		if res, body := c.get(target); res.StatusCode != 400 {
			t.Errorf("%s for %s: got %d %q, want 400", keys, target, res.StatusCode, body)
		}
	}
	f(`path = '~^/a(.*)$'`+"\n"+`rewrite_path = "/.{1}"`, "/a./x")
	f(`path = '~^/(.*)$'`+"\n"+`rewrite_path = "/..{1}"`, "/")
	f(`path = "/u/{id}"`+"\n"+`rewrite_host = "{id}.internal"`, "/u/a%20b")
	f(`path = "/u/{id}"`+"\n"+`rewrite_host = "{id}"`, "/u/a:b@c")
}

// TestFieldChanges: fields are removed, then set, then added, both ways.
func TestFieldChanges(t *testing.T) {
	o := echo(t)
	r := newRig(t, oneRoute(`pool = "app"
		path = "/u/{id}"
		request_headers = { set = { X-A = "{id} {{x}} {host}", X-Real-IP = "{client_ip}" }, add = { X-B = "two" }, remove = ["cookie"] }
		response_headers = { set = { X-Server = "{path}", Cache-Control = "no-store" }, add = { Server = "edge" }, remove = ["date"] }`),
		o.addr)
	c := r.dial()
	c.send("GET /u/%%0d%%0aX-Evil:1 HTTP/1.1\r\nHost: a\r\nx-a: old\r\nX-A: older\r\nX-B: one\r\nCookie: s=1\r\nX-Real-IP: 6.6.6.6\r\n\r\n")
	res, body, err := c.response("GET")
	if err != nil {
		t.Fatal(err)
	}
	want := "GET /u/%0d%0aX-Evil:1 host=a X-A=%0D%0AX-Evil:1 {x} a X-B=one|two X-Real-Ip=127.0.0.1"
	if body != want {
		t.Errorf("the server got %q, want %q", body, want)
	}
	for name, want := range map[string]string{
		"X-Server": "/u/%0d%0aX-Evil:1", "Cache-Control": "no-store", "Server": "origin|edge", "Date": "", "X-Evil": "",
	} {
		if got := strings.Join(res.Header.Values(name), "|"); got != want {
			t.Errorf("%s of the response is %q, want %q", name, got, want)
		}
	}
}

// TestRouteRedirect: where a client is sent.
func TestRouteRedirect(t *testing.T) {
	t.Parallel()
	f := func(keys, target string, status int, want string) {
		t.Helper()
		c := newRig(t, oneRoute(keys), "127.0.0.1:1").dial()
		res, body := c.get(target)
		if got := res.Header.Get("Location"); res.StatusCode != status || got != want {
			t.Errorf("%s for %s: got %d %q, want %d %q", keys, target, res.StatusCode, got, status, want)
		}
		if body == "" || res.Close {
			t.Errorf("%s for %s: got the body %q, closed: %v", keys, target, body, res.Close)
		}
	}
	f(`redirect = { scheme = "https" }`, "/a?b=c", 307, "https://www.example.com/a?b=c")
	f(`redirect = { scheme = "https", status = 301 }`, "//evil.example.com/..a", 301, "https://www.example.com//evil.example.com/..a")
	f(`redirect = { host = "other.example.com:81" }`, "/a", 307, "http://other.example.com:81/a")
	f(`path = "/a/{id}"`+"\n"+`redirect = { path = "/b/{id}" }`, "/a/7?q", 307, "/b/7?q")
	f(`path = "/a/{id}"`+"\n"+`redirect = { path = "/b/{id}?" }`, "/a/7?q", 307, "/b/7")
	f(`path = "/a/"`+"\n"+`redirect = { path = "/b?to={rest}", status = 308 }`, "/a/x/y&z", 308, "/b?to=x%2Fy%26z")

	// Never an open redirect.
	f(`path = "/a/"`+"\n"+`redirect = { path = "/{rest}" }`, "/a//evil.example.com", 307, "/evil.example.com")
	f(`path = '~^/go(.*)$'`+"\n"+`redirect = { path = "/{1}" }`, "/go//evil.example.com/", 307, "/evil.example.com/")
	f(`path = '~^/go/(.*)$'`+"\n"+`redirect = { path = "/{1}" }`, "/go////evil.example.com/", 307, "/evil.example.com/")
	f(`path = '~^/go(.*)$'`+"\n"+`redirect = { host = "a.example.com", path = "/{1}" }`, "/go.evil.com", 307, "http://a.example.com/.evil.com")

	// Never in a circle.
	f(`redirect = { path = "{path}" }`, "/a", 500, "")
	f(`redirect = { path = "/{rest}" }`+"\n"+`path = "/"`, "/a?b", 500, "")
	f(`redirect = { host = "www.example.com" }`, "/a", 500, "")
	f(`path = '~^/go/(.*)$'`+"\n"+`redirect = { path = "/{1}.." }`, "/go/", 400, "")
}

// TestRedirectBehindProxy: the scheme of the client is what a trusted proxy says.
func TestRedirectBehindProxy(t *testing.T) {
	config := strings.Replace(oneRoute(`redirect = { scheme = "https", host = "a.example.com" }`), "10.0.0.0/8", "127.0.0.1", 1)
	c := newRig(t, config, "127.0.0.1:1").dial()
	c.send("GET / HTTP/1.1\r\nHost: a.example.com\r\nX-Forwarded-Proto: https\r\n\r\n")
	if res, _, _ := c.response("GET"); res.StatusCode != 500 {
		t.Errorf("a client that came by https got %d, want 500 in place of a circle", res.StatusCode)
	}
	c.send("GET / HTTP/1.1\r\nHost: a.example.com\r\nX-Forwarded-Proto: http\r\n\r\n")
	if res, _, _ := c.response("GET"); res.Header.Get("Location") != "https://a.example.com/" {
		t.Errorf("a client that came by http got %q", res.Header.Get("Location"))
	}
}

// TestRespond: a fixed answer, whatever the method, with the body of the request
// dropped and the connection kept.
func TestRespond(t *testing.T) {
	r := newRig(t, oneRoute(`respond = { status = 201, body = "fixed\n" }
		response_headers = { set = { Content-Type = "text/x", X-Path = "{path}" } }`), "127.0.0.1:1")
	c := r.dial()
	for range 3 {
		res, body := c.get("/a")
		if res.StatusCode != 201 || body != "fixed\n" || res.Header.Get("X-Path") != "/a" || res.Header.Get("Date") == "" {
			t.Fatalf("got %d %q %v", res.StatusCode, body, res.Header)
		}
		if got := res.Header.Values("Content-Type"); len(got) != 1 || got[0] != "text/x" {
			t.Errorf("got Content-Type %q, want the one that is set", got)
		}
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
		if res, body, err := c.response("POST"); res.StatusCode != 201 || body != "fixed\n" || err != nil {
			t.Fatalf("POST: got %d %q %v", res.StatusCode, body, err)
		}
		c.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
		if res, body, _ := c.response("HEAD"); res.ContentLength != 6 || body != "" {
			t.Fatalf("HEAD: got length %d and %q", res.ContentLength, body)
		}
	}
	c = newRig(t, oneRoute(`respond = { status = 204 }`), "127.0.0.1:1").dial()
	for range 2 {
		if res, _ := c.get("/"); res.StatusCode != 204 || res.Header.Get("Content-Length") != "" {
			t.Fatalf("got %d %v", res.StatusCode, res.Header)
		}
	}
}

// TestFault: a share of the requests is delayed or fails; the rest is served.
func TestFault(t *testing.T) {
	o := echo(t)
	c := newRig(t, oneRoute(`pool = "app"
		fault = { abort = 429, abort_percent = 50 }`), o.addr).dial()
	seen := map[int]int{}
	for range 100 {
		res, _ := c.get("/")
		seen[res.StatusCode]++
	}
	if len(seen) != 2 || seen[200] < 10 || seen[429] < 10 {
		t.Errorf("got statuses %v, want about half 200 and half 429", seen)
	}
	c = newRig(t, oneRoute(`pool = "app"
		fault = { delay = "150ms" }`), o.addr).dial()
	began := time.Now()
	if res, _ := c.get("/"); res.StatusCode != 200 || time.Since(began) < 150*time.Millisecond {
		t.Errorf("got %d after %v, want 200 after 150ms", res.StatusCode, time.Since(began))
	}
}

// TestFaultClientGone: a client that goes away ends its delay.
func TestFaultClientGone(t *testing.T) {
	r := newRig(t, oneRoute(`respond = { body = "x" }
		fault = { delay = "1m" }`), "127.0.0.1:1")
	active := r.metrics.Gauge(metric.L7ActiveRequests, "web")
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, "the request", func() bool { return active.Load() == 1 })
	c.SetLinger(0)
	c.Close()
	eventually(t, "its end", func() bool { return active.Load() == 0 })
}

// TestRouteBodyRate: the limits of a route hold for its requests, and those of the
// listener again afterwards.
func TestRouteBodyRate(t *testing.T) {
	t.Parallel()
	r := newRig(t, `
		pool.app = { servers = ["%s"] }
		[[l7]]
		name = "web"
		listen = ["127.0.0.1:0"]
		body_grace = "1h"
		[[l7.route]]
		path = "/slow"
		pool = "app"
		body_grace = "100ms"
		body_min_rate = "1GB"
		[[l7.route]]
		pool = "app"
	`, echo(t).addr)
	c := r.dial()
	c.get("/slow")
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
	time.Sleep(300 * time.Millisecond)
	c.send("b")
	if res, _, _ := c.response("POST"); res.StatusCode != 200 {
		t.Errorf("on the listener's limits: got %d, want 200", res.StatusCode)
	}
	c.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
	if res, _, _ := c.response("POST"); res.StatusCode != 408 {
		t.Errorf("on the route's limits: got %d, want 408", res.StatusCode)
	}
}

// TestNoActionCostsNothing: a route that only has a pool has no action, and an
// exchange of it allocates nothing, whichever goroutine it runs on.
func TestNoActionCostsNothing(t *testing.T) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		buf := make([]byte, 4096)
		for {
			if _, err := br.Read(buf); err != nil { // a head is one segment here
				return
			}
			c.Write(answer)
		}
	})
	r := newRig(t, plain, o.addr)
	if r.server.snapshot.Load().listeners["web"].routes[0].act != nil {
		t.Error("a route with a pool alone has an action")
	}
	if raceEnabled {
		return
	}
	c := r.dial()
	request, buf := []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), make([]byte, 4096)
	exchange := func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		exchange()
	}
	if n := testing.AllocsPerRun(500, exchange); n != 0 {
		t.Errorf("an exchange makes %v allocations, want none", n)
	}
}
