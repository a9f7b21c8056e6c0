package loop

import (
	"io"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SendFile sends head, and then n octets of src from off on without copying them through
// this process (sendfile(2)). The head waits in the kernel for what follows it. SendFile
// returns how many octets went out in all. It waits as Write does and keeps to its
// deadline. A file that ends before that is io.ErrUnexpectedEOF. It must not run at the
// same time as Write or Writev, and leaves src's own offset alone.
//
// To a raw Conn only a file in memory may be sent, as nothing may wait for a disk. What
// the kernel does not take becomes its backlog.
func (c *Conn) SendFile(head []byte, src *os.File, off, n int64) (sent int64, err error) {
	if c.isRaw() {
		return c.sendFileRaw(sending{head: head, off: off, n: n}, src)
	}
	s := sending{head: head, off: off, n: n}
	from, err := src.SyscallConn()
	if err != nil {
		return 0, err
	}
	var errSend error
	errRead := from.Control(func(in uintptr) {
		err = c.raw.Write(func(out uintptr) bool {
			done, e := s.once(int(out), int(in))
			errSend = e
			return done
		})
	})
	switch {
	case errRead != nil:
		return s.sent, errRead
	case err == nil:
		err = errSend
	}
	if err != nil && err != io.ErrUnexpectedEOF {
		err = c.opError("sendfile", err)
	}
	return s.sent, err
}

// sendFileRaw is SendFile of a raw Conn.
func (c *Conn) sendFileRaw(s sending, src *os.File) (int64, error) {
	o := &c.own
	if c.closed.Load() {
		return 0, c.opError("sendfile", net.ErrClosed)
	}
	c.catchUp()
	if o.lost != nil {
		return 0, c.opError("sendfile", o.lost)
	}
	if len(o.backlog) == 0 {
		done, err := s.once(o.fd, int(src.Fd()))
		o.taken += uint64(s.sent)
		switch {
		case err == io.ErrUnexpectedEOF:
			return s.sent, err
		case err != nil:
			return s.sent, c.opError("sendfile", err)
		case done:
			return s.sent, nil
		}
	}
	o.backlog = append(o.backlog, s.head...)
	at := len(o.backlog)
	o.backlog = append(o.backlog, make([]byte, s.n)...)
	k, err := src.ReadAt(o.backlog[at:], s.off)
	s.sent += int64(len(s.head) + k)
	o.backlog = o.backlog[:at+k]
	if err == io.EOF && int64(k) < s.n {
		err = io.ErrUnexpectedEOF
	}
	if err == io.EOF {
		err = nil
	}
	return s.sent, err
}

// sending is what is left of a SendFile.
type sending struct {
	head   []byte
	off, n int64
	sent   int64
}

// once sends until all has gone or the socket is full, which is not done: the rest is to
// be sent when it is writable.
func (s *sending) once(out, in int) (done bool, err error) {
	for len(s.head) > 0 {
		flags := uintptr(unix.MSG_NOSIGNAL)
		if s.n > 0 {
			flags |= unix.MSG_MORE
		}
		k, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(out),
			uintptr(unsafe.Pointer(unsafe.SliceData(s.head))), uintptr(len(s.head)), flags, 0, 0)
		switch errno {
		case 0:
			s.head, s.sent = s.head[k:], s.sent+int64(k)
		case unix.EINTR:
		case unix.EAGAIN:
			return false, nil
		default:
			return true, errno
		}
	}
	for s.n > 0 {
		at := s.off
		k, err := unix.Sendfile(out, in, &at, int(min(s.n, 1<<30)))
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false, nil
		case err != nil:
			return true, err
		case k == 0:
			return true, io.ErrUnexpectedEOF
		default:
			s.off, s.n, s.sent = s.off+int64(k), s.n-int64(k), s.sent+int64(k)
		}
	}
	return true, nil
}
