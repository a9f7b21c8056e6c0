package l4

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"weir/conf"
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
