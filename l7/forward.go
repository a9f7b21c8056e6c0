package l7

import (
	"errors"
	"syscall"
	"time"

	"weir/l4/loop"
	"weir/l7/message"
	"weir/l7/upstream"
	"weir/pool/backend"
)

// forward sends the request to a backend of the route's pool and reads the head of
// the response. Where that fails, another backend may be asked: see attempts.go.
func (x *exchange) forward() verdict {
	if x.ride.desk != nil {
		return x.forwardOnLane()
	}
	if x.ride.phase != phaseStart {
		return x.forwardAfterLane()
	}
	if v := x.beginForward(); v != next {
		return v
	}
	return x.askAll(x.pick())
}

// beginForward prepares for the choice of a backend.
func (x *exchange) beginForward() verdict {
	if v := x.enterPool(); v != next {
		return v
	}
	if err := x.readAhead(); err != nil {
		return x.clientFailed(err)
	}
	x.setLimits()
	return next
}

// askAll asks the member that was picked, and others where that fails.
func (x *exchange) askAll(m *backend.Member, err error) verdict {
	if err != nil {
		return x.noBackend(err)
	}
	x.take(m)
	return x.settle(x.attemptHere())
}

// settle goes on after an attempt, until one has an answer or none is left to be made.
func (x *exchange) settle(last error) verdict {
	for {
		var m *backend.Member
		if last == nil {
			if m = x.replacement(); m == nil {
				return next
			}
			x.discard()
		} else {
			x.report(last)
			x.giveBack()
			var err error
			if m, err = x.another(last); err != nil {
				return x.failed(last)
			}
		}
		x.take(m)
		last = x.attemptHere()
	}
}

// take notes the member that was picked.
func (x *exchange) take(m *backend.Member) {
	x.member = m
	x.backend = m.Name()
}

// giveBack returns the slot of the member.
func (x *exchange) giveBack() {
	if x.member != nil {
		x.member.Done()
		x.member = nil
	}
}

// attempt sends the request over one connection to the member and reads the head
// of the response. After an error nothing is left of the attempt.
func (x *exchange) attempt(fresh bool) error {
	if x.req.Connect {
		return x.dialTunnel()
	}
	began := x.clock()
	up, reused, err := x.connect(x.member, fresh)
	if err != nil {
		return err
	}
	if x.timed && !reused {
		x.stages.Connect = time.Since(began)
	}
	return x.hear(x.send(up))
}

// attempted is what an attempt began with.
type attempted struct {
	member  *backend.Member
	began   time.Time // for the log
	latency time.Time // for the member; see timing
}

// send sends the request, or begins to where its body is long.
func (x *exchange) send(up *upstream.Conn) error {
	x.attach(up)
	up.SetTimeouts(upstream.Timeouts{Head: x.headTimeout(), Body: x.route.conf.ReadTimeout})
	up.SetHead(x.appendRequestHead(up.Head(x.headSize())), x.req.Framing, x.req.ContentLength)
	x.asked = attempted{x.member, x.clock(), x.timing()}
	return x.sendBody()
}

// hear reads the head of the response to a request that was sent with the error given.
// On a lane loop.ErrAgain says that it is to be called again.
func (x *exchange) hear(err error) error {
	err = x.answer(err)
	switch {
	case err == loop.ErrAgain:
		return err
	case err != nil:
		if cause := x.dropConn(); cause != nil {
			return cause
		}
		return err
	}
	observe(x.asked.member, x.asked.latency)
	if x.timed {
		x.stages.FirstByte = time.Since(x.asked.began)
	}
	return nil
}

// headSize is how much room the head needs, more rather than less.
func (x *exchange) headSize() int {
	const added = 512 // X-Forwarded-For, X-Request-Id and the like
	n := added + len(x.req.Target) + 4*len(x.req.Authority)
	for i := range x.req.Fields {
		n += len(x.req.Fields[i].Name) + len(x.req.Fields[i].Value) + len(": \r\n")
	}
	return n
}

// errUnasked is the cause when a backend switches protocols without being asked.
var errUnasked = errors.New("the server switched protocols without being asked")

// readHead reads up to the final head and sends interim ones on.
func (x *exchange) readHead() error {
	for {
		x.expectHead()
		x.c.await()
		err := x.up.ReadHead(&x.res, x.req.Method)
		x.c.awaited()
		if err != nil {
			return err
		}
		if x.res.Status == 101 && (!x.req.WebSocket || !x.res.WebSocket) {
			return &upstream.Error{
				Side: message.Upstream, Stage: upstream.StageHead, Backend: x.member.Name(),
				Sent: true, Answered: true, Err: errUnasked,
			}
		}
		if !x.res.IsInterim() {
			return nil
		}
		if x.req.Minor == 0 {
			continue // RFC 9110 section 15.2: not to a client of HTTP/1.0
		}
		if err := x.h.WriteInterim(x.res.Status, x.appendInterim(x.h.AvailableBuffer())); err != nil {
			return &clientError{err}
		}
	}
}

// expectHead bounds the wait for the backend's word as long as the client waits for
// it too, which then nothing else does. A client that sends without waiting takes
// the time for its body that any upload may take; see pump.
func (x *exchange) expectHead() {
	if !x.req.Expect100 || !x.h.AwaitsContinue() {
		return
	}
	x.up.ExpectHead()
	if !x.h.AwaitsContinue() { // the upload's goroutine saw the first octets meanwhile
		x.up.ForgetHead()
	}
}

// patience is how long a client may keep a backend waiting before the backend is
// not to blame for breaking off: it may well have run out of patience itself, and
// slow clients could else take every server of a pool out of rotation.
const patience = time.Second

// report tells the member what an attempt came to. Connecting was reported by the
// transport; a kept-alive connection that the server had closed is no failure. The
// upload has ended.
func (x *exchange) report(err error) {
	o := blame(err)
	if o == backend.Reset && x.h.Waited() > patience {
		return
	}
	x.member.Report(o)
}

// blame says what the error of an attempt tells of its member: LocalError where that is
// nothing, or was reported by the transport.
func blame(err error) backend.Outcome {
	e, ok := errors.AsType[*upstream.Error](err)
	switch {
	case !ok || e.Stage == upstream.StageDial || e.Side != message.Upstream || e.Stale():
		return backend.LocalError
	case e.Timeout:
		return backend.Timeout
	case isMessage(err):
		return backend.ServerError
	}
	return backend.Reset
}

// noBackend answers when there is no member to ask.
func (x *exchange) noBackend(err error) verdict {
	reason := "no_backend"
	switch {
	case errors.Is(err, errQueueLeft):
		x.fail(message.Client, "client_gone", nil)
		return end
	case errors.Is(err, backend.ErrFull):
		reason = "backends_full"
	case errors.Is(err, backend.ErrQueueFull):
		reason = "queue_full"
	case errors.Is(err, errQueueTimeout):
		reason = "queue_timeout"
	}
	v := x.refuse(503, message.Upstream, reason, err)
	x.reply.retryAfter = soon
	return v
}

// failed answers for the last attempt.
func (x *exchange) failed(err error) verdict {
	if c, ok := errors.AsType[*clientError](err); ok {
		return x.clientFailed(c.err)
	}
	e, ok := errors.AsType[*upstream.Error](err)
	switch {
	case !ok:
		return x.refuse(500, message.Internal, "internal", err)
	case x.c.isGone() || e.Side == message.Client:
		x.fail(message.Client, "client_gone", nil)
		return end
	case e.Timeout && x.isOver():
		return x.refuse(504, message.Upstream, "route_timeout", err)
	case e.Stage == upstream.StageDial && e.Timeout:
		return x.refuse(504, message.Upstream, "connect_timeout", err)
	case e.Stage == upstream.StageDial && backend.IsTLSFault(e.Err):
		return x.refuse(502, message.Upstream, "backend_tls", err)
	case e.Stage == upstream.StageDial:
		if isOutOfDescriptors(err) {
			x.s.Shed()
		}
		reason := "connect_failed"
		if backend.OutOfPorts(err) {
			reason = "no_ports"
		}
		v := x.refuse(503, e.Side, reason, err)
		x.reply.retryAfter = soon
		return v
	case e.Timeout:
		return x.refuse(504, message.Upstream, "header_timeout", err)
	case isMessage(err):
		return x.refuse(502, message.Upstream, "bad_response", err)
	}
	return x.refuse(502, e.Side, "no_response", err)
}

// clientFailed answers a client whose request body could not be read: with the
// status where it is malformed, too large or too slow, not at all where the client
// went away.
func (x *exchange) clientFailed(err error) verdict {
	m, ok := errors.AsType[*message.Error](err)
	if !ok || m.Reason == "truncated" {
		x.fail(message.Client, "client_gone", nil)
		return end
	}
	x.h.SetClose()
	return x.refuse(m.Status, message.Client, m.Reason, nil)
}

// clientError is an error of the client's connection, met while a backend was
// talked to.
type clientError struct{ err error }

func (e *clientError) Error() string { return e.err.Error() }
func (e *clientError) Unwrap() error { return e.err }

func isUpstream(err error) bool {
	e, ok := errors.AsType[*upstream.Error](err)
	return ok && e.Side == message.Upstream
}

// isMessage reports whether the backend's bytes were refused.
func isMessage(err error) bool {
	_, ok := errors.AsType[*message.Error](err)
	return ok || errors.Is(err, errUnasked) || errors.Is(err, upstream.ErrManyInterim)
}

// isOutOfDescriptors reports whether closing idle connections would have helped.
func isOutOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// clock is the time for exchanges whose stages are timed, which alone need it.
func (x *exchange) clock() time.Time {
	if !x.timed {
		return time.Time{}
	}
	return time.Now()
}

// now is the present time. On a lane it is that of the loop, unless stages are timed.
func (x *exchange) now() time.Time {
	if d := x.ride.desk; d != nil && !x.timed {
		return d.lane.loop.Time()
	}
	return time.Now()
}
