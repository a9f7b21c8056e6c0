package l4

import (
	"golang.org/x/sys/unix"

	"weir/pool"
)

// relayBurst is how many reads one direction gets before other sessions have
// their turn: half a MiB.
const relayBurst = 8

// startRelay begins to move bytes. What was sniffed is held in the up flow and
// goes first.
func (s *session) startRelay() {
	s.state = stateRelaying
	s.moved = s.w.loop.Now()
	s.up.bytes = uint64(s.up.end - s.up.off)
	s.counters.received.Add(s.up.bytes)
	s.watchQuiet()
	s.relay()
}

// relay moves what can be moved in both directions.
func (s *session) relay() {
	s.moved = s.w.loop.Now()
	before, beforeDown := s.up.bytes, s.down.bytes
	s.pump(&s.up)
	if s.state != stateClosed {
		s.pump(&s.down)
	}
	s.counters.received.Add(s.up.bytes - before)
	s.counters.sent.Add(s.down.bytes - beforeDown)
	if s.state != stateClosed && s.client.broken && !s.up.done {
		// What could be passed on at once was. A client that is gone waits for no one.
		s.close(reasonClientReset)
	}
}

// pump moves one direction until it has to wait for either end, or has had its
// share of the loop. It may close the session.
func (s *session) pump(f *flow) {
	for range relayBurst {
		if f.done || !s.flush(f) {
			return
		}
		if f.eof {
			s.endFlow(f)
			return
		}
		if !f.src.readable {
			return
		}
		if !s.fill(f) {
			return
		}
	}
	if f.buf == nil && f.src.readable {
		s.w.loop.Again(f.src.fd)
	}
}

// fill reads once and passes on what the destination takes. It reports false when
// the flow, or the session, came to an end.
func (s *session) fill(f *flow) bool {
	scratch := s.w.loop.Scratch()
	n, err := unix.Read(f.src.fd, scratch)
	switch {
	case err == unix.EAGAIN:
		f.src.readable, f.src.toEnd = false, false
		return true
	case err == unix.EINTR:
		return true
	case err != nil:
		s.endBroken(f.src)
		return false
	case n == 0 && f.src.broken:
		s.endBroken(f.src) // the error was taken by a write: this is no orderly end
		return false
	case n == 0:
		f.eof = true
		return true
	}
	if n < len(scratch) && f.src.tcp && !f.src.toEnd {
		f.src.readable = false // spares a read that would say EAGAIN
	}
	if f.bytes == 0 && f == &s.down {
		s.timeFirstByte()
	}
	f.bytes += uint64(n)
	m, ok := s.write(f, scratch[:n])
	if ok && m < n {
		f.buf = pool.Get(n - m)
		f.off, f.end = 0, copy(f.buf.B, scratch[m:n])
	}
	return ok
}

// flush writes what is held and reports whether nothing is left.
func (s *session) flush(f *flow) bool {
	for f.buf != nil {
		if !f.dst.writable {
			return false
		}
		m, ok := s.write(f, f.buf.B[f.off:f.end])
		if !ok {
			return false
		}
		if f.off += m; f.off == f.end {
			f.drop()
		}
	}
	return true
}

// write writes p to the destination of f and returns how much was taken. It
// reports false where the destination is broken; the session may be closed then.
func (s *session) write(f *flow, p []byte) (int, bool) {
	for {
		n, err := unix.Write(f.dst.fd, p)
		switch err {
		case nil:
			f.dst.writable = n == len(p) // the kernel reports again once it has room
			return n, true
		case unix.EINTR:
		case unix.EAGAIN:
			f.dst.writable = false
			return 0, true
		default:
			s.broke(f.dst)
			return 0, false
		}
	}
}

// endFlow passes the end of a direction on, after everything before it.
func (s *session) endFlow(f *flow) {
	f.done = true
	if s.up.done && s.down.done {
		s.finish()
		return
	}
	if err := unix.Shutdown(f.dst.fd, unix.SHUT_WR); err != nil {
		s.broke(f.dst)
		return
	}
	s.halfClose()
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

// broke notes that d takes nothing any more. What it sent before is still
// delivered: a server may answer, close and reset what comes after.
func (s *session) broke(d *side) {
	if d.broken || s.state == stateClosed {
		return
	}
	d.broken, d.readable, d.toEnd = true, true, true
	toward, from := &s.down, &s.up
	if d == &s.server {
		toward, from = from, toward
	}
	toward.drop()
	toward.done = true
	if from.done {
		s.finish()
		return
	}
	s.halfClose()
}

// endBroken closes the session after the last byte of a connection that broke.
func (s *session) endBroken(d *side) {
	if d == &s.server {
		s.close(reasonBackendReset)
		return
	}
	s.close(reasonClientReset)
}
