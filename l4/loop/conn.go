package loop

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"weir/pool/limit"
)

// PeerState is what the kernel knows of the other end of a [Conn].
type PeerState uint8

// The states of a peer. A peer that half-closed may still read everything.
const (
	PeerOpen  PeerState = iota // nothing ended
	PeerFin                    // the peer ended its direction
	PeerReset                  // the connection is broken, or the peer closed both directions
)

// Conn is a [net.Conn] over a descriptor that a loop gave away, driven by goroutines
// and the runtime's poller, or over one that a loop drives itself: see [Loop.Raw]. The
// descriptor is not duplicated, so closing the Conn closes the connection.
//
// With goroutines, Read, Write and the deadlines follow [net.Conn]; one goroutine may read while
// another writes. Writev must not run at the same time as another Writev.
type Conn struct {
	file    *os.File
	raw     syscall.RawConn
	data    []byte // still to be served by Read
	local   netip.AddrPort
	remote  netip.AddrPort
	ticket  limit.Ticket
	closed  atomic.Bool
	finSent atomic.Bool
	own     rawState

	// The state of one Writev, kept here with its callback so that the call does not allocate.
	iov      [][]byte
	iovN     int
	iovErr   error
	writeIov func(fd uintptr) bool
}

var _ net.Conn = (*Conn)(nil)

// NewConn takes over the connection in h. On an error it has closed the
// descriptor and released the ticket.
func NewConn(h Handover) (*Conn, error) {
	c := &Conn{data: h.Data, local: h.Local, remote: h.Remote, ticket: h.Ticket}
	if err := c.open(h.FD); err != nil {
		return nil, err
	}
	return c, nil
}

// Read serves the bytes handed over first, then those of the socket.
func (c *Conn) Read(p []byte) (int, error) {
	if len(c.data) > 0 {
		n := copy(p, c.data)
		if c.data = c.data[n:]; len(c.data) == 0 {
			c.data = nil
		}
		return n, nil
	}
	if c.isRaw() {
		return c.readRaw(p)
	}
	n, err := c.file.Read(p)
	if err == io.EOF && c.own.lost != nil { // a write has taken the error from the socket
		err = c.own.lost
	}
	if err != nil && err != io.EOF {
		err = c.opError("read", err)
	}
	return n, err
}

// Buffered reports how many handed-over bytes Read has still to serve.
func (c *Conn) Buffered() int { return len(c.data) }

// Write writes all of p unless it returns an error.
func (c *Conn) Write(p []byte) (int, error) {
	if c.isRaw() {
		return c.writeRaw(p)
	}
	n, err := c.file.Write(p)
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

// Writev writes all of bufs in as few system calls as the socket takes, and
// returns how many bytes went out. It consumes bufs: afterwards its slices hold
// what was not written. It does not allocate for up to eight slices.
func (c *Conn) Writev(bufs [][]byte) (int64, error) {
	if c.isRaw() {
		return c.writevRaw(bufs)
	}
	var total int64
	for bufs = trim(bufs, 0); len(bufs) > 0; {
		c.iov, c.iovN, c.iovErr = bufs, 0, nil
		err := c.raw.Write(c.writeIov)
		c.iov = nil
		if err == nil {
			err = c.iovErr
		}
		total += int64(c.iovN)
		bufs = trim(bufs, c.iovN)
		if err != nil {
			return total, c.opError("write", err)
		}
	}
	return total, nil
}

// writevOnce is one attempt; false asks the poller to wait until the socket is writable.
func (c *Conn) writevOnce(fd uintptr) bool {
	for {
		n, err := unix.Writev(int(fd), c.iov[:min(len(c.iov), maxIov)])
		switch err {
		case nil:
			c.iovN = n
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			c.iovErr = err
			return true
		}
	}
}

// maxIov is the kernel's limit of slices in one call (IOV_MAX).
const maxIov = 1024

// trim drops n written bytes, and empty slices, from the front of bufs.
func trim(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 {
		if n < len(bufs[0]) {
			bufs[0] = bufs[0][n:]
			break
		}
		n -= len(bufs[0])
		bufs[0] = nil
		bufs = bufs[1:]
	}
	return bufs
}

// Close closes the connection and releases its ticket; calls after the first
// return [net.ErrClosed]. Blocked reads and writes return.
func (c *Conn) Close() error {
	if c.isRaw() {
		return c.closeRaw(false)
	}
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	err := c.file.Close()
	c.ticket.Release()
	return err
}

// Detach is the opposite of [NewConn]: it takes the connection out of the runtime's
// poller, so that a loop can wait for it. Nothing may use c any more, or have it in use;
// to Close it does nothing. The descriptor is another one than before. On an error, which
// is that there is none left, c is as it was.
func (c *Conn) Detach() (Handover, error) {
	fd, err := Extract(c)
	if err != nil {
		return Handover{}, err
	}
	h := Handover{FD: fd, Local: c.local, Remote: c.remote, Data: c.data}
	if c.closed.Swap(true) {
		CloseSocket(h.FD)
		return Handover{}, net.ErrClosed
	}
	h.Ticket, c.ticket = c.ticket, limit.Ticket{}
	_ = c.file.Close() // the connection lives on in its duplicate
	return h, nil
}

// CloseWrite ends the writing direction: the peer reads what was written and then the end.
func (c *Conn) CloseWrite() error {
	c.finSent.Store(true)
	return c.control("shutdown", func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

// Acknowledge sends an acknowledgement of what was read at once where the kernel puts it
// off (TCP_QUICKACK, for this time only). On other connections it does nothing.
func (c *Conn) Acknowledge() {
	_ = c.control("acknowledge", func(fd int) error { // a socket that is not TCP has no such option
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}

// Reset closes the connection with an RST, so that the peer cannot take what it
// has got so far for a whole. What the kernel has not sent yet is dropped.
func (c *Conn) Reset() error {
	if c.isRaw() {
		return c.closeRaw(true)
	}
	err := c.control("reset", func(fd int) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	return errors.Join(err, c.Close())
}

// PeerState asks the kernel about the peer without reading. Unlike a peek it
// also sees an end that stands behind unread bytes.
func (c *Conn) PeerState() PeerState {
	state := PeerOpen
	err := c.control("poll", func(fd int) error {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if _, err := unix.Poll(fds[:], 0); err != nil {
			return nil // EINTR: the next question will tell
		}
		state = peerState(fds[0].Revents, c.finSent.Load())
		return nil
	})
	if err != nil {
		return PeerReset
	}
	return state
}

// HasUnread reports whether octets wait in the kernel, before the end of the stream if
// that has come.
func (c *Conn) HasUnread() bool {
	n := 0
	err := c.control("peek", func(fd int) (err error) {
		var b [1]byte
		n, _, err = unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err
	})
	return err == nil && n > 0
}

// peerState reads poll's answer. POLLHUP means that both directions have
// ended; where we ended ours, that is no more than the peer's FIN.
func peerState(revents int16, finSent bool) PeerState {
	switch {
	case revents&(unix.POLLERR|unix.POLLNVAL) != 0, revents&unix.POLLHUP != 0 && !finSent:
		return PeerReset
	case revents&(unix.POLLRDHUP|unix.POLLHUP) != 0:
		return PeerFin
	}
	return PeerOpen
}

// SyscallConn gives access to the descriptor. The caller must not close it. A raw Conn
// has none to give.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	if c.raw == nil {
		return nil, errors.ErrUnsupported
	}
	return c.raw, nil
}

// RemoteAddrPort is the address of the peer without allocating; zero for a unix socket.
func (c *Conn) RemoteAddrPort() netip.AddrPort { return c.remote }

// LocalAddrPort is our address without allocating; zero for a unix socket.
func (c *Conn) LocalAddrPort() netip.AddrPort { return c.local }

// RemoteAddr implements [net.Conn].
func (c *Conn) RemoteAddr() net.Addr { return netAddr(c.remote) }

// LocalAddr implements [net.Conn].
func (c *Conn) LocalAddr() net.Addr { return netAddr(c.local) }

// SetDeadline implements [net.Conn].
func (c *Conn) SetDeadline(t time.Time) error {
	if c.isRaw() {
		c.own.readBy, c.own.writeBy = t, t
		return nil
	}
	return c.deadlineError(c.file.SetDeadline(t))
}

// SetReadDeadline implements [net.Conn]. Bytes handed over are served whatever the deadline.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if c.isRaw() {
		c.own.readBy = t
		return nil
	}
	return c.deadlineError(c.file.SetReadDeadline(t))
}

// SetWriteDeadline implements [net.Conn].
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if c.isRaw() {
		c.own.writeBy = t
		return nil
	}
	return c.deadlineError(c.file.SetWriteDeadline(t))
}

func (c *Conn) deadlineError(err error) error {
	if err != nil {
		return c.opError("set", err)
	}
	return nil
}

func (c *Conn) control(op string, f func(fd int) error) error {
	if c.isRaw() {
		if c.closed.Load() {
			return c.opError(op, net.ErrClosed)
		}
		c.catchUp()
		if err := f(c.own.fd); err != nil {
			return c.opError(op, err)
		}
		return nil
	}
	var errOp error
	if err := c.raw.Control(func(fd uintptr) { errOp = f(int(fd)) }); err != nil {
		return c.opError(op, err)
	}
	if errOp != nil {
		return c.opError(op, errOp)
	}
	return nil
}

// opError gives err the form that package net's connections have, so that
// callers (crypto/tls among them) can tell a deadline from a broken connection.
func (c *Conn) opError(op string, err error) error {
	if pe, ok := err.(*os.PathError); ok {
		err = pe.Err
	}
	if errors.Is(err, os.ErrClosed) {
		err = net.ErrClosed
	}
	if errno, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func netAddr(ap netip.AddrPort) net.Addr {
	if !ap.IsValid() {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(ap)
}
