package l7

import (
	"net/netip"
	"runtime/debug"
	"time"

	"weir/l7/h1"
	"weir/l7/message"
	"weir/l7/route"
	"weir/l7/upstream"
	"weir/pool"
	"weir/pool/accesslog"
	"weir/pool/backend"
)

// verdict is what a step says about how to go on.
type verdict uint8

const (
	next      verdict = iota // the next step
	respond                  // x.reply answers: continue at deliver
	fromStore                // x.res is from the store: continue at transform
	end                      // the connection is beyond an answer: continue at log
	away                     // a loop goes on with it: nothing follows here

	// On a lane alone, where nothing may wait:
	wait  // the same step once more, when there is more to read
	leave // the same step by a goroutine
)

// step is one named part of an exchange.
type step struct {
	name string
	run  func(*exchange) verdict
}

// The steps by number, for those that lead to another than the next one.
const (
	stepCanonicalise = iota
	stepRoute
	stepGuard
	stepAct
	stepCache
	stepForward
	stepTransform
	stepDeliver
	stepLog
)

// steps is the life of a request, in order.
var steps = [...]step{
	stepCanonicalise: {"canonicalise", (*exchange).canonicalise}, // who asks, by which name: 421
	stepRoute:        {"route", (*exchange).findRoute},           // where it belongs: 404, 405
	stepGuard:        {"guard", (*exchange).guard},               // what is refused: 413
	stepAct:          {"act", (*exchange).act},                   // what the route says beside its pool
	stepCache:        {"cache", (*exchange).lookUp},              // what is stored: 403, 503, 504
	stepForward:      {"forward", (*exchange).fetchOrStale},      // request out, response head in: 502, 503, 504
	stepTransform:    {"transform", (*exchange).transform},       // the head that this client gets
	stepDeliver:      {"deliver", (*exchange).deliver},           // head and body
	stepLog:          {"log", (*exchange).log},                   // log and metrics
}

// exchange is one request and its response. It belongs to the goroutine of its
// connection, or to the lane that its connection is on, and is used again.
type exchange struct {
	s *Server
	c *conn
	h *h1.Conn
	l *listener

	req message.Request
	res message.Response

	// Set by canonicalise.
	client  netip.AddrPort
	trusted bool   // the client is a trusted proxy
	scheme  string // of the client's connection: http or https
	id      []byte // see requestID
	hostBuf [256]byte

	forwards int // Max-Forwards of an OPTIONS as it was received; 0: none, or it does not count

	// Set by findRoute and forward.
	lookup  route.Request
	route   *routeState
	sticky  []byte // value of a sticky cookie that the client gets; see appendSticky
	query   backend.Query
	pin     *backend.Member // that a cookie names; nil: none
	hadPin  bool            // there was a cookie
	pass    backend.Pass    // of the pool's breaker
	member  *backend.Member // a slot is reserved on it
	up      *upstream.Conn  // lent to this exchange
	backend string          // name of the member chosen last
	retries int
	upload  upload
	first   []byte       // of a body, read before there is a connection; see readAhead
	whole   bool         // first is all of the body, and stays
	held    *pool.Buffer // under first, where it is more than one piece
	place   place
	asked   attempted
	ride    ride

	// Until when the exchange may go on; see timeLeft.
	until     time.Time // for the response's head; zero: no limit
	connectBy time.Time // for another member after a failed connect

	// What the client gets.
	reply   reply // used where not the backend answers
	local   bool  // reply is in use
	head    []byte
	framing message.Framing
	length  int64
	status  int // 0: none was sent
	coder   coder

	// What happened.
	fault   fault
	started time.Time
	sampled bool // for the histograms of stages
	timed   bool // for them or for the access log
	stages  accesslog.Stages

	delivering time.Time // since when, if it is timed

	rec accesslog.L7Record

	cached cached
	acted  acted // of a route that does more than send requests to its pool

	tunnelIn, tunnelOut uint64     // octets of a WebSocket
	departs             *departure // to a loop, when this exchange ends; nil: it does not
}

// fault is what went wrong in an exchange; the zero value is nothing.
type fault struct {
	side   message.Side
	reason string // stable and short, for log and metric
	err    error  // for the process log; nil where there is no more to say
}

// run takes the exchange through the steps from the given one on. On a lane it stops
// where a step says wait or leave, and returns that and the step; else next.
func (x *exchange) run(from int) (at int, v verdict) {
	for i := from; i < len(steps); i++ {
		switch v := x.runStep(i); v {
		case next:
		case wait, leave:
			return i, v
		case respond:
			x.local = true
			i = stepDeliver - 1
		case fromStore:
			i = stepTransform - 1
		case end:
			x.h.SetClose()
			i = max(i, stepLog-1)
		case away:
			return i, away
		}
	}
	return len(steps), next
}

// runStep keeps a panic in a step, which is a bug of ours, inside its exchange:
// the client gets 500, or a cut response where one had begun.
func (x *exchange) runStep(i int) (v verdict) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		x.s.panics.Inc()
		x.s.log.Error("panic in exchange", "step", steps[i].name, "panic", p, "stack", string(debug.Stack()))
		x.fail(message.Internal, "panic", nil)
		x.dropUpstream()
		x.h.SetClose()
		if i >= stepDeliver || x.h.Started() {
			x.h.Abort()
			v = end
			return
		}
		x.reply = reply{status: 500}
		v = respond
	}()
	return steps[i].run(x)
}

// fail notes the first thing that went wrong.
func (x *exchange) fail(side message.Side, reason string, err error) {
	if x.fault.reason == "" {
		x.fault = fault{side: side, reason: reason, err: err}
	}
}

// refuse prepares an answer of ours because of a fault.
func (x *exchange) refuse(status int, side message.Side, reason string, err error) verdict {
	x.fail(side, reason, err)
	x.reply = reply{status: status}
	return respond
}
