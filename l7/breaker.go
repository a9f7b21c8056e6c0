package l7

import (
	"errors"
	"time"

	"weir/l7/message"
	"weir/pool/backend"
)

// enterPool begins an exchange with the route's pool: it passes the pool's breaker and
// begins the search for a server. Where it answers respond, the breaker refused it.
func (x *exchange) enterPool() verdict {
	g := x.route.group
	g.RequestStarted()
	var err error
	if x.pass, err = g.Enter(); err != nil {
		reason, rest := "breaker_open", seconds(g.BreakerRest(time.Now()))
		if errors.Is(err, backend.ErrMaxRequests) {
			reason, rest = "max_requests", soon
		}
		v := x.refuse(503, message.Upstream, reason, err)
		x.reply.retryAfter = rest
		return v
	}
	x.seek()
	return next
}

// seconds is d for Retry-After: rounded up, so that whoever comes then is not too early.
func seconds(d time.Duration) int { return max(int((d+time.Second-1)/time.Second), soon) }

// judge tells the breaker what the response says. One whose body breaks off later has
// been told well of: a stream may end at any time, and much later.
func (x *exchange) judge() { x.route.group.Tell(&x.pass, !isFailure(x.res.Status)) }

// leavePool ends what enterPool began. A failure that is no fault of a server, and none that was
// asked, says nothing.
func (x *exchange) leavePool() {
	if x.route == nil || x.route.group == nil {
		return
	}
	if x.fault.side == message.Upstream && x.backend != "" {
		x.route.group.Tell(&x.pass, false)
	}
	x.route.group.Leave(&x.pass)
}

// isFailure reports whether a status speaks of a server's state. 501 and 505 speak of
// the request.
func isFailure(status int) bool { return status == 500 || isGatewayFailure(status) }

// isGatewayFailure reports whether a server says so that what it asked in its turn, or
// itself, is not able to answer now.
func isGatewayFailure(status int) bool { return status >= 502 && status <= 504 }
