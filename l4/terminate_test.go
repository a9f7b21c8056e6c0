package l4

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/conf"
	"weir/l4/sniff"
)

// ended serves [l4.tls] for a.example.com in front of the pool "p".
func (w *world) ended(a *authority, change func(c *conf.L4)) string {
	w.t.Helper()
	c := conf.L4{TLS: a.tls("a.example.com"), Mode: terminating}
	if change != nil {
		change(&c)
	}
	return w.simple(c)
}

var asked = tls.Config{ServerName: "a.example.com"}

func TestTerminate(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	addr := w.ended(a, func(c *conf.L4) { c.TLS.ALPN = []string{"echo"} })
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := asked.Clone()
		c.MinVersion, c.MaxVersion, c.NextProtos = version, version, []string{"other", "echo"}
		conn := a.dialTLS(addr, c)
		if got := conn.ConnectionState(); got.Version != version || got.NegotiatedProtocol != "echo" {
			t.Errorf("got %s, ALPN %q", tls.VersionName(got.Version), got.NegotiatedProtocol)
		}
		send(t, conn, "hello")
		want(t, conn, "hello")
		conn.CloseWrite()
		wantEnd(t, conn, "") // a close_notify: crypto/tls would say unexpected EOF otherwise, or not know
	}
	w.until("both sessions are done", func() bool { return w.closedCount(reasonDone) == 2 })
}

// A client that leaves Nagle's algorithm on sends its first words only when the end of
// its handshake is acknowledged. In TLS 1.3 Weir has nothing to send by then, and the
// kernel would put the acknowledgement off for 40 ms.
func TestTerminateAcknowledges(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	addr := w.ended(a, nil)
	fastest := time.Hour // of many: a busy machine delays some of them
	for end := time.Now().Add(patience); fastest >= 40*time.Millisecond && time.Now().Before(end); {
		start := time.Now()
		c := dial(t, addr)
		c.SetNoDelay(false)
		conn := tls.Client(c, &tls.Config{ServerName: "a.example.com", RootCAs: a.pool})
		send(t, conn, "hello")
		want(t, conn, "hello")
		fastest = min(fastest, time.Since(start))
		conn.Close()
	}
	if fastest >= 40*time.Millisecond {
		t.Errorf("the fastest exchange took %v", fastest)
	}
}

// Bytes go both ways at once, unchanged, and each direction ends for itself.
func TestTerminateBulk(t *testing.T) {
	a := newAuthority(t)
	size := 64 << 20
	if raceEnabled {
		size = 4 << 20
	}
	up, down := bulk(size, 1), bulk(size+8, 2)
	_, pair := a.issue("b.example.com", time.Hour)
	f := func(name string, serve func(swap func(stream)) string, secure *conf.PoolTLS) {
		t.Helper()
		got := make(chan []byte, 1)
		p := poolOf("p", serve(func(c stream) { got <- swap(t, c, down) }))
		p.TLS = secure
		w := newWorld(t, worldOptions{}, p)
		conn := a.dialTLS(w.ended(a, nil), asked.Clone())
		conn.SetDeadline(time.Now().Add(4 * patience))
		if r := swap(t, conn, up); !bytes.Equal(r, down) {
			t.Errorf("%s: the client got %d of %d bytes", name, len(r), len(down))
		}
		if r := <-got; !bytes.Equal(r, up) {
			t.Errorf("%s: the server got %d of %d bytes", name, len(r), len(up))
		}
		w.closed(reasonDone)
	}
	f("plain", func(swap func(stream)) string { return origin(t, func(c *net.TCPConn) { swap(c) }) }, nil)
	f("encrypted", func(swap func(stream)) string {
		return a.tlsOrigin(&tls.Config{Certificates: []tls.Certificate{pair}}, func(c *tls.Conn) { swap(c) })
	}, a.trusting("b.example.com"))
}

// swap sends p, ends its direction and returns what came.
func swap(t *testing.T, c stream, p []byte) []byte {
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		_, err := c.Write(p)
		if err := errors.Join(err, c.CloseWrite()); err != nil {
			t.Errorf("sending: %v", err)
		}
	})
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("receiving: %v", err)
	}
	return got
}

// Plain clients are closed, silent ones too; a route may pass TLS through.
func TestTerminateByRoute(t *testing.T) {
	a := newAuthority(t)
	_, own := a.issue("b.example.com", time.Hour)
	through := a.tlsOrigin(&tls.Config{Certificates: []tls.Certificate{own}}, func(c *tls.Conn) { io.Copy(c, c) })
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)), poolOf("through", through))
	addr := w.ended(a, func(c *conf.L4) {
		c.Routes = []conf.L4Route{{SNI: []string{"b.example.com"}, Pool: "through", Mode: "passthrough"}}
	})
	for _, name := range []string{"a.example.com", "b.example.com"} {
		conn := a.dialTLS(addr, &tls.Config{ServerName: name})
		send(t, conn, name)
		want(t, conn, name)
	}
	plain := dial(t, addr)
	send(t, plain, "PING\r\n")
	w.closed(reasonNotTLS)
}

func TestClientCertificates(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	_, right := a.issue("app", time.Hour)
	_, stale := a.issue("old", -time.Hour)
	_, foreign := other.issue("app", time.Hour)
	f := func(auth string, c []tls.Certificate, ok bool) {
		t.Helper()
		w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
		addr := w.ended(a, func(c *conf.L4) { c.TLS.ClientCA, c.TLS.ClientAuth = a.file, auth })
		conn := tls.Client(dial(t, addr), &tls.Config{
			RootCAs: a.pool, ServerName: "a.example.com",
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(c) == 0 {
					return new(tls.Certificate), nil
				}
				return &c[0], nil
			},
		})
		_, err := io.WriteString(conn, "x")
		if err == nil {
			_, err = io.ReadFull(conn, make([]byte, 1))
		}
		if (err == nil) != ok {
			t.Errorf("%s: %v, want success %v", auth, err, ok)
		}
		if !ok {
			if _, isAlert := errors.AsType[*net.OpError](err); !isAlert {
				t.Errorf("%s: %v, want an alert that says why", auth, err)
			}
			w.closed(reasonTLSHandshake)
		}
	}
	f("require", []tls.Certificate{right}, true)
	f("require", nil, false)
	f("require", []tls.Certificate{foreign}, false)
	f("require", []tls.Certificate{stale}, false)
	f("request", nil, true)
	f("request", []tls.Certificate{foreign}, false)
}

// A backend that does not verify gets nothing and keeps its health; the next one is used.
func TestBackendDoesNotVerify(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	serving := func(by *authority, name string, valid time.Duration) string {
		_, pair := by.issue(name, valid)
		return a.tlsOrigin(&tls.Config{Certificates: []tls.Certificate{pair}}, func(c *tls.Conn) {
			io.Copy(c, c)
			c.Close()
		})
	}
	good := serving(a, "b.example.com", time.Hour)
	f := func(bad string) {
		t.Helper()
		p := poolOf("p", bad)
		p.TLS = a.trusting("b.example.com")
		w := newWorld(t, worldOptions{}, p)
		addr := w.simple(conf.L4{}) // plain clients
		for i := range uint64(7) {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				_, err = c.Read(make([]byte, 1))
				c.Close()
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("client got %v, want a reset", err)
			}
			w.until("it has its own reason", func() bool { return w.closedCount(reasonBackendTLS) == i+1 })
		}
		if !w.reg.Group("p").Members()[0].Endpoint().Usable() || !strings.Contains(w.log.String(), "by TLS") {
			t.Errorf("the server was ejected, or nothing was logged:\n%s", w.log.String())
		}
		p = poolOf("p", bad, good)
		p.TLS = a.trusting("b.example.com")
		w = newWorld(t, worldOptions{}, p)
		addr = w.simple(conf.L4{})
		for range 4 {
			c := dial(t, addr)
			send(t, c, "x")
			want(t, c, "x")
			c.CloseWrite()
			wantEnd(t, c, "")
		}
	}
	f(serving(a, "other.example.com", time.Hour))
	f(serving(a, "b.example.com", -time.Minute))
	f(serving(other, "b.example.com", time.Hour))
	f(origin(t, func(c *net.TCPConn) { io.WriteString(c, "not TLS at all\n") }))
}

// A connection that is cut without a close_notify is cut on the other side too.
func TestTerminatePassesCutsOn(t *testing.T) {
	a := newAuthority(t)
	got := make(chan error, 1)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		_, err := io.Copy(io.Discard, c)
		got <- err
	})))
	conn := a.dialTLS(w.ended(a, nil), asked.Clone())
	send(t, conn, "half of it")
	conn.NetConn().(*net.TCPConn).CloseWrite()
	if err := <-got; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server got %v, want a reset", err)
	}
	w.closed(reasonClientReset)

	w = newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		io.ReadFull(c, make([]byte, 1))
		c.SetLinger(0)
	})))
	conn = a.dialTLS(w.ended(a, nil), asked.Clone())
	send(t, conn, "x")
	if _, err := io.ReadAll(conn); err == nil {
		t.Error("a reset of the server passed for an orderly end")
	}
	w.closed(reasonBackendReset)
}

// A reload brings a new certificate; sessions keep what they began with, and a bad
// file changes nothing.
func TestTerminateReload(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	c := conf.L4{Pool: "p", TLS: a.tls("a.example.com"), Mode: terminating}
	addr := w.simple(c)
	serial := func(c *tls.Conn) string { return c.ConnectionState().PeerCertificates[0].SerialNumber.String() }
	live := a.dialTLS(addr, asked.Clone())
	a.issue("a.example.com", time.Hour)
	w.serve(w.l4(c))
	next := a.dialTLS(addr, asked.Clone())
	if serial(next) == serial(live) {
		t.Error("the certificate of before the reload is served")
	}
	for _, conn := range []*tls.Conn{live, next} {
		send(t, conn, "x")
		want(t, conn, "x")
	}
	os.WriteFile(c.TLS.Certs[0].Cert, []byte("none"), 0o600)
	if u, err := w.srv.Prepare([]Listener{w.l4(c)}); err == nil {
		u.Abort()
		t.Error("a broken certificate was taken")
	}
}

// A client that does not go on with its handshake, or is idle, is closed; a drain
// that takes too long cuts.
func TestTerminateEnds(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	hello := hasHello(t)
	addr := w.ended(a, func(c *conf.L4) { c.TLS.HandshakeTimeout = 50 * time.Millisecond })
	send(t, dial(t, addr), hello)
	w.closed(reasonTLSTimeout)

	addr = w.ended(a, func(c *conf.L4) { c.IdleTimeout = 50 * time.Millisecond })
	conn := a.dialTLS(addr, asked.Clone())
	wantEnd(t, conn, "") // with a close_notify
	w.closed(reasonIdle)

	conn = a.dialTLS(w.ended(a, nil), asked.Clone())
	send(t, conn, "x")
	want(t, conn, "x")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.srv.Drain(ctx); err == nil {
		t.Error("the drain did not wait for the session")
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("after the drain: %v, want a reset", err)
	}
	w.closed(reasonDrain)
}

// hasHello is a whole TLS hello.
func hasHello(t *testing.T) string {
	t.Helper()
	ours, theirs := net.Pipe()
	go tls.Client(theirs, asked.Clone()).Handshake()
	b := make([]byte, 16<<10)
	n, err := ours.Read(b)
	m := 0
	for err == nil && n < 5+int(b[3])<<8+int(b[4]) {
		m, err = ours.Read(b[n:])
		n += m
	}
	ours.Close()
	theirs.Close()
	return string(b[:n])
}

// The PROXY header tells the server of TLS that Weir ended.
func TestTerminateAnnounces(t *testing.T) {
	a := newAuthority(t)
	_, cert := a.issue("app", time.Hour)
	got := make(chan sniff.ProxyHeader, 1)
	p := poolOf("p", origin(t, func(c *net.TCPConn) {
		b := make([]byte, sniff.ProxyMaxV2)
		n, _ := c.Read(b)
		var h sniff.ProxyHeader
		sniff.Proxy(b[:n], len(b), &h)
		got <- h
	}))
	p.ProxyProtocol = "v2"
	w := newWorld(t, worldOptions{}, p)
	addr := w.ended(a, func(c *conf.L4) { c.TLS.ClientCA, c.TLS.ClientAuth = a.file, "require" })
	c := asked.Clone()
	c.Certificates = []tls.Certificate{cert}
	a.dialTLS(addr, c)
	h := <-got
	found := map[byte]string{}
	for rest := h.TLVs; ; {
		kind, value, after, ok := sniff.NextTLV(rest)
		if !ok {
			break
		}
		found[kind], rest = string(value), after
	}
	if s := found[sniff.TLVTLS]; found[sniff.TLVAuthority] != "a.example.com" ||
		!strings.HasPrefix(s, "\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x22\x00\x03app\x23") {
		t.Errorf("got TLVs %q", found)
	}
}
