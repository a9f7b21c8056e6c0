package l7

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"weir/l7/message"
	"weir/pool/backend"
)

// tunnel passes octets both ways after a 101 until both directions have ended, or
// neither has moved anything for tunnel_idle_timeout. Nothing that the client sent
// before the 101 has reached the backend.
func (x *exchange) tunnel() verdict {
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
	x.l.tunnels.Add(1)
	defer x.l.tunnels.Add(-1)
	t := &tunnel{s: x.s, client: client, server: server, idle: x.route.conf.TunnelIdleTimeout}
	defer t.close()
	t.watch()
	defer t.watcher.Stop()
	x.c.onGone(t.interrupt)
	defer x.c.onGone(nil)
	up, down := half{t: t, dst: server, src: client}, half{t: t, dst: client, src: server}
	var wg sync.WaitGroup
	wg.Go(func() { up.relay(early) })
	down.relay(late)
	wg.Wait()
	x.tunnelIn, x.tunnelOut = up.moved, down.moved
	if t.idled.Load() {
		x.fail(message.Client, "tunnel_idle_timeout", nil)
	}
	x.member.Report(backend.Success)
	return end
}

// tunnel is a connection that is no HTTP any more.
type tunnel struct {
	s              *Server
	client, server net.Conn
	idle           time.Duration
	active         atomic.Uint32 // tick of the sweeper's clock at which something moved
	idled          atomic.Bool   // it was ended because nothing moved
	watcher        *time.Timer
}

// watch ends the tunnel when it is idle for too long. One timer looks now and then:
// what moves only leaves the time, and sets no deadline.
func (t *tunnel) watch() {
	t.touch()
	t.watcher = time.AfterFunc(time.Hour, func() {
		quiet := time.Duration(t.s.sweeper.now()-t.active.Load()) * tick
		if quiet >= t.idle {
			t.idled.Store(true)
			t.close()
			return
		}
		t.watcher.Reset(t.idle - quiet)
	})
	t.watcher.Reset(t.idle)
}

func (t *tunnel) touch() { t.active.Store(t.s.sweeper.now()) }

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
	_ = t.client.Close() // the octets have gone or were counted as lost
	_ = t.server.Close()
}
