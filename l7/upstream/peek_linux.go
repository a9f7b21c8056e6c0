package upstream

import (
	"syscall"
	"unsafe"
)

// quiet reports whether an idle connection has nothing to read. A backend has
// no business to speak between two exchanges: an end of stream, an error or
// surplus bytes all mean that the connection must not be used again.
//
// The descriptor is peeked at without blocking and without the runtime's poller.
// That costs about 0.3 us per reuse and no allocation: peekFn is bound once.
func (c *Conn) quiet() bool {
	c.peeked = false
	if err := c.raw.Control(c.peekFn); err != nil {
		return false
	}
	return c.peeked
}

// peek sets peeked when the descriptor has nothing to read.
func (c *Conn) peek(fd uintptr) {
	var b [1]byte
	for {
		// Package syscall offers recvfrom only together with the sender's
		// address, which it allocates. The call never blocks (MSG_DONTWAIT),
		// so the scheduler need not know of it.
		_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), 1,
			syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		if errno != syscall.EINTR {
			c.peeked = errno == syscall.EAGAIN
			return
		}
	}
}
