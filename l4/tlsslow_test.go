package l4

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"weir/conf"
	"weir/pool"
)

// trickle sends every byte in a segment of its own.
type trickle struct{ net.Conn }

func (c trickle) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = c.Conn.Write(p[n : n+1])
		n += m
	}
	return n, err
}

// Handshakes and records in pieces of one byte are what they are in one piece, from
// clients and from servers.
func TestTLSByteByByte(t *testing.T) {
	a := newAuthority(t)
	_, pair := a.issue("b.example.com", time.Hour)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: version}
		p := poolOf("p", origin(t, func(c *net.TCPConn) {
			conn := tls.Server(trickle{c}, config)
			io.Copy(conn, conn)
			conn.Close()
		}))
		p.TLS = a.trusting("b.example.com")
		w := newWorld(t, worldOptions{}, p)
		conn := tls.Client(trickle{dial(t, w.ended(a, nil))}, &tls.Config{
			ServerName: "a.example.com", RootCAs: a.pool, MaxVersion: version,
		})
		send(t, conn, "byte by byte")
		want(t, conn, "byte by byte")
		conn.CloseWrite()
		wantEnd(t, conn, "")
		w.closed(reasonDone)
	}
}

// A peer that does not read stops the other side, and costs Weir two buffers and no more.
// When it reads on it gets every byte; when it never does, the session is idle and ends.
func TestTLSPeerStopsReading(t *testing.T) {
	a := newAuthority(t)
	_, pair := a.issue("b.example.com", time.Hour)
	size := 64 << 20 // far beyond what the sockets of both sides hold
	if raceEnabled {
		size = 32 << 20
	}
	whole := bulk(size, 3)
	var taken atomic.Int64
	push := func(c io.Writer) {
		for rest := whole; len(rest) > 0; {
			n, err := c.Write(rest[:min(64<<10, len(rest))])
			taken.Add(int64(n))
			if rest = rest[n:]; err != nil {
				return
			}
		}
	}
	standstill := func(w *world) int64 {
		last, since := taken.Load(), time.Now()
		w.until("the sender is stopped", func() bool {
			if n := taken.Load(); n != last {
				last, since = n, time.Now()
			}
			return last > 0 && time.Since(since) > 300*time.Millisecond
		})
		return last
	}
	p := poolOf("p", a.tlsOrigin(&tls.Config{Certificates: []tls.Certificate{pair}}, func(c *tls.Conn) {
		push(c)
		c.Close()
	}))
	p.TLS = a.trusting("b.example.com")
	w := newWorld(t, worldOptions{}, p)
	addr := w.ended(a, nil)
	before := pool.Live()
	c := a.dialTLS(addr, asked.Clone())
	c.SetDeadline(time.Now().Add(4 * patience))
	if n := standstill(w); n == int64(size) {
		t.Fatal("the client's buffers took it all: nothing was slow")
	}
	if n := pool.Live() - before; n > 2 {
		t.Errorf("%d buffers for one session, want 2", n)
	}
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("got %d of %d bytes, %v", len(got), size, err)
	}
	c.Close()
	w.closed(reasonDone)

	taken.Store(0)
	addr = w.ended(a, func(c *conf.L4) { c.IdleTimeout = time.Second })
	c = a.dialTLS(addr, asked.Clone())
	c.SetDeadline(time.Now().Add(4 * patience))
	w.closed(reasonIdle)
	if got, err := io.ReadAll(c); err == nil {
		t.Errorf("an end after %d of %d bytes passed for an orderly one", len(got), size)
	}

	// The other way: the server does not read.
	quiet := make(chan struct{})
	p = poolOf("p", a.tlsOrigin(&tls.Config{Certificates: []tls.Certificate{pair}}, func(c *tls.Conn) {
		<-quiet
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, whole) {
			t.Errorf("the server got %d of %d bytes, %v", len(got), size, err)
		}
		c.Close()
	}))
	p.TLS = a.trusting("b.example.com")
	w = newWorld(t, worldOptions{}, p)
	c = a.dialTLS(w.ended(a, nil), asked.Clone())
	c.SetDeadline(time.Now().Add(4 * patience))
	taken.Store(0)
	done := make(chan struct{})
	go func() {
		push(c)
		c.CloseWrite()
		close(done)
	}()
	if n := standstill(w); n == int64(size) {
		t.Error("the server's buffers took it all: nothing was slow")
	}
	close(quiet)
	<-done
	wantEnd(t, c, "")
	w.closed(reasonDone)
}
