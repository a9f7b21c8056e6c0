package l4

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"weir/conf"
	"weir/l4/loop"
)

// tunnels is a world whose listener hands connections over, to whoever makes tunnels of
// them.
type tunnels struct {
	*world
	given chan loop.Handover
	ended chan loop.TunnelResult
}

func newTunnels(t *testing.T) *tunnels {
	x := &tunnels{given: make(chan loop.Handover, 8), ended: make(chan loop.TunnelResult, 8)}
	x.world = newWorld(t, worldOptions{handOver: func(_ string, h loop.Handover) { x.given <- h }})
	x.serve(Listener{
		Name: "web", L7: "web", Addrs: []conf.Addr{tcpAddr("127.0.0.1:0")}, Socket: conf.ListenSocket{NoDelay: true},
	})
	return x
}

// open makes a tunnel and returns both ends of it. early and late are what was read
// before.
func (x *tunnels) open(idle time.Duration, early, late string) (client, server *net.TCPConn) {
	x.t.Helper()
	client = dial(x.t, x.srv.Addrs("web")[0])
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		x.t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		x.t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		x.t.Fatal(err)
	}
	far.SetDeadline(time.Now().Add(patience))
	x.t.Cleanup(func() { far.Close() })
	fd, err := loop.Extract(near.(*net.TCPConn))
	if err != nil {
		x.t.Fatal(err)
	}
	near.Close()
	h := <-x.given
	if !h.Loop.Do(func() {
		x.srv.Relay(h.Loop, loop.Tunnel{
			Client: loop.TunnelEnd{FD: h.FD, TCP: true, Data: []byte(early)},
			Server: loop.TunnelEnd{FD: fd, TCP: true, Data: []byte(late)},
			Idle:   idle,
			Done: func(r loop.TunnelResult) {
				h.Ticket.Release()
				x.ended <- r
			},
		})
	}) {
		x.t.Fatal("the loop has ended")
	}
	return client, far.(*net.TCPConn)
}

// wantResult waits for the end of a tunnel. The world checks that it left nothing open.
func (x *tunnels) wantResult(want loop.TunnelResult) {
	x.t.Helper()
	select {
	case got := <-x.ended:
		if got != want {
			x.t.Errorf("it ended with %+v, want %+v", got, want)
		}
	case <-time.After(patience):
		x.t.Fatal("it does not end")
	}
}

func TestTunnelRelays(t *testing.T) {
	x := newTunnels(t)
	client, server := x.open(time.Hour, "early ", "late ")
	send(t, client, "ping")
	want(t, server, "early ping")
	send(t, server, "pong")
	want(t, client, "late pong")
	client.CloseWrite()
	wantEnd(t, server, "")
	send(t, server, "more") // after the half-close
	server.CloseWrite()
	wantEnd(t, client, "more")
	x.wantResult(loop.TunnelResult{Cause: loop.TunnelDone, Up: 10, Down: 13})
}

// TestTunnelBulk moves more than the buffers hold, by splice, to a reader who begins late.
func TestTunnelBulk(t *testing.T) {
	x := newTunnels(t)
	client, server := x.open(time.Hour, "", "")
	const size = 32 << 20
	go func() {
		client.ReadFrom(io.LimitReader(manyX{}, size))
		client.CloseWrite()
	}()
	time.Sleep(50 * time.Millisecond)
	got, err := io.ReadAll(server)
	if err != nil || len(got) != size || bytes.Count(got, []byte{'x'}) != size {
		t.Errorf("%d octets arrived, %v", len(got), err)
	}
	server.Close()
	x.wantResult(loop.TunnelResult{Cause: loop.TunnelDone, Up: size})
}

type manyX struct{}

func (manyX) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestTunnelIdleTimeout(t *testing.T) {
	x := newTunnels(t)
	client, server := x.open(time.Second, "", "")
	for range 5 { // it lives as long as something moves
		send(t, client, "x")
		want(t, server, "x")
		time.Sleep(300 * time.Millisecond)
	}
	wantEnd(t, client, "")
	wantEnd(t, server, "")
	x.wantResult(loop.TunnelResult{Cause: loop.TunnelIdle, Up: 5})
}

// TestTunnelBreaks: a side that breaks resets the other one, and is told of.
func TestTunnelBreaks(t *testing.T) {
	x := newTunnels(t)
	f := func(cause loop.TunnelCause, breaks func(client, server *net.TCPConn) (stays *net.TCPConn)) {
		t.Helper()
		client, server := x.open(time.Hour, "", "")
		send(t, client, "x")
		want(t, server, "x")
		stays := breaks(client, server)
		if _, err := stays.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("cause %d: got %v, want a reset", cause, err)
		}
		x.wantResult(loop.TunnelResult{Cause: cause, Up: 1})
	}
	f(loop.TunnelClientReset, func(client, server *net.TCPConn) *net.TCPConn {
		client.SetLinger(0)
		client.Close()
		return server
	})
	f(loop.TunnelServerReset, func(client, server *net.TCPConn) *net.TCPConn {
		server.SetLinger(0)
		server.Close()
		return client
	})
	f(loop.TunnelEnded, func(client, _ *net.TCPConn) *net.TCPConn {
		x.srv.EndTunnels()
		return client
	})
}

// TestTunnelsAreNotCounted: administrators see them, but they are in no count, L4's drain
// does not wait for them, and Close ends them, with what they hold.
func TestTunnelsAreNotCounted(t *testing.T) {
	x := newTunnels(t)
	client, server := x.open(time.Hour, "", "")
	server.SetReadBuffer(4 << 10)
	for piece := make([]byte, 64<<10); ; { // until nobody takes more
		client.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := client.Write(piece); err != nil {
			break
		}
	}
	if n := x.srv.Sessions(); n != 0 {
		t.Errorf("%d sessions", n)
	}
	page, err := x.srv.List(t.Context(), Filter{}, 0, 10)
	if err != nil || len(page.Sessions) != 1 {
		t.Errorf("got %v, %v", page, err)
	}
	if err := x.srv.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	x.srv.Close()
	select {
	case r := <-x.ended:
		if r.Cause != loop.TunnelEnded || r.Up == 0 {
			t.Errorf("it ended with %+v", r)
		}
	case <-time.After(patience):
		t.Error("it does not end")
	}
}

// TestTunnelTooLate: a tunnel that comes while the server closes is ended, and told so.
func TestTunnelTooLate(t *testing.T) {
	x := newTunnels(t)
	x.srv.closeOnce.Do(func() { close(x.srv.closing) })
	x.open(time.Hour, "", "")
	x.wantResult(loop.TunnelResult{Cause: loop.TunnelEnded})
}
