package upstream

import (
	"weir/l4/loop"
	"weir/l7/message"
	"weir/pool"
)

// Head returns an empty slice with room for size bytes, to append the request
// head to. Appending beyond its capacity is allowed, but allocates. The memory is
// the connection's: the slice goes to SetHead and is not used afterwards.
func (c *Conn) Head(size int) []byte {
	w := &c.write
	if w.buf != nil {
		w.buf.Release()
	}
	w.buf = pool.Get(size)
	return w.buf.B[:0]
}

// SetHead takes the request head, complete with its empty line. Framing and
// length are what the head announces; length counts for message.Length only.
// Nothing is sent before Flush, WriteBody or EndBody, so that the first piece of
// the body travels with the head.
func (c *Conn) SetHead(head []byte, f message.Framing, length int64) {
	c.write.head, c.write.framing, c.write.left = head, f, length
}

// Flush sends the head if it was not sent yet. It is for a body whose first
// piece is not there yet.
func (c *Conn) Flush() error {
	if c.write.head == nil {
		return nil
	}
	return c.send(nil, nil, nil)
}

// What frames chunks; only read.
var (
	crlf        = []byte("\r\n")
	lastChunk   = []byte("0\r\n\r\n")
	crlfAndLast = []byte("\r\n0\r\n\r\n")
)

// maxCoalesced is the largest piece that is copied behind the head if there is room.
const maxCoalesced = 4 << 10

// WriteBody sends the next piece of the body, framed as SetHead said, and with
// end also the end of the body. p is borrowed for the call. It blocks until the
// kernel took all of it; Timeouts.Body limits each wait.
//
// A body with Length must have exactly that length, else the error is
// ErrLongBody or ErrShortBody and the connection cannot be kept.
func (c *Conn) WriteBody(p []byte, end bool) error {
	w := &c.write
	if len(p) == 0 {
		if end {
			return c.EndBody(nil)
		}
		return nil
	}
	var before, after []byte
	if w.framing == message.Chunked {
		before, after = message.AppendChunkHeader(w.chunk[:0], len(p)), crlf
		if end {
			after = crlfAndLast
		}
	} else if int64(len(p)) > w.left {
		return c.fail(StageWrite, ErrLongBody)
	} else {
		w.left -= int64(len(p))
	}
	if err := c.send(before, p, after); err != nil || !end {
		return err
	}
	return c.finish()
}

// EndBody ends the request: it sends the head if that is still to be sent, and
// for a chunked body the last chunk with the trailers.
func (c *Conn) EndBody(trailers []message.Field) error {
	var last []byte
	if c.write.framing == message.Chunked {
		last = lastChunk
		if len(trailers) > 0 {
			last = message.AppendLastChunk(nil, trailers)
		}
	}
	if last != nil || c.write.head != nil {
		if err := c.send(nil, nil, last); err != nil {
			return err
		}
	}
	return c.finish()
}

// finish notes that all was sent.
func (c *Conn) finish() error {
	if c.write.framing == message.Length && c.write.left > 0 {
		return c.fail(StageWrite, ErrShortBody)
	}
	c.requestSent()
	return nil
}

// send writes the head, if it is still there, and the parts in one call.
func (c *Conn) send(before, p, after []byte) error {
	w := &c.write
	head := w.head
	if head != nil && len(head)+len(before)+len(p)+len(after) <= cap(head) && len(p) <= maxCoalesced {
		// One copy is cheaper than a vector.
		head = append(append(append(head, before...), p...), after...)
		before, p, after = nil, nil, nil
	}
	w.vec = w.parts[:0]
	for _, b := range [...][]byte{head, before, p, after} {
		if len(b) > 0 {
			w.vec = append(w.vec, b)
		}
	}
	err := c.writeVec()
	clear(w.parts[:])
	if w.head != nil {
		w.head = nil
		if w.buf != nil {
			w.buf.Release()
			w.buf = nil
		}
	}
	if err != nil {
		// The backend may have answered early; but it has the time of a head for
		// that, and not for ever.
		c.ExpectHead()
		return c.fail(StageWrite, err)
	}
	return nil
}

func (c *Conn) writeVec() error {
	w := &c.write
	if at, set := w.until.move(c, c.timeouts.Body); set {
		_ = c.nc.SetWriteDeadline(at) // a closed socket says so to the write
	}
	var n int64
	var err error
	if len(w.vec) == 1 {
		var m int
		m, err = c.nc.Write(w.vec[0])
		n = int64(m)
	} else if nc, ok := c.nc.(*loop.Conn); ok {
		n, err = nc.Writev(w.vec)
	} else {
		n, err = w.vec.WriteTo(c.nc)
	}
	if n > 0 {
		c.sent.Store(true)
	}
	return err
}
