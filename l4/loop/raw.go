package loop

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A Conn is driven in one of two ways, and can change between them without losing an
// octet of what its user has buffered:
//
//	raw --Promote--> by goroutines --Detach--> a Handover
//	raw --Surrender--> a Handover
//
// A raw Conn belongs to a loop, which watches it. Nothing waits: Read returns ErrAgain,
// and what a Write cannot get rid of becomes a backlog. A small Write is put off until
// others are done, and until the end of the loop's round at the latest; should it fail,
// the Watcher is told, and Read and the next Write return the error. Deadlines are only noted: a Read
// that has nothing to return looks at them, and they count again after Promote.

// ErrAgain is what Read of a raw [Conn] returns where it would have to wait. Nothing is
// wrong: the Watcher is told when there is more. Layers above pass it on as it is; to
// crypto/tls it is a net.Error that is Temporary, so that it keeps what it has of a record
// and goes on from there.
var ErrAgain error = againError{}

type againError struct{}

func (againError) Error() string { return "the connection has nothing to read yet" }

// Timeout and Temporary implement [net.Error].
func (againError) Timeout() bool   { return false }
func (againError) Temporary() bool { return true }

// Watcher is told on the loop what happens to a raw [Conn].
type Watcher interface {
	// Ready is called when something may have changed, each change once. Events are
	// hints; see [Events].
	Ready(ev Events)
	Aborter
}

// rawState is what a Conn needs while it is raw.
type rawState struct {
	loop    *Loop // nil: goroutines drive it
	fd      int
	watcher Watcher
	ready   bool // a Read may return something
	ended   bool // an end or an error was reported, which gives no edge of its own behind octets
	readBy  time.Time
	writeBy time.Time
	backlog []byte // written, but not taken by the kernel
	late    int    // octets that were written, but put off
	taken   uint64
	lost    error // of a write that was put off
}

// Raw takes over the connection in h, which no loop watches, as a raw Conn. It is called
// on the loop, as are all methods of the Conn until Promote or Surrender. On an error it
// has closed the descriptor and released the ticket.
func (l *Loop) Raw(h Handover, w Watcher) (*Conn, error) {
	c := &Conn{data: h.Data, local: h.Local, remote: h.Remote, ticket: h.Ticket}
	c.own = rawState{loop: l, fd: h.FD, watcher: w, ready: true}
	if err := l.Watch(h.FD, (*watched)(c)); err != nil {
		c.closed.Store(true)
		CloseSocket(h.FD)
		c.ticket.Release()
		return nil, err
	}
	return c, nil
}

// watched is a Conn in its role of a [Handler].
type watched Conn

// Ready implements [Handler].
func (w *watched) Ready(_ int, ev Events) {
	o := &w.own
	if ev.Readable() {
		o.ready = true
		o.ended = o.ended || ev.ReadToEnd()
	}
	o.watcher.Ready(ev)
}

// Abort implements [Handler].
func (w *watched) Abort() { w.own.watcher.Abort() }

// isRaw reports whether a loop drives the connection.
func (c *Conn) isRaw() bool { return c.own.loop != nil }

// Unread reports whether a Read of a raw Conn may return something else than ErrAgain.
func (c *Conn) Unread() bool { return c.own.ready || len(c.data) > 0 }

// IsQuiet reports whether a raw Conn has nothing to read, not even an end. It asks the
// kernel only where that is not known, or where ask is set: an end may have come that
// the loop has not been told of yet.
func (c *Conn) IsQuiet(ask bool) bool {
	o := &c.own
	switch {
	case c.closed.Load() || len(c.data) > 0:
		return false
	case !o.ready && !ask:
		return true
	}
	var b [1]byte
	if _, errno := Peek(o.fd, b[:]); errno != unix.EAGAIN {
		return false
	}
	o.ready, o.ended = false, false
	return true
}

// Backlogged reports whether the kernel has not yet taken all that was written to a raw
// Conn. Who sees it should write no more, promote the Conn and let a goroutine Settle it.
func (c *Conn) Backlogged() bool { return len(c.own.backlog) > 0 }

// Now is the present time: of a raw Conn as its loop has it, see [Loop.Time].
func (c *Conn) Now() time.Time {
	if c.isRaw() && !c.closed.Load() { // a closed one may be with a goroutine
		return c.own.loop.Time()
	}
	return time.Now()
}

// Expired reports whether the read deadline of a raw Conn has passed, so that a Read
// that finds nothing fails.
func (c *Conn) Expired(now time.Time) bool {
	return !c.own.readBy.IsZero() && !now.Before(c.own.readBy)
}

// IsEnded reports whether the end of a raw Conn was reported: PeerState tells of which kind.
func (c *Conn) IsEnded() bool { return c.own.ended }

// Again asks for one more call of the Watcher, after those of other connections.
func (c *Conn) Again() { c.own.loop.Again(c.own.fd) }

// Surrender gives the connection of a raw Conn away, which the loop watches no more.
// Nothing may use c any more; to Close it does nothing. All that was read must have been
// used, and all that was written taken by the kernel.
func (c *Conn) Surrender() Handover {
	c.catchUp()
	if c.Backlogged() || len(c.data) > 0 || c.closed.Swap(true) {
		panic("BUG: a connection in use was surrendered")
	}
	c.own.loop.Release(c.own.fd)
	h := Handover{FD: c.own.fd, Local: c.local, Remote: c.remote, Ticket: c.ticket, Loop: c.own.loop}
	c.own = rawState{loop: c.own.loop, fd: -1}
	return h
}

// Promote takes a raw Conn out of its loop and gives it to the runtime's poller: from
// now on goroutines drive it. What it has in its backlog is to be settled first. To a
// Conn that is not raw, or closed, it does nothing. On an error it has closed c.
func (c *Conn) Promote() error {
	if !c.isRaw() || c.closed.Load() {
		return nil
	}
	c.catchUp()
	o := c.own
	o.loop.Release(o.fd)
	c.own = rawState{backlog: o.backlog, taken: o.taken, lost: o.lost}
	if err := c.open(o.fd); err != nil {
		return err
	}
	for _, err := range [...]error{c.file.SetReadDeadline(o.readBy), c.file.SetWriteDeadline(o.writeBy)} {
		if err != nil {
			_ = c.Close() // the first error tells more
			return c.opError("set", err)
		}
	}
	return nil
}

// Settle writes the backlog of a Conn that was promoted, and waits for that as Write
// does. It comes before any other use.
func (c *Conn) Settle() error {
	backlog := c.own.backlog
	if c.own.lost != nil {
		return c.opError("write", c.own.lost)
	}
	if len(backlog) == 0 {
		return nil
	}
	c.own.backlog = nil
	_, err := c.Write(backlog)
	return err
}

func (c *Conn) readRaw(p []byte) (int, error) {
	o := &c.own
	if c.closed.Load() {
		return 0, c.opError("read", net.ErrClosed)
	}
	for o.ready && len(p) > 0 {
		n, errno := Read(o.fd, p)
		switch errno {
		case 0:
			if n == 0 && o.lost != nil { // the write has taken the error from the socket
				return 0, c.opError("write", o.lost)
			}
			if n == 0 {
				return 0, io.EOF
			}
			o.ready = n == len(p) || o.ended
			return n, nil
		case unix.EAGAIN:
			o.ready, o.ended = false, false
		case unix.EINTR:
		default:
			return 0, c.opError("read", errno)
		}
	}
	if !o.readBy.IsZero() && !o.loop.Time().Before(o.readBy) {
		return 0, c.opError("read", os.ErrDeadlineExceeded)
	}
	return 0, ErrAgain
}

func (c *Conn) writeRaw(p []byte) (int, error) {
	o := &c.own
	if c.closed.Load() {
		return 0, c.opError("write", net.ErrClosed)
	}
	if o.lost != nil {
		return 0, c.opError("write", o.lost)
	}
	if len(p) <= PutOffMost && len(o.backlog) == 0 {
		o.late += len(p)
		o.loop.PutOff((*lateConn)(c), p)
		return len(p), nil
	}
	c.catchUp()
	sent := 0
	for sent < len(p) && len(o.backlog) == 0 {
		n, errno := Write(o.fd, p[sent:])
		switch errno {
		case 0:
			sent += n
			o.taken += uint64(n)
		case unix.EINTR:
		case unix.EAGAIN:
			o.backlog = append(o.backlog, p[sent:]...)
			return len(p), nil
		default:
			return sent, c.opError("write", errno)
		}
	}
	o.backlog = append(o.backlog, p[sent:]...)
	return len(p), nil
}

func (c *Conn) writevRaw(bufs [][]byte) (total int64, err error) {
	if c.closed.Load() {
		return 0, c.opError("write", net.ErrClosed)
	}
	c.catchUp()
	if c.own.lost != nil {
		return 0, c.opError("write", c.own.lost)
	}
	for bufs = trim(bufs, 0); len(bufs) > 0 && len(c.own.backlog) == 0; {
		c.iov, c.iovN, c.iovErr = bufs, 0, nil
		took := c.writevOnce(uintptr(c.own.fd))
		c.iov = nil
		if c.iovErr != nil {
			return total, c.opError("write", c.iovErr)
		}
		total += int64(c.iovN)
		c.own.taken += uint64(c.iovN)
		bufs = trim(bufs, c.iovN)
		if !took {
			break
		}
	}
	for _, b := range bufs {
		c.own.backlog = append(c.own.backlog, b...)
		total += int64(len(b))
	}
	return total, nil
}

// closeRaw closes a raw Conn, behind what was put off.
func (c *Conn) closeRaw(reset bool) error {
	c.catchUp()
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	if o := &c.own; o.fd >= 0 {
		if reset {
			o.loop.ResetFD(o.fd)
		} else {
			o.loop.CloseFD(o.fd)
		}
		o.fd, o.ready, o.backlog = -1, false, nil
	}
	c.ticket.Release()
	return nil
}

// open gives the descriptor to the runtime's poller. On an error it has closed it.
func (c *Conn) open(fd int) error {
	c.file = os.NewFile(uintptr(fd), "socket")
	if c.file == nil {
		c.closed.Store(true)
		c.ticket.Release()
		return fmt.Errorf("cannot take over connection: bad descriptor %d", fd)
	}
	raw, err := c.file.SyscallConn()
	if err == nil {
		// os.NewFile does not tell that the runtime's poller refused the descriptor; deadlines do.
		err = c.file.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = c.Close() // the first error tells more
		return fmt.Errorf("cannot take over connection from %s: %w", c.remote, err)
	}
	c.raw = raw
	c.writeIov = c.writevOnce
	return nil
}
