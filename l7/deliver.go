package l7

import (
	"errors"
	"io"
	"time"

	"weir/l4/loop"
	"weir/l7/message"
	"weir/l7/upstream"
	"weir/pool/backend"
)

// deliver sends the answer to the client. A response that breaks off on its way
// is broken off for the client too: nothing can make it look complete.
func (x *exchange) deliver() verdict {
	switch {
	case x.acted.answer != nil:
		return x.acted.answer(x)
	case x.local:
		return x.deliverReply()
	}
	v := x.passOn()
	if v != wait && v != leave {
		x.dropUpstream()
	}
	return v
}

// passOn sends the backend's response to the client. On a lane it goes on where it was.
func (x *exchange) passOn() verdict {
	if !x.h.Started() {
		if f := x.cached.fetch; f != nil {
			x.startFetch()
		}
		x.delivering = x.clock()
		if err := x.h.WriteHead(x.head, x.framing, x.length); err != nil {
			return x.clientLost(err)
		}
		if x.res.WebSocket || x.req.Connect {
			return x.tunnel()
		}
	}
	for pieces := 1; ; pieces++ {
		p, err := x.readBody()
		switch {
		case err == io.EOF:
			return x.endPassing()
		case err == loop.ErrAgain:
			return x.waitOrLeave()
		case err != nil:
			return x.truncated(err)
		}
		if err = x.writeBody(p); err != nil {
			return x.clientLost(err)
		}
		if x.ride.desk != nil && x.isHeldUp(pieces) {
			return x.waitOrLeave()
		}
	}
}

// endPassing ends the response, all of which has been read.
func (x *exchange) endPassing() verdict {
	var trailers []message.Field
	if x.framing == message.Chunked {
		trailers = without(x.trailers(), x.route.hides)
	}
	trailers, err := x.endCoding(trailers)
	if err != nil {
		return x.clientLost(err)
	}
	if err := x.h.EndBody(trailers); err != nil {
		return x.clientLost(err)
	}
	if x.timed {
		x.stages.Deliver = time.Since(x.delivering)
	}
	x.reportDone()
	return next
}

// readBody returns the next piece of the response. Before it waits for the
// backend, what is there is sent to the client, so that streams flow.
func (x *exchange) readBody() ([]byte, error) {
	if x.cached.serving.on {
		return x.readStored()
	}
	if p, err := x.up.ReadBuffered(); p != nil || err != nil {
		return p, err
	}
	if wait := x.holdFor(); wait == 0 || !x.up.AwaitBody(wait) {
		if err := x.flushBody(); err != nil {
			return nil, &clientError{err}
		}
	}
	x.c.await()
	p, err := x.up.ReadBody()
	x.c.awaited()
	return p, err
}

// trailers are the trailer fields of a response that was read wholly.
func (x *exchange) trailers() []message.Field {
	if x.cached.serving.on {
		return x.storedTrailers()
	}
	return x.up.Trailers()
}

// reportDone tells the member about a complete response.
func (x *exchange) reportDone() {
	switch {
	case x.member == nil: // the response is from the store
	case isGatewayFailure(x.res.Status):
		x.member.Report(backend.GatewayError)
	case isFailure(x.res.Status):
		x.member.Report(backend.ServerError)
	default:
		x.member.Report(backend.Success)
	}
}

// truncated ends a response whose rest does not come.
func (x *exchange) truncated(err error) verdict {
	if c, ok := errors.AsType[*clientError](err); ok {
		return x.clientLost(c.err)
	}
	if x.cached.serving.on {
		return x.storedBroke(err)
	}
	e, ok := errors.AsType[*upstream.Error](err)
	if x.c.isGone() || ok && e.Side == message.Client {
		return x.clientLost(err)
	}
	reason := "truncated"
	if ok && e.Timeout {
		reason = "read_timeout"
	}
	x.fail(message.Upstream, reason, err)
	x.route.truncated.Inc()
	x.h.Abort()
	_ = x.dropConn() // ends the upload; what the client did is of no interest any more
	x.report(err)
	return end
}

// clientLost ends an exchange whose client does not take the answer.
func (x *exchange) clientLost(err error) verdict {
	reason := "client_gone"
	if m, ok := errors.AsType[*message.Error](err); ok {
		reason = m.Reason
	}
	x.fail(message.Client, reason, nil)
	x.h.Abort()
	return end
}
