package loop

import "golang.org/x/sys/unix"

// Small writes are put off to the end of the round of the loop, or until there are some: a
// loop that is busy reads what many connections sent and then writes to many, instead of
// going back and forth with each. The kernel's code and data stay in the processor's caches,
// and a peer that sleeps is woken once for several. With 64 connections that is a fifth of
// the time of each write (docs/decisions/0009).
const (
	// PutOffMost is the largest write that is put off, in bytes: to copy it costs next to
	// nothing.
	PutOffMost = 2 << 10
	// putOffCount is how many writes wait at most, so that the first of them does not
	// wait long.
	putOffCount = 32
)

// A LateWriter has writes that were put off.
type LateWriter interface {
	// WriteLate writes what was put off. It runs on the loop, possibly within a callback
	// that is another connection's business: it must neither close anything nor put off
	// anything, and p is borrowed for the call.
	WriteLate(p []byte)
}

// putOff has the writes that wait. What is written to one connection is never sent in
// another order.
type putOff struct {
	b      []byte // what is to be written, one behind the other
	writes []putOffWrite
}

type putOffWrite struct {
	w LateWriter
	n int
}

// PutOff puts a write of at most PutOffMost bytes off, to the end of the round at the
// latest. p is copied.
func (l *Loop) PutOff(w LateWriter, p []byte) {
	o := &l.late
	o.b = append(o.b, p...)
	if last := len(o.writes) - 1; last >= 0 && o.writes[last].w == w {
		o.writes[last].n += len(p)
		return
	}
	o.writes = append(o.writes, putOffWrite{w, len(p)})
	if len(o.writes) >= putOffCount {
		l.CatchUp()
	}
}

// CatchUp has all that was put off written now.
func (l *Loop) CatchUp() {
	b, writes := l.late.b, l.late.writes
	l.late.b, l.late.writes = b[:0], writes[:0]
	for _, w := range writes {
		w.w.WriteLate(b[:w.n])
		b = b[w.n:]
	}
	clear(writes) // they are not kept alive
}

// catchUp writes what of c was put off, for what has to come after it.
func (c *Conn) catchUp() {
	if c.own.late > 0 {
		c.own.loop.CatchUp()
	}
}

// CatchUp writes what was put off on a raw Conn, and reports whether the kernel has taken
// all that was written, or nothing can be written any more. It comes before Surrender and,
// where the peer is to get the end of it, before Close: see Backlogged for the rest.
func (c *Conn) CatchUp() bool {
	c.catchUp()
	return !c.Backlogged()
}

// lateConn is a Conn in its role of a [LateWriter].
type lateConn Conn

// WriteLate implements [LateWriter]. What the kernel does not take becomes the backlog,
// and an error waits for the next call of Read or Write; the Watcher is told of both.
func (w *lateConn) WriteLate(p []byte) {
	c := (*Conn)(w)
	o := &c.own
	o.late -= len(p)
	for o.lost == nil && len(o.backlog) == 0 {
		n, errno := Write(o.fd, p)
		switch errno {
		case 0:
			o.taken += uint64(n)
			if p = p[n:]; len(p) == 0 {
				return
			}
			continue
		case unix.EINTR:
			continue
		case unix.EAGAIN:
		default:
			o.lost, o.ready, o.ended = errno, true, true
		}
		o.loop.tellLater(c)
		break
	}
	if o.lost == nil {
		o.backlog = append(o.backlog, p...)
	}
}

// tellLater tells the Watcher of c, after this callback, that a write went wrong.
func (l *Loop) tellLater(c *Conn) {
	l.Do(func() {
		if c.own.loop != l || c.closed.Load() {
			return // it has another owner, or none
		}
		defer l.Recovered((*watched)(c))
		ev := Events(0)
		if c.own.lost != nil {
			ev = Ended
		}
		c.own.watcher.Ready(ev)
	})
}

// Taken returns how many octets the kernel has taken of all that was written while the
// Conn was raw. What was put off is written first.
func (c *Conn) Taken() uint64 {
	c.catchUp()
	return c.own.taken
}
