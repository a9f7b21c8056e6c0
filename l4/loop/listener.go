package loop

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// acceptBurst is how many connections are accepted before other descriptors have their turn.
	acceptBurst = 64
	// stormStreak is how many events in a row must have had enough connections before more
	// are accepted at a time.
	stormStreak = 8
	// acceptBackoff is how long a listener waits when descriptors or memory ran out.
	acceptBackoff = 50 * time.Millisecond
	// drainMax bounds what Close still accepts; no backlog is longer.
	drainMax = 1 << 16
)

// AcceptFunc takes over an accepted connection, non-blocking and close-on-exec,
// that the loop does not watch yet. peer is zero for a unix socket.
type AcceptFunc func(fd int, peer netip.AddrPort)

// Listener accepts connections on one loop.
type Listener struct {
	loop    *Loop
	fd      int
	accept  AcceptFunc
	current int   // the connection being taken over, -1: none
	many    int   // connections to accept at the next event
	streak  int   // events in a row that had enough of them
	timer   Timer // runs while the listener backs off
	closed  bool
}

// Listen starts accepting on fd, a listening non-blocking socket, which the
// Listener then owns. On an error fd stays the caller's.
func (l *Loop) Listen(fd int, accept AcceptFunc) (*Listener, error) {
	ln := &Listener{loop: l, fd: fd, accept: accept, current: -1, many: 1}
	l.set(fd, ln)
	if err := l.p.watchReads(fd); err != nil {
		l.table[fd] = nil
		return nil, fmt.Errorf("cannot watch listener: %w", err)
	}
	return ln, nil
}

// Close accepts what waits in the kernel's queue, which would be reset otherwise,
// and closes the socket. A second call does nothing.
func (ln *Listener) Close() {
	if ln.closed {
		return
	}
	ln.closed = true
	ln.loop.Disarm(&ln.timer)
	ln.burst(drainMax)
	ln.loop.table[ln.fd] = nil
	CloseSocket(ln.fd)
}

// Ready implements [Handler].
//
// It accepts one connection: where they come one by one, a call that finds none would be
// one more for each. The event queue goes on reporting what is left, and after a streak of
// such reports, as in a storm, more are accepted at a time.
func (ln *Listener) Ready(int, Events) {
	if !ln.burst(ln.many) {
		ln.many, ln.streak = 1, 0
		return
	}
	if ln.streak++; ln.streak >= stormStreak {
		ln.many = min(2*ln.many, acceptBurst)
	}
}

// burst accepts up to n connections, and reports whether there were that many.
func (ln *Listener) burst(n int) (enough bool) {
	for range n {
		fd, peer, errno := accept(ln.fd)
		switch errno {
		case 0:
			ln.hand(fd, peer)
		case unix.EAGAIN:
			return false
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			ln.backOff()
			return false
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EBADF, unix.EINVAL, unix.ENOTSOCK, unix.EFAULT, unix.EOPNOTSUPP:
			ln.loop.log.Error("cannot accept", "error", errno)
			ln.backOff()
			return false
		default:
			// An error of the network that waited for this connection (accept(2)): try the next.
		}
	}
	return true
}

func (ln *Listener) hand(fd int, peer netip.AddrPort) {
	defer ln.loop.Recovered(ln)
	ln.current = fd
	ln.accept(fd, peer)
	ln.current = -1
}

// Abort implements [Aborter]: the connection whose taking over panicked is closed,
// by its handler where it has got one, which may own more than this descriptor.
func (ln *Listener) Abort() {
	fd := ln.current
	if fd < 0 {
		return
	}
	ln.current = -1
	if fd < len(ln.loop.table) && ln.loop.table[fd] != nil {
		ln.loop.table[fd].Abort()
		return
	}
	CloseSocket(fd)
}

// backOff takes the listener out of the event queue, which would report it again
// and again, and leaves the clients waiting in the kernel's queue.
func (ln *Listener) backOff() {
	if ln.closed || ln.timer.armed {
		return
	}
	ln.loop.stats.Backoffs.Add(1)
	if ln.loop.onBackoff != nil {
		ln.loop.onBackoff()
	}
	if err := ln.loop.p.forget(ln.fd); err != nil {
		ln.loop.log.Error("cannot pause listener", "error", err)
	}
	ln.loop.Arm(&ln.timer, acceptBackoff, ln)
}

// Expire ends the back-off.
func (ln *Listener) Expire(*Timer) {
	if err := ln.loop.p.watchReads(ln.fd); err != nil {
		ln.loop.log.Error("cannot resume listener", "error", err)
		ln.loop.Arm(&ln.timer, acceptBackoff, ln)
	}
}
