package l7

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"weir/l4/loop"
	"weir/l7/message"
	"weir/pool/backend"
)

// tunnel passes octets both ways after a 101 until both directions have ended, or
// neither has moved anything for tunnel_idle_timeout. Nothing that the client sent
// before the 101 has reached the backend.
func (x *exchange) tunnel() verdict {
	x.l.tunnels.Add(1) // before the client can know
	x.leavePool()      // a tunnel is no request any more
	defer func() {
		if x.departs == nil {
			x.l.tunnels.Add(-1)
		}
	}()
	client, early, err := x.h.Hijack()
	if err != nil {
		return x.clientLost(err)
	}
	x.c.setUpstream(nil)
	server, late, err := x.up.Hijack()
	x.up = nil
	if err != nil {
		x.fail(message.Upstream, "truncated", err)
		return end
	}
	x.member.Report(backend.Success)
	if x.leave(server, early, late) {
		x.endAct()
		x.dropHeld()
		if x.sampled {
			x.observeStages()
		}
		return away
	}
	x.relay(client, server, early, late)
	return end
}

// relay is for what no loop can do: it takes the goroutine of the connection, and one more.
func (x *exchange) relay(client, server net.Conn, early, late []byte) {
	x.c.finCancels.Store(false) // a FIN is the end of one direction
	t := &tunnel{s: x.s, c: x.c, client: client, server: server, idle: x.route.conf.TunnelIdleTimeout}
	defer t.close()
	t.watch()
	defer t.watcher.Stop()
	x.c.onGone(t.gone)
	defer x.c.onGone(nil)
	if from := x.c.from.Loop; x.s.show != nil && from != nil {
		defer x.s.show(from, x.tunnelInfo(), t)()
	}
	up := half{
		t: t, dst: server, src: client, up: true, moved: &t.up,
		unread: loop.TunnelClientReset, untaken: loop.TunnelServerReset,
	}
	down := half{
		t: t, dst: client, src: server, moved: &t.down,
		unread: loop.TunnelServerReset, untaken: loop.TunnelClientReset,
	}
	var wg sync.WaitGroup
	wg.Go(func() { up.relay(early) })
	down.relay(late)
	wg.Wait()
	x.tunnelIn, x.tunnelOut = t.up.Load(), t.down.Load()
	if f := tunnelFault(loop.TunnelCause(t.cause.Load())); f.reason != "" {
		x.fail(f.side, f.reason, nil)
	}
}

// tunnel is a connection that is no HTTP any more, relayed by two goroutines.
type tunnel struct {
	s              *Server
	c              *conn
	client, server net.Conn
	idle           time.Duration
	up, down       atomic.Uint64 // octets that have been passed on
	active         atomic.Uint32 // tick of the sweeper's clock at which something moved
	cause          atomic.Uint32 // what ended it first, a loop.TunnelCause
	watcher        *time.Timer
}

// watch ends the tunnel when it is idle for too long. One timer looks now and then:
// what moves only leaves the time, and sets no deadline.
func (t *tunnel) watch() {
	t.touch()
	t.watcher = time.AfterFunc(time.Hour, func() {
		quiet := t.quiet()
		if quiet >= t.idle {
			t.end(loop.TunnelIdle)
			return
		}
		t.watcher.Reset(t.idle - quiet)
	})
	t.watcher.Reset(t.idle)
}

// quiet is how long nothing has moved.
func (t *tunnel) quiet() time.Duration {
	return time.Duration(t.s.sweeper.ago(t.active.Load())) * tick
}

// Moved implements [loop.TunnelView].
func (t *tunnel) Moved() (up, down uint64, idle time.Duration) {
	return t.up.Load(), t.down.Load(), t.quiet()
}

// End implements [loop.TunnelView].
func (t *tunnel) End() {
	t.cause.CompareAndSwap(uint32(loop.TunnelDone), uint32(loop.TunnelAdmin))
	t.interrupt()
}

func (t *tunnel) touch() { t.active.Store(t.s.sweeper.now()) }

// broke notes what it means that a connection broke. An end that we made is none.
func (t *tunnel) broke(cause loop.TunnelCause, err error) {
	if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, net.ErrClosed) {
		t.cause.CompareAndSwap(uint32(loop.TunnelDone), uint32(cause))
	}
}

// end closes the tunnel for a cause.
func (t *tunnel) end(cause loop.TunnelCause) {
	t.cause.CompareAndSwap(uint32(loop.TunnelDone), uint32(cause))
	t.close()
}

// gone ends the tunnel of a client that is found to have gone, without blocking.
func (t *tunnel) gone() {
	t.cause.CompareAndSwap(uint32(loop.TunnelDone), uint32(loop.TunnelClientReset))
	t.interrupt()
}

// interrupt ends what both directions are at, a write that is stuck too. It does not
// block.
func (t *tunnel) interrupt() {
	past := time.Unix(1, 0)
	_ = t.client.SetDeadline(past) // one that is closed has nothing to interrupt
	_ = t.server.SetDeadline(past)
}

// close ends both connections, and so both directions. Closing one waits for who
// reads it, and that one may be writing to the other: see half.move.
func (t *tunnel) close() {
	t.interrupt()
	switch loop.TunnelCause(t.cause.Load()) {
	case loop.TunnelDone, loop.TunnelIdle:
		_ = t.client.Close() // the octets have gone or were counted as lost
		_ = t.server.Close()
	default:
		cut(t.client)
		cut(t.server)
	}
}

// cut closes a connection by an RST, and under TLS without a close_notify: its peer must
// not take what it has got for all.
func cut(c net.Conn) {
	if w, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = w.NetConn()
	}
	switch r := c.(type) {
	case interface{ Reset() error }:
		_ = r.Reset() // closes
		return
	case interface{ SetLinger(sec int) error }:
		_ = r.SetLinger(0)
	}
	_ = c.Close()
}
