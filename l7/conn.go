package l7

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/l4/loop"
	"weir/l7/h1"
	"weir/l7/message"
	"weir/l7/upstream"
	"weir/pool/metric"
)

// conn is one client connection. It belongs to the goroutine that serves it, and to
// the loop while it is parked or on its lane.
type conn struct {
	s    *Server
	name string // of the listener

	// As it was handed over. Descriptor and ticket are in it while the connection is
	// parked, and in nc while it is served.
	from loop.Handover
	nc   *loop.Conn // nil while it is parked

	secured *secured   // nil: plain
	tls     *tlsSource // below secured
	h       *h1.Conn   // nil while it is parked
	l       *listener  // of the last request, or at the time of the accept
	open    *metric.Gauge

	place   loop.Parking
	since   uint32 // tick in which the wait for a request began
	begun   bool   // what comes before the first request is done
	returns bool   // to the lane, and TLS may have read the next request already

	shard uint8 // of the book of those that are awake
	ended bool

	strays uint8  // how often a goroutine had to take over from the lane, lately
	calm   uint16 // exchanges in a row that a lane has served, or could have

	// Read by the sweeper. Ticks of its clock; 0 is "not now".
	idle    atomic.Uint32 // since when a request is waited for, see asked
	waiting atomic.Uint32 // since when a backend is waited for
	// A bare FIN of the client cancels the exchange under way (on_client_fin).
	finCancels atomic.Bool

	inBefore, outBefore uint64 // of h.Stats, at the end of the last exchange

	mu   sync.Mutex
	up   *upstream.Conn // that the exchange under way has; guarded by mu
	gone bool           // the client is; guarded by mu
	tell func()         // called when it is; guarded by mu
	// Says whether others want what this client asked for, so that it goes on without it;
	// nil: nobody does. Guarded by mu.
	wanted func() bool
}

// asked is set in conn.idle by the sweeper, under conn.mu, which it holds until it has
// spoken to h. So whoever finds it there and takes the lock knows that this is over.
const asked = 1 << 31

// serve is the goroutine of a connection. It has the desk d where it takes over from a
// lane, at the given place; else d is nil, and the place idle.
func (c *conn) serve(d *desk, at int) {
	defer func() {
		if p := recover(); p != nil {
			c.s.panicked("connection", p)
			c.drop()
		}
	}()
	switch parks, departs := c.serveRequests(d, at); {
	case departs != nil:
		departs.begin()
	case parks:
		c.park()
	default:
		c.drop()
	}
}

// serveRequests serves until the connection is to be parked, or departs as a tunnel, or
// else is to be closed.
func (c *conn) serveRequests(d *desk, at int) (parks bool, departs *departure) {
	if d == nil {
		if !c.begun {
			if err := c.begin(); err != nil {
				return false, nil
			}
		}
		d = c.s.desk()
		d.sit(c)
	}
	x := &d.x
	for p := c.resume(x, at); ; p = c.serveRequest(x) {
		c.l = x.l
		if p == ask && c.mayReturn(x) {
			p = quiet // at once: what comes next is for the lane
			c.since = c.s.sweeper.now()
			c.returns = c.secured != nil && c.secured.more
		}
		switch {
		case p == quiet && c.detach():
			c.h.Detach()
			c.h = nil
			c.inBefore, c.outBefore = 0, 0
			c.s.rise(d)
			return true, nil
		case p == departed:
			departs = x.departs
			_ = c.h.Close() // gives the buffers back; the connection was given away
			c.h = nil
			x.reset(x.l)
			c.s.rise(d)
			return false, departs
		case p == over, p == quiet && !c.rouse(): // no descriptor was left: stay as it is
			c.h.CloseGracefully()
			return false, nil
		}
		x.reset(x.l)
	}
}

// resume goes on where a lane has left the connection.
func (c *conn) resume(x *exchange, at int) prospect {
	_ = c.h.Settle() // an error shows in what is called next
	if at == idle {
		return ask
	}
	if x.up != nil {
		x.up.Settle()
	}
	if at == closing {
		return over
	}
	x.run(at)
	return c.conclude(x)
}

// drop ends a connection under its goroutine.
func (c *conn) drop() {
	if c.h != nil {
		_ = c.h.Close() // gives its buffers back
	}
	if c.nc == nil { // a panic after it was detached
		c.Leave()
		return
	}
	_ = c.nc.Close() // closed already, but after a panic and a tunnel
	c.end()
}

// begin is for what comes once, before the first request.
func (c *conn) begin() error {
	// A reload since the accept counts, unless it made another kind of listener of it.
	if l := c.s.snapshot.Load().listeners[c.name]; l != nil && (l.tls == nil) == (c.l.tls == nil) {
		c.l = l
	}
	if c.s.sampler.Take() {
		c.l.stages.accept.Observe(time.Since(c.from.Accepted))
	}
	if c.l.tls != nil {
		if err := c.secure(c.l); err != nil {
			return err
		}
	}
	c.since, c.begun = 0, true
	return nil
}

// end takes a connection, which is closed, out of all books.
func (c *conn) end() {
	if c.ended {
		return
	}
	c.ended = true
	c.s.awake.remove(c)
	c.open.Add(-1)
	c.s.leave()
}

// secure completes the TLS handshake.
func (c *conn) secure(l *listener) error {
	c.tls = &tlsSource{Conn: c.nc}
	ctx, cancel := context.WithTimeout(context.Background(), l.conf.HeaderTimeout-c.waited())
	defer cancel()
	tc := tls.Server(c.tls, l.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		c.s.metrics.Counter(metric.L7Handshakes, c.name, "failed").Inc()
		c.s.log.Debug("tls handshake failed", "listener", c.name, "client", c.from.Remote, "err", err)
		return err
	}
	// A client with Nagle's algorithm on waits for this with its first request; often
	// nothing of ours follows soon that would acknowledge the last word of the handshake.
	c.nc.Acknowledge()
	state := tc.ConnectionState()
	c.from.SNI = strings.ToLower(strings.TrimSuffix(state.ServerName, "."))
	result := "full"
	if state.DidResume {
		result = "resumed"
	}
	c.s.metrics.Counter(metric.L7Handshakes, c.name, result).Inc()
	c.secured = &secured{Conn: tc, source: c.tls}
	return nil
}

// stream is what requests are read from.
func (c *conn) stream() net.Conn {
	if c.secured != nil {
		return c.secured
	}
	return c.nc
}

// prospect is what comes after a request, or after the wait for one.
type prospect uint8

const (
	ask      prospect = iota // another request may follow
	quiet                    // none came yet: park
	over                     // the connection is to be closed
	departed                 // it is a tunnel that a loop relays
)

// serveRequest reads one request and answers it.
func (c *conn) serveRequest(x *exchange) prospect {
	err := c.readRequest(x)
	if err == h1.ErrQuiet {
		return quiet
	}
	first, ok := c.receive(x, err)
	if !ok {
		return over
	}
	x.run(first)
	return c.conclude(x)
}

// receive begins the exchange of a request that was read, or not, with err. It returns
// the step to begin with; false: the connection is to be closed without an answer.
func (c *conn) receive(x *exchange, err error) (first int, ok bool) {
	// Only now: a reload during the wait is for this request too.
	if l := c.s.snapshot.Load().listeners[c.name]; l != nil && l != x.l {
		x.l = l
		c.h.SetOptions(l.options())
	}
	first = stepCanonicalise
	if err == nil && c.s.overloaded.Load() {
		first = x.turnAway()
	}
	if err != nil {
		m, ok := errors.AsType[*message.Error](err)
		if !ok {
			return 0, false // no request: there is nobody to tell
		}
		x.refuse(m.Status, message.Client, m.Reason, nil)
		if m.Status == 405 {
			x.reply.allow = served
		}
		x.local = true
		x.h.SetClose()
		first = stepDeliver
	}
	x.sampled = c.s.sampler.Take()
	x.timed = x.sampled || c.s.access.Enabled()
	x.started = x.now()
	x.l.requests.Add(1)
	return first, true
}

// conclude ends an exchange.
func (c *conn) conclude(x *exchange) prospect {
	if x.departs != nil {
		return departed
	}
	x.l.requests.Add(-1)
	if !c.h.Finish() {
		return over
	}
	return ask
}

// readRequest waits for the next request, seen by the sweeper.
func (c *conn) readRequest(x *exchange) error {
	now := c.s.sweeper.now()
	if c.since == 0 {
		c.since = now
	}
	c.idle.Store(now)
	err := c.h.ReadRequest(&x.req)
	if c.idle.Swap(0)&asked != 0 {
		c.mu.Lock() // see asked
		c.h.Stay()
		c.mu.Unlock()
	}
	if err != h1.ErrQuiet {
		c.since = 0
	}
	return err
}

// turnAway prepares the answer to a request that there is no memory for, and returns
// the step to begin with.
func (x *exchange) turnAway() int {
	x.refuse(503, message.Internal, "memory", nil)
	x.reply.retryAfter = soon
	x.reply.text = "The proxy is overloaded. Please try again."
	x.local = true
	x.h.SetClose()
	return stepDeliver
}

// reset makes the exchange ready for the next request.
func (x *exchange) reset(l *listener) {
	x.l = l
	x.id, x.sticky = x.id[:0], x.sticky[:0]
	x.trusted, x.route, x.backend, x.retries, x.first = false, nil, "", 0, nil
	x.local, x.reply, x.head, x.status, x.forwards = false, reply{}, nil, 0, 0
	x.fault, x.stages.Route, x.stages.Connect = fault{}, 0, 0
	x.stages.FirstByte, x.stages.Deliver, x.stages.Queue = 0, 0, 0
	x.whole, x.until, x.departs = false, time.Time{}, nil
	x.tunnelIn, x.tunnelOut, x.coder = 0, 0, coder{}
	x.asked, x.ride = attempted{}, ride{desk: x.ride.desk}
	x.acted.reset()
	x.cached.reset()
}

// options are the limits of connections of the listener.
func (l *listener) options() *h1.Options {
	o := &h1.Options{
		Limits: &l.limits, HeaderTimeout: l.conf.HeaderTimeout, KeepAliveTimeout: l.conf.KeepAliveTimeout,
		BodyGrace: l.conf.BodyGrace, BodyMinRate: int64(l.conf.BodyMinRate),
	}
	if o.BodyMinRate == 0 {
		o.BodyMinRate = h1.AnyRate
	}
	return o
}

// mustClose reports whether the response under way is the last on the connection.
func (c *conn) mustClose() bool {
	return c.s.sweeper.drained.Load() != 0 || c.s.snapshot.Load().listeners[c.name] == nil
}

// moved returns the octets that went over the connection since the last call.
func (c *conn) moved() (in, out uint64) {
	st := c.h.Stats()
	in, out = st.BytesIn-c.inBefore, st.BytesOut-c.outBefore
	c.inBefore, c.outBefore = st.BytesIn, st.BytesOut
	return in, out
}

// await tells the sweeper that from now on only the backend can make progress.
func (c *conn) await()   { c.waiting.Store(c.s.sweeper.now()) }
func (c *conn) awaited() { c.waiting.Store(0) }

// setUpstream notes which connection to abort when the client goes away; nil when
// there is none any more.
func (c *conn) setUpstream(up *upstream.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = up
	c.abortUnwanted()
}

// abortUnwanted ends what a backend does for a client that is gone, and for no one else.
// mu is held.
func (c *conn) abortUnwanted() {
	if c.gone && c.up != nil && (c.wanted == nil || !c.wanted()) {
		c.up.Abort()
	}
}

// setWanted says who else wants what this client asked for; nil: nobody.
func (c *conn) setWanted(wanted func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = wanted
	c.abortUnwanted()
}

// cancel ends what is done for a client that went away.
func (c *conn) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	c.abortUnwanted()
	if c.tell != nil {
		c.tell()
	}
}

func (c *conn) isGone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// kill closes the connection under the goroutine that serves it.
func (c *conn) kill() {
	c.cancel()       // first, since closing waits for a tunnel that it ends
	_ = c.nc.Close() // whoever reads or writes sees it
}
