package upstream

import (
	"errors"
	"os"
	"time"

	"weir/pool"
)

// AwaitHead waits for the first byte of a response for up to d and reports whether it
// is there, for ReadHead to read on from. That it is not is no error: the time is over
// or Interrupt was called, the connection is as good as before, and ReadHead or
// AwaitHead may follow. An error is an *Error of StageHead. It belongs to the read
// side; the request must have been sent wholly.
func (c *Conn) AwaitHead(d time.Duration) (bool, error) {
	r := &c.read
	if r.r < r.w {
		return true, nil
	}
	if r.head == nil {
		r.head = pool.Get(headBuffer)
	}
	r.r, r.w = 0, 0
	until := time.Now().Add(d)
	for c.arm(until) {
		n, err := c.nc.Read(r.head.B)
		switch {
		case n > 0:
			r.w, r.full = n, n == len(r.head.B)
			c.answered.Store(true)
			return true, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return false, c.fail(StageHead, err)
		case !time.Now().Before(until):
			return false, nil
		}
	}
	return false, nil // interrupted
}

// arm sets the deadline of a read exactly; false: there is to be none, as the wait was
// interrupted.
func (c *Conn) arm(until time.Time) bool {
	l := &c.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.interrupted {
		return false
	}
	l.read.at = until
	_ = c.nc.SetReadDeadline(until) // see setRead
	return true
}

// Interrupt ends an AwaitHead of another goroutine, the present or the next ones. It
// may be called until Release is.
func (c *Conn) Interrupt() {
	l := &c.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	l.interrupted = true
	l.read.at = time.Unix(1, 0)
	_ = c.nc.SetReadDeadline(l.read.at) // see setRead
}

// AwaitBody waits for the next piece of the body for up to d, and reports whether
// ReadBody would answer at once, be it with an error. It belongs to the read side.
func (c *Conn) AwaitBody(d time.Duration) bool {
	r := &c.read
	if r.r < r.w || r.err != nil || r.decoder.Done() {
		return true
	}
	c.chooseBuffer()
	r.r, r.w = r.base, r.base
	until := time.Now().Add(d)
	for c.arm(until) {
		b := c.buffer()
		n, err := c.nc.Read(b[r.w:])
		switch {
		case n > 0:
			r.w += n
			r.full = r.w == len(b)
			return true
		case !errors.Is(err, os.ErrDeadlineExceeded):
			_ = c.filled(err) // it is kept, and ReadBody says it
			return true
		case !time.Now().Before(until):
			return false
		}
	}
	return false // interrupted
}
