package load

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
)

// A wire is what one connection on a loop needs to know of its protocol. Its
// methods do not allocate.
type wire interface {
	// begin starts a request: first is sent, and then more bytes of the pattern
	// from byte off on. The wire keeps first, which is only read.
	begin() (first []byte, off, more int64)
	// receive takes bytes of the response. A failure of a response that is whole
	// leaves the connection usable; of one that is not, it does not.
	receive(b []byte) (whole bool, f failure)
	// discard is how many bytes come next that nobody looks at; discarded is
	// receive for them.
	discard() int64
	discarded(n int64) (whole bool, f failure)
	// end is receive for the end of the connection.
	end() (whole bool, f failure)
	// reusable reports whether the connection takes another request after a
	// whole response.
	reusable() bool
}

const (
	// burst bounds how often one connection reads or writes before others have their turn.
	burst = 16
	// minDiscard is from which number of bytes on it pays not to copy them.
	minDiscard = 4 << 10
	// redialAfter is the pause after a connection broke, so that a dead server is not stormed.
	redialAfter = 20 * time.Millisecond
	// slowBuffer is the receive buffer of a slow reader, before the kernel doubles it.
	slowBuffer = 4 << 10
)

// A conn is one connection of a worker and the request on it.
//
//	link: down -> dialing -> up -> down; a request is begun on a link that is up,
//	or, with Workload.Reconnect, on one that is down and is dialled for it.
type conn struct {
	w    *worker
	wire wire

	fd      int
	link    link
	dials   uint32 // tells one connection on a descriptor from the next
	settled bool
	queued  bool // in the worker's free list

	busy    bool // a request is under way
	due     time.Duration
	started time.Duration // of the request or of the connect
	since   time.Duration // when it became free

	out   []byte // of the request, to be written
	off   int64  // then so many bytes of the pattern, from off on
	more  int64
	timer loop.Timer // the pace where the link is up, a pause where it is down
}

type link uint8

const (
	linkDown link = iota
	linkDialing
	linkUp
)

var (
	errSurplus = errors.New("the server sent bytes that nobody asked for")
	errEnded   = errors.New("the server closed the connection")
	errTimeout = errors.New("no whole answer within the timeout")
)

// begin sends the request that was due at due.
func (c *conn) begin(due, now time.Duration) {
	c.busy, c.due, c.started = true, due, now
	if c.link == linkUp {
		c.send(now)
		return
	}
	c.dial()
}

// dial connects. Where a request waits for that, it follows.
func (c *conn) dial() {
	w := c.w
	c.started = w.now()
	fd, connected, err := w.connect()
	if err == nil {
		if err = w.loop.Watch(fd, c); err != nil {
			loop.CloseSocket(fd)
		}
	}
	if err != nil {
		c.fail(connectFailure(err), err)
		return
	}
	c.fd, c.link = fd, linkDialing
	c.dials++
	if connected {
		c.connected()
	}
}

// connect begins to connect a socket of the plan's kind.
func (w *worker) connect() (fd int, connected bool, err error) {
	if w.plan.Kind == UDP {
		fd, err = w.loop.DialDatagrams(w.job.sockaddr, nil)
		return fd, err == nil, err
	}
	return w.loop.Dial(w.job.sockaddr, loop.NoDelay{})
}

// connectFailure tells what this machine ran out of from what the server refused.
func connectFailure(err error) failure {
	switch {
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE),
		errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EPERM):
		return failLocal
	}
	return failConnect
}

func (c *conn) connected() {
	w := c.w
	c.link = linkUp
	w.rec.opened++
	if w.plan.ReadPace.set() {
		// An error leaves the buffer large: the reader is slow all the same.
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, slowBuffer)
	}
	w.settle(c)
	if c.busy {
		c.send(w.now())
		return
	}
	w.next(c, w.now())
}

// Ready implements [loop.Handler].
func (c *conn) Ready(_ int, ev loop.Events) {
	if c.link == linkDialing {
		connected, err := c.w.loop.Dialed(c.fd, c.w.job.sockaddr)
		if err != nil {
			c.fail(connectFailure(err), err)
			return
		}
		if !connected {
			return
		}
		c.connected()
	}
	dials := c.dials
	if ev.Writable() && (len(c.out) > 0 || c.more > 0) && !c.w.plan.WritePace.set() {
		c.flush(c.w.now())
	}
	if ev.Readable() && c.dials == dials && c.link == linkUp && !c.w.plan.ReadPace.set() {
		c.read(ev.ReadToEnd())
	}
}

// Abort implements [loop.Handler]: it is called after a panic of ours.
func (c *conn) Abort() { c.fail(failLocal, errors.New("BUG: panic on the loop of the generator")) }

func (c *conn) send(now time.Duration) {
	c.out, c.off, c.more = c.wire.begin()
	if c.w.plan.paced() {
		c.w.loop.Arm(&c.timer, 0, c)
		if c.w.plan.WritePace.set() {
			return
		}
	}
	c.flush(now)
}

// piece is what is to be written next.
func (c *conn) piece() []byte {
	if len(c.out) > 0 {
		return c.out
	}
	b := c.w.job.pattern.at(c.off)
	return b[:min(int64(len(b)), c.more)]
}

// flush writes what the socket takes, within its turn, at now.
func (c *conn) flush(now time.Duration) {
	for range burst {
		b := c.piece()
		if len(b) == 0 || !c.write(b, now) {
			return
		}
		if c.more > 0 {
			now = c.w.now() // of bulk, what was written is counted by the time
		}
	}
	c.w.loop.Again(c.fd)
}

// write returns false when there is no more to do for now. What is written counts
// for now: a request needs no clock of its own, it goes out when it begins.
func (c *conn) write(b []byte, now time.Duration) bool {
	n, errno := write(c.fd, b)
	switch errno {
	case 0:
	case unix.EINTR:
		return true
	case unix.EAGAIN:
		return false
	default:
		c.fail(failClosed, errno)
		return false
	}
	c.w.rec.wrote(now, int64(n))
	if len(c.out) > 0 {
		c.out = c.out[n:]
	} else {
		c.off += int64(n)
		c.more -= int64(n)
	}
	return true
}

// read takes what the socket has, within its turn.
func (c *conn) read(toEnd bool) {
	for range burst {
		buf, unseen := c.w.loop.Scratch(), false
		if d := c.wire.discard(); c.busy && d >= minDiscard {
			buf, unseen = c.w.bin[:min(d, int64(len(c.w.bin)))], true
		}
		n, errno := receive(c.fd, buf, unseen && !c.w.plan.Copy)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return
		case errno != 0:
			c.fail(failClosed, errno)
			return
		case n == 0:
			c.peerEnded()
			return
		}
		if !c.take(buf[:n], unseen) || n < len(buf) && !toEnd {
			return
		}
	}
	c.w.loop.Again(c.fd)
}

// take hands bytes to the wire and returns false when the connection is gone.
func (c *conn) take(b []byte, unseen bool) bool {
	now := c.w.now()
	c.w.rec.received(now, int64(len(b)))
	if !c.busy {
		c.fail(failProtocol, errSurplus)
		return false
	}
	var whole bool
	var f failure
	if unseen {
		whole, f = c.wire.discarded(int64(len(b)))
	} else {
		whole, f = c.wire.receive(b)
	}
	if !whole {
		if f != failNone {
			c.fail(f, nil)
		}
		return f == failNone
	}
	dials := c.dials
	c.complete(now, f)
	return c.link == linkUp && c.dials == dials
}

func (c *conn) peerEnded() {
	if !c.busy {
		c.fail(failNone, nil) // an idle connection that the server no longer wants
		return
	}
	whole, f := c.wire.end()
	if !whole {
		c.fail(max(f, failClosed), errEnded)
		return
	}
	c.hangUp()
	c.complete(c.w.now(), f)
}

// complete ends a request whose response is whole.
func (c *conn) complete(now time.Duration, f failure) {
	w := c.w
	if len(c.out) > 0 || c.more > 0 || w.plan.Reconnect || !c.wire.reusable() {
		c.hangUp() // an answer before the whole request was sent leaves no order on the connection
	}
	c.busy = false
	w.ended(c, now, f)
	if c.link == linkUp || w.plan.Reconnect {
		w.next(c, now)
		return
	}
	w.finishIfIdle(now)
	if !w.finished {
		c.dial()
	}
}

// fail ends the connection, and the request on it where there is one, and tries
// again after a pause.
func (c *conn) fail(f failure, err error) {
	w := c.w
	if err != nil {
		w.rec.explain(err)
	}
	c.hangUp()
	w.settle(c)
	if c.busy {
		c.busy = false
		w.ended(c, w.now(), f)
	} else if f != failNone && w.running && w.rec.within(w.now()) {
		w.rec.failed[f]++
	}
	if w.running {
		w.finishIfIdle(w.now())
	}
	if !w.finished {
		w.loop.Arm(&c.timer, redialAfter, c)
	}
}

// Expire implements [loop.Expirer]: the next step of a slow connection, or the end
// of a pause.
func (c *conn) Expire(*loop.Timer) {
	w := c.w
	switch {
	case c.link == linkDown && w.plan.Reconnect:
		w.next(c, w.now())
	case c.link == linkDown:
		c.dial()
	case c.link == linkUp && c.busy:
		c.slowStep()
	}
}

// slowStep moves one portion in each direction that is slow.
func (c *conn) slowStep() {
	w, dials := c.w, c.dials
	wait := max(w.plan.WritePace.Every, w.plan.ReadPace.Every)
	if b := c.piece(); w.plan.WritePace.set() && len(b) > 0 {
		wait = w.plan.WritePace.Every
		c.write(b[:min(len(b), w.plan.WritePace.Bytes)], w.now())
	} else if w.plan.ReadPace.set() {
		wait = w.plan.ReadPace.Every
		c.readPortion(w.loop.Scratch())
	}
	if c.link == linkUp && c.dials == dials && c.busy && !c.timer.Armed() {
		w.loop.Arm(&c.timer, wait, c)
	}
}

func (c *conn) readPortion(buf []byte) {
	buf = buf[:min(len(buf), c.w.plan.ReadPace.Bytes)]
	switch n, errno := receive(c.fd, buf, false); {
	case errno == unix.EAGAIN || errno == unix.EINTR:
	case errno != 0:
		c.fail(failClosed, errno)
	case n == 0:
		c.peerEnded()
	default:
		c.take(buf[:n], false)
	}
}

func (c *conn) checkTimeout(now time.Duration) {
	if c.w.plan.bulk() && c.link == linkUp || now-c.started < c.w.plan.Timeout {
		return
	}
	if c.busy || c.link == linkDialing {
		f := failTimeout
		if !c.busy {
			f = failConnect
		}
		c.fail(f, errTimeout)
	}
}

// hangUp closes the connection; the request on it stays.
func (c *conn) hangUp() {
	c.w.loop.Disarm(&c.timer)
	c.out, c.more = nil, 0
	if c.link == linkDown {
		return
	}
	c.w.loop.CloseFD(c.fd)
	c.fd, c.link = -1, linkDown
}

// finish is the end of the run.
func (c *conn) finish(now time.Duration) {
	c.hangUp()
	if c.busy {
		c.busy = false
		c.w.ended(c, now, failUnfinished)
	}
}
