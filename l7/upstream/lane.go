package upstream

import (
	"slices"
	"time"

	"weir/l4/loop"
	"weir/pool/backend"
)

// Lane has the connections that one event loop drives itself: raw ones, see
// [loop.Loop.Raw]. It belongs to that loop, on which all of it is called. Each connection
// is watched as long as it lives, so that one which the backend closes while it is idle
// is gone at once.
//
// Idle connections are kept last in, first out. They count towards max_idle together
// with those of the Transport, share its counters, and end with an endpoint that goes
// down as those do.
type Lane struct {
	t     *Transport
	loop  *loop.Loop
	idle  map[uint64][]*Conn // by Endpoint.ID, oldest first
	timer loop.Timer
	ended bool // none is kept any more
}

// User is who has a connection of a Lane in use. It is told on the loop.
type User interface {
	// Progress is called when the connection is established, may have more to read, or
	// has ended.
	Progress()
	loop.Aborter
}

// loopSide is what a connection has for its Lane; zero for all others.
type loopSide struct {
	lane  *Lane
	nc    *loop.Conn // Conn.nc; nil after Promote
	user  User       // nil while it is idle
	taken uint64     // nc.Taken when the exchange began
}

// NewLane returns the Lane of l, empty. It ends with l, or with the Transport.
func (t *Transport) NewLane(l *loop.Loop) *Lane {
	ln := &Lane{t: t, loop: l, idle: make(map[uint64][]*Conn)}
	t.mu.Lock()
	defer t.mu.Unlock()
	ln.ended = t.closed
	t.lanes = append(t.lanes, ln)
	l.OnEnd(ln.end)
	return ln
}

// IsPlain reports whether a Lane can have connections to the members of g: without TLS,
// and without a header of the PROXY protocol that speaks for one client.
func IsPlain(g *backend.Group) bool {
	proxy := g.Conf().ProxyProtocol
	return g.TLS() == nil && proxy != "v1" && proxy != "v2"
}

// Get returns an idle connection to the member's endpoint for user, nil where there is
// none. The kernel is asked whether it is still good, as Transport.Get does: the loop may
// not have been told yet of octets that must not become the next response. The caller
// must end with exactly one Release, or with Promote and what follows it.
func (ln *Lane) Get(m *backend.Member, user User) *Conn {
	endpoint := m.Endpoint().ID()
	idle := ln.idle[endpoint]
	var now time.Time
	if len(idle) > 0 {
		now = ln.loop.Time()
	}
	for len(idle) > 0 {
		last := len(idle) - 1
		c := idle[last]
		idle[last] = nil
		idle = idle[:last]
		ln.idle[endpoint] = idle
		switch current := c.idlePool.takeRaw(c); {
		case !current || c.tlsID != "" || c.idleUntil.Before(now):
			c.close()
		case !c.loop.nc.IsQuiet(true):
			c.counters.stale.Add(1)
			c.close()
		default:
			tg := targetOf(m)
			c.lend(ln.t.countersOf(tg.group), &tg, true)
			c.loop.user = user
			c.counters.reuses.Add(1)
			return c
		}
	}
	return nil
}

// put keeps c, whose exchange is over, and reports whether it did.
func (ln *Lane) put(c *Conn) bool {
	nc := c.loop.nc
	if nc == nil { // it was promoted: one for goroutines, as any other
		return c.idlePool.put(c, c.maxIdle)
	}
	c.loop.user = nil
	// Something beyond the response may be surplus octets, or the end. A backlog is the end
	// of a request that was answered before the server took it.
	if ln.ended || nc.Backlogged() || !nc.IsQuiet(false) || !c.idlePool.putRaw(c, c.maxIdle) {
		return false
	}
	endpoint := c.endpoint
	ln.idle[endpoint] = append(ln.idle[endpoint], c)
	if !ln.timer.Armed() {
		ln.loop.Arm(&ln.timer, reapInterval, ln)
	}
	return true
}

// laneConn is a Conn in its role of a [loop.Watcher].
type laneConn Conn

// Ready implements [loop.Watcher].
func (w *laneConn) Ready(loop.Events) {
	c := (*Conn)(w)
	if c.loop.user != nil {
		c.loop.user.Progress()
		return
	}
	if !c.loop.nc.IsQuiet(false) || c.loop.nc.Backlogged() { // see put
		c.counters.stale.Add(1)
		c.loop.lane.discard(c)
	}
}

// Abort implements [loop.Watcher].
func (w *laneConn) Abort() {
	c := (*Conn)(w)
	if user := c.loop.user; user != nil {
		user.Abort() // closes c too, which is in its use
		return
	}
	c.loop.lane.discard(c)
}

// discard closes an idle connection.
func (ln *Lane) discard(c *Conn) {
	idle := ln.idle[c.endpoint]
	if i := slices.Index(idle, c); i >= 0 {
		ln.idle[c.endpoint] = slices.Delete(idle, i, i+1)
		c.idlePool.takeRaw(c)
	}
	c.close()
}

// Expire implements [loop.Expirer]: it closes what was idle for too long.
func (ln *Lane) Expire(*loop.Timer) {
	now, left := ln.loop.Time(), 0
	for endpoint := range ln.idle {
		left += ln.sweep(endpoint, func(c *Conn) bool { return c.idleUntil.Before(now) })
	}
	if left > 0 {
		ln.loop.Arm(&ln.timer, reapInterval, ln)
	}
}

// Abort implements [loop.Expirer]. The next connection that is kept starts the timer anew.
func (ln *Lane) Abort() {}

// sweep closes the idle connections to an endpoint that are bad, and returns how many
// are left.
func (ln *Lane) sweep(endpoint uint64, bad func(*Conn) bool) int {
	idle := ln.idle[endpoint]
	kept := idle[:0]
	for _, c := range idle {
		if bad(c) {
			c.idlePool.takeRaw(c)
			c.close()
		} else {
			kept = append(kept, c)
		}
	}
	clear(idle[len(kept):])
	if len(kept) == 0 {
		delete(ln.idle, endpoint)
	} else {
		ln.idle[endpoint] = kept
	}
	return len(kept)
}

// drop closes the idle connections to an endpoint that were made before it went down.
func (ln *Lane) drop(endpoint uint64) {
	ln.sweep(endpoint, func(c *Conn) bool { return !c.idlePool.isCurrent(c.generation) })
}

// end closes all that is idle, for good.
func (ln *Lane) end() {
	ln.ended = true
	ln.loop.Disarm(&ln.timer)
	for endpoint := range ln.idle {
		ln.sweep(endpoint, func(*Conn) bool { return true })
	}
}

// IsBacklogged reports whether the kernel has not yet taken all that was written: the
// connection is to be promoted.
func (c *Conn) IsBacklogged() bool { return c.loop.nc != nil && c.loop.nc.Backlogged() }

// isSent reports whether a byte of the request was taken by the kernel.
func (c *Conn) isSent() bool {
	if nc := c.loop.nc; nc != nil {
		return nc.Taken() > c.loop.taken
	}
	return c.sent.Load()
}

// IsExpired reports whether the time limit of a connection of a Lane has passed: the
// call that returned loop.ErrAgain will fail.
func (c *Conn) IsExpired(now time.Time) bool { return c.loop.nc.Expired(now) }

// Again asks for one more Progress, after other connections had their turn.
func (c *Conn) Again() { c.loop.nc.Again() }

// Promote makes a connection of a Lane, in use, one for goroutines; of those it does
// nothing. The exchange goes on where it is: what is to be read and written is kept, and
// limits go on. Settle comes next.
func (c *Conn) Promote() {
	if c.loop.nc == nil {
		return
	}
	nc := c.loop.nc
	c.sent.Store(c.isSent() || nc.Backlogged())
	c.loop.nc, c.loop.user = nil, nil
	if err := nc.Promote(); err != nil { // it is closed, which all that follows will say
		return
	}
	c.bind(nc)
}

// Settle sends what the kernel did not take while the connection belonged to a Lane. An
// error shows in what is called next.
func (c *Conn) Settle() {
	nc, ok := c.nc.(*loop.Conn)
	if ok && nc.Settle() != nil {
		c.close()
	}
}
