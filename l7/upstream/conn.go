package upstream

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"weir/l7/message"
	"weir/pool"
)

// Timeouts limits what an exchange waits for. Zero means no limit. A limit runs
// out up to 1/32 late: see deadline.
type Timeouts struct {
	// Head is the longest wait for a response head, from when the request was
	// sent wholly, or from ExpectHead.
	Head time.Duration
	// Body is the longest wait for any progress of a body: for the backend to
	// send more, or to take more.
	Body time.Duration
}

// Conn is a connection to a backend, lent to one exchange. See the package
// comment for who may call what.
type Conn struct {
	t          *Transport
	nc         net.Conn
	wire       *wire  // under TLS; nil: plain
	tlsID      string // of the settings it was made with, "": plain
	raw        syscall.RawConn
	peekFn     func(fd uintptr) // peek, bound once
	peeked     bool             // result of peek
	receiveFn  func(fd uintptr) // receive, bound once
	received   int              // result of receive
	idlePool   *idlePool
	generation uint64
	endpoint   uint64   // of the idle pool
	loop       loopSide // of a connection of a Lane

	// Set when it is lent.
	name        string // of the member
	counters    *counters
	maxIdle     int
	idleTimeout time.Duration
	reused      bool
	lent        atomic.Bool
	idleUntil   time.Time // while it is idle

	timeouts Timeouts
	limits   limits

	// What both sides need to know.
	sent     atomic.Bool // a byte of the request was taken by the kernel, or on a Lane put off; see isSent
	answered atomic.Bool // a byte of the response arrived
	broken   atomic.Bool // an error occurred
	aborted  atomic.Bool

	write writeSide
	read  readSide
}

// writeSide is the request that is being sent.
type writeSide struct {
	buf     *pool.Buffer // under head, from Head until the head is sent
	head    []byte       // not sent yet
	framing message.Framing
	left    int64 // of a body with Length
	vec     net.Buffers
	parts   [4][]byte // under vec
	until   deadline
	chunk   [message.MaxChunkHeader]byte
}

// readSide is the response that is being received.
type readSide struct {
	head    *pool.Buffer  // response head, and the body as long as it fits behind it
	body    *pool.Buffer  // nil until the body needs more room
	r, w    int           // what is buffered and not used yet, in the buffer in use
	base    int           // end of the final head in head; 0 in body
	full    bool          // the last read filled the buffer: there is likely more
	interim int           // 1xx responses seen
	final   bool          // a final head was read
	keep    bool          // the response lets the connection live
	hint    time.Duration // for how long; 0: it does not say
	decoder message.Body
	err     error // of decoder, behind data that was still returned
	again   bool  // the wait for a head or a piece of the body has begun, and its limit is set
}

// bind prepares calls to the socket of c below what c.nc may be.
func (c *Conn) bind(nc syscall.Conn) {
	raw, err := nc.SyscallConn()
	if err != nil {
		c.close()
		return
	}
	c.raw = raw
	c.peekFn, c.receiveFn = c.peek, c.receive
}

// lend prepares the connection for a new exchange.
func (c *Conn) lend(n *counters, tg *target, reused bool) {
	c.name, c.counters, c.reused = tg.name, n, reused
	c.maxIdle, c.idleTimeout = tg.maxIdle, tg.idleTimeout
	c.timeouts = Timeouts{}
	c.limits.begin()
	c.sent.Store(false)
	if nc := c.loop.nc; nc != nil {
		c.loop.taken = nc.Taken()
	}
	c.answered.Store(false)
	w, r := &c.write, &c.read
	w.head, w.framing, w.left = nil, message.None, 0
	r.r, r.w, r.base, r.full, r.interim = 0, 0, 0, false, 0
	r.final, r.keep, r.hint, r.err, r.again = false, false, 0, nil, false
	c.lent.Store(true)
	n.inUse.Add(1)
}

// SetTimeouts sets the limits of this exchange; before it there are none.
func (c *Conn) SetTimeouts(t Timeouts) { c.timeouts = t }

// Release ends the exchange. The connection is kept for the next one if the
// request was sent wholly, the response was received wholly and lets it live,
// nothing is buffered beyond it, and the endpoint did not go down meanwhile;
// else it is closed. All pieces and fields read from it are invalid afterwards.
func (c *Conn) Release() {
	if !c.lent.CompareAndSwap(true, false) {
		panic("BUG: upstream: a connection was released twice")
	}
	keep := c.isReusable()
	c.freeBuffers()
	c.counters.inUse.Add(-1)
	if keep && c.maxIdle > 0 {
		idle := c.idleTimeout
		if c.read.hint > 0 {
			idle = min(idle, c.read.hint)
		}
		c.idleUntil = c.now().Add(idle)
		if c.loop.lane != nil && c.loop.lane.put(c) || c.loop.lane == nil && c.idlePool.put(c, c.maxIdle) {
			return
		}
	}
	c.close()
}

func (c *Conn) isReusable() bool {
	r := &c.read
	return r.keep && r.final && r.decoder.Done() && r.err == nil && r.r == r.w &&
		c.limits.isSent() && !c.broken.Load() && !c.aborted.Load() && !c.hasSurplus()
}

// Abort closes the connection at once: whatever the other calls wait for fails
// with an error of the client's side. It is for a client that went away. The
// owner must call Release all the same; Abort must not be called after that.
func (c *Conn) Abort() {
	c.aborted.Store(true)
	c.close()
}

// Hijack hands the connection over after a 101: the caller owns it from now on
// and closes it. leftover is what the backend sent behind the head, a copy. No
// deadline is set. It takes the place of Release.
func (c *Conn) Hijack() (nc net.Conn, leftover []byte, err error) {
	if !c.lent.CompareAndSwap(true, false) {
		panic("BUG: upstream: a connection was released twice")
	}
	leftover = append(leftover, c.buffered()...)
	c.freeBuffers()
	c.counters.inUse.Add(-1)
	if err := c.nc.SetDeadline(time.Time{}); err != nil {
		c.close()
		return nil, nil, c.fail(StageHead, err)
	}
	return c.nc, leftover, nil
}

// now is the present time, on a Lane that of its loop.
func (c *Conn) now() time.Time {
	if nc := c.loop.nc; nc != nil {
		return nc.Now()
	}
	return time.Now()
}

// close closes the socket. An error cannot be acted on: the descriptor is gone
// either way.
func (c *Conn) close() { _ = c.nc.Close() }

func (c *Conn) freeBuffers() {
	for _, b := range []**pool.Buffer{&c.write.buf, &c.read.head, &c.read.body} {
		if *b != nil {
			(*b).Release()
			*b = nil
		}
	}
	c.write.head = nil
}
