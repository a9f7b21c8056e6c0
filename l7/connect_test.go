package l7

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"weir/pool/metric"
)

const connecting = `
[pool.app]
servers = ["%s"]
[pool.none]
servers = ["127.0.0.1:1"]
connect_timeout = "1s"
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.connect]]
to = ["db.example.com:5432", "*.db.example.com:5432", "[2001:db8::1]:22"]
pool = "app"
[[l7.connect]]
to = ["far.example.com:1"]
source = ["192.0.2.0/24"]
pool = "app"
[[l7.connect]]
to = ["down.example.com:1"]
pool = "none"
[[l7.route]]
pool = "app"
`

// newShout is an origin of bytes: it greets, and sends back what it gets in capitals.
func newShout(t *testing.T) string {
	return newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		io.WriteString(c, "hello\n")
		b := make([]byte, 4096)
		for {
			n, err := br.Read(b)
			c.Write([]byte(strings.ToUpper(string(b[:n]))))
			if err != nil {
				c.CloseWrite()
				return
			}
		}
	}).addr
}

// TestConnectTunnels: a CONNECT to what is listed is a tunnel to a server of the pool,
// and nothing is added to its octets; what came with the request goes first.
func TestConnectTunnels(t *testing.T) {
	onBoth(t, func(t *testing.T, newRig rigMaker) {
		r := newRig(t, connecting, newShout(t))
		for _, to := range []string{
			"db.example.com:5432", "DB.Example.com.:05432", "a.b.db.example.com:5432", "[2001:DB8:0::1]:22",
		} {
			c := r.dial()
			c.send("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nearly ", to, to)
			res, err := http.ReadResponse(c.br, &http.Request{Method: "CONNECT"})
			if err != nil || res.StatusCode != 200 || len(res.TransferEncoding) > 0 || res.Header.Get("Content-Length") != "" {
				t.Fatalf("%s: got %v %v", to, res, err)
			}
			c.send("and late")
			c.CloseWrite()
			if got, err := io.ReadAll(c.br); err != nil || string(got) != "hello\nEARLY AND LATE" {
				t.Errorf("%s: got %q, %v", to, got, err)
			}
		}
		r.untilNoTunnel(t)
		route := "CONNECT db.example.com:5432,*.db.example.com:5432,[2001:db8::1]:22"
		if n := r.metrics.Counter(metric.L7Requests, "web", route, "2xx").Load(); n != 4 {
			t.Errorf("%d requests are counted for the route, want 4", n)
		}
	})
}

// TestConnectRefused: what is not listed gets an answer and the end of the connection,
// and what it sent behind its request is no request.
func TestConnectRefused(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	r := newRig(t, connecting, o.addr)
	f := func(to string, status int, reason string) {
		t.Helper()
		c := r.dial()
		c.send("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", to, to)
		res, err := http.ReadResponse(c.br, nil)
		if err != nil || res.StatusCode != status || !res.Close {
			t.Errorf("%s: got %v %v, want %d and close", to, res, err, status)
			return
		}
		io.Copy(io.Discard, res.Body)
		c.wantClosed()
		side := "client"
		if status == 503 {
			side = "upstream"
		}
		if n := r.metrics.Counter(metric.L7Errors, "web", side, reason).Load(); n == 0 {
			t.Errorf("%s: nothing is counted as %s", to, reason)
		}
	}
	f("db.example.com:5433", 403, "connect_refused")
	f("db.example.com.evil.org:5432", 403, "connect_refused")
	f("evildb.example.com:5432", 403, "connect_refused")
	f(".db.example.com:5432", 400, "bad_host")
	f("127.0.0.1:22", 403, "connect_refused")
	f("far.example.com:1", 403, "connect_refused") // not from here
	f("db.example.com", 400, "bad_connect")
	f("down.example.com:1", 503, "connect_failed")

	c := r.dial()
	if _, body := c.get("/"); body != "ok" {
		t.Errorf("got %q of a route", body)
	}
	c.send("OPTIONS /x HTTP/1.1\r\nHost: db.example.com:5432\r\n\r\n")
	if res, _, err := c.response("OPTIONS"); err != nil || res.StatusCode != 200 {
		t.Errorf("got %v %v of a route", res, err)
	}
}

// TestConnectOff: without [[l7.connect]] it is no method.
func TestConnectOff(t *testing.T) {
	r := newRig(t, plain, newEcho(t))
	c := r.dial()
	c.send("CONNECT db.example.com:5432 HTTP/1.1\r\nHost: db.example.com:5432\r\n\r\n")
	res, _, err := c.response("CONNECT")
	if err != nil || res.StatusCode != 405 || res.Header.Get("Allow") == "" {
		t.Errorf("got %v %v, want 405 with Allow", res, err)
	}
	c.wantClosed()
}

// TestConnectOverTLS: the name in the hello is that of Weir, and the one in the request
// that of somebody else.
func TestConnectOverTLS(t *testing.T) {
	certFile, keyFile, roots := newCert(t, "www.example.com")
	r := newLoopRig(t, strings.Replace(connecting, "[[l7.connect]]\nto = [\"db", fmt.Sprintf(
		"[l7.tls]\ncerts = [{ cert = %q, key = %q }]\n[[l7.connect]]\nto = [\"db", certFile, keyFile), 1), newShout(t))
	tc := tls.Client(r.dial().TCPConn, &tls.Config{RootCAs: roots, ServerName: "www.example.com"})
	const to = "db.example.com:5432"
	fmt.Fprintf(tc, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nearly ", to, to)
	br := bufio.NewReader(tc)
	if res, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || res.StatusCode != 200 {
		t.Fatalf("got %v %v", res, err)
	}
	io.WriteString(tc, "and late")
	tc.CloseWrite()
	if got, err := io.ReadAll(br); err != nil || string(got) != "hello\nEARLY AND LATE" {
		t.Errorf("got %q, %v", got, err)
	}
	tc.Close()
	r.untilNoTunnel(t)
}

// TestConnectReload: a reload that takes the table away refuses what comes, and leaves
// what is there.
func TestConnectReload(t *testing.T) {
	t.Parallel()
	addr := newShout(t)
	r := newLoopRig(t, connecting, addr)
	c := r.dial()
	const to = "db.example.com:5432"
	c.send("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
	if res, err := http.ReadResponse(c.br, &http.Request{Method: "CONNECT"}); err != nil || res.StatusCode != 200 {
		t.Fatalf("got %v %v", res, err)
	}
	r.apply(fmt.Sprintf(plain, addr))
	other := r.dial()
	other.send("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
	if res, _, err := other.response("CONNECT"); err != nil || res.StatusCode != 405 {
		t.Errorf("got %v %v, want 405", res, err)
	}
	c.send("still here")
	c.CloseWrite()
	if got, err := io.ReadAll(c.br); err != nil || string(got) != "hello\nSTILL HERE" {
		t.Errorf("got %q, %v", got, err)
	}
	r.untilNoTunnel(t)
}

// TestConnectExplained: explain says what the live server does.
func TestConnectExplained(t *testing.T) {
	r := newRig(t, connecting, newEcho(t))
	f := func(to, client string, status int, pool string) {
		t.Helper()
		e, err := r.server.Explain(r.server.snapshot.Load(), Question{
			Listener: "web", Client: netip.MustParseAddrPort(client),
			Head: fmt.Appendf(nil, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to),
		})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(e.Pools) > 0 {
			got = e.Pools[0].Pool
		}
		if e.Status != status || got != pool || len(e.Routes) != 3 || e.Sent != nil {
			t.Errorf("%s from %s: got %+v, want status %d and pool %q", to, client, e, status, pool)
		}
	}
	f("db.example.com:5432", "203.0.113.1:1", 0, "app")
	f("far.example.com:1", "192.0.2.7:1", 0, "app")
	f("far.example.com:1", "192.0.3.7:1", 403, "")
	f("down.example.com:1", "192.0.3.7:1", 0, "none")
}
