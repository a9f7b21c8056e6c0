package h1

import (
	"io"
	"sync/atomic"
	"time"

	"weir/l4/loop"
	"weir/l7/message"
	"weir/pool"
)

// input is the reading half of a connection.
type input struct {
	head   *pool.Buffer // the head of the request, and what was read with it
	r, w   int          // head.B[r:w] is unread
	more   *pool.Buffer // what was read of the body after head ran empty
	mr, mw int
	body   message.Body
	pace   pace
	dl     lazy

	drainBy   time.Time // while the body is drained: when to give up
	keepAlive bool      // the request allows another one
	broken    bool      // the next request cannot be found any more
	quiet     bool      // it ended while no request was in progress
	requests  uint64
	bytes     uint64

	// The client waits for 100 Continue, which the writing half sends: RFC 9110 section
	// 10.1.1 lets it wait, so that its body is not late as long as nobody has asked for it.
	waiting atomic.Bool
}

// The faults of a client that is too slow.
const (
	headTimeoutText = "the request head did not arrive in time"
	bodyTimeoutText = "the request body arrives too slowly"
)

func timeout(reason, text string) error {
	return &message.Error{Side: message.Client, Status: 408, Reason: reason, Text: text}
}

// ReadRequest waits for the next request and reads its head into r, whose slices
// live until the next call of ReadRequest or Close. The errors are:
//
//   - io.EOF, ErrIdle, ErrInterrupted: no request came; close without an answer
//   - ErrQuiet: no request came yet; after Yield only
//   - loop.ErrAgain: the head is not there yet, and the net.Conn is raw: call it again
//   - *message.Error: answer its Status and close; 408 when the head took longer
//     than HeaderTimeout, however it trickled in
//   - io.ErrUnexpectedEOF and errors of the net.Conn: the client is gone
func (c *Conn) ReadRequest(r *message.Request) error {
	in := &c.in
	if in.broken || c.out.broken {
		return ErrBroken
	}
	in.rewind()
	r.Reset()
	in.keepAlive = false
	in.waiting.Store(false)
	c.out.stage, c.out.pace, in.pace = before, pace{}, pace{}
	var began time.Time // when the first octet was there, or soon after
	for {
		n := 0
		if in.w > 0 {
			var err error
			if n, err = r.Parse(in.head.B[:in.w], c.opt.Limits); err != nil {
				in.broken = true
				return err
			}
			if n == 0 && began.IsZero() && !isBlank(in.head.B[:in.w]) {
				began = c.now()
			}
		}
		if n > 0 {
			c.stopped.Store(false)
			in.start(r, n, c.opt.Limits)
			return nil
		}
		if err := c.readHead(began); err != nil {
			if err != ErrQuiet && err != loop.ErrAgain {
				in.broken, in.quiet = true, began.IsZero()
			}
			return err
		}
	}
}

// isBlank reports whether b is an empty line or the start of one, which some clients
// send after a body: no request has begun with it (RFC 9112 section 2.2).
func isBlank(b []byte) bool { return string(b) == "\r\n" || string(b) == "\r" }

// start prepares for the body of the request whose head has n octets.
func (in *input) start(r *message.Request, n int, lim *message.Limits) {
	in.r = n
	in.requests++
	in.keepAlive = r.KeepAlive
	in.waiting.Store(r.Expect100)
	in.pace = pace{}
	in.body.Reset(r.Framing, r.ContentLength, message.Client, lim)
}

// rewind drops the last request and moves what was read of the next to the front.
// With nothing read it keeps no more than the idle buffer.
func (in *input) rewind() {
	rest := in.unread()
	switch {
	case len(rest) == 0:
		if in.head != nil && len(in.head.B) > idleBuffer {
			in.head.Release()
			in.head = nil
		}
	case in.head != nil && len(rest) <= len(in.head.B):
		copy(in.head.B, rest)
	default:
		head := pool.Get(len(rest))
		copy(head.B, rest)
		in.head.Release()
		in.head = head
	}
	in.r, in.w = 0, len(rest)
	in.dropMore()
	if in.head == nil {
		in.head = pool.Get(idleBuffer)
	}
}

// unread returns what was read and not used. Octets in more are behind those in
// head, and more is filled only when head is used up, so one of the two is empty.
func (in *input) unread() []byte {
	if in.r < in.w {
		return in.head.B[in.r:in.w]
	}
	if in.mr < in.mw {
		return in.more.B[in.mr:in.mw]
	}
	return nil
}

func (in *input) advance(n int) {
	if in.r < in.w {
		in.r += n
		return
	}
	in.mr += n
}

func (in *input) dropMore() {
	if in.more != nil {
		in.more.Release()
	}
	in.more, in.mr, in.mw = nil, 0, 0
}

func (in *input) release() {
	if in.head != nil {
		in.head.Release()
	}
	in.head, in.r, in.w = nil, 0, 0
	in.dropMore()
}

// readHead reads once into the head buffer. began is zero while nothing of the
// request has come.
func (c *Conn) readHead(began time.Time) error {
	in := &c.in
	if in.w == len(in.head.B) {
		larger := pool.Get(4 * in.w)
		copy(larger.B, in.head.B)
		in.head.Release()
		in.head = larger
	}
	for {
		now := c.now()
		want, slack := now.Add(c.opt.KeepAliveTimeout), c.opt.KeepAliveTimeout/8
		if !began.IsZero() {
			want, slack = began.Add(c.opt.HeaderTimeout), c.opt.HeaderTimeout/32
			if !now.Before(want) {
				return timeout("head_timeout", headTimeoutText)
			}
		}
		if err := c.armRead(want, slack); err != nil {
			return err
		}
		// After arming: Interrupt sets the flag first, so either it is seen here or its deadline holds.
		if began.IsZero() && c.interrupted.Load() {
			return ErrInterrupted
		}
		if in.w == 0 && c.yield.Load() {
			return ErrQuiet
		}
		n, err := c.read(in.head.B[in.w:])
		in.w += n
		switch {
		case n > 0:
			return nil
		case err == loop.ErrAgain:
			return err
		case err == io.EOF && !began.IsZero():
			return io.ErrUnexpectedEOF
		case err != nil && !isTimeout(err):
			return err
		case began.IsZero() && !c.now().Before(want):
			return ErrIdle
		}
		// The time of a head that has begun is looked at above; an interrupt too.
	}
}

// armRead makes reads fail at want or up to slack later.
func (c *Conn) armRead(want time.Time, slack time.Duration) error {
	if at, needed := c.in.dl.needs(want, slack); needed {
		return c.nc.SetReadDeadline(at)
	}
	return nil
}

func (c *Conn) read(p []byte) (int, error) {
	n, err := c.nc.Read(p)
	c.in.bytes += uint64(n)
	if n > 0 {
		return n, nil // what else happened will happen again
	}
	if err != nil && err != loop.ErrAgain {
		c.in.dl = lazy{} // the deadline may have been Interrupt's
	}
	return n, err
}

// ReadBody returns the next piece of the request body, chunked framing taken off.
// The piece is valid until the next call. io.EOF says that the body is complete. A
// body that is cut or malformed, or arrives too slowly (408), is an *message.Error:
// what was passed on must not be taken for a whole.
func (c *Conn) ReadBody() ([]byte, error) {
	in := &c.in
	for !in.body.Done() {
		if in.broken {
			return nil, ErrBroken
		}
		src := in.unread()
		if len(src) == 0 {
			if err := c.readMore(); err != nil {
				in.broken = err != ErrStopped
				return nil, err
			}
			continue
		}
		data, n, err := in.body.Next(src)
		in.advance(n)
		if err != nil {
			in.broken = true
			return nil, err
		}
		if len(data) > 0 {
			if in.waiting.Load() {
				in.waiting.Store(false)
			}
			return data, nil
		}
	}
	return nil, io.EOF
}

// AwaitsContinue reports whether the client waits for 100 Continue: it has neither
// been told nor begun to send the body. Any goroutine may ask during an exchange.
func (c *Conn) AwaitsContinue() bool { return c.in.waiting.Load() }

// BodyDone reports whether the request body has been read to its end.
func (c *Conn) BodyDone() bool { return c.in.body.Done() }

// BodySize returns how many octets of the request body ReadBody has returned.
func (c *Conn) BodySize() int64 { return c.in.body.Size() }

// Trailers returns the trailer fields of a chunked body that ReadBody has read to
// its end. They live until the next ReadRequest.
func (c *Conn) Trailers() []message.Field { return c.in.body.Trailers() }

// readMore reads once into the body buffer, which is empty.
func (c *Conn) readMore() error {
	in := &c.in
	if in.more == nil {
		size := bodyBuffer
		if in.body.Remaining() > bodyBuffer {
			size = bulkBuffer
		}
		in.more = pool.Get(size)
	}
	in.mr, in.mw = 0, 0
	for {
		now := c.now()
		wait := in.pace.allow(&c.opt, 0)
		if !in.drainBy.IsZero() {
			wait = min(wait, in.drainBy.Sub(now))
		}
		if wait <= 0 {
			return timeout("body_timeout", bodyTimeoutText)
		}
		if err := c.armRead(now.Add(wait), c.opt.BodyGrace/8); err != nil {
			return err
		}
		if c.stopped.Load() { // after arming, as in readHead
			return ErrStopped
		}
		waiting := in.waiting.Load()
		n, err := c.read(in.more.B)
		waited := c.now().Sub(now)
		if !waiting {
			in.pace.waited += waited
		}
		in.pace.moved += int64(n)
		in.mw = n
		switch {
		case n > 0:
			return nil
		case err == io.EOF:
			return in.body.EOF()
		case err != nil && !isTimeout(err):
			return err
		case err != nil && !waiting && waited >= wait:
			return timeout("body_timeout", bodyTimeoutText)
		}
	}
}

// drainable reports whether the rest of the body is worth reading for the sake of
// the connection. A client that was never told to continue may or may not send it:
// there is no way to find its next request.
func (c *Conn) drainable(most int64) bool {
	if c.in.body.Done() {
		return true
	}
	left := c.in.body.Remaining()
	return !c.in.waiting.Load() && left >= 0 && left <= most
}

// drainTime bounds how long DrainBody takes; a lingering close is as good by then.
const drainTime = 2 * time.Second

// DrainBody reads and drops what is left of the request body, at most most octets,
// and reports whether it is at its end. A chunked body is tried as well. It blocks for
// 2 s at most.
func (c *Conn) DrainBody(most int64) bool {
	in := &c.in
	if in.body.Done() {
		return true
	}
	if in.broken || in.waiting.Load() || in.body.Remaining() > most {
		return false
	}
	c.stopped.Store(false)
	limit := in.body.Size() + most
	in.drainBy = time.Now().Add(drainTime)
	defer func() { in.drainBy = time.Time{} }()
	for in.body.Size() <= limit {
		if _, err := c.ReadBody(); err != nil {
			return err == io.EOF
		}
	}
	return false
}
