package l4

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/pool/backend"
)

// kernel is all that a session asks of its loop and of the operating system. A
// session that runs against another one, in which each call may fail or fall short,
// meets what the real one shows once a year.
type kernel interface {
	Now() time.Duration
	Scratch() []byte
	Arm(*loop.Timer, time.Duration, loop.Expirer)
	Disarm(*loop.Timer)
	Do(func()) bool
	Recovered(loop.Aborter)

	Watch(fd int, h loop.Handler) error
	Again(fd int)
	Release(fd int)
	CloseFD(fd int)
	ResetFD(fd int)
	CloseSocket(fd int)

	Dial(sa unix.Sockaddr, options loop.SocketOptions) (fd int, connected bool, err error)
	Dialed(fd int, sa unix.Sockaddr) (connected bool, err error)
	Probe(fd int, o *backend.Socket) error
	SocketError(fd int) error
	LocalAddr(fd int) netip.AddrPort

	Read(fd int, p []byte) (int, unix.Errno)
	Peek(fd int, p []byte) (int, unix.Errno)
	Write(fd int, p []byte) (int, unix.Errno)
	PutOff(w loop.LateWriter, p []byte)
	CatchUp()
	Shutdown(fd int) error
	Pipe() (r, w int, err error)
	Splice(from, to, n int) (int, error)
}

// host is the kernel of this machine, reached through one loop.
type host struct{ *loop.Loop }

func (host) CloseSocket(fd int)                       { loop.CloseSocket(fd) }
func (host) SocketError(fd int) error                 { return loop.SocketError(fd) }
func (host) LocalAddr(fd int) netip.AddrPort          { return loop.LocalAddr(fd) }
func (host) Read(fd int, p []byte) (int, unix.Errno)  { return loop.Read(fd, p) }
func (host) Peek(fd int, p []byte) (int, unix.Errno)  { return loop.Peek(fd, p) }
func (host) Write(fd int, p []byte) (int, unix.Errno) { return loop.Write(fd, p) }

// Probe turns keepalive on.
func (host) Probe(fd int, o *backend.Socket) error { return o.Probe(fd) }

// Shutdown ends our direction of fd.
func (host) Shutdown(fd int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0); errno != 0 {
		return errno
	}
	return nil
}

// Pipe opens a pipe for [host.Splice], as large as the kernel lets it be.
func (host) Pipe() (r, w int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return -1, -1, err
	}
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize) // see pipeSize
	return fds[0], fds[1], nil
}

// Splice moves up to n bytes, one of the two being a pipe.
func (host) Splice(from, to, n int) (int, error) {
	m, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	return int(m), err
}
