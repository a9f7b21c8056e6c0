package l4

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/pool/backend"
)

// simStream is what one peer sends: lead, then bytes that follow from their offset, so
// that every byte can be checked where it arrives and none has to be kept.
type simStream struct {
	lead string
	size int // with lead
	salt byte

	taken int  // bytes that were read from the socket at which it arrives
	cut   bool // its connection broke before its end was there
}

func (s *simStream) at(i int) byte {
	if i < len(s.lead) {
		return s.lead[i]
	}
	return byte(i) + byte(i>>8)*3 + byte(i>>16)*5 + s.salt
}

// simConn is our end of a connection in a simulated kernel, with the peer behind it.
type simConn struct {
	fd   int
	name string
	h    loop.Handler // nil: not watched
	ev   loop.Events  // to be reported
	unix bool

	out      *simStream // what the peer sends
	sent     int        // by the peer
	arrived  int        // of that; out.taken is how much of it we have read
	finSent  bool
	finHere  bool
	err      unix.Errno // pending error
	dead     bool       // after an error: no more writes
	keepOpen bool       // the peer never ends its direction

	in      *simStream // what we are to write
	written int        // by us
	drained int        // by the peer
	room    int        // of the socket's buffer
	busy    int        // room that was short of memory for a moment
	nospace bool       // a write fell short: room is an edge
	shut    bool       // we ended our direction
	stalls  bool       // the peer does not read

	dialing   bool
	until     time.Duration // before which the connect does not end
	dialErr   unix.Errno    // how the connect will end
	connected bool
	won       bool // it has the session
}

// simPipe is a pipe; both of its descriptors stand for it.
type simPipe struct {
	r, w     int
	from     *simConn
	off, end int // of from's stream
}

// simKernel is a machine in which everything may happen at any time: calls are
// interrupted, fall short or fail, events come late, in any order, or for nothing.
// What it never does is break the promises of the real one: an edge follows
// whatever makes a refused call possible.
type simKernel struct {
	rng     *rand.Rand
	now     time.Duration
	scratch []byte
	late    []simLate
	conns   []*simConn // by descriptor; nil: free, or a pipe
	pipes   map[int]*simPipe
	timers  []simTimer
	faults  bool // calls may fail for want of something
	answers func(port int) (unix.Errno, *simConn)
	won     func(*simConn)       // has the session
	slow    func() time.Duration // how long a connect takes
	wrong   []string
}

type simTimer struct {
	timer *loop.Timer
	at    time.Duration
	e     loop.Expirer
}

var _ kernel = (*simKernel)(nil)

func (k *simKernel) bad(format string, args ...any) {
	if len(k.wrong) < 5 {
		k.wrong = append(k.wrong, fmt.Sprintf(format, args...))
	}
}

func (k *simKernel) one(in int) bool { return k.rng.IntN(in) == 0 }

func (k *simKernel) number() int {
	for fd := 3; fd < len(k.conns); fd++ {
		if k.conns[fd] == nil && k.pipes[fd] == nil {
			return fd
		}
	}
	k.conns = append(k.conns, nil)
	return len(k.conns) - 1
}

func (k *simKernel) open(c *simConn) {
	for len(k.conns) < 3 {
		k.conns = append(k.conns, nil)
	}
	c.fd = k.number()
	k.conns[c.fd] = c
}

func (k *simKernel) conn(fd int) *simConn {
	if fd < 0 || fd >= len(k.conns) || k.conns[fd] == nil {
		panic(fmt.Sprintf("BUG: descriptor %d is not open", fd))
	}
	return k.conns[fd]
}

func (k *simKernel) Now() time.Duration     { return k.now }
func (k *simKernel) Scratch() []byte        { return k.scratch }
func (k *simKernel) Do(f func()) bool       { f(); return true }
func (k *simKernel) Recovered(loop.Aborter) {}
func (k *simKernel) Release(fd int)         { k.conn(fd).h = nil }
func (k *simKernel) Probe(fd int, _ *backend.Socket) error {
	k.conn(fd)
	return nil
}

func (k *simKernel) LocalAddr(int) netip.AddrPort { return netip.MustParseAddrPort("192.0.2.1:443") }

func (k *simKernel) Arm(t *loop.Timer, d time.Duration, e loop.Expirer) {
	k.Disarm(t)
	k.timers = append(k.timers, simTimer{t, k.now + max(d, 10*time.Millisecond), e})
}

func (k *simKernel) Disarm(t *loop.Timer) {
	k.timers = slices.DeleteFunc(k.timers, func(o simTimer) bool { return o.timer == t })
}

func (k *simKernel) Watch(fd int, h loop.Handler) error {
	c := k.conn(fd)
	if k.faults && k.one(100) {
		return unix.ENOMEM
	}
	c.h = h
	k.Again(fd)
	return nil
}

// Again reports what fd is ready for.
func (k *simKernel) Again(fd int) { k.conn(fd).ev |= k.conn(fd).ready() }

func (c *simConn) ready() (ev loop.Events) {
	if c.dialing {
		return 0
	}
	if c.arrived > c.out.taken {
		ev |= unix.EPOLLIN
	}
	if c.finHere {
		ev |= unix.EPOLLIN | unix.EPOLLRDHUP
	}
	if c.room > 0 || c.dead {
		ev |= unix.EPOLLOUT
	}
	if c.err != 0 {
		ev |= unix.EPOLLERR | unix.EPOLLHUP | unix.EPOLLIN
	}
	return ev
}

func (k *simKernel) CloseFD(fd int) {
	c := k.conn(fd)
	if c.won && !c.dead && c.written < c.in.taken {
		k.bad("%s: closed by a FIN after %d of %d bytes that were read for it", c.name, c.written, c.in.taken)
	}
	if c.h == nil {
		k.bad("%s: closed, and was not watched", c.name)
	}
	k.conns[fd] = nil
}

func (k *simKernel) ResetFD(fd int) {
	if k.conn(fd).h == nil {
		k.bad("descriptor %d reset, and was not watched", fd)
	}
	k.conns[fd] = nil
}

func (k *simKernel) CloseSocket(fd int) {
	if p := k.pipes[fd]; p != nil {
		delete(k.pipes, fd)
		return
	}
	k.conn(fd)
	k.conns[fd] = nil
}

func (k *simKernel) Dial(sa unix.Sockaddr, _ loop.SocketOptions) (int, bool, error) {
	if k.faults && k.one(20) {
		return -1, false, unix.EMFILE
	}
	port := 0
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		port = sa.Port
	case *unix.SockaddrInet6:
		port = sa.Port
	}
	errno, c := k.answers(port)
	if errno != 0 && k.one(2) {
		return -1, false, errno
	}
	if c == nil {
		c = &simConn{name: "refused", out: new(simStream), in: new(simStream)}
	}
	c.h, c.ev, c.connected, c.dialing, c.dialErr = nil, 0, false, true, errno
	k.open(c)
	c.until = k.now + k.slow()
	if errno == 0 && c.until == k.now && k.one(4) {
		k.establish(c)
		k.won(c)
		return c.fd, true, nil
	}
	return c.fd, false, nil
}

// establish ends a connect.
func (k *simKernel) establish(c *simConn) {
	c.dialing = false
	if c.connected = c.dialErr == 0; !c.connected {
		c.dead = true
	}
	c.ev |= c.ready() | unix.EPOLLOUT
}

func (k *simKernel) Dialed(fd int, _ unix.Sockaddr) (bool, error) {
	c := k.conn(fd)
	if c.dialing {
		return false, nil
	}
	if c.dialErr != 0 {
		return false, c.dialErr
	}
	k.won(c)
	return true, nil
}

func (k *simKernel) SocketError(fd int) error {
	c := k.conn(fd)
	if c.err == 0 {
		return nil
	}
	err := c.err
	c.err = 0
	return err
}

// fail breaks c as an RST does: what has arrived can still be read, once.
func (k *simKernel) fail(c *simConn, errno unix.Errno) {
	c.out.cut = !c.finHere
	c.err, c.dead, c.finHere = errno, true, true
	c.finSent, c.sent = true, c.arrived // what was under way is gone
	c.ev |= c.ready()
}

// take is how many bytes a call for at most n of what is there moves. Only a unix
// socket gives less than it could.
func (k *simKernel) take(c *simConn, n int) (int, unix.Errno) {
	if k.one(30) {
		return 0, unix.EINTR
	}
	if c.dialing || !c.connected {
		return 0, unix.ENOTCONN
	}
	n = min(n, c.arrived-c.out.taken)
	switch {
	case n > 0 && c.unix:
		return 1 + k.rng.IntN(n), 0
	case n > 0:
		return n, 0
	case c.err != 0:
		errno := c.err
		c.err = 0
		return 0, errno
	case c.finHere:
		return 0, 0
	}
	return 0, unix.EAGAIN
}

func (k *simKernel) Read(fd int, p []byte) (int, unix.Errno) {
	n, errno := k.Peek(fd, p)
	if errno == 0 {
		k.conn(fd).out.taken += n
	}
	return n, errno
}

func (k *simKernel) Peek(fd int, p []byte) (int, unix.Errno) {
	c := k.conn(fd)
	n, errno := k.take(c, len(p))
	if errno != 0 {
		return -1, errno
	}
	for i := range n {
		p[i] = c.out.at(c.out.taken + i)
	}
	return n, 0
}

// give is how many of n bytes a write takes.
func (k *simKernel) give(c *simConn, n int) (int, unix.Errno) {
	switch {
	case k.one(30):
		return 0, unix.EINTR
	case c.dialing || !c.connected:
		return 0, unix.ENOTCONN
	case c.shut:
		k.bad("%s: written to after its end", c.name)
		return 0, unix.EPIPE
	case c.err != 0:
		errno := c.err
		c.err = 0
		return 0, errno
	case c.dead:
		return 0, unix.EPIPE
	}
	took := min(n, c.room)
	if took > 0 && k.one(4) {
		took = 1 + k.rng.IntN(took)
	}
	if took < n {
		c.nospace, c.busy, c.room = true, c.busy+c.room-took, took
	}
	if took == 0 {
		return 0, unix.EAGAIN
	}
	c.room -= took
	c.written += took
	return took, 0
}

func (k *simKernel) Write(fd int, p []byte) (int, unix.Errno) {
	c := k.conn(fd)
	at := c.written
	n, errno := k.give(c, len(p))
	if errno != 0 {
		return -1, errno
	}
	for i, b := range p[:n] {
		if at+i >= c.in.size || b != c.in.at(at+i) {
			k.bad("%s: byte %d of %d is %#x", c.name, at+i, c.in.size, b)
			break
		}
	}
	return n, 0
}

// simLate is a write that was put off.
type simLate struct {
	w loop.LateWriter
	p []byte
}

func (k *simKernel) PutOff(w loop.LateWriter, p []byte) {
	k.late = append(k.late, simLate{w, slices.Clone(p)})
	if k.one(4) {
		k.CatchUp()
	}
}

// CatchUp makes the writes. Much may have happened since they were put off.
func (k *simKernel) CatchUp() {
	late := k.late
	k.late = nil
	for _, w := range late {
		c := k.conns[k.rng.IntN(len(k.conns))]
		switch {
		case c == nil || !c.connected || c.dead:
		case k.faults && k.one(5):
			k.fail(c, unix.ECONNRESET)
		case k.one(20):
			c.busy, c.room = c.busy+c.room, 0
		}
		w.w.WriteLate(w.p)
	}
}

func (k *simKernel) Shutdown(fd int) error {
	c := k.conn(fd)
	if c.dead {
		return unix.ENOTCONN
	}
	if c.written < c.in.taken {
		k.bad("%s: ended after %d of %d bytes that were read for it", c.name, c.written, c.in.taken)
	}
	if c.in.cut {
		k.bad("%s: given an orderly end of a stream that was cut", c.name)
	}
	c.shut = true
	return nil
}

func (k *simKernel) Pipe() (r, w int, err error) {
	if k.one(8) {
		return -1, -1, unix.EMFILE
	}
	p := &simPipe{}
	p.r = k.number()
	k.pipes[p.r] = p
	p.w = k.number()
	k.pipes[p.w] = p
	return p.r, p.w, nil
}

func (k *simKernel) Splice(from, to, n int) (int, error) {
	if p := k.pipes[to]; p != nil {
		c := k.conn(from)
		if p.end > p.off || to != p.w {
			k.bad("%s: spliced into a pipe that holds bytes", c.name)
		}
		if c.unix {
			return 0, unix.EINVAL
		}
		m, errno := k.take(c, min(n, pipeSize))
		if errno != 0 {
			return 0, errno
		}
		p.from, p.off, p.end = c, c.out.taken, c.out.taken+m
		c.out.taken += m
		return m, nil
	}
	p, c := k.pipes[from], k.conn(to)
	if at := c.written; p.end > p.off && (p.from.out != c.in || p.off != at) {
		k.bad("%s: byte %d spliced at %d", c.name, p.off, at)
	}
	m, errno := k.give(c, min(n, p.end-p.off))
	if errno != 0 {
		return 0, errno
	}
	p.off += m
	return m, nil
}
