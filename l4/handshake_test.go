package l4

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"weir/conf"
	"weir/pool/limit"
)

// Of a flood of handshakes a few calculate at a time; sessions that are there go on
// meanwhile, and clients that stall keep nobody from a turn.
func TestRow40_HandshakeFlood(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	w.srv.turns = limit.NewTurns(1)
	addr := w.ended(a, nil)
	live := a.dialTLS(addr, asked.Clone())
	hello := hasHello(t)
	for range 64 { // each with a hello and then nothing
		send(t, dial(t, addr), hello)
	}
	var flood sync.WaitGroup
	for range 8 {
		flood.Go(func() {
			for range 16 {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(patience))
				s := tls.Client(c, &tls.Config{ServerName: "a.example.com", RootCAs: a.pool})
				if err := s.Handshake(); err != nil {
					t.Errorf("a client of the flood: %v", err)
				}
				c.Close()
			}
		})
	}
	for range 100 {
		send(t, live, "ping")
		want(t, live, "ping")
	}
	flood.Wait()
}

// Without a turn a handshake ends in time; established sessions need none, and a turn
// that is free again serves the next client.
func TestHandshakesWaitForATurn(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	w.srv.turns = limit.NewTurns(1)
	live := a.dialTLS(w.ended(a, nil), asked.Clone())
	send(t, live, "x")
	want(t, live, "x") // the handshake is over on both sides
	if !w.srv.turns.Take(false, nil, patience) {
		t.Fatal("no turn was free")
	}
	addr := w.ended(a, func(c *conf.L4) { c.TLS.HandshakeTimeout = 100 * time.Millisecond })
	late := dial(t, addr)
	send(t, late, hasHello(t))
	wantEnd(t, late, "")
	w.closed(reasonTLSTimeout)
	send(t, live, "x")
	want(t, live, "x")

	addr = w.ended(a, nil)
	gone := dial(t, addr)
	send(t, gone, hasHello(t))
	w.until("it waits for a turn", func() bool { return w.srv.turns.Waiting() == 1 })
	gone.SetLinger(0)
	gone.Close()
	w.srv.turns.Give()
	w.closed(reasonTLSHandshake)
	next := a.dialTLS(addr, asked.Clone())
	send(t, next, "x")
	want(t, next, "x")
}

// A server that gets no turn for its handshake keeps its health: it has no part in it.
func TestBackendWithoutATurn(t *testing.T) {
	a := newAuthority(t)
	_, pair := a.issue("b.example.com", time.Hour)
	p := poolOf("p", a.tlsOrigin(&tls.Config{Certificates: []tls.Certificate{pair}}, func(c *tls.Conn) { io.Copy(c, c) }))
	p.TLS, p.ConnectTimeout = a.trusting("b.example.com"), time.Second
	w := newWorld(t, worldOptions{}, p)
	w.srv.turns = limit.NewTurns(1)
	w.srv.turns.Take(false, nil, patience)
	addr := w.simple(conf.L4{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() { turnedAway(t, addr) })
	}
	clients.Wait()
	w.until("all are closed", func() bool { return w.closedCount(reasonBackendTLS) == 4 })
	if !w.reg.Group("p").Members()[0].Endpoint().Usable() {
		t.Error("the server was ejected")
	}
	w.srv.turns.Give()
	c := dial(t, addr)
	send(t, c, "x")
	want(t, c, "x")
}

// A client that resets while its session waits for a server is noticed: in the queue,
// during a connect and during the server's handshake.
func TestClientGoneWhileWaiting(t *testing.T) {
	a := newAuthority(t)
	never := 100 * patience
	reset := func(c *net.TCPConn) {
		c.SetLinger(0)
		c.Close()
	}
	f := func(what string, p conf.Pool, tlsClient bool, ready func(w *world) bool) {
		t.Helper()
		w := newWorld(t, worldOptions{}, p)
		addr := w.simple(conf.L4{})
		if tlsClient {
			addr = w.ended(a, nil)
			holder := a.dialTLS(addr, asked.Clone())
			send(t, holder, "x")
			want(t, holder, "x")
			c := a.dialTLS(addr, asked.Clone())
			w.until(what, func() bool { return ready(w) })
			reset(c.NetConn().(*net.TCPConn))
		} else {
			c := dial(t, addr)
			w.until(what, func() bool { return ready(w) })
			reset(c)
		}
		w.closed(reasonClientReset)
	}
	f("the session is in the queue", crowded(1, 10, never, origin(t, echo)), true, func(w *world) bool {
		return len(w.list(Filter{}, 10)) == 2
	})
	met := make(chan struct{}, 1)
	silent := poolOf("p", origin(t, func(c *net.TCPConn) {
		met <- struct{}{}
		io.Copy(io.Discard, c)
	}))
	silent.TLS, silent.ConnectTimeout = a.trusting("b.example.com"), never
	f("the server's handshake has begun", silent, false, func(*world) bool { return len(met) == 1 })
}
