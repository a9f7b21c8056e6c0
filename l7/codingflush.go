package l7

import (
	"bytes"
	"time"

	"weir/l7/message"
)

// When what is inside an encoder is sent in a form that can be decoded. Each time costs
// octets: shorter gaps than pause are those between the segments of one answer. But a
// server that sends a little all the time must not be held up for longer than maxHeld
// either, and the events of an event stream not at all.
const (
	pause   = 5 * time.Millisecond
	maxHeld = 25 * time.Millisecond
)

// holdsBack reports whether octets of the body are inside the encoder.
func (x *exchange) holdsBack() bool { return x.coder.encoder != nil && x.coder.encoder.Held() }

// holdFor returns how long more of the body may be waited for before what is inside the
// encoder is sent; 0: nothing is in it, or it is to be sent at once.
func (x *exchange) holdFor() time.Duration {
	k := &x.coder
	if !x.holdsBack() || isEventStream(&x.res) {
		return 0
	}
	now := time.Now()
	if k.heldSince.IsZero() {
		k.heldSince = now
	}
	return max(min(pause, maxHeld-now.Sub(k.heldSince)), 0)
}

func isEventStream(res *message.Response) bool {
	name, _, _ := bytes.Cut(res.Get(message.ContentType), []byte{';'})
	return message.EqualFold(bytes.TrimSpace(name), "text/event-stream")
}

// flushBody sends what is there, before more of the body is waited for.
func (x *exchange) flushBody() error {
	if x.holdsBack() {
		x.coder.heldSince = time.Time{}
		if err := x.coder.encoder.Flush(); err != nil {
			return err
		}
	}
	return x.h.Flush()
}
