package l7

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
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

// conn is one client connection.
type conn struct {
	s        *Server
	nc       *loop.Conn
	name     string // of the listener
	accepted time.Time
	sni      string // asked for in the TLS hello, lower case

	// As a PROXY header said; zero where there was none.
	destination netip.AddrPort
	tlvs        []byte

	tls *tlsSource // nil: plain
	h   *h1.Conn

	// Read by the sweeper. Ticks of its clock; 0 is "not now".
	idle    atomic.Uint32 // since when a request is waited for
	waiting atomic.Uint32 // since when a backend is waited for
	// A bare FIN of the client cancels the exchange under way (on_client_fin).
	finCancels atomic.Bool

	inBefore, outBefore uint64 // of h.Stats, at the end of the last exchange

	mu   sync.Mutex
	up   *upstream.Conn // that the exchange under way has; guarded by mu
	gone bool           // the client is; guarded by mu
	tell func()         // called when it is; guarded by mu
}

// serve is the goroutine of a connection.
func (c *conn) serve() {
	defer c.s.remove(c)
	defer func() {
		if p := recover(); p != nil {
			c.s.panicked("connection", p)
		}
		_ = c.nc.Close() // closed already, but after a panic and a tunnel
	}()
	l := c.s.snapshot.Load().listeners[c.name]
	if l == nil {
		return // it was taken out of the configuration while the connection came in
	}
	if c.s.sampler.Take() {
		l.stages.accept.Observe(time.Since(c.accepted))
	}
	l.active.Add(1)
	defer l.active.Add(-1)
	nc, err := c.secure(l)
	if err != nil {
		return
	}
	c.h = h1.NewConn(nc, l.options())
	defer func() { _ = c.h.Close() }() // gives its buffers back
	x := &exchange{s: c.s, c: c, h: c.h, client: c.nc.RemoteAddrPort(), scheme: "http"}
	if c.tls != nil {
		x.scheme = "https"
	}
	for x.reset(l); c.serveRequest(x); x.reset(x.l) {
	}
	c.h.CloseGracefully()
}

// secure completes the TLS handshake where the listener has one.
func (c *conn) secure(l *listener) (net.Conn, error) {
	if l.tls == nil {
		return c.nc, nil
	}
	c.tls = &tlsSource{Conn: c.nc}
	ctx, cancel := context.WithTimeout(context.Background(), l.conf.HeaderTimeout)
	defer cancel()
	tc := tls.Server(c.tls, l.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		c.s.metrics.Counter(metric.L7Handshakes, c.name, "failed").Inc()
		c.s.log.Debug("tls handshake failed", "listener", c.name, "client", c.nc.RemoteAddrPort(), "err", err)
		return nil, err
	}
	state := tc.ConnectionState()
	c.sni = strings.ToLower(strings.TrimSuffix(state.ServerName, "."))
	result := "full"
	if state.DidResume {
		result = "resumed"
	}
	c.s.metrics.Counter(metric.L7Handshakes, c.name, result).Inc()
	return tc, nil
}

// serveRequest reads one request and answers it. It reports whether another one
// may follow on the connection.
func (c *conn) serveRequest(x *exchange) bool {
	c.idle.Store(c.s.sweeper.now())
	err := c.h.ReadRequest(&x.req)
	c.idle.Store(0)
	// Only now: a reload during the wait is for this request too.
	if l := c.s.snapshot.Load().listeners[c.name]; l != nil && l != x.l {
		x.l = l
		c.h.SetOptions(l.options())
	}
	first := stepCanonicalise
	if err == nil && c.s.overloaded.Load() {
		first = x.turnAway()
	}
	if err != nil {
		m, ok := errors.AsType[*message.Error](err)
		if !ok {
			return false // no request: there is nobody to tell
		}
		x.refuse(m.Status, message.Client, m.Reason, nil)
		if m.Status == 405 {
			x.reply.allow = served
		}
		x.local = true
		x.h.SetClose()
		first = stepDeliver
	}
	x.started = time.Now()
	x.sampled = c.s.sampler.Take()
	x.timed = x.sampled || c.s.access.Enabled()
	x.l.requests.Add(1)
	x.run(first)
	x.l.requests.Add(-1)
	return c.h.Finish()
}

// turnAway prepares the answer to a request that there is no memory for, and returns
// the step to begin with.
func (x *exchange) turnAway() int {
	x.refuse(503, message.Internal, "memory", nil)
	x.reply.retryAfter = true
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
	x.whole, x.until = false, time.Time{}
	x.acted.reset()
}

// options are the limits of connections of the listener.
func (l *listener) options() *h1.Options {
	return &h1.Options{
		Limits: &l.limits, HeaderTimeout: l.conf.HeaderTimeout, KeepAliveTimeout: l.conf.KeepAliveTimeout,
		BodyGrace: l.conf.BodyGrace, BodyMinRate: int64(l.conf.BodyMinRate),
	}
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
	if up != nil && c.gone {
		up.Abort()
	}
}

// cancel ends what is done for a client that went away.
func (c *conn) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	if c.up != nil {
		c.up.Abort()
	}
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
	_ = c.nc.Close() // whoever reads or writes sees it
	c.cancel()
}
