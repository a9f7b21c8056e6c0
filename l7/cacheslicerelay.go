package l7

import (
	"io"

	"weir/l7/cache/policy"
	"weir/l7/message"
)

// relayRest goes on with a response of slices where the next one cannot be stored, above
// all because what others read holds all of the memory: the rest of the range comes from a
// server, past the cache. It has to be of the same version.
func (x *exchange) relayRest() ([]byte, error) {
	s := &x.cached.slices
	n, err := x.alone()
	if err != nil {
		return nil, err
	}
	s.rest = n
	n.cached.asks = true
	n.cached.slices.span = message.Span{Start: s.at, Length: s.end - s.at}
	x.forgetGone()
	x.c.onGone(n.c.cancel)
	x.c.await()
	v := n.forward()
	x.c.awaited()
	if v != next {
		return nil, io.ErrUnexpectedEOF
	}
	n.judge()
	r := &n.res
	part, ok := policy.ParseContentRange(r.Get(message.ContentRange))
	if !ok || r.Status != 206 || part.Span != n.cached.slices.span || part.Total != s.total ||
		!message.SameTag(r.Get(message.ETag), s.tag, true) {
		return nil, errChanged
	}
	return x.readRest()
}

// readRest returns the next piece of the rest.
func (x *exchange) readRest() ([]byte, error) {
	n := x.cached.slices.rest
	p, err := n.up.ReadBuffered()
	if p == nil && err == nil {
		if err := x.flushBody(); err != nil {
			return nil, &clientError{err}
		}
		x.c.await()
		p, err = n.up.ReadBody()
		x.c.awaited()
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // nobody reads on behind the last octet
	}
	left := &x.cached.serving.left
	p = p[:min(int64(len(p)), *left)]
	*left -= int64(len(p))
	return p, err
}

// endRest ends relayRest.
func (x *exchange) endRest() {
	s := &x.cached.slices
	n := s.rest
	if n == nil {
		return
	}
	s.rest = nil
	x.c.onGone(nil)
	if n.up != nil && x.cached.serving.left == 0 {
		n.discard() // the connection can be used again
	}
	n.dropUpstream()
	n.leavePool()
}
