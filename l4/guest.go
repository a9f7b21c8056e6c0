package l4

import (
	"time"

	"weir/l4/loop"
)

// guest is a tunnel that L7 relays by itself, since one side of it is TLS. All that is
// here is its place among those that an administrator sees.
type guest struct {
	shard      *shard
	number     uint64
	info       loop.TunnelInfo
	view       loop.TunnelView
	start      time.Time
	prev, next *guest
}

// Show has those who look at sessions see a tunnel that somebody else relays, until hide
// is called. It may be called from any goroutine, and so may hide. Where l has ended
// nobody looks any more, and neither does anything.
//
// It is for l7.Options.
func (s *Server) Show(l *loop.Loop, info loop.TunnelInfo, view loop.TunnelView) (hide func()) {
	sh := s.shardOf(l)
	g := &guest{shard: sh, info: info, view: view, start: time.Now()}
	sh.loop.Do(func() { sh.invite(g) })
	return func() { sh.loop.Do(func() { sh.dismiss(g) }) }
}

func (sh *shard) invite(g *guest) {
	sh.number++
	g.number = sh.number
	if g.next = sh.guests; g.next != nil {
		g.next.prev = g
	}
	sh.guests = g
}

func (sh *shard) dismiss(g *guest) {
	sh.skipGuest(g)
	if g.next != nil {
		g.next.prev = g.prev
	}
	if g.prev != nil {
		g.prev.next = g.next
	} else {
		sh.guests = g.next
	}
}

// ID implements live.
func (g *guest) ID() uint64 { return g.shard.server.sessionID(g.number, g.shard.index) }

func (g *guest) show(x *Session) {
	in, out, idle := g.view.Moved()
	*x = Session{
		ID: g.ID(), Network: "tcp", State: stateRelaying.String(), Start: g.start, Age: time.Since(g.start),
		Idle: idle, BytesIn: in, BytesOut: out,
	}
	x.is(&g.info)
}

// at is false: what becomes of sessions when their server is lost is no matter of tunnels.
func (g *guest) at(string, string) bool { return false }

// close is only asked for by an administrator.
func (g *guest) close(reason) { g.view.End() }
