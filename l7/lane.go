package l7

import (
	"sync/atomic"

	"weir/l4/loop"
	"weir/l7/upstream"
	"weir/pool/limit"
	"weir/pool/metric"
)

// lane serves requests on the loop that accepted their connections, without a
// goroutine, as long as nothing has to wait for anything but the backend's answer. It
// drives the same exchange over the same connections as a goroutine does; where a step
// would have to wait for something else, or fails in a way that calls for another
// attempt, a goroutine takes over right there:
//
//	parked --octets--> idle --request--> waiting --response--> idle --quiet--> parked
//	                     \                  /
//	                      +---> goroutine <+ ---calm, or quiet---> parked
//
// All of it belongs to the loop. Why: docs/decisions/0009.
type lane struct {
	s     *Server
	loop  *loop.Loop
	up    *upstream.Lane
	first *desk // of those on the lane
	timer loop.Timer

	served atomic.Uint64 // requests, from their beginning to their end
	left   atomic.Uint64 // requests that a goroutine took over
}

// idle is desk.at while no request is under way; other places are steps.
const (
	idle     = -1
	finished = len(steps) // the exchange is over, its answer not all sent
	closing  = -2         // the connection is to be closed
)

// laneOf returns the lane of a loop, which calls it; nil where there is to be none.
func (s *Server) laneOf(l *loop.Loop) *lane {
	if v, known := s.loops.Load(l); known {
		return v.(*lane)
	}
	ln := &lane{s: s, loop: l, up: s.transport.NewLane(l)}
	s.loops.Store(l, ln)
	l.OnEnd(ln.clear)
	return ln
}

// showLanes shows what the lanes do.
func (s *Server) showLanes() {
	show := func(result string, of func(*lane) uint64) {
		s.metrics.CounterFunc(metric.L7LaneRequests, func() (sum uint64) {
			for _, ln := range s.loops.Range {
				sum += of(ln.(*lane))
			}
			return sum
		}, result)
	}
	show("served", func(ln *lane) uint64 { return ln.served.Load() })
	show("left", func(ln *lane) uint64 { return ln.left.Load() })
}

// board takes a connection that has something to read on the lane.
func (ln *lane) board(c *conn) {
	if c.s.awake.isClosed() {
		c.Leave()
		return
	}
	d := c.s.desk()
	nc, err := ln.loop.Raw(c.from, d)
	c.from.FD, c.from.Data, c.from.Ticket = -1, nil, limit.Ticket{} // nc's, whatever came of it
	if err != nil {
		c.s.log.Warn("connection lost on its lane", "listener", c.name, "err", err)
		c.s.desks.Put(d)
		c.end()
		return
	}
	c.carry(nc)
	d.x.c, d.lane, d.at = c, ln, idle // so that Abort finds what it needs
	if ln.first != nil {
		ln.first.prev = d
	}
	d.prev, d.next, ln.first = nil, ln.first, d
	if !ln.timer.Armed() {
		ln.loop.Arm(&ln.timer, tick, ln)
	}
	if !c.begun {
		_ = c.begin() // fails with TLS alone
	}
	d.sit(c)
	d.x.ride.desk = d
	d.serve()
}

// remove takes a connection off the lane, which has no further part in it.
func (ln *lane) remove(d *desk) {
	if d.next != nil {
		d.next.prev = d.prev
	}
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		ln.first = d.next
	}
	d.next, d.prev, d.lane, d.x.ride.desk = nil, nil, nil, nil
}

// Expire implements [loop.Expirer]: every tick it looks for connections that are quiet,
// and for backends that take too long.
func (ln *lane) Expire(*loop.Timer) {
	now := ln.loop.Time()
	for d := ln.first; d != nil; {
		after := d.next
		d.look(now)
		d = after
	}
	ln.rearm()
}

// Abort implements [loop.Expirer].
func (ln *lane) Abort() { ln.rearm() }

func (ln *lane) rearm() {
	if ln.first != nil && !ln.timer.Armed() {
		ln.loop.Arm(&ln.timer, tick, ln)
	}
}

// clear ends the lane with its loop: exchanges under way get goroutines.
func (ln *lane) clear() {
	for ln.first != nil {
		d := ln.first
		if d.at == idle {
			d.drop()
		} else {
			d.leave(d.at)
		}
	}
}

// eachLane lets f look at every lane, on its loop.
func (s *Server) eachLane(f func(*lane)) {
	for l, ln := range s.loops.Range {
		l.(*loop.Loop).Do(func() { f(ln.(*lane)) }) // a loop that has ended has none
	}
}

// shed ends the connections that have been idle for a tick: they were not yet worth
// parking, where else they would be found.
func (ln *lane) shed() {
	for d := ln.first; d != nil; {
		after := d.next
		if c := d.x.c; d.at == idle && c.s.sweeper.ago(c.since) >= 1 && !d.hasMore() {
			d.close()
		}
		d = after
	}
}

// kill ends all connections on the lane.
func (ln *lane) kill() {
	for ln.first != nil {
		ln.first.kill()
	}
}
