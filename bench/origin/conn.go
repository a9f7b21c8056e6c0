package origin

import (
	"bytes"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
)

const (
	// burst bounds how often one connection reads or writes before others have their turn.
	burst = 16
	// maxHead bounds a request head, and what an echo has not got rid of.
	maxHead    = 64 << 10
	maxPending = 1 << 20
)

// A conn is one connection of an origin on a loop.
type conn struct {
	w      *worker
	fd     int
	gone   bool
	missed bool // something happened during a stall
	closes bool // the last request was the last

	head    []byte // a request head that is not whole yet
	skip    int64  // bytes of a request body that are still to come
	answers int    // HTTP answers that are to be sent
	sent    int    // bytes of the current answer that went out
	pending []byte // of an echo, to be sent
}

// Ready implements [loop.Handler].
func (c *conn) Ready(_ int, ev loop.Events) {
	if c.w.stalled {
		c.missed = true
		return
	}
	if ev.Writable() && !c.write() {
		return
	}
	if ev.Readable() {
		c.read(ev.ReadToEnd())
	}
}

// Abort implements [loop.Handler].
func (c *conn) Abort() { c.hangUp() }

func (c *conn) hangUp() {
	if c.gone {
		return
	}
	c.gone = true
	delete(c.w.conns, c)
	c.w.loop.CloseFD(c.fd)
}

// write sends what is to be sent, and returns false when the connection is gone.
func (c *conn) write() bool {
	for range burst {
		b := c.next()
		if len(b) == 0 {
			if c.closes {
				c.hangUp()
			}
			return !c.gone
		}
		n, err := unix.Write(c.fd, b)
		switch err {
		case nil:
			c.wrote(n)
		case unix.EAGAIN:
			return true
		case unix.EINTR:
		default:
			c.hangUp()
			return false
		}
	}
	c.w.loop.Again(c.fd)
	return true
}

// next is what is to be sent next.
func (c *conn) next() []byte {
	switch c.w.opts.Kind {
	case HTTP:
		if c.answers > 0 {
			return c.w.answer[c.sent:]
		}
	case Source:
		return c.w.answer[c.sent:]
	case Echo:
		return c.pending[c.sent:]
	}
	return nil
}

func (c *conn) wrote(n int) {
	c.sent += n
	switch c.w.opts.Kind {
	case Echo:
		if c.sent == len(c.pending) {
			c.pending, c.sent = c.pending[:0], 0
		}
	default:
		if c.sent == len(c.w.answer) {
			c.sent = 0
			c.answers--
		}
	}
}

func (c *conn) read(toEnd bool) {
	buf := c.w.loop.Scratch()
	if c.w.bin != nil {
		buf = c.w.bin
	}
	for range burst {
		if len(c.pending) >= maxPending {
			return // once that is written, the rest is read
		}
		n, err := unix.Read(c.fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case n <= 0:
			c.hangUp()
			return
		}
		if !c.take(buf[:n]) || !c.write() || n < len(buf) && !toEnd {
			return
		}
	}
	c.w.loop.Again(c.fd)
}

// take handles bytes that came, and returns false when the connection is gone.
func (c *conn) take(b []byte) bool {
	switch c.w.opts.Kind {
	case HTTP:
		return c.takeHTTP(b)
	case Echo:
		c.pending = append(c.pending, b...)
	case Sink:
		c.w.origin.received.Add(int64(len(b)))
	}
	return true
}

var headEnd = []byte("\r\n\r\n")

func (c *conn) takeHTTP(b []byte) bool {
	for len(b) > 0 {
		if c.skip > 0 {
			n := min(c.skip, int64(len(b)))
			c.skip, b = c.skip-n, b[n:]
			if c.skip == 0 {
				c.answer()
			}
			continue
		}
		i, head := bytes.Index(b, headEnd), b
		if len(c.head) > 0 || i < 0 {
			before := len(c.head)
			c.head = append(c.head, b...)
			head = c.head
			if i = bytes.Index(head, headEnd); i < 0 {
				return c.keepHead()
			}
			b = b[i+len(headEnd)-before:]
		} else {
			b = b[i+len(headEnd):]
		}
		if !c.request(head[:i+2]) {
			c.hangUp()
			return false
		}
		c.head = c.head[:0]
	}
	return true
}

// keepHead keeps the start of a head, as long as it may still become one.
func (c *conn) keepHead() bool {
	if len(c.head) > maxHead {
		c.hangUp()
		return false
	}
	return true
}

// request reads a head: the length of the body and whether the client goes on.
func (c *conn) request(head []byte) bool {
	length := int64(0)
	for line := range bytes.Lines(head) {
		name, value, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			continue
		}
		value = bytes.TrimSpace(value)
		switch {
		case len(name) == 14 && bytes.EqualFold(name, []byte("content-length")):
			for _, d := range value {
				if d < '0' || d > '9' || length > 1<<50 {
					return false
				}
				length = length*10 + int64(d-'0')
			}
		case len(name) == 17 && bytes.EqualFold(name, []byte("transfer-encoding")):
			return false // the generators that are meant send lengths
		case len(name) == 10 && bytes.EqualFold(name, []byte("connection")):
			c.closes = bytes.EqualFold(value, []byte("close"))
		}
	}
	if c.skip = length; length == 0 {
		c.answer()
	}
	return true
}

func (c *conn) answer() {
	c.answers++
	c.w.origin.requests.Add(1)
}
