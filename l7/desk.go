package l7

import (
	"time"

	"weir/l4/loop"
	"weir/l7/h1"
	"weir/l7/message"
)

// desk is what is needed to serve a connection, and a parked connection does not have.
// It is lent from Server.desks to the goroutine of a connection, or to its lane, from
// which a goroutine may take it over.
type desk struct {
	h h1.Conn
	x exchange

	// On a lane:
	lane       *lane // nil: a goroutine has the desk
	prev, next *desk
	at         int  // idle, or the step at which the exchange waits
	filling    bool // the exchange is to begin when the body of its request is there
	slow       bool // which it was not at the last tick
}

// desk lends a desk.
func (s *Server) desk() *desk {
	d, _ := s.desks.Get().(*desk)
	if d == nil {
		d = new(desk)
	}
	return d
}

// sit makes the desk ready for the next request of c.
func (d *desk) sit(c *conn) {
	c.h = &d.h
	d.h.Reset(c.stream(), c.l.options())
	x := &d.x
	x.s, x.c, x.h, x.client, x.scheme = c.s, c, &d.h, c.from.Remote, "http"
	if c.tls != nil {
		x.scheme = "https"
	}
	x.reset(c.l)
}

// rise takes a desk back at which a wait for a request ended with nothing read. One
// whose connection ended in any other way is left to the garbage collector: it may
// hold the rest of an exchange that broke.
func (s *Server) rise(d *desk) {
	d.x.c, d.x.l, d.x.route, d.x.member = nil, nil, nil, nil
	s.desks.Put(d)
}

// Ready implements [loop.Watcher]: something happened to the client's connection.
func (d *desk) Ready(ev loop.Events) {
	if d.filling {
		if d.fill() && d.hasMore() {
			d.serve()
		}
		return
	}
	if d.at == idle {
		switch {
		case d.x.c.nc.Backlogged(): // the end of an answer that was put off
			d.leave(idle)
		case d.hasMore():
			d.serve()
		}
		return
	}
	if ev&loop.Ended == 0 {
		return // it sends the next request before it has the answer
	}
	d.lookAtClient()
}

// lookAtClient ends the exchange of a client that is gone.
func (d *desk) lookAtClient() {
	if c := d.x.c; c.isLeft() {
		c.cancel()
		d.Progress()
	}
}

// Progress implements [upstream.User]: the exchange may go on.
func (d *desk) Progress() {
	if d.at != idle && d.run(d.at) && d.hasMore() {
		d.serve()
	}
}

// hasMore reports whether there may be another request already.
func (d *desk) hasMore() bool {
	c := d.x.c
	return d.h.Buffered() > 0 || c.nc.Unread() || c.secured != nil && c.secured.more
}

// laneBurst is how many requests of a connection are served, or begun, before others
// have their turn.
const laneBurst = 4

// serve serves what requests there are.
func (d *desk) serve() {
	for range laneBurst {
		if !d.serveOne() || !d.hasMore() {
			return
		}
	}
	d.x.c.nc.Again()
}

// serveOne reads a request and begins to serve it. It reports whether the next one may
// be read.
func (d *desk) serveOne() bool {
	x := &d.x
	c := x.c
	if c.since == 0 {
		c.since = c.s.sweeper.now()
	}
	err := d.h.ReadRequest(&x.req)
	if err == loop.ErrAgain {
		if d.h.Buffered() > 0 {
			d.leave(idle) // a head in pieces, which may take its time
		}
		return false
	}
	c.since = 0
	first, ok := c.receive(x, err)
	switch {
	case !ok:
		d.close()
		return false
	case first != stepCanonicalise:
		return d.run(first)
	case !x.rides():
		d.leave(first)
		return false
	case x.req.HasBody():
		d.at, d.filling, d.slow = first, true, false
		return d.fill()
	}
	return d.run(first)
}

// fill waits for the body of a request to be there, and begins its exchange then. It
// reports what run does. A client that takes its time is left to a goroutine, which goes
// by the rules for slow ones: see look.
func (d *desk) fill() bool {
	if d.h.FillBody() == loop.ErrAgain {
		return false
	}
	d.filling = false
	return d.run(d.at) // a body that broke off shows when it is read
}

// run takes the exchange through its steps and reports whether it is over, and another
// request may be read.
func (d *desk) run(from int) bool {
	x := &d.x
	at, v := x.run(from)
	switch {
	case v == wait:
		d.at = at
		return false
	case v == leave:
		d.leave(at)
		return false
	case x.c.nc.Backlogged():
		d.leave(finished)
		return false
	}
	d.at = idle
	x.c.l = x.l
	if x.c.conclude(x) == over {
		d.close()
		return false
	}
	x.c.ridden()
	d.lane.served.Add(1)
	x.reset(x.l)
	x.c.since = x.c.s.sweeper.now()
	return true
}

// look is what the lane does for the connection every tick.
func (d *desk) look(now time.Time) {
	x := &d.x
	switch {
	case d.filling && d.slow:
		d.leave(d.at)
	case d.filling:
		d.slow = true
	case d.at == idle && x.c.nc.Backlogged(): // see Ready, which is to come
		d.leave(idle)
	case d.at == idle:
		if x.c.s.sweeper.ago(x.c.since) >= quietTicks && !d.hasMore() {
			d.park()
		}
	case x.ride.dialing != nil && x.ride.dialing.IsExpired(now),
		x.up != nil && x.up.IsExpired(now):
		d.Progress()
	case x.c.nc.IsEnded(): // its end may have come with its request
		d.lookAtClient()
	}
}

// park parks a connection that is quiet.
func (d *desk) park() {
	c := d.x.c
	if !c.nc.CatchUp() { // TLS may have had something to say by itself
		d.leave(idle)
		return
	}
	d.lane.remove(d)
	h := c.nc.Surrender()
	c.carry(nil)
	c.from.FD, c.from.Ticket = h.FD, h.Ticket
	d.h.Detach()
	c.h = nil
	c.inBefore, c.outBefore = 0, 0
	c.s.rise(d)
	c.settle()
}

// leave gives the connection to a goroutine, which goes on at the given place.
func (d *desk) leave(at int) {
	x := &d.x
	c := x.c
	if x.ride.dialing != nil {
		x.stopDialing()
		x.ride.phase = phaseTaken
	}
	if at != closing {
		d.lane.left.Add(1)
	}
	d.lane.remove(d)
	d.filling, x.ride.left = false, true
	c.stray()
	_ = c.nc.Promote() // a connection that is lost on the way is closed, which the goroutine will see
	if x.up != nil {
		x.up.Promote()
	}
	if !c.rouse() {
		c.kill()
	}
	go c.serve(d, at)
}

// close closes the connection, between two requests.
func (d *desk) close() {
	c := d.x.c
	if c.secured != nil && !c.isGone() && !d.h.Lingers() {
		d.sayGoodbye()
	}
	if !c.isGone() && (d.h.Lingers() || !c.nc.CatchUp()) && !c.s.awake.isClosed() {
		d.leave(closing)
		return
	}
	if !c.isGone() && !d.h.Lingers() {
		d.h.CloseGracefully() // which does not wait
	}
	d.drop()
}

// goodbyeTime is for how long the end of a connection waits for its client at least, as
// crypto/tls has it for a close_notify.
const goodbyeTime = 5 * time.Second

// sayGoodbye sends the close_notify ahead of the close, so that it counts among what the
// kernel has to take.
func (d *desk) sayGoodbye() {
	c := d.x.c
	if d.h.Flush() != nil {
		return
	}
	_ = c.secured.CloseWrite() // an error is one of the connection, which ends in any case
	// crypto/tls has left a deadline that is over. A goroutine that sends the rest shall not
	// wait forever for a client that reads nothing.
	_ = c.nc.SetWriteDeadline(c.nc.Now().Add(max(goodbyeTime, c.l.conf.BodyGrace)))
}

// drop closes the connection at once.
func (d *desk) drop() {
	d.lane.remove(d)
	_ = d.h.Close()
	d.x.c.end()
}

// kill ends the connection whatever it is at.
func (d *desk) kill() {
	if d.at == idle {
		d.drop()
		return
	}
	d.x.c.kill()
	d.leave(d.at)
}

// Abort implements [loop.Aborter]: something panicked.
func (d *desk) Abort() {
	if d.lane == nil {
		return // a goroutine has it by now
	}
	d.lane.remove(d)
	if d.at != idle {
		d.x.l.requests.Add(-1)
	}
	d.x.fail(message.Internal, "panic", nil)
	d.x.dropUpstream()
	d.x.c.drop()
}
