package l4

import (
	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/pool"
)

// relayBurst is how many reads one direction gets before other sessions have
// their turn: half a MiB.
const relayBurst = 8

// startRelay begins to move bytes. What was sniffed is held in the up direction and
// goes first.
func (s *session) startRelay() {
	s.state = stateRelaying
	s.moved = s.shard.loop.Now()
	s.up.bytes = uint64(s.up.end - s.up.off)
	s.counters.received.Add(s.up.bytes)
	s.shapeSession()
	s.watchQuiet()
	s.relay()
}

// relay moves what can be moved in both directions.
func (s *session) relay() {
	s.moved = s.shard.loop.Now()
	before, beforeDown := s.up.bytes, s.down.bytes
	s.relayOne(&s.up)
	if s.state != stateClosed {
		s.relayOne(&s.down)
	}
	s.counters.received.Add(s.up.bytes - before)
	s.counters.sent.Add(s.down.bytes - beforeDown)
	if s.state != stateClosed && s.client.broken && !s.up.done {
		// What could be passed on at once was. A client that is gone waits for no one.
		s.close(reasonClientReset)
	}
}

// relayOne moves one direction until it has to wait for either end, or has had its
// share of the loop. It may close the session.
func (s *session) relayOne(d *direction) {
	for range relayBurst {
		if d.done || !s.flush(d) {
			return
		}
		if d.eof {
			s.endDirection(d)
			return
		}
		if !d.src.readable {
			return
		}
		if s.guarded && d == &s.up && !s.guardRelay() {
			return
		}
		if !s.fill(d) {
			return
		}
	}
	if !d.holds() && d.src.readable {
		s.shard.loop.Again(d.src.fd)
	}
}

// fill reads once and passes on what the destination takes. It reports false when
// the direction, or the session, came to an end, or a rate holds the direction back.
func (s *session) fill(d *direction) bool {
	if d.pipe != nil {
		return s.fillPipe(d)
	}
	scratch := s.shard.loop.Scratch()
	room := scratch
	if d.meter != nil {
		n := d.meter.allow(len(scratch))
		if n == 0 {
			return false
		}
		room = scratch[:n]
	}
	n, errno := s.shard.loop.Read(d.src.fd, room)
	switch {
	case errno == unix.EAGAIN:
		d.src.readable, d.src.toEnd = false, false
		return true
	case errno == unix.EINTR:
		return true
	case errno != 0:
		s.endBroken(d.src)
		return false
	case n == 0 && (d.src.broken || d.src.lost):
		s.endBroken(d.src) // the error was taken by a write: this is no orderly end
		return false
	case n == 0:
		d.eof = true
		return true
	}
	if n < len(room) && d.src.tcp && !d.src.toEnd {
		d.src.readable = false // spares a read that would say EAGAIN
	}
	if d.bytes == 0 && d == &s.down {
		s.timeFirstByte()
	}
	d.bytes += uint64(n)
	if d.meter != nil {
		d.meter.spent(n)
	}
	if n <= loop.PutOffMost && d.dst.writable {
		s.putOff(d, scratch[:n])
		d.full = 0
		return true
	}
	m, ok := s.write(d, scratch[:n])
	if ok && m < n {
		d.buf = pool.Get(n - m)
		d.off, d.end = 0, copy(d.buf.B, scratch[m:n])
	}
	if ok {
		s.countFull(d, n == len(scratch))
	}
	return ok
}

// flush writes what is held and reports whether nothing is left.
func (s *session) flush(d *direction) bool {
	if d.pipe != nil {
		return s.flushPipe(d)
	}
	if d.late {
		s.catchUp()
	}
	for d.buf != nil {
		if !d.dst.writable {
			return false
		}
		m, ok := s.write(d, d.buf.B[d.off:d.end])
		if !ok {
			return false
		}
		if d.off += m; d.off == d.end {
			d.release()
		}
	}
	return true
}

// write writes p to the destination of d and returns how much was taken. It
// reports false where the destination is broken; the session may be closed then.
func (s *session) write(d *direction, p []byte) (int, bool) {
	for {
		n, errno := s.shard.loop.Write(d.dst.fd, p)
		switch errno {
		case 0:
			d.dst.writable = n == len(p) // the kernel reports again once it has room
			d.dst.lost = false
			return n, true
		case unix.EINTR:
		case unix.EAGAIN:
			d.dst.writable = false
			return 0, true
		default:
			s.broke(d.dst)
			return 0, false
		}
	}
}

// endDirection passes the end of a direction on, after everything before it.
func (s *session) endDirection(d *direction) {
	d.done = true
	s.endedBy(d == &s.down)
	if d.pipe != nil {
		s.unsplice(d)
	}
	if s.up.done && s.down.done {
		s.finish()
		return
	}
	if err := s.shard.loop.Shutdown(d.dst.fd); err != nil {
		s.broke(d.dst)
		return
	}
	s.halfClose()
}

// ender is the side that ended its direction first.
type ender uint8

const (
	endedByNone ender = iota
	endedByClient
	endedByServer
)

func (e ender) String() string { return [...]string{sideNone, sideClient, sideUpstream}[e] }

// endedBy notes which side ended its direction first.
func (s *session) endedBy(server bool) {
	switch {
	case s.ended != endedByNone:
	case server:
		s.ended = endedByServer
	default:
		s.ended = endedByClient
	}
}

// finish closes a session of which no direction moves any more.
func (s *session) finish() {
	switch {
	case s.client.broken:
		s.close(reasonClientReset)
	case s.server.broken:
		s.close(reasonBackendReset)
	default:
		s.close(reasonDone)
	}
}

func (s *session) halfClose() {
	if s.state == stateHalfClosed {
		return
	}
	s.state = stateHalfClosed
	s.watchQuiet()
}

// broke notes that sk takes nothing any more. What it sent before is still
// delivered: a server may answer, close and reset what comes after.
func (s *session) broke(sk *socket) {
	if sk.broken || s.state == stateClosed {
		return
	}
	sk.broken, sk.readable, sk.toEnd = true, true, true
	toward, from := &s.down, &s.up
	if sk == &s.server {
		toward, from = from, toward
	}
	s.drop(toward)
	toward.done = true
	if from.done {
		s.finish()
		return
	}
	s.halfClose()
}

// endBroken closes the session after the last byte of a connection that broke.
func (s *session) endBroken(sk *socket) {
	if sk == &s.server {
		s.close(reasonBackendReset)
		return
	}
	s.close(reasonClientReset)
}
