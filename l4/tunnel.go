package l4

import (
	"time"

	"weir/l4/loop"
	"weir/pool"
)

// tunnel is what a session has that relays for L7: two connections that somebody else
// made, accounts for and speaks of. It has no listener, no route and no server of its
// own, and is in a list of its own.
type tunnel struct {
	idle time.Duration
	info loop.TunnelInfo
	done func(loop.TunnelResult)
}

// Relay moves octets between the two connections of t until both directions have ended,
// or nothing has moved for t.Idle. It is called on l, which must be one of this server's
// and watch neither of them, and never fails: where there is nothing to be done t ends
// at once, which may be before Relay returns.
//
// It is for l7.Options.
func (s *Server) Relay(l *loop.Loop, t loop.Tunnel) {
	sh := s.shardOf(l)
	x := sh.blank()
	x.tunnel = &tunnel{idle: t.Idle, info: t.Info, done: t.Done}
	sh.enlist(x)
	x.counters = &sh.tunneled
	x.accepted, x.acceptedAt = sh.loop.Now(), time.Now()
	x.beginTunnel(t)
}

// shardOf returns what belongs to l.
func (s *Server) shardOf(l *loop.Loop) *shard {
	for _, sh := range s.shards {
		if sh.events == l {
			return sh
		}
	}
	panic("BUG: a tunnel came on a loop of another server")
}

// EndTunnels resets all that Relay was called for. It may be called from any goroutine,
// and does not wait.
func (s *Server) EndTunnels() {
	for _, sh := range s.shards {
		sh.loop.Do(sh.endTunnels)
	}
}

func (sh *shard) endTunnels() {
	for sh.tunnels != nil {
		sh.tunnels.close(reasonDrain)
	}
}

// beginTunnel starts to relay. What is written here goes into what the kernel has room
// for, mostly; the rest is held as any other.
func (s *session) beginTunnel(t loop.Tunnel) {
	defer s.shard.loop.Recovered(s)
	s.state = stateRelaying
	s.client = socket{fd: t.Client.FD, tcp: t.Client.TCP, writable: true}
	s.server = socket{fd: t.Server.FD, tcp: t.Server.TCP, writable: true}
	s.up = direction{src: &s.client, dst: &s.server}
	s.down = direction{src: &s.server, dst: &s.client}
	client, server := s.watchTunnel(&s.client), s.watchTunnel(&s.server)
	if !client || !server {
		s.close(reasonInternal)
		return
	}
	if s.shard.server.isClosing() {
		s.close(reasonDrain) // the last look at the list may be over
		return
	}
	s.moved = s.shard.loop.Now()
	s.up.begin(t.Client.Data)
	s.down.begin(t.Server.Data)
	s.watchQuiet()
	s.relay()
}

// watchTunnel lets the loop watch sk. Where that fails it closes the descriptor.
func (s *session) watchTunnel(sk *socket) bool {
	err := s.shard.loop.Watch(sk.fd, s)
	if err != nil {
		s.shard.log.Error("cannot relay a tunnel", "error", err)
		s.shard.loop.CloseSocket(sk.fd)
		sk.fd = -1
	}
	return err == nil
}

// isClosing reports whether Close was called.
func (s *Server) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// begin makes the direction hold what was read before it existed.
func (d *direction) begin(data []byte) {
	if len(data) == 0 {
		return
	}
	d.buf = pool.Get(len(data))
	d.off, d.end = 0, copy(d.buf.B, data)
	d.bytes = uint64(len(data))
}

// endTunnel tells whoever gave the tunnel what became of it.
func (s *session) endTunnel(why reason) {
	t := s.tunnel
	t.done(loop.TunnelResult{Cause: tunnelCause(why), Up: s.up.bytes, Down: s.down.bytes})
}

func tunnelCause(why reason) loop.TunnelCause {
	switch why {
	case reasonDone:
		return loop.TunnelDone
	case reasonIdle:
		return loop.TunnelIdle
	case reasonClientReset:
		return loop.TunnelClientReset
	case reasonBackendReset:
		return loop.TunnelServerReset
	case reasonDrain:
		return loop.TunnelEnded
	case reasonAdmin:
		return loop.TunnelAdmin
	default: // all others belong to what comes before a session relays, or to listeners
		return loop.TunnelFailed
	}
}
