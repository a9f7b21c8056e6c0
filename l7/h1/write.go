package h1

import (
	"time"

	"weir/l7/message"
	"weir/pool"
)

// stage is how far the response has come.
//
//	before -> body -> complete
type stage uint8

const (
	before   stage = iota // no final head yet
	body                  // the head is written, the body is under way
	complete              // EndBody was called and all is flushed
)

// output is the writing half of a connection.
type output struct {
	buf     *pool.Buffer
	n       int // buf.B[:n] waits to be sent
	stage   stage
	framing message.Framing
	left    int64 // octets of a body with framing Length still to come
	pace    pace
	dl      lazy
	iov     [2][]byte // kept here so that a vectored write does not allocate

	broken bool
	slow   bool // broken because the client took too long
	bytes  uint64
}

func (o *output) release() {
	if o.buf != nil {
		o.buf.Release()
	}
	o.buf, o.n = nil, 0
}

// AvailableBuffer returns an empty slice with the free room of the output buffer, to
// append a head to and then give to WriteHead or WriteInterim at once: nothing is
// copied if it fits. It has 16 KiB while nothing else waits to be sent.
func (c *Conn) AvailableBuffer() []byte {
	c.needBuffer()
	return c.out.buf.B[c.out.n:c.out.n]
}

func (c *Conn) needBuffer() {
	if c.out.buf == nil {
		c.out.buf = pool.Get(writeBuffer)
	}
}

// Started reports whether a final response head was written, after which no error
// can be answered any more.
func (c *Conn) Started() bool { return c.out.stage != before }

// WriteContinue tells a client that waits for it to send the body (RFC 9110 section
// 10.1.1), at once. It does nothing for others, for one that has begun to send, and
// the second time. It comes before ReadBody.
func (c *Conn) WriteContinue() error {
	if !c.in.waiting.Swap(false) {
		return nil
	}
	if len(c.in.unread()) > 0 {
		return nil
	}
	if err := c.putString("HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
		return err
	}
	return c.Flush()
}

// WriteInterim sends the complete head of an interim response (1xx), at once. With
// 100 a client that waits for it is expected to send the body from then on.
func (c *Conn) WriteInterim(status int, head []byte) error {
	if status == 100 {
		c.in.waiting.Store(false)
	}
	if err := c.put(head); err != nil {
		return err
	}
	return c.Flush()
}

// WriteHead takes the complete head of the final response, from the status line to
// the empty line, and is told how it frames the body; length counts for Length only.
// The framing is None for whatever has no body: HEAD, 204, 304, and 101. Nothing is
// sent until the buffer is full, Flush or EndBody.
func (c *Conn) WriteHead(head []byte, f message.Framing, length int64) error {
	o := &c.out
	if o.stage != before {
		panic("BUG: h1: a second response head")
	}
	o.stage, o.framing, o.left = body, f, 0
	if f == message.Length {
		o.left = length
	}
	o.pace = pace{}
	return c.put(head)
}

// WriteBody takes a piece of the response body, which is not kept, and frames it as
// the head said. It returns ErrLong, and writes nothing, for more than was announced.
func (c *Conn) WriteBody(p []byte) error {
	o := &c.out
	if o.stage != body {
		panic("BUG: h1: a response body without a head")
	}
	if len(p) == 0 {
		return nil
	}
	switch o.framing {
	case message.None:
		return ErrLong
	case message.Length:
		if int64(len(p)) > o.left {
			return ErrLong
		}
		o.left -= int64(len(p))
		return c.put(p)
	case message.Chunked:
		return c.putChunk(p)
	default:
		return c.put(p)
	}
}

func (c *Conn) putChunk(p []byte) error {
	if err := c.makeRoom(message.MaxChunkHeader); err != nil {
		return err
	}
	o := &c.out
	o.n = len(message.AppendChunkHeader(o.buf.B[:o.n], len(p)))
	if err := c.put(p); err != nil {
		return err
	}
	return c.putString("\r\n")
}

// EndBody ends the response and sends all that waits. The trailers are for Chunked
// only. It returns ErrShort, and sends nothing, when octets are missing.
func (c *Conn) EndBody(trailers []message.Field) error {
	o := &c.out
	switch {
	case o.stage != body:
		panic("BUG: h1: the end of a response without a head")
	case o.framing == message.Length && o.left > 0:
		return ErrShort
	case o.framing == message.Chunked:
		if err := c.putLastChunk(trailers); err != nil {
			return err
		}
	case o.framing == message.Close:
		c.closing = true
	}
	if err := c.Flush(); err != nil {
		return err
	}
	o.stage = complete
	return nil
}

func (c *Conn) putLastChunk(trailers []message.Field) error {
	if len(trailers) == 0 {
		return c.putString("0\r\n\r\n")
	}
	return c.put(message.AppendLastChunk(c.AvailableBuffer(), trailers))
}

// Flush sends what waits in the buffer. Call it before waiting for the upstream.
func (c *Conn) Flush() error {
	if c.out.n == 0 {
		return nil
	}
	p := c.out.buf.B[:c.out.n]
	c.out.n = 0
	return c.send(p)
}

// putString is put for what always fits.
func (c *Conn) putString(s string) error {
	if err := c.makeRoom(len(s)); err != nil {
		return err
	}
	c.out.n += copy(c.out.buf.B[c.out.n:], s)
	return nil
}

// makeRoom sees to it that n octets fit into the buffer.
func (c *Conn) makeRoom(n int) error {
	if c.out.broken {
		return c.out.failure()
	}
	c.needBuffer()
	if len(c.out.buf.B)-c.out.n < n {
		return c.Flush()
	}
	return nil
}

// put copies p to the buffer, and sends the buffer when it is full. What is as large
// as the buffer goes straight from p.
func (c *Conn) put(p []byte) error {
	o := &c.out
	if o.broken {
		return o.failure()
	}
	c.needBuffer()
	for len(p) > len(o.buf.B)-o.n {
		switch {
		case c.vec != nil && len(p) >= len(o.buf.B)/2 || o.n == 0:
			return c.sendBehind(p)
		default:
			n := copy(o.buf.B[o.n:], p)
			o.n += n
			p = p[n:]
			if err := c.Flush(); err != nil {
				return err
			}
		}
	}
	// A head that was appended to AvailableBuffer is in its place: the copy is onto itself.
	o.n += copy(o.buf.B[o.n:], p)
	return nil
}

// sendBehind sends the buffer and then p, in one system call where that is possible.
func (c *Conn) sendBehind(p []byte) error {
	o := &c.out
	for len(p) > 0 {
		piece := p[:min(len(p), maxPiece)]
		p = p[len(piece):]
		if o.n == 0 || c.vec == nil {
			if err := c.Flush(); err != nil {
				return err
			}
			if err := c.send(piece); err != nil {
				return err
			}
			continue
		}
		o.iov = [2][]byte{o.buf.B[:o.n], piece}
		n := o.n + len(piece)
		o.n = 0
		if err := c.sendVec(n); err != nil {
			return err
		}
	}
	return nil
}

// send writes p, and fails when the client is too slow to take it.
func (c *Conn) send(p []byte) error {
	now, err := c.beforeWrite(len(p))
	if err != nil {
		return err
	}
	n, err := c.nc.Write(p)
	return c.afterWrite(now, int64(n), err)
}

// sendVec writes the n octets of iov.
func (c *Conn) sendVec(n int) error {
	now, err := c.beforeWrite(n)
	if err != nil {
		return err
	}
	sent, err := c.vec.Writev(c.out.iov[:])
	c.out.iov = [2][]byte{}
	return c.afterWrite(now, sent, err)
}

// beforeWrite arms the deadline for n octets. It is never early, because a TLS
// connection is lost after a write that timed out.
func (c *Conn) beforeWrite(n int) (now time.Time, err error) {
	o := &c.out
	if o.broken {
		return now, o.failure()
	}
	now = c.now()
	wait := o.pace.allow(&c.opt, n)
	if wait <= 0 {
		return now, o.slowReader()
	}
	at, needed := o.dl.needs(now.Add(wait), c.opt.BodyGrace/8)
	if needed {
		if err := c.nc.SetWriteDeadline(at); err != nil {
			o.broken = true
			return now, err
		}
	}
	return now, nil
}

func (c *Conn) afterWrite(began time.Time, n int64, err error) error {
	o := &c.out
	o.pace.waited += c.now().Sub(began)
	o.pace.moved += n
	o.bytes += uint64(n)
	switch {
	case err == nil:
		return nil
	case isTimeout(err):
		err = o.slowReader()
	}
	o.broken = true
	return err
}

// failure is why nothing can be sent any more. Settle may have been what found a client
// too slow.
func (o *output) failure() error {
	if o.slow {
		return o.slowReader()
	}
	return ErrBroken
}

func (o *output) slowReader() error {
	o.broken, o.slow = true, true
	return &message.Error{
		Side: message.Client, Status: 408, Reason: "slow_reader", Text: "the client takes the response too slowly",
	}
}
