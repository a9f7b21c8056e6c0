package loop

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batch is how many events one epoll_wait(2) takes over.
	batch = 256
	// probeEvery is after how many waits that blocked one is tried that does not.
	probeEvery = 16
)

// epoll is an event queue of the kernel. It owns no thread and no goroutine. All but
// wake belongs to the loop. Why it is our own: docs/decisions/0006.
type epoll struct {
	fd     int
	wakeFD int         // an eventfd
	woken  atomic.Bool // wake has written and run has not yet taken it
	events [batch]unix.EpollEvent
	busy   bool // the last look without waiting found events
	blocks int  // waits that blocked since then
}

func openEpoll() (*epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		CloseSocket(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	p := &epoll{fd: fd, wakeFD: wakeFD}
	// Edge-triggered: the counter need not be read, each write is an edge.
	if err := p.control(unix.EPOLL_CTL_ADD, wakeFD, unix.EPOLLIN|unix.EPOLLET); err != nil {
		_ = p.close()
		return nil, fmt.Errorf("cannot watch wake-ups: %w", err)
	}
	return p, nil
}

// bothWays is how a connection is watched, and never changed (docs/decisions/0002).
const bothWays = unix.EPOLLIN | unix.EPOLLPRI | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// watch reports both directions of fd once per change.
func (p *epoll) watch(fd int) error { return p.control(unix.EPOLL_CTL_ADD, fd, bothWays) }

// rewatch reports what fd is ready for now once more.
func (p *epoll) rewatch(fd int) error { return p.control(unix.EPOLL_CTL_MOD, fd, bothWays) }

// watchReads reports fd as long as it is readable (level-triggered).
func (p *epoll) watchReads(fd int) error { return p.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN) }

// watchPeer is watchReads that reports the end of the peer's direction as well.
func (p *epoll) watchPeer(fd int) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLRDHUP)
}

// forget ends the reports of fd, which must still be open.
func (p *epoll) forget(fd int) error { return p.control(unix.EPOLL_CTL_DEL, fd, 0) }

func (p *epoll) control(op, fd int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd)}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.fd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// wake makes run call its task function soon. It may be called from any goroutine, and
// many calls before that are one.
func (p *epoll) wake() error {
	if p.woken.Swap(true) {
		return nil
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1) // nobody reads the counter: it is full after 2^64 of them
	if _, err := unix.Write(p.wakeFD, one[:]); err != nil {
		return os.NewSyscallError("write to eventfd", err)
	}
	return nil
}

// run reports events until task returns false, and calls end before it looks for more.
// task is also called first: a wake-up may have been among the events that an earlier run
// left behind in a panic.
func (p *epoll) run(event func(fd int, ev Events), task func() bool, end func()) error {
	called := true
	for n := 0; ; {
		for i := range p.events[:n] {
			ev := &p.events[i]
			if int(ev.Fd) == p.wakeFD {
				called = true
				continue
			}
			event(int(ev.Fd), Events(ev.Events))
		}
		if called {
			p.woken.Store(false) // before the tasks are taken: what comes later wakes anew
			if !task() {
				return nil
			}
			called = false
		}
		end()
		var err error
		if n, err = p.wait(); err != nil {
			return err
		}
	}
}

// wait returns the number of events, waiting for the first. A busy loop looks without
// waiting, which Go's scheduler need not know of; one with little to do waits at once, as
// looking first would be a second call for each event.
func (p *epoll) wait() (int, error) {
	if p.busy || p.blocks >= probeEvery {
		p.blocks = 0
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd),
			uintptr(unsafe.Pointer(&p.events[0])), batch, 0, 0, 0)
		p.busy = errno == 0 && n > 0
		if p.busy {
			return int(n), nil
		}
	}
	for {
		n, err := unix.EpollWait(p.fd, p.events[:], -1)
		switch err {
		case nil:
			p.blocks++
			return n, nil
		case unix.EINTR:
		default:
			return 0, os.NewSyscallError("epoll_wait", err)
		}
	}
}

func (p *epoll) close() error {
	CloseSocket(p.wakeFD)
	return os.NewSyscallError("close", unix.Close(p.fd))
}
