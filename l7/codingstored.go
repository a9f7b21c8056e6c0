package l7

import (
	"weir/l7/cache"
	"weir/l7/compress"
	"weir/l7/message"
)

// Encoded forms of what is stored hang on it: the first client that takes one has it made
// and kept, all others get it as it is, with its length. It leaves the store together
// with the response.

// isStoredWhole reports whether the response is from the store, complete there, and to be
// sent as a whole.
func (x *exchange) isStoredWhole() bool {
	c := &x.cached
	return c.serving.on && !c.slices.on && c.ref.Held() && !c.ref.Growing() && len(c.serving.spans) == 0
}

// takeCoded takes the encoded form from the store, where there is one.
func (x *exchange) takeCoded(c compress.Coding) bool {
	k := &x.coder
	if !x.isStoredWhole() || c != c.Base() || !x.cached.rc.store.Derived(&x.cached.ref, c.String(), &k.ref) {
		return false
	}
	x.framing, x.length = message.Length, k.ref.Length()
	x.cached.serving.left = x.length
	return true
}

// beginCoded has the encoded form stored while it is made.
func (x *exchange) beginCoded(c compress.Coding) {
	if !x.isStoredWhole() || c != c.Base() { // a dictionary is for few
		return
	}
	fill, err := x.cached.rc.store.BeginDerived(&x.cached.ref, c.String())
	if err == nil { // else it is made again for the next client
		x.coder.fill = fill
	}
}

// storedBody is what is read of the store.
func (x *exchange) storedBody() *cache.Ref {
	if x.coder.ref.Held() {
		return &x.coder.ref
	}
	return &x.cached.ref
}

// codedSink is an exchange as the sink of its encoder.
type codedSink exchange

// WriteBody implements compress.Sink.
func (s *codedSink) WriteBody(p []byte) error {
	if f := s.coder.fill; f != nil {
		if err := f.Write(p, s.s.fetches.quit); err != nil {
			f.Abort(err)
			s.coder.fill = nil
		}
	}
	return s.h.WriteBody(p)
}

// endCoded ends the storing of an encoded form; whole says that it is complete.
func (x *exchange) endCoded(whole bool) {
	f := x.coder.fill
	if f == nil {
		return
	}
	x.coder.fill = nil
	if !whole {
		f.Abort(nil)
		return
	}
	if err := f.Commit(); err != nil {
		x.s.log.Debug("encoded response not stored", "listener", x.l.name, "route", x.route.name, "err", err)
	}
}
