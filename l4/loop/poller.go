package loop

import (
	"errors"

	errorx "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/queue"
	"golang.org/x/sys/unix"
)

// Events is what the kernel reported of a descriptor. It is a hint: numbers are
// reused, so an event can be meant for a descriptor that was closed in the same
// batch. Only reading, writing and [Loop.Dialed] decide.
type Events uint32

// Readable reports that reading may give bytes, the end or an error.
func (e Events) Readable() bool { return e&(unix.EPOLLIN|unix.EPOLLPRI|Ended) != 0 }

// Writable reports that writing may take bytes or give an error.
func (e Events) Writable() bool { return e&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 }

// Failed reports that an error is pending on the socket (SO_ERROR).
func (e Events) Failed() bool { return e&unix.EPOLLERR != 0 }

// ReadToEnd reports that a short read does not mean that the socket is empty: an
// end, an error or urgent data stands behind the bytes and gives no edge of its own.
func (e Events) ReadToEnd() bool { return e&(unix.EPOLLPRI|Ended) != 0 }

// Ended are the events of a peer that ended its direction, or of a broken connection.
const Ended Events = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR

// poller is all that a loop needs of an event queue.
type poller interface {
	// watch reports both directions of fd once per change (edge-triggered).
	watch(fd int) error
	// rewatch reports what fd is ready for now once more.
	rewatch(fd int) error
	// watchReads reports fd as long as it is readable (level-triggered).
	watchReads(fd int) error
	// forget ends the reports of fd, which must still be open.
	forget(fd int) error
	// wake makes run call its task function soon. It may be called from any goroutine.
	wake() error
	// run reports events until task returns false.
	run(event func(fd int, ev Events), task func() bool) error
	close() error
}

// netPoller is gnet's poller. It does not own a thread or a goroutine.
type netPoller struct {
	p    *netpoll.Poller
	task func() bool
}

func openPoller() (*netPoller, error) {
	p, err := netpoll.OpenPoller()
	if err != nil {
		return nil, err
	}
	return &netPoller{p: p}, nil
}

func (n *netPoller) watch(fd int) error {
	return n.p.AddReadWrite(&netpoll.PollAttachment{FD: fd}, true)
}

func (n *netPoller) rewatch(fd int) error {
	return n.p.ModReadWrite(&netpoll.PollAttachment{FD: fd}, true)
}

func (n *netPoller) watchReads(fd int) error {
	return n.p.AddRead(&netpoll.PollAttachment{FD: fd}, false)
}

func (n *netPoller) forget(fd int) error { return n.p.Delete(fd) }

func (n *netPoller) wake() error { return n.p.Trigger(queue.HighPriority, runTask, n) }

// runTask ends Polling with the one error that gnet takes for "stop".
func runTask(n any) error {
	if !n.(*netPoller).task() {
		return errorx.ErrEngineShutdown
	}
	return nil
}

func (n *netPoller) run(event func(fd int, ev Events), task func() bool) error {
	n.task = task
	err := n.p.Polling(func(fd int, ev netpoll.IOEvent, _ netpoll.IOFlags) error {
		event(fd, Events(ev))
		return nil
	})
	if errors.Is(err, errorx.ErrEngineShutdown) {
		return nil
	}
	return err
}

func (n *netPoller) close() error { return n.p.Close() }
