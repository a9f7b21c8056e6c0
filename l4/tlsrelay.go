package l4

import (
	"errors"
	"io"
	"sync/atomic"

	"weir/l4/sniff"
	"weir/pool"
	"weir/pool/backend"
)

// A direction of a secured session is read in small pieces while it is quiet, as
// each holds its buffer all the time, and in large ones once a read filled it.
const (
	smallPiece = 4 << 10
	largePiece = 64 << 10
)

// flow is one direction of a secured session.
type flow struct {
	from, to stream
	bytes    *atomic.Uint64
	total    *atomic.Uint64 // of the listener
	fromSrv  bool
	pace     *pacer

	ended, toEnded *atomic.Bool // the source, the destination has ended in order
	late           bool         // bytes went to a destination that had
}

// relay moves bytes both ways until both directions ended, or one broke.
func (t *secured) relay(client, server stream) reason {
	if t.guarded {
		client = &strangerStream{stream: client}
	}
	var clientEnded, serverEnded atomic.Bool
	up := make(chan reason, 1)
	go func() {
		why := t.recovered(func() reason {
			return t.pump(&flow{
				from: client, to: server, bytes: &t.up, total: &t.traffic.received, pace: t.paceUp,
				ended: &clientEnded, toEnded: &serverEnded,
			})
		})
		if why != reasonDone {
			t.end(why) // stops the other direction
		}
		up <- why
	}()
	why := t.recovered(func() reason {
		return t.pump(&flow{
			from: server, to: client, bytes: &t.down, total: &t.traffic.sent, fromSrv: true, pace: t.paceDown,
			ended: &serverEnded, toEnded: &clientEnded,
		})
	})
	if why != reasonDone {
		t.end(why)
	}
	switch other := <-up; {
	case why != reasonDone:
		return why
	case other != reasonDone:
		return other
	case t.broken.Load():
		return reasonBackendReset
	}
	return reasonDone
}

// pump moves one direction to its end, which it passes on. It returns reasonDone
// where the session may go on without it.
func (t *secured) pump(f *flow) reason {
	for size := smallPiece; ; {
		size = f.pace.allow(size)
		buf := pool.Get(size)
		n, err := f.from.Read(buf.B)
		f.pace.spent(n)
		if n > 0 && !t.forward(f, buf.B[:n]) {
			buf.Release()
			return t.untaken(f)
		}
		full := n == len(buf.B)
		buf.Release()
		switch {
		case err == io.EOF && f.fromSrv && t.broken.Load():
			return reasonBackendReset // the error was taken by a write: this is no orderly end
		case err == io.EOF:
			f.ended.Store(true)
			if t.finish(f) != nil && !f.unheard() {
				return t.untaken(f)
			}
			t.post(func(s *session) {
				s.endedBy(f.fromSrv)
				s.halfClose()
			})
			return reasonDone
		case err != nil:
			return t.unread(f, err)
		}
		if size = smallPiece; full {
			size = largePiece
		}
	}
}

// forward passes p on and reports whether all of it was taken.
func (t *secured) forward(f *flow, p []byte) bool {
	since := t.touch()
	if f.fromSrv {
		t.answered.CompareAndSwap(0, int64(since))
	}
	f.bytes.Add(uint64(len(p)))
	f.total.Add(uint64(len(p)))
	f.late = f.late || f.toEnded.Load()
	t.writing.Add(1)
	_, err := f.to.Write(p)
	if err != nil {
		return false // still counted as writing: what was not taken is lost
	}
	t.writing.Add(-1)
	t.touch()
	return true
}

func (t *secured) finish(f *flow) error {
	t.writing.Add(1)
	defer t.writing.Add(-1)
	return f.to.CloseWrite()
}

// unheard reports whether it is no loss that the end could not be passed on. A peer that
// says goodbye by TLS mostly closes its socket at once, and answers ours with a reset; how
// it ended shows in its own direction.
func (f *flow) unheard() bool {
	_, secure := f.to.(tlsStream)
	return secure && !f.late
}

// untaken ends a direction whose destination takes nothing any more. What a server
// sent before it broke is still delivered; a client that is gone waits for no one.
func (t *secured) untaken(f *flow) reason {
	if f.fromSrv {
		return reasonClientReset
	}
	t.broken.Store(true)
	t.post((*session).halfClose)
	return reasonDone
}

// unread says why a direction broke whose source gave an error.
func (t *secured) unread(f *flow, err error) reason {
	switch {
	case errors.Is(err, errStranger):
		return reasonProxyRefused
	case !f.fromSrv:
		return reasonClientReset
	case backend.IsTLSFault(err):
		// With TLS 1.3 a server refuses our certificate only after the handshake.
		t.post(func(s *session) { s.tellTLS(err) })
		return reasonBackendTLS
	}
	return reasonBackendReset
}

// errStranger is a PROXY header from where none is accepted.
var errStranger = errors.New("a PROXY header from where none is accepted")

// strangerStream holds the first bytes of a client back until they are clearly no
// PROXY header.
type strangerStream struct {
	stream
	passed bool
}

func (s *strangerStream) Read(p []byte) (int, error) {
	for n := 0; !s.passed; {
		m, err := s.stream.Read(p[n:])
		n += m
		switch v := sniff.ProxyStart(p[:n]); {
		case v == sniff.Done:
			return 0, errStranger
		case v == sniff.NeedMore && err == nil && n < len(p):
			continue
		}
		s.passed = true
		return n, err
	}
	return s.stream.Read(p)
}
