package l7

import (
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/pool/limit"
)

// A connection that waits for a request is quiet, and after quietTicks it is parked: its
// goroutine ends, its buffers go back, and the loop that accepted it waits for the next
// octet. One that was just accepted is parked until its first.
//
//	accepted -> parked -> served -> parked -> ...
//	      \         \         \
//	       \         +---------+--> ended
//	        +-> served (there is something to read already)
//
// Where TLS ends here, the state of the session stays; all else is the same.

// quietTicks is how long a connection is quiet at least before it is parked, less than
// one tick: a busy one must never pay for it.
const quietTicks = 2

// drainTime is how long a connection may stay idle in a drain, and after its listener
// has gone: a request may be on its way.
const drainTime = drainedIdle * tick

// enter begins with a connection on the loop that accepted it.
func (c *conn) enter() {
	c.since = c.s.sweeper.now()
	l := c.from.Loop
	switch {
	case l == nil:
		c.wake()
	case len(c.from.Data) > 0 || hasData(c.from.FD):
		c.attend(c.s.laneOf(l))
	default:
		c.s.laneOf(l) // makes it known
		c.settle()
	}
}

// hasData reports whether there is something to read, be it an end.
func hasData(fd int) bool {
	var b [1]byte
	_, errno := loop.Peek(fd, b[:])
	return errno != unix.EAGAIN && errno != unix.EINTR
}

// detach prepares a connection for its loop, and takes it out of the book of those that
// are awake. What was handed over and not read is in c.from.Data. It reports false where
// the connection must go on: no descriptor is left.
func (c *conn) detach() bool {
	c.s.awake.remove(c) // who finds it there may use nc
	h, err := c.nc.Detach()
	if err != nil {
		return false
	}
	c.carry(nil)
	c.from.FD, c.from.Data, c.from.Ticket = h.FD, h.Data, h.Ticket
	return true
}

// carry sets what the connection is carried by; nil: nothing any more.
func (c *conn) carry(nc *loop.Conn) {
	c.nc = nc
	if c.tls != nil {
		c.tls.Conn = nc
	}
}

// park ends the service of a quiet connection, which has nothing unread. It is the last
// that its goroutine does with it: another one may have it at once.
func (c *conn) park() {
	if len(c.from.Data) > 0 {
		panic("BUG: a connection with unread data is parked")
	}
	next := c.settle
	if c.returns {
		c.returns = false
		next = c.Resume
	}
	if !c.from.Loop.Do(next) {
		c.Leave() // the loop has ended
	}
}

// settle parks the connection; it runs on the loop.
func (c *conn) settle() {
	if c.s.awake.isClosed() {
		c.Leave()
		return
	}
	if err := c.from.Loop.Park(&c.place, c.from.FD, c.patience(), c); err != nil {
		c.s.log.Warn("connection lost while it was quiet", "listener", c.name, "err", err)
		c.Leave()
	}
}

// patience is how long the connection may go on waiting for its next request.
func (c *conn) patience() time.Duration {
	most := c.l.conf.KeepAliveTimeout
	if !c.begun && c.l.tls != nil {
		most = c.l.conf.HeaderTimeout // for the handshake
	}
	most -= c.waited()
	if c.s.sweeper.drained.Load() != 0 || c.s.snapshot.Load().listeners[c.name] == nil {
		most = min(most, drainTime)
	}
	return max(most, 0)
}

// waited is how long the connection has waited for its next request.
func (c *conn) waited() time.Duration { return time.Duration(c.s.sweeper.ago(c.since)) * tick }

// Resume implements [loop.Parker]: there is something to read.
func (c *conn) Resume() {
	if !c.begun {
		c.from.Accepted = time.Now() // the stage that begins here is ours, not the client's
	}
	c.attend(c.s.laneOf(c.from.Loop))
}

// attend has a connection served that there is something to read from.
func (c *conn) attend(ln *lane) {
	if c.admits() {
		ln.board(c)
		return
	}
	c.wake()
}

// wake gives the connection a goroutine.
func (c *conn) wake() {
	nc, err := loop.NewConn(c.from)
	c.from.FD, c.from.Data, c.from.Ticket = -1, nil, limit.Ticket{} // nc's, whatever came of it
	if err != nil {
		c.s.log.Warn("connection lost on hand-over", "listener", c.name, "err", err)
		c.end()
		return
	}
	c.carry(nc)
	if !c.rouse() {
		c.drop()
		return
	}
	go c.serve(nil, idle)
}

// rouse takes the connection into the book of those that are awake, for the sweeper to
// look at; false when the server is being closed.
func (c *conn) rouse() bool {
	if !c.s.awake.add(c) {
		return false
	}
	c.s.sweeper.rouse()
	return true
}

// Leave implements [loop.Parker]: it closes a connection that has no goroutine.
func (c *conn) Leave() {
	if c.from.FD >= 0 {
		loop.CloseSocket(c.from.FD)
		c.from.Ticket.Release()
		c.from.FD = -1
	}
	c.end()
}

// yield asks the goroutine of a connection that has been quiet for long enough to park it.
func (w *sweeper) yield(c *conn) {
	since := c.idle.Load()
	if since == 0 || since&asked != 0 || w.ago(since) < quietTicks || c.from.Loop == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle.CompareAndSwap(since, since|asked) {
		c.h.Yield()
	}
}

// limitParked shows all parked connections to left, which says how much longer one may
// stay; see [loop.Loop.ScanParked].
func (s *Server) limitParked(left func(c *conn, quiet time.Duration) time.Duration) {
	visit := func(p loop.Parker, quiet time.Duration) time.Duration {
		c, ours := p.(*conn)
		if !ours || c.s != s {
			return loop.Stay
		}
		return left(c, quiet)
	}
	for l := range s.loops.Range {
		l.(*loop.Loop).ScanParked(visit, nil)
	}
}

// These are what limitParked is called with.

func leaveAll(*conn, time.Duration) time.Duration { return 0 }

func leaveSoon(*conn, time.Duration) time.Duration { return drainTime }

// leaveIfGone is for a reload that took listeners away.
func (s *Server) leaveIfGone(c *conn, _ time.Duration) time.Duration {
	if s.snapshot.Load().listeners[c.name] == nil {
		return drainTime
	}
	return loop.Stay
}

// leaveIfQuiet is for shedding; what has just come gets the time to say something.
func leaveIfQuiet(_ *conn, quiet time.Duration) time.Duration {
	if quiet >= tick {
		return 0
	}
	return loop.Stay
}
