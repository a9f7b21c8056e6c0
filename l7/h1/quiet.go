package h1

import "time"

// Yield makes ReadRequest return ErrQuiet instead of waiting for a request of which
// nothing has come yet, now or later, until Stay. What has begun is not touched. It is
// how a connection that is quiet gives back its goroutine and its buffers.
func (c *Conn) Yield() {
	c.yield.Store(true)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // as in Interrupt
}

// Stay takes Yield back, between two requests: one came after all. No Yield may run at
// the same time.
func (c *Conn) Stay() { c.yield.Store(false) }

// Detach gives all buffers back and leaves the connection open, for its owner to wait
// for the next request without a Conn. Deadlines stay as they are. It may be called
// after ErrQuiet, when nothing has been read that was not used; then only Close may
// follow, which does nothing.
func (c *Conn) Detach() {
	c.in.release()
	c.out.release()
	c.hijacked = true
}
