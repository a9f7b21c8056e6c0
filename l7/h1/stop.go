package h1

import (
	"errors"
	"time"
)

// ErrStopped ends ReadBody after StopBody.
var ErrStopped = errors.New("reading the request body was stopped")

// StopBody makes a ReadBody of another goroutine return ErrStopped, now or when it
// would have to wait the next time. It is for an answer that came before the body
// was read: the goroutine that sends the body on has to end. What is left of the
// body stays where it is, for Finish.
func (c *Conn) StopBody() {
	c.stopped.Store(true)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // on a closed connection ReadBody fails by itself
}
