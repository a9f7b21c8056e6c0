package upstream

import (
	"syscall"
	"unsafe"
)

// available reads what the kernel holds of a body whose rest is announced, without
// waiting, and reports whether there was something. Most of a long body is there when
// its head is: read now, it goes to the client together with the head, in one write
// and one wake-up of the client instead of two. Where the length is not known, a
// stream may be quiet for long, and the question would be in vain each time.
func (c *Conn) available() bool {
	r := &c.read
	if c.wire != nil || r.decoder.Remaining() <= 0 {
		return false
	}
	c.chooseBuffer()
	r.r, r.w = r.base, r.base
	if nc := c.loop.nc; nc != nil {
		n, err := nc.Read(c.buffer()[r.w:])
		if err != nil || n == 0 {
			return false // as below
		}
		r.w, r.again = r.w+n, false
		r.full = r.w == len(c.buffer())
		return true
	}
	c.received = 0
	if err := c.raw.Control(c.receiveFn); err != nil || c.received <= 0 {
		return false // what is wrong will be told by the read that waits
	}
	r.w += c.received
	r.full = r.w == len(c.buffer())
	return true
}

// receive is the system call of available. It never blocks (MSG_DONTWAIT), so the
// scheduler need not know of it.
func (c *Conn) receive(fd uintptr) {
	b := c.buffer()[c.read.w:]
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))),
			uintptr(len(b)), syscall.MSG_DONTWAIT, 0, 0)
		if errno != syscall.EINTR {
			c.received = 0
			if errno == 0 {
				c.received = int(n)
			}
			return
		}
	}
}
