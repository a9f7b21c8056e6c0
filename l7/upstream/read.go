package upstream

import (
	"errors"
	"io"
	"os"

	"weir/l4/loop"
	"weir/l7/message"
	"weir/pool"
)

const (
	// headBuffer is what a response starts in. Most heads, and many whole
	// responses, fit; an event stream never needs more.
	headBuffer = 4 << 10
	// firstBody and fullBody are the buffers for bodies that do not fit behind
	// the head: the second once the first was filled by one read.
	firstBody = 16 << 10
	fullBody  = 64 << 10
	// maxInterim is the number of 1xx responses taken in one exchange.
	maxInterim = 16
)

// ReadHead reads the next response head into resp: interim (1xx) ones come one
// by one, then the final one or 101. The slices of an interim response live until
// the next ReadHead, those of the last until Release. method is the request's.
//
// It may be called while the request body is still being sent: a backend may
// answer early. Timeouts.Head starts when the request was sent wholly.
//
// On a connection of a [Lane] the error may be loop.ErrAgain, which changes nothing: it
// is to be called again when there is more.
func (c *Conn) ReadHead(resp *message.Response, method []byte) error {
	r := &c.read
	resp.Reset()
	if r.head == nil {
		r.head = pool.Get(headBuffer)
	}
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	for {
		n, err := resp.Parse(r.head.B[r.r:r.w], method, c.t.limits)
		if err != nil {
			return c.fail(StageHead, err)
		}
		if n > 0 {
			r.r += n
			break
		}
		c.makeRoomForHead()
		if !r.again {
			c.waitHead()
			r.again = true
		}
		switch err = c.fill(r.head.B); {
		case err == loop.ErrAgain:
			return err
		case err != nil:
			return c.fail(StageHead, err)
		}
		c.answered.Store(true)
	}
	r.again = false
	c.haveHead()
	if resp.IsInterim() {
		if r.interim++; r.interim > maxInterim {
			return c.fail(StageHead, ErrManyInterim)
		}
		return nil
	}
	r.base = r.r
	r.final = true
	r.keep = resp.KeepAlive
	if resp.Has(message.KeepAlive) {
		r.hint = idleHint(resp.Get(message.KeepAlive))
	}
	r.decoder.Reset(resp.Framing, resp.ContentLength, message.Upstream, c.t.limits)
	return nil
}

// makeRoomForHead moves the beginning of a head to the front of the buffer, or
// into a larger one. message bounds the size of a head and so that of the buffer.
func (c *Conn) makeRoomForHead() {
	r := &c.read
	if r.w < len(r.head.B) {
		return
	}
	from := r.head
	if r.r == 0 {
		r.head = pool.Get(4 * len(from.B))
	}
	r.w = copy(r.head.B, from.B[r.r:r.w])
	r.r = 0
	if r.head != from {
		from.Release()
	}
}

// ReadBody returns the next piece of the body, with the framing taken off. It is
// never empty without an error and valid until the next call. The error is io.EOF
// when the body is complete, and only then: a body cut short, by whatever cause,
// gives an *Error. Timeouts.Body limits each wait. On a connection of a [Lane] the error
// may be loop.ErrAgain, as in ReadHead.
func (c *Conn) ReadBody() ([]byte, error) {
	for {
		if data, err := c.take(); data != nil || err != nil {
			return data, err
		}
		if err := c.fillBody(); err != nil {
			return nil, err
		}
	}
}

// ReadBuffered is ReadBody without the wait: when no piece is there it returns nil
// and nil, and ReadBody will wait.
func (c *Conn) ReadBuffered() ([]byte, error) {
	data, err := c.take()
	if data == nil && err == nil && c.available() {
		return c.take()
	}
	return data, err
}

// take returns the next piece of what was read, nil and nil when there is none.
func (c *Conn) take() ([]byte, error) {
	r := &c.read
	for r.err == nil && r.r < r.w && !r.decoder.Done() {
		if data := c.decode(); len(data) > 0 {
			return data, nil
		}
	}
	switch {
	case r.err != nil:
		return nil, r.err
	case r.decoder.Done():
		return nil, io.EOF
	}
	return nil, nil
}

// Trailers returns the trailer fields of a body that is complete. They live until
// the connection's next exchange.
func (c *Conn) Trailers() []message.Field { return c.read.decoder.Trailers() }

// decode takes what is buffered apart. Chunks are moved together, so that a
// backend that sends small ones does not cause as many writes to the client.
func (c *Conn) decode() []byte {
	r := &c.read
	b := c.buffer()
	var data []byte
	for r.r < r.w && !r.decoder.Done() {
		more, n, err := r.decoder.Next(b[r.r:r.w])
		r.r += n
		if err != nil {
			r.err = c.fail(StageBody, err)
			break
		}
		if data == nil {
			data = more
		} else {
			data = append(data, more...) // in place: it lies before what was decoded
		}
	}
	return data
}

// fillBody reads more of the body; at the end of the stream it is complete or an
// error.
func (c *Conn) fillBody() error {
	r := &c.read
	c.chooseBuffer()
	r.r, r.w = r.base, r.base
	if !r.again {
		c.waitBody()
		r.again = true
	}
	err := c.fill(c.buffer())
	if err == loop.ErrAgain {
		return err
	}
	r.again = false
	return c.filled(err)
}

// filled judges how a read of the body ended.
func (c *Conn) filled(err error) error {
	r := &c.read
	if errors.Is(err, io.EOF) {
		if r.decoder.EOF() == nil {
			r.keep = false
			return nil
		}
	}
	if err != nil {
		r.err = c.fail(StageBody, err)
		return r.err
	}
	return nil
}

// chooseBuffer changes to a larger buffer where the body calls for it.
func (c *Conn) chooseBuffer() {
	r := &c.read
	room := len(c.buffer()) - r.base
	size := 0
	switch left := r.decoder.Remaining(); {
	case left > int64(room) && room < fullBody:
		size = int(min(left, fullBody))
	case left < 0 && (r.full || room == 0) && room < firstBody:
		size = firstBody
	case left < 0 && r.full && room < fullBody:
		size = fullBody
	}
	if size <= room {
		return
	}
	if r.body != nil {
		r.body.Release()
	}
	r.body = pool.Get(size)
	r.base = 0
}

// buffer returns the buffer that is read into.
func (c *Conn) buffer() []byte {
	switch {
	case c.read.body != nil:
		return c.read.body.B
	case c.read.head != nil:
		return c.read.head.B
	}
	return nil
}

// buffered returns what was read and not used.
func (c *Conn) buffered() []byte { return c.buffer()[c.read.r:c.read.w] }

// fill reads once into b behind what is buffered.
func (c *Conn) fill(b []byte) error {
	r := &c.read
	for {
		n, err := c.nc.Read(b[r.w:])
		if n > 0 {
			r.w += n
			r.full = r.w == len(b)
			return nil
		}
		if err == loop.ErrAgain || !errors.Is(err, os.ErrDeadlineExceeded) || c.isExpired() {
			return err
		}
	}
}
