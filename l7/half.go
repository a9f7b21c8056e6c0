package l7

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"unsafe"

	"weir/l4/loop"
	"weir/pool"
)

// Sizes of what a direction of a tunnel reads into: most messages fit the first, and
// what has filled it once is bulk.
const (
	tunnelBuffer = 4 << 10
	tunnelBulk   = 64 << 10
)

// half is one direction of a tunnel.
type half struct {
	t        *tunnel
	dst, src net.Conn
	moved    *atomic.Uint64 // octets, one of the tunnel's counters
	bulk     bool           // the last read filled its buffer
	err      error          // what ended it

	unread, untaken loop.TunnelCause // what it means that reading from src, or writing to dst, failed
	up              bool             // from the client to the server
}

// relay writes first and then all that src sends to dst, and passes the end on.
func (h *half) relay(first []byte) {
	defer func() {
		if p := recover(); p != nil {
			h.t.s.panicked("tunnel", p)
			h.t.close() // or the other direction would wait for ever
		}
	}()
	h.write(first)
	if raw := h.socket(); raw != nil {
		h.drainHandedOver()
		for h.err == nil {
			if err := raw.Read(h.move); h.err == nil && err != nil {
				h.fail(err)
			}
		}
	} else {
		h.copy()
	}
	if errors.Is(h.err, io.EOF) {
		if w, ok := h.dst.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
			return
		}
	}
	h.t.close() // one direction broke: the other one has nothing to say any more
}

// socket gives access to the socket of src where what it says are the octets
// themselves, else nil.
func (h *half) socket() syscall.RawConn {
	if _, ok := h.src.(*tls.Conn); ok {
		return nil
	}
	s, ok := h.src.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// drainHandedOver passes on what src had read before it came here.
func (h *half) drainHandedOver() {
	c, ok := h.src.(*loop.Conn)
	if !ok {
		return
	}
	for h.err == nil && c.Buffered() > 0 {
		b := pool.Get(tunnelBuffer)
		n, err := c.Read(b.B[:min(len(b.B), c.Buffered())])
		h.write(b.B[:n])
		if h.err == nil {
			h.err = err
		}
		b.Release()
	}
}

// move passes on what is there, and returns false for the poller to wait. It holds a
// buffer only meanwhile: an idle tunnel has none. It reads until there is nothing left,
// since the poller reports an end that came together with octets only once.
func (h *half) move(fd uintptr) bool {
	for h.err == nil {
		size := tunnelBuffer
		if h.bulk {
			size = tunnelBulk
		}
		b := pool.Get(size)
		n, errno := readNow(fd, b.B)
		h.write(b.B[:n])
		h.bulk = n == len(b.B)
		b.Release()
		switch {
		case errno == syscall.EAGAIN:
			return false
		case errno == syscall.EINTR:
		case errno != 0:
			h.fail(errno)
		case n == 0:
			h.err = io.EOF
		}
	}
	return true
}

// readNow reads what a socket has, without waiting; so the scheduler need not know.
func readNow(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), syscall.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// write passes p on.
func (h *half) write(p []byte) {
	if len(p) == 0 || h.err != nil {
		return
	}
	h.t.touch()
	if h.up { // the client is not read meanwhile: somebody else has to see whether it is there
		h.t.c.await()
		defer h.t.c.awaited()
	}
	n, err := h.dst.Write(p)
	h.moved.Add(uint64(n))
	if h.err = err; err != nil {
		h.t.broke(h.untaken, err)
	}
}

// copy is relay for TLS.
func (h *half) copy() {
	b := pool.Get(tunnelBuffer)
	defer b.Release()
	for h.err == nil {
		n, err := h.src.Read(b.B)
		h.write(b.B[:n])
		if h.err == nil && err != nil {
			h.fail(err)
		}
	}
}

// fail notes an error of reading, which may be the end. crypto/tls takes an end without a
// close_notify for one, which is a cut.
func (h *half) fail(err error) {
	if c := h.t.c; err == io.EOF && h.up && c.tls != nil && !c.tls.notified.Load() {
		err = io.ErrUnexpectedEOF
	}
	h.err = err
	if err != io.EOF {
		h.t.broke(h.unread, err)
	}
}
