package l7

import (
	"io"

	"weir/l7/message"
	"weir/pool"
)

// firstHold is the memory that a body of unknown length is held in at first.
const firstHold = 16 << 10

// readAhead reads what is wanted of the request body before a backend is chosen: all
// of it up to the route's request_buffer, or else the first piece of a short one. An
// error is the client's.
func (x *exchange) readAhead() (err error) {
	switch {
	case x.isHeld():
		if err = x.sayContinue(); err == nil {
			err = x.hold(int64(x.route.conf.RequestBuffer))
		}
	case x.isShort():
		x.first, err = x.h.ReadBody()
	default:
		return nil
	}
	return err
}

// isHeld reports whether the body is to be held, as far as is known before it comes.
func (x *exchange) isHeld() bool {
	r, bound := &x.req, int64(x.route.conf.RequestBuffer)
	return r.HasBody() && bound > 0 && (r.Framing == message.Chunked || r.ContentLength <= bound)
}

// sayContinue asks a client that waits for 100 Continue for its body. To hold the body
// means to have it before there is a server to ask, so the word is Weir's own, and the
// server gets no Expect: it is not to answer what is answered (RFC 9110 section 10.1.1
// has a proxy pass the expectation on; who sets request_buffer wants otherwise).
func (x *exchange) sayContinue() error {
	if !x.req.Expect100 {
		return nil
	}
	if err := x.h.WriteContinue(); err != nil {
		return err
	}
	x.req.Expect100 = false
	return nil
}

// hold reads the body until it is whole or longer than bound.
func (x *exchange) hold(bound int64) error {
	for n := 0; ; {
		p, err := x.h.ReadBody()
		if err == io.EOF {
			x.whole = true
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 && x.req.Framing == message.Length && x.h.BodyDone() {
			x.first, x.whole = p, true // it came in one piece, which stays where it is
			return nil
		}
		x.makeRoom(n, len(p), int(bound))
		n += copy(x.held.B[n:], p)
		x.first = x.held.B[:n]
		if x.h.BodyDone() {
			x.whole = true
			return nil
		}
		if int64(n) > bound {
			return nil
		}
	}
}

// makeRoom sees to it that more octets fit behind the n that are held. Memory follows
// what has come, not what is announced: a client that says much and sends little must
// not occupy much.
func (x *exchange) makeRoom(n, more, bound int) {
	from := x.held
	if from != nil && n+more <= len(from.B) {
		return
	}
	if x.req.Framing == message.Length {
		bound = int(x.req.ContentLength)
	}
	x.held = pool.Get(max(n+more, min(bound, max(firstHold, 4*n))))
	if from != nil {
		copy(x.held.B, from.B[:n])
		from.Release()
	}
}

// dropHeld gives back what held the body.
func (x *exchange) dropHeld() {
	if x.held != nil {
		x.held.Release()
		x.held = nil
	}
	x.first = nil
}
