package l7

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"weir/l7/h1"
	"weir/l7/message"
	"weir/l7/upstream"
)

// upload is a request body on its way to the backend in a goroutine of its own,
// so that the response is read meanwhile: a backend may answer early (413), or
// both may stream.
type upload struct {
	active bool
	read   atomic.Bool   // all of it was read from the client
	err    error         // set when the goroutine has ended
	done   chan struct{} // one value when it has; made once
}

// maxInline is the longest body that is sent before the response is looked at.
// It fits into the socket's buffer, so that a backend that does not read it
// cannot hold up its own early answer.
const maxInline = 64 << 10

// errTooLarge ends the upload of a body without a length that exceeds the limit.
var errTooLarge = &message.Error{
	Side: message.Client, Status: 413, Reason: "body_too_large", Text: "the request body is larger than the limit",
}

// isShort reports whether the body is sent by the exchange itself. Its first piece
// is read before a connection is taken: a kept-alive one that waited for the client
// instead could meanwhile be closed by the backend, which is no fault of the request.
func (x *exchange) isShort() bool {
	r := &x.req
	return r.HasBody() && r.Framing == message.Length && r.ContentLength <= maxInline && !r.Expect100
}

// isConsumed reports whether octets of the body are gone: what is in x.first is not.
func (x *exchange) isConsumed() bool { return x.h.BodySize() > int64(len(x.first)) }

// sendBody sends head and body, or starts an upload.
func (x *exchange) sendBody() error {
	switch {
	case !x.req.HasBody():
		return x.up.EndBody(nil)
	case x.isShort(), x.whole && len(x.first) <= maxInline:
		return x.pump()
	}
	// What is there of the body travels with the head; for the rest it does not wait.
	if len(x.first) == 0 && (x.req.Framing != message.Length || !x.h.HasBody()) {
		if err := x.up.Flush(); err != nil {
			return err
		}
	}
	u := &x.upload
	if u.done == nil {
		u.done = make(chan struct{}, 1)
	}
	u.active = true
	u.read.Store(false)
	go x.runUpload()
	return nil
}

// runUpload is the goroutine of an upload.
func (x *exchange) runUpload() {
	err := error(&clientError{errPanic})
	defer func() {
		if p := recover(); p != nil {
			x.s.panicked("upload", p)
		}
		if _, ok := errors.AsType[*clientError](err); ok {
			x.up.Abort() // the backend must not take what it has got for a whole
		}
		x.upload.err = err
		x.upload.done <- struct{}{}
	}()
	err = x.pump()
}

// errPanic is the cause of an upload that ended in a panic of ours.
var errPanic = errors.New("panic while a request body was sent")

// pump moves the body from the client to the backend. A *clientError is the
// client's, any other error the backend's.
func (x *exchange) pump() error {
	limit, mirrored := x.route.body, x.acted.mirrored
	mirrored.restart()
	for p := x.first; ; p = nil {
		if p == nil {
			var err error
			if p, err = x.h.ReadBody(); err == io.EOF {
				mirrored.keep(nil, true)
				x.upload.read.Store(true)
				return x.up.EndBody(x.requestTrailers())
			} else if err != nil {
				return &clientError{err}
			}
		}
		if x.req.Expect100 {
			x.up.ForgetHead() // the client sends: see expectHead
		}
		if limit > 0 && x.h.BodySize() > limit {
			return &clientError{errTooLarge}
		}
		done := x.h.BodyDone()
		mirrored.keep(p, done)
		if done {
			x.upload.read.Store(true)
		}
		last := done && len(x.h.Trailers()) == 0 // else EndBody sends them
		if err := x.up.WriteBody(p, last); err != nil || last {
			return err
		}
	}
}

// settleTime is how long the end of an upload is waited for when its last bytes
// were read already and only have to be written.
const settleTime = 50 * time.Millisecond

// settleUpload reports whether the reading half of the client's connection is
// free again. When it is not, the answer is early and the connection must end
// with it.
func (x *exchange) settleUpload() bool {
	u := &x.upload
	if !u.active || x.whole { // a body that is held was read before it was sent
		return true
	}
	if !u.read.Load() {
		return false
	}
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-u.done:
		u.active = false
		return true
	case <-timer.C:
		return false
	}
}

// endUpload stops an upload that is still under way and returns what the client
// did wrong, nil if nothing.
func (x *exchange) endUpload() error {
	u := &x.upload
	if !u.active {
		return nil
	}
	select {
	case <-u.done:
	default:
		x.up.Abort()
		if !x.whole {
			x.h.StopBody()
		}
		<-u.done
	}
	u.active = false
	if errors.Is(u.err, h1.ErrStopped) {
		return nil
	}
	return clientCause(u.err)
}

func clientCause(err error) error {
	if c, ok := errors.AsType[*clientError](err); ok {
		return c
	}
	return nil
}

// attach lends the connection to the exchange and lets the sweeper abort it.
func (x *exchange) attach(up *upstream.Conn) {
	x.up = up
	x.c.setUpstream(up)
}

// dropConn ends the use of the backend's connection: it is kept if the exchange
// is complete, else closed. It returns what the client did wrong meanwhile.
func (x *exchange) dropConn() error {
	if x.up == nil {
		return nil
	}
	cause := x.endUpload()
	x.c.setUpstream(nil)
	x.up.Release()
	x.up = nil
	return cause
}

// dropUpstream ends the use of connection and member.
func (x *exchange) dropUpstream() {
	x.stopDialing()
	_ = x.dropConn() // what the client did is known by now
	x.giveBack()
}
