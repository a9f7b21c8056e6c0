package l4

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"weir/conf"
)

// A pool with TLS gets CancelRequests by TLS, after the request for it and never in
// plain; a PROXY header goes before both.
func TestPostgresCancelByTLS(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	got := make(chan string, 8)
	server := func(by *authority, answer string) string {
		_, pair := by.issue("b.example.com", time.Hour)
		return origin(t, func(c *net.TCPConn) {
			got <- readUntil(c, pgSSLRequest)
			io.WriteString(c, answer)
			conn := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}})
			b, _ := io.ReadAll(io.LimitReader(conn, int64(len(pgCancel()))))
			if len(b) > 0 {
				got <- "tls " + string(b)
			}
		})
	}
	f := func(server, proxy string, wanted ...string) {
		t.Helper()
		p := poolOf("p", server)
		p.TLS, p.ProxyProtocol = a.trusting("b.example.com"), proxy
		w := newWorld(t, worldOptions{}, p)
		addr := w.ended(a, func(c *conf.L4) { c.Protocol = "postgres" })
		c := dial(t, addr)
		send(t, c, pgCancel())
		wantEnd(t, c, "")
		w.closed(reasonCancel)
		for _, want := range wanted {
			select {
			case s := <-got:
				if !strings.HasSuffix(s, want) || (proxy != "") != strings.HasPrefix(s, "PROXY ") && s[:3] != "tls" {
					t.Errorf("the server got %q, want %q", s, want)
				}
			case <-time.After(patience):
				t.Fatalf("the server never got %q", want)
			}
		}
		w.srv.Close()
		if len(got) > 0 {
			t.Errorf("the server also got %q", <-got)
		}
	}
	f(server(a, "S"), "", pgSSLRequest, "tls "+pgCancel())
	f(server(a, "S"), "v1", pgSSLRequest, "tls "+pgCancel())
	f(server(other, "S"), "", pgSSLRequest) // does not verify
	f(server(a, "N"), "", pgSSLRequest)
}

// A server that says nothing holds neither the client nor the stop of Weir.
func TestPostgresCancelByTLSWaitsForNoOne(t *testing.T) {
	a := newAuthority(t)
	met := make(chan struct{}, 1)
	p := poolOf("p", origin(t, func(c *net.TCPConn) {
		met <- struct{}{}
		io.Copy(io.Discard, c)
	}))
	p.TLS = a.trusting("b.example.com")
	w := newWorld(t, worldOptions{}, p)
	addr := w.ended(a, func(c *conf.L4) { c.Protocol = "postgres" })
	c := dial(t, addr)
	send(t, c, pgCancel())
	<-met
	wantEnd(t, c, "")
	w.closed(reasonCancel)
}
