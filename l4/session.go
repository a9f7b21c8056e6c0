package l4

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/pool"
	"weir/pool/accesslog"
	"weir/pool/backend"
	"weir/pool/limit"
)

// state is where a session stands.
//
//	accepted ─┬─> sniffing ──┬─> connecting ─┬─> negotiating ─┐
//	          │              │     ^    │     │                │
//	          │              │     └────┘     ├────────────────┴─> relaying ──> halfClosed
//	          │              │  next backend  │
//	          └──────────────┼────────────────┘
//	           no first      └─> handed over to L7
//	           bytes needed
//
// Each leads to closed. Where a PROXY header comes first, identifying lies behind
// accepted; where every backend is at its max_conns, queued lies before connecting, and
// comes again where the slot was of no use. Negotiating is the prologue with a PostgreSQL or MySQL backend.
// A CancelRequest leads from sniffing to cancelling, which waits for the servers.
//
// Where Weir ends TLS, goroutines have the connections (see [secured]) and the
// session goes sniffing ──> terminating ──> connecting ──> securing ──> relaying;
// without terminating where only the backend's side is TLS.
type state uint8

const (
	stateAccepted state = iota
	stateIdentifying
	stateSniffing
	stateTerminating
	stateConnecting
	stateQueued
	stateNegotiating
	stateCancelling
	stateSecuring
	stateRelaying
	stateHalfClosed
	stateClosed
)

// session is one client connection and the backend connection it is relayed to.
// All of it belongs to one loop.
type session struct {
	shard    *shard
	routing  *routing
	counters *counters
	prologue prologue // databases only

	client, server socket
	up, down       direction // client to server, server to client

	timer      loop.Timer
	accepted   time.Duration // in the loop's time, as the two below
	moved      time.Duration // last sign of life
	connecting time.Duration // since when a backend is looked for

	to     *destination
	query  backend.Query
	member *backend.Member // holds one of its slots
	until  time.Duration   // when the connect to member has taken too long
	rival  *rival          // a second connect; nil: there is none
	place  *waiting        // in the queue; nil: in none

	ticket     limit.Ticket
	peer       netip.AddrPort
	acceptedAt time.Time
	sni        string
	offered    string   // by ALPN, for the access log
	proxied    *proxied // what else a PROXY header said; nil: nothing
	backend    string   // the member that was tried last
	state      state    // one byte, as the flags beside it
	failed     bool     // a backend was tried in vain
	noPorts    bool     // for one of them there was no local port
	tlsFailed  bool     // one was reached, but not by TLS
	hello      bool     // the first bytes are a whole TLS hello
	guarded    bool     // the first bytes must not be a PROXY header
	timed      bool     // stages of this session are sampled
	probed     bool     // the kernel asks the backend whether it is there, see probe
	ended      ender    // who ended its direction first
	stages     accesslog.Stages

	number uint64    // in the order of its loop; part of its ID
	tls    *secured  // goroutines have the connections; nil: the loop does
	facts  *tlsFacts // of TLS that Weir ended; nil: none
	tunnel *tunnel   // it relays for L7; nil: it does not

	prev, next *session // its shard's list; next also in its free list
}

// socket is one of the two connections of a session.
type socket struct {
	fd       int  // -1: not open
	tcp      bool // a short read means that the socket is empty
	readable bool // as far as events and reads told
	writable bool
	toEnd    bool // read until the end or EAGAIN: more than bytes is waiting
	lost     bool // a late write has taken its error, and is to be made again: see writeLate
	broken   bool // takes nothing any more; what it sent before may still be there
}

// note takes over what an event says.
func (sk *socket) note(ev loop.Events) {
	if ev.Readable() {
		sk.readable = true
	}
	if ev.Writable() {
		sk.writable = true
	}
	if ev.ReadToEnd() {
		sk.toEnd = true
	}
}

// direction is one of the two ways through a session. What the destination did not
// take is held in buf, and nothing is read from the source until it has.
type direction struct {
	src, dst *socket
	buf      *pool.Buffer // nil: nothing held
	off, end int          // what is held: buf.B[off:end]
	bytes    uint64       // read from the source and meant for the destination
	meter    *meter       // nil: as fast as it goes
	pipe     *pipe        // bulk goes through it; nil: bytes are copied
	run      int          // bytes since the source had nothing last
	full     uint8        // reads in a row that filled the scratch buffer
	copies   bool         // splice(2) does not take one of the sockets
	late     bool         // a write was put off: see putOff
	eof      bool         // the source ended
	done     bool         // the end was passed on, or cannot be
}

// holds reports whether something was read and not yet passed on.
func (d *direction) holds() bool { return d.buf != nil || d.pipe != nil && d.pipe.held > 0 }

// drop gives back what holds bytes, with the bytes.
func (s *session) drop(d *direction) {
	d.release()
	if d.pipe != nil {
		s.unsplice(d)
	}
}

// release gives the buffer back.
func (d *direction) release() {
	if d.buf != nil {
		d.buf.Release()
		d.buf, d.off, d.end = nil, 0, 0
	}
}

// begin starts a session for an accepted connection.
func (s *session) begin(fd int, unixSocket, balancer bool) {
	s.client = socket{fd: fd, tcp: !unixSocket, writable: true}
	s.server = socket{fd: -1}
	s.up = direction{src: &s.client, dst: &s.server}
	s.down = direction{src: &s.server, dst: &s.client}
	if err := s.shard.loop.Watch(fd, s); err != nil {
		s.client.fd = -1
		s.shard.loop.CloseSocket(fd)
		s.shard.log.Error("cannot take connection", "listener", s.routing.listener.name, "error", err)
		s.close(reasonInternal)
		return
	}
	if balancer {
		s.state = stateIdentifying
		s.arm(proxyTimeout)
		return
	}
	s.proceed()
}

// proceed goes on with a client whose address is known.
func (s *session) proceed() {
	if !s.routing.sniffs(s.peer.Addr()) {
		s.route(s.routing.bySource(s.peer.Addr()))
		return
	}
	s.state = stateSniffing
	c := s.routing.conf
	wait := c.SniffTimeout
	if s.mayWait() {
		wait = min(wait, c.ServerFirstWait)
	}
	s.arm(wait)
	if c.Protocol == "mysql" {
		s.greetMySQL()
	}
	s.sniff()
}

// Ready implements [loop.Handler].
func (s *session) Ready(fd int, ev loop.Events) {
	sk := &s.client
	if fd == s.server.fd {
		sk = &s.server
	} else if r := s.rival; r != nil && fd == r.socket.fd {
		r.socket.note(ev)
		s.checkRival()
		return
	}
	sk.note(ev)
	switch s.state {
	case stateConnecting:
		if sk == &s.server {
			s.checkConnect()
		} else if ev.Failed() && s.shard.loop.SocketError(fd) != nil {
			s.close(reasonClientReset)
		}
	case stateQueued:
		s.checkQueued(ev)
	case stateIdentifying:
		s.identify()
	case stateSniffing:
		s.sniff()
	case stateNegotiating:
		switch {
		case sk == &s.client && ev.Failed() && s.shard.loop.SocketError(fd) != nil:
			s.close(reasonClientReset)
		case s.routing.conf.Protocol == "mysql":
			s.negotiateMySQL()
		default:
			s.negotiate()
		}
	case stateRelaying, stateHalfClosed:
		if ev.Failed() && s.shard.loop.SocketError(fd) != nil {
			s.broke(sk)
		}
		s.relay()
	}
}

// Expire implements [loop.Expirer].
func (s *session) Expire(*loop.Timer) {
	switch s.state {
	case stateIdentifying:
		s.close(reasonProxyTimeout)
	case stateSniffing:
		s.sniffExpired()
	case stateConnecting:
		s.connectExpired()
	case stateQueued:
		s.close(reasonQueueTimeout)
	case stateNegotiating:
		s.unanswered(unix.ETIMEDOUT)
	case stateCancelling:
		s.close(reasonCancel)
	case stateRelaying, stateHalfClosed:
		s.quiet()
	}
}

// Abort implements [loop.Aborter].
func (s *session) Abort() {
	if s.state != stateClosed {
		s.close(reasonInternal)
	}
}

func (s *session) arm(d time.Duration) { s.shard.loop.Arm(&s.timer, d, s) }

// quiet looks at a session whose timer ran out. Traffic does not touch the timer;
// it only leaves the time.
func (s *session) quiet() {
	now := s.shard.loop.Now()
	s.probe()
	limit, lifetime, why := s.patience()
	switch {
	case lifetime > 0 && now-s.accepted >= lifetime:
		s.close(reasonLifetime)
	case now-s.lastMoved() >= limit && !s.up.meter.waits() && !s.down.meter.waits():
		s.close(why)
	default:
		s.watchQuiet()
	}
}

// watchQuiet arms the timer for the next moment at which quiet may have to close.
func (s *session) watchQuiet() {
	now := s.shard.loop.Now()
	limit, lifetime, _ := s.patience()
	wait := max(s.moved+limit-now, shapeTick) // a rate may hold it back for longer than the limit
	if lifetime > 0 {
		wait = min(wait, s.accepted+lifetime-now)
	}
	if !s.probed {
		wait = min(wait, youth)
	}
	s.arm(wait)
}

// patience is how long nothing may move, what to say when it did not, and how old the
// session may get; 0 is any age.
func (s *session) patience() (idle, lifetime time.Duration, why reason) {
	switch c := s.routing; {
	case s.tunnel != nil:
		return s.tunnel.idle, 0, reasonIdle
	case s.state == stateHalfClosed:
		return c.conf.HalfClosedTimeout, c.conf.Lifetime, reasonHalfClosed
	default:
		return c.conf.IdleTimeout, c.conf.Lifetime, reasonIdle
	}
}

// youth is the age at which a session gets keepalive: less than any time after which it
// could have to show something.
const youth = 500 * time.Millisecond

// probe has the kernel find out when the backend is gone without a word. Connections
// that are over at once, which many protocols have, do without: it is four calls.
func (s *session) probe() {
	if s.probed {
		return
	}
	s.probed = true
	if !s.server.tcp || s.server.fd < 0 || s.tunnel != nil {
		return // a tunnel came with all that its sockets are to have
	}
	if err := s.shard.loop.Probe(s.server.fd, s.to.group.Socket()); err != nil {
		s.shard.log.Warn("cannot watch over connection", "listener", s.routing.listener.name, "error", err)
	}
}

// close ends the session for good. The object may be used for another session
// after the callback that is running, so callers return at once.
func (s *session) close(why reason) {
	if s.state == stateClosed {
		panic("BUG: session closed twice")
	}
	s.catchUp()
	s.shard.loop.Disarm(&s.timer)
	s.up.meter.stop()
	s.down.meter.stop()
	if job := s.prologue.cancel; job != nil {
		job.session = nil
	}
	s.dropRival()
	cut := reasons[why].reset || s.up.holds() && s.state >= stateRelaying || s.down.holds()
	s.state = stateClosed
	if s.tls != nil {
		s.settle(cut)
	}
	s.closeSocket(&s.client, cut)
	s.closeSocket(&s.server, cut)
	s.drop(&s.up)
	s.drop(&s.down)
	s.giveBack(why)
	s.ticket.Release()
	s.record(why)
	s.shard.retire(s)
}

func (s *session) closeSocket(sk *socket, reset bool) {
	switch {
	case sk.fd < 0:
		return
	case reset:
		s.shard.loop.ResetFD(sk.fd)
	default:
		s.shard.loop.CloseFD(sk.fd)
	}
	sk.fd = -1
}

// giveBack tells the member how the session went and returns its slot.
func (s *session) giveBack(why reason) {
	s.leaveQueue()
	m := s.member
	if m == nil {
		return
	}
	s.member = nil
	m.Count(s.up.bytes, s.down.bytes)
	switch {
	case why == reasonBackendReset && s.down.bytes == 0:
		// Reset without an answer. Later resets are as often the protocol's own way to end.
		m.Report(backend.Reset)
	case s.down.bytes > 0:
		m.Report(backend.Success)
	}
	m.Done()
}
