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

// ending is how one side of a session ends.
type ending func(c *tls.Conn)

func raw(c *tls.Conn) *net.TCPConn { return c.NetConn().(*net.TCPConn) }

func orderly(c *tls.Conn) { c.Close() }

func cutByFIN(c *tls.Conn) { raw(c).Close() }

func cutByRST(c *tls.Conn) {
	raw(c).SetLinger(0)
	raw(c).Close()
}

// cutInRecord ends in the middle of a record, of which the head promises 256 bytes.
func cutInRecord(c *tls.Conn) {
	raw(c).Write([]byte{23, 3, 3, 1, 0, 1, 2, 3})
	raw(c).Close()
}

// A server's end by TLS is an orderly one for the client only where it came with a
// close_notify; whatever was sent before it arrives.
func TestServerCuts(t *testing.T) {
	a := newAuthority(t)
	_, pair := a.issue("b.example.com", time.Hour)
	f := func(what string, end ending, why reason) {
		t.Helper()
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config := &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: version}
			p := poolOf("p", a.tlsOrigin(config, func(c *tls.Conn) {
				c.Read(make([]byte, 1))
				io.WriteString(c, "half of it")
				end(c)
			}))
			p.TLS = a.trusting("b.example.com")
			w := newWorld(t, worldOptions{}, p)
			plain, secure := w.l4(conf.L4{Name: "plain", Pool: "p"}),
				w.l4(conf.L4{Name: "secure", Pool: "p", TLS: a.tls("a.example.com"), Mode: terminating})
			w.serve(plain, secure)
			clients := []net.Conn{
				dial(t, w.srv.Addrs("plain")[0]), a.dialTLS(w.srv.Addrs("secure")[0], asked.Clone()),
			}
			for _, c := range clients {
				send(t, c, "x")
				got, err := io.ReadAll(c)
				if (err == nil) != (why == reasonDone) {
					t.Errorf("%s, %s: the client got %v", what, tls.VersionName(version), err)
				}
				if why == reasonDone && string(got) != "half of it" {
					t.Errorf("%s, %s: the client got %q", what, tls.VersionName(version), got)
				}
				c.Close()
			}
			w.until(what, func() bool { return w.closedCount(why) == 2 })
		}
	}
	f("close_notify", orderly, reasonDone)
	f("FIN", cutByFIN, reasonBackendReset)
	f("RST", cutByRST, reasonBackendReset)
	f("FIN in a record", cutInRecord, reasonBackendReset)
}

// The same the other way: what a client did not end in order never looks complete to
// the server.
func TestClientCuts(t *testing.T) {
	a := newAuthority(t)
	_, pair := a.issue("b.example.com", time.Hour)
	type result struct {
		bytes string
		err   error
	}
	got := make(chan result, 1)
	read := func(c io.ReadWriter) {
		if _, err := c.Read(make([]byte, 1)); err != nil {
			return
		}
		io.WriteString(c, "y") // the session is there
		b, err := io.ReadAll(c)
		got <- result{string(b), err}
	}
	f := func(what string, p conf.Pool, end ending, why reason) {
		t.Helper()
		w := newWorld(t, worldOptions{}, p)
		c := a.dialTLS(w.ended(a, nil), asked.Clone())
		send(t, c, "x")
		want(t, c, "y")
		send(t, c, "half of it")
		end(c)
		r := <-got
		if (r.err == nil) != (why == reasonDone) || why == reasonDone && r.bytes != "half of it" {
			t.Errorf("%s: the server got %q, %v", what, r.bytes, r.err)
		}
		w.closed(why)
	}
	plain := poolOf("p", origin(t, func(c *net.TCPConn) { read(c) }))
	secure := poolOf("p", a.tlsOrigin(&tls.Config{Certificates: []tls.Certificate{pair}}, func(c *tls.Conn) {
		read(c)
		c.Close()
	}))
	secure.TLS = a.trusting("b.example.com")
	for _, p := range []conf.Pool{plain, secure} {
		f("close_notify", p, orderly, reasonDone)
		f("FIN", p, cutByFIN, reasonClientReset)
		f("RST", p, cutByRST, reasonClientReset)
		f("FIN in a record", p, cutInRecord, reasonClientReset)
	}

	// Clients without TLS before a server with it: FIN is their orderly end.
	w := newWorld(t, worldOptions{}, secure)
	addr := w.simple(conf.L4{})
	for _, reset := range []bool{false, true} {
		c := dial(t, addr)
		send(t, c, "x")
		want(t, c, "y")
		send(t, c, "half of it")
		if reset {
			c.SetLinger(0)
			c.Close()
		} else {
			c.CloseWrite()
		}
		if r := <-got; (r.err != nil) != reset {
			t.Errorf("reset %v: the server got %q, %v", reset, r.bytes, r.err)
		}
	}
}

// A peer that breaks in the middle of the handshake: the client's session ends, the
// next server is tried.
func TestHandshakeIsBroken(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	addr := w.ended(a, nil)
	hello := hasHello(t)
	n := uint64(0)
	for _, reset := range []bool{false, true} {
		for _, part := range []string{hello, hello + "\x14\x03\x03\x00\x01\x01", hello + "\x17\x03\x03\x00\x01\x01"} {
			c := dial(t, addr)
			send(t, c, part)
			c.Read(make([]byte, 1)) // the ServerHello
			if reset {
				c.SetLinger(0)
			}
			c.Close()
			n++
			w.until("the session ended", func() bool { return w.closedCount(reasonTLSHandshake) == n })
		}
	}
	if failed := w.scrape(); !strings.Contains(failed, `weir_l4_tls_handshakes_total{listener="t",result="failed"} 6`) {
		t.Errorf("not counted:\n%s", failed)
	}

	_, pair := a.issue("b.example.com", time.Hour)
	good := a.tlsOrigin(&tls.Config{Certificates: []tls.Certificate{pair}}, func(c *tls.Conn) { io.Copy(c, c) })
	broken := func(end func(c *net.TCPConn)) string {
		return origin(t, func(c *net.TCPConn) {
			c.Read(make([]byte, 1<<10))
			end(c)
		})
	}
	for _, bad := range []string{
		broken(func(c *net.TCPConn) { c.SetLinger(0) }),
		broken(func(*net.TCPConn) {}),
		broken(func(c *net.TCPConn) { c.Write([]byte{22, 3, 3, 1, 0, 2}) }), // in a record
	} {
		p := poolOf("p", bad, good)
		p.TLS = a.trusting("b.example.com")
		w := newWorld(t, worldOptions{}, p)
		addr := w.simple(conf.L4{})
		for range 2 {
			c := dial(t, addr)
			send(t, c, "x")
			want(t, c, "x")
		}
		p = poolOf("p", bad)
		p.TLS = a.trusting("b.example.com")
		w = newWorld(t, worldOptions{}, p)
		turnedAway(t, w.simple(conf.L4{}))
		w.closed(reasonBackendTLS)
	}
}
