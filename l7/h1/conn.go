// Package h1 is the client side of HTTP/1: one connection, its requests one after
// the other, driven by the goroutine that serves it.
//
// The life of a connection:
//
//	NewConn -> ReadRequest -> [WriteContinue] ReadBody... -> WriteHead WriteBody... EndBody -> Finish --+
//	               ^                                                                                   |
//	               +----------------------------------- true ------------------------------------------+
//
// Finish = false, and every error, end in CloseGracefully (the client should still
// read the answer), Abort (the client must see that the answer is cut) or Hijack; the
// last call is Close.
//
// A connection that waits for its next request holds 1 KiB; all other memory is
// borrowed from pool while it is needed.
package h1

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"weir/l7/message"
)

// Options are the limits of a connection. It is only read and may be shared; a zero
// value in a field means its default.
type Options struct {
	Limits           *message.Limits // of a request head and of trailers; nil: defaults
	HeaderTimeout    time.Duration   // from the first octet of a head to its last; default 10 s
	KeepAliveTimeout time.Duration   // for the first octet of a request; default 60 s
	BodyGrace        time.Duration   // default 10 s; see BodyMinRate
	BodyMinRate      int64           // octets per second, default 1024; AnyRate: none

	// The rule for a slow peer, for a request body and for a response alike: Weir waits for
	// it, all waits of the message added up, BodyGrace plus one second per BodyMinRate octets
	// moved; and at one time not longer than three times BodyGrace. Time in which Weir itself
	// does not read or write does not count.
}

// AnyRate is the BodyMinRate for peers that may take as long as they like for a body;
// BodyGrace does not matter then.
const AnyRate = -1

// The defaults of Options.
const (
	DefaultHeaderTimeout    = 10 * time.Second
	DefaultKeepAliveTimeout = 60 * time.Second
	DefaultBodyGrace        = 10 * time.Second
	DefaultBodyMinRate      = 1 << 10
)

func (o *Options) orDefault() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.HeaderTimeout <= 0 {
		d.HeaderTimeout = DefaultHeaderTimeout
	}
	if d.KeepAliveTimeout <= 0 {
		d.KeepAliveTimeout = DefaultKeepAliveTimeout
	}
	if d.BodyGrace <= 0 {
		d.BodyGrace = DefaultBodyGrace
	}
	if d.BodyMinRate == 0 {
		d.BodyMinRate = DefaultBodyMinRate
	}
	return d
}

// Sizes of the buffers that a connection borrows.
const (
	idleBuffer  = 1 << 10  // while it waits for a request; grows with the head
	bodyBuffer  = 16 << 10 // for request bodies
	bulkBuffer  = 64 << 10 // for request bodies known to be larger than that
	writeBuffer = 16 << 10 // one TLS record
	maxPiece    = 64 << 10 // of one write call, so that its deadline stays near
)

// MaxDrain is how much of a request body that nobody wanted is read and dropped to
// keep the connection; for more it is closed.
const MaxDrain = 64 << 10

// Stats counts what went over a connection. Octets are those of HTTP, so inside TLS.
type Stats struct {
	Requests uint64 // heads accepted
	BytesIn  uint64
	BytesOut uint64
}

// Errors that a caller tells apart; all others are those of the net.Conn or an
// *message.Error, whose Status is to be answered unless a response has begun.
var (
	// ErrIdle ends a wait for a request at the keep-alive timeout: close without an answer.
	ErrIdle = errors.New("no request came in time")
	// ErrInterrupted ends a wait for a request after Interrupt: close without an answer.
	ErrInterrupted = errors.New("the wait for a request was interrupted")
	// ErrQuiet ends a wait for a request after Yield: nothing of one has come. The
	// connection is fit for another ReadRequest, or for Detach.
	ErrQuiet = errors.New("the wait for a request was given up for now")
	// ErrShort says that a response body ended before its announced length: Abort.
	ErrShort = errors.New("the response body is shorter than announced")
	// ErrLong says that a response body would exceed its announced length: Abort.
	ErrLong = errors.New("the response body is longer than announced")
	// ErrBroken says that the direction failed before and cannot be used any more.
	ErrBroken = errors.New("the connection failed before")
)

// Conn is one client connection.
//
// While a request is in progress one goroutine may call ReadBody and Trailers, and
// another WriteInterim, WriteHead, WriteBody, EndBody and Flush. Interrupt and Yield
// may be called by any goroutine. All else belongs to the one that serves the connection.
type Conn struct {
	nc    net.Conn
	vec   vectorWriter // nc if it can write several slices at once, else nil
	clock clock        // nc if it knows the time, else nil
	opt   Options

	in       input
	out      output
	closing  bool // SetClose was called
	hijacked bool
	closed   bool // the net.Conn is, by us

	interrupted atomic.Bool
	yield       atomic.Bool
	stopped     atomic.Bool // StopBody was called for this body
}

// vectorWriter is what l4/loop's connections offer beside net.Conn.
type vectorWriter interface {
	Writev(bufs [][]byte) (int64, error)
}

// clock is what they offer too: on a loop the time costs nothing.
type clock interface {
	Now() time.Time
}

// now is the present time.
func (c *Conn) now() time.Time {
	if c.clock != nil {
		return c.clock.Now()
	}
	return time.Now()
}

// NewConn makes a Conn on nc, which it owns from now on. With TLS the handshake
// should be complete, or it counts towards KeepAliveTimeout.
func NewConn(nc net.Conn, o *Options) *Conn {
	c := new(Conn)
	c.Reset(nc, o)
	return c
}

// Reset makes a Conn on nc of one that was closed or detached, or is zero.
func (c *Conn) Reset(nc net.Conn, o *Options) {
	*c = Conn{nc: nc, opt: o.orDefault()}
	c.vec, _ = nc.(vectorWriter)
	c.clock, _ = nc.(clock)
}

// SetOptions replaces the options, between two requests: after a reload.
func (c *Conn) SetOptions(o *Options) { c.opt = o.orDefault() }

// NetConn returns the connection below. It still belongs to c.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Stats returns the counters; call it while no method runs.
func (c *Conn) Stats() Stats {
	return Stats{Requests: c.in.requests, BytesIn: c.in.bytes, BytesOut: c.out.bytes}
}

// Waited returns how long Weir has waited for the client in this exchange, to send the
// body and to take the response. Call it while no method runs.
func (c *Conn) Waited() time.Duration { return c.in.pace.waited + c.out.pace.waited }

// Interrupt makes ReadRequest return ErrInterrupted instead of waiting for a
// request of which nothing has come yet, now or later. Requests that have begun are
// not touched. It is how idle connections are ended when a listener drains.
func (c *Conn) Interrupt() {
	c.interrupted.Store(true)
	// A body that is being read meets the deadline too, sees that it is not its own, and goes on.
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// SetClose says that the connection will not be used for another request. The head
// of the response should say so too (Connection: close).
func (c *Conn) SetClose() { c.closing = true }

// KeepAlive reports whether the connection can live on after this exchange, as far
// as is known before the response: if not, its head should say Connection: close.
func (c *Conn) KeepAlive() bool {
	return c.in.keepAlive && !c.closing && !c.in.broken && !c.out.broken && !c.interrupted.Load() &&
		c.drainable(MaxDrain)
}

// Finish ends an exchange after EndBody. It drops what is left of the request body
// (at most MaxDrain octets) and reports whether ReadRequest may be called again.
// If not, CloseGracefully is next.
func (c *Conn) Finish() bool {
	fine := c.out.stage == complete && !c.out.broken && c.in.keepAlive && !c.closing && c.DrainBody(MaxDrain)
	c.out.release()
	return fine
}

// Close closes the connection at once, unless it is closed or was given away, and
// gives all buffers back. It is by an RST if the client took a response too slowly.
// It is the last call on every path; further ones do nothing.
func (c *Conn) Close() error {
	c.in.release()
	c.out.release()
	if c.closed || c.hijacked {
		return nil
	}
	c.closed = true
	if c.out.slow {
		return c.reset()
	}
	return c.nc.Close()
}

// Hijack gives the connection away, for a WebSocket: after it only Close may be
// called, which then frees the buffers and leaves the connection alone. What the
// client sent after the request head is in leftover, valid until Close. Deadlines
// are cleared. The caller closes the net.Conn.
func (c *Conn) Hijack() (nc net.Conn, leftover []byte, err error) {
	if err := c.Flush(); err != nil {
		return nil, nil, err
	}
	if err := c.nc.SetDeadline(time.Time{}); err != nil {
		return nil, nil, err
	}
	c.hijacked = true
	c.out.release()
	return c.nc, c.in.unread(), nil
}

// lazy arms a deadline of the net.Conn only when the one that is armed is too early
// or too late: arming costs a lock and a timer, and most waits never happen. The
// deadline fires within slack after want, never before.
type lazy struct {
	armed time.Time
}

func (l *lazy) needs(want time.Time, slack time.Duration) (time.Time, bool) {
	if !l.armed.Before(want) && !l.armed.After(want.Add(slack)) {
		return l.armed, false
	}
	l.armed = want.Add(slack)
	return l.armed, true
}

// pace holds how long Weir has waited for the peer in one message.
type pace struct {
	waited time.Duration
	moved  int64
}

// allow returns how long Weir may wait for the next n octets at most, n being 0 for
// a read of any size; zero or less means that the peer is too slow.
func (p *pace) allow(o *Options, n int) time.Duration {
	if o.BodyMinRate < 0 {
		return forever
	}
	sum := o.BodyGrace + seconds(p.moved+int64(n), o.BodyMinRate) - p.waited
	return min(sum, 3*o.BodyGrace+seconds(int64(n), o.BodyMinRate))
}

// forever is as good as it: an addition to a time does not overflow.
const forever = 1 << 30 * time.Second

// seconds returns the time that n octets take at the rate, without overflow.
func seconds(n, rate int64) time.Duration {
	if n/rate >= int64(forever/time.Second) {
		return forever
	}
	return time.Duration(n/rate)*time.Second + time.Duration(n%rate)*time.Second/time.Duration(rate)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
