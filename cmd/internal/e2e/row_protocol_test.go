package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Rows of docs/faults.md: what is said on the wire.

// wantAnswer sends raw bytes on a fresh connection and wants this status, and the
// connection closed after it where it is an error.
func wantAnswer(t *testing.T, addr, request string, want int) {
	t.Helper()
	p := dial(t, addr)
	io.WriteString(p.TCPConn, request)
	resp, err := p.response(http.MethodGet)
	if err != nil {
		t.Errorf("%.80q: no answer: %v", request, err)
		return
	}
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != want {
		t.Errorf("%.80q: status %d, want %d", request, resp.StatusCode, want)
	}
	if want < 400 {
		return
	}
	if _, err := p.r.ReadByte(); err == nil {
		t.Errorf("%.80q: the connection goes on after %d", request, want)
	}
}

// TestRow19_SlowHeaders: a head that trickles in has one limit for all of it.
func TestRow19_SlowHeaders(t *testing.T) {
	t.Parallel()
	o, addr := startOrigin(t, "a"), freeAddr(t)
	startWeir(t, pool("app", o.addr)+strings.Replace(web(addr, "app"), "[[l7.route]]",
		"header_timeout = \"1s\"\n[[l7.route]]", 1))
	p := dial(t, addr)
	p.send("GET / HTTP/1.1\r\nHost: a\r\n")
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, p.r)
		ended <- err
	}()
	for i := 0; ; i++ {
		select {
		case <-ended:
			return
		case <-time.After(100 * time.Millisecond):
			p.send("X-%d: 1\r\n", i)
		}
		if i > 200 {
			t.Fatal("a head may trickle for 20 s at a limit of 1 s")
		}
	}
}

// TestRow27_TooLong: heads and targets have bounds.
func TestRow27_TooLong(t *testing.T) {
	o, addr := startOrigin(t, "a"), freeAddr(t)
	startWeir(t, pool("app", o.addr)+web(addr, "app"))
	const head = "GET / HTTP/1.1\r\nHost: a\r\n"
	wantAnswer(t, addr, head+"X: "+strings.Repeat("x", 33<<10)+"\r\n\r\n", 431)
	wantAnswer(t, addr, head+strings.Repeat("X: 1\r\n", 101)+"\r\n", 431)
	wantAnswer(t, addr, "GET /"+strings.Repeat("x", 9<<10)+" HTTP/1.1\r\nHost: a\r\n\r\n", 414)
	wantAnswer(t, addr, head+strings.Repeat("X: 1\r\n", 90)+"\r\n", 200)
	if n := o.requests.Load(); n != 1 {
		t.Errorf("%d requests reached the backend, want 1", n)
	}
}

// TestRow28_Ambiguous: what could be read in two ways is refused and not passed on.
func TestRow28_Ambiguous(t *testing.T) {
	o, addr := startOrigin(t, "a"), freeAddr(t)
	startWeir(t, pool("app", o.addr)+web(addr, "app"))
	f := func(request string, want int) {
		t.Helper()
		wantAnswer(t, addr, request, want)
	}
	const post = "POST / HTTP/1.1\r\nHost: a\r\n"
	f(post+"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
	f(post+"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400)
	f(post+"Content-Length: +4\r\n\r\nabcd", 400)
	f(post+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
	f(post+"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400)
	f("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
	f(post+"Connection: Content-Length\r\nContent-Length: 4\r\n\r\nabcd", 400)
	f("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400)
	f("GET / HTTP/1.1\nHost: a\n\n", 400)
	f("GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400)
	f("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400)
	f("GET / HTTP/1.1\r\n\r\n", 400)
	f("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400)
	f("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400)
	f("GET /a/%2e%2e/b HTTP/1.1\r\nHost: a\r\n\r\n", 400)
	f("GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n", 400)
	f("GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505)
	if n := o.requests.Load(); n != 0 {
		t.Errorf("%d of them reached the backend", n)
	}
	f(post+"Content-Length: 4\r\n\r\nabcd", 200)
}

// TestRow31_Tunnels: no tunnel is opened by a client's word alone.
func TestRow31_Tunnels(t *testing.T) {
	s := startScript(t, func(s *scripted, p *peer) {
		for r := s.next(p); r != nil; r = s.next(p) {
			if r.Header.Get("Upgrade") == "websocket" {
				p.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
				io.Copy(p.TCPConn, p.r)
				return
			}
			body := fmt.Sprintf("upgrade %q", r.Header.Get("Upgrade"))
			p.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	})
	addr := freeAddr(t)
	startWeir(t, pool("app", s.addr)+web(addr, "app"))
	wantAnswer(t, addr, "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n", 405)
	wantAnswer(t, addr, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405)

	p := dial(t, addr)
	p.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n")
	resp, err := p.response(http.MethodGet)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != `upgrade ""` {
		t.Errorf("h2c: the backend saw %s", body)
	}

	ws := dial(t, addr)
	ws.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if resp, err = ws.response(http.MethodGet); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("websocket: %v, %v", resp, err)
	}
	ws.send("ping\n")
	if line, err := ws.r.ReadString('\n'); err != nil || line != "ping\n" {
		t.Errorf("websocket: %q, %v", line, err)
	}
}

// TestRow38_SplitHello: however the hello is cut, the name in it decides; one that is
// not finished decides nothing, though there is a default pool.
func TestRow38_SplitHello(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, t.TempDir())
	through, plain, edge := tlsOrigin(t, ca, "db.example.com"), startOrigin(t, "plain"), freeAddr(t)
	fallback := startScript(t, func(_ *scripted, p *peer) { io.Copy(io.Discard, p) })
	cert, key := ca.issue(t, "www", "www.example.com")
	startWeir(t, pool("db", through.addr)+pool("app", plain.addr)+pool("fallback", fallback.addr)+
		strings.Replace(sniEdge(edge), "[[l4.route]]", "pool = \"fallback\"\n[[l4.route]]", 1)+
		tlsWeb("web", "", cert, key, "app"))
	for _, step := range []int{1, 7, 600} {
		for _, name := range []string{"db.example.com", "www.example.com"} {
			raw := dial(t, edge)
			raw.SetNoDelay(true)
			c := tls.Client(slowConn{raw.TCPConn, step}, &tls.Config{ServerName: name, RootCAs: ca.pool})
			if err := c.Handshake(); err != nil {
				t.Errorf("%s in pieces of %d: %v", name, step, err)
				continue
			}
			if got := c.ConnectionState().PeerCertificates[0].Subject.CommonName; got != name {
				t.Errorf("%s in pieces of %d: certificate of %s", name, step, got)
			}
			c.Close()
		}
	}
	var unfinished []*peer // all at once: each may take the whole sniff_timeout
	for _, begun := range []string{"\x16", "\x16\x03\x01\x02\x00\x01", "\x16\x03\x01\xff\xff", "\x16garbage that is no hello"} {
		p := dial(t, edge)
		io.WriteString(p.TCPConn, begun)
		unfinished = append(unfinished, p)
	}
	for _, p := range unfinished {
		if n, err := io.Copy(io.Discard, p); n > 0 {
			t.Errorf("an unfinished hello was answered with %d bytes, %v", n, err)
		}
	}
	if n := fallback.conns.Load(); n != 0 {
		t.Errorf("%d unfinished hellos went to the default pool", n)
	}
}

// TestRow39_NameAndHost: a TLS name and a Host that do not fit together are told apart.
func TestRow39_NameAndHost(t *testing.T) {
	ca := newAuthority(t, t.TempDir())
	cert, key := ca.issue(t, "www", "www.example.com")
	o, addr := startOrigin(t, "a"), freeAddr(t)
	startWeir(t, pool("app", o.addr)+tlsWeb("web", addr, cert, key, "app"))
	f := func(host string, want int) {
		t.Helper()
		c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "www.example.com", RootCAs: ca.pool})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /name HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		text, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(text), fmt.Sprintf("HTTP/1.1 %d ", want)) {
			t.Errorf("Host %s: %.60q, want %d", host, text, want)
		}
	}
	f("www.example.com", 200)
	f("WWW.Example.COM.:443", 200)
	f("other.example.com", 421)
}
