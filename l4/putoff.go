package l4

import (
	"golang.org/x/sys/unix"

	"weir/pool"
)

// What is small is not passed on at once, but when the loop has read from other sessions
// as well: see [loop.Loop.PutOff]. Until then a direction is late. All else that is done
// with its destination comes after, so whoever does it catches up first.

// lateUp and lateDown are a session in its roles of a [loop.LateWriter].
type (
	lateUp   session
	lateDown session
)

// WriteLate implements [loop.LateWriter].
func (s *lateUp) WriteLate(p []byte) { (*session)(s).writeLate(&s.up, p) }

// WriteLate implements [loop.LateWriter].
func (s *lateDown) WriteLate(p []byte) { (*session)(s).writeLate(&s.down, p) }

// putOff has p passed on soon. Nothing is held of d.
func (s *session) putOff(d *direction, p []byte) {
	d.late = true
	if d == &s.up {
		s.shard.loop.PutOff((*lateUp)(s), p)
	} else {
		s.shard.loop.PutOff((*lateDown)(s), p)
	}
}

// catchUp writes what was put off, of this session and of others.
func (s *session) catchUp() {
	if s.up.late || s.down.late {
		s.shard.loop.CatchUp()
	}
}

// writeLate writes what was put off. What the destination does not take is held. It may
// run while another session is at work, so a destination that is broken is only noted: the
// event that is asked for has the write made again, which breaks with it.
func (s *session) writeLate(d *direction, p []byte) {
	d.late = false
	if d.done {
		return // it broke meanwhile
	}
	n, errno := -1, unix.EINTR
	for errno == unix.EINTR {
		n, errno = s.shard.loop.Write(d.dst.fd, p)
	}
	switch errno {
	case 0:
		d.dst.writable = n == len(p) // the kernel reports again once it has room
	case unix.EAGAIN:
		n, d.dst.writable = 0, false
	default:
		n, d.dst.lost = 0, true
		s.shard.loop.Again(d.dst.fd)
	}
	if p = p[n:]; len(p) > 0 {
		d.buf = pool.Get(len(p))
		d.off, d.end = 0, copy(d.buf.B, p)
	}
}
