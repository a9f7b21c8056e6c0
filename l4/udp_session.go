package l4

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/l4/sniff"
	"weir/pool"
	"weir/pool/backend"
	"weir/pool/limit"
)

// udpState is where a UDP session stands.
//
//	sniffing ──> relaying ──> closed
//	       └────────────────────^
//
// A listener without routes begins with relaying. There is no connecting: a UDP
// socket is connected at once, and nobody knows yet whether someone is there.
type udpState uint8

const (
	udpSniffing udpState = iota
	udpRelaying
	udpClosed
)

// udpSession is what one client address and one of our addresses say to each other
// through a socket of its own to a backend, until nothing has moved for a while. All
// of it belongs to one loop.
type udpSession struct {
	listener *udpListener
	shard    *shard
	routing  *routing
	counters *counters
	state    udpState
	client   loop.Client
	fd       int // to the backend, -1: none

	timer    loop.Timer
	accepted time.Duration // in the loop's time, as moved
	moved    time.Duration // last datagram

	to     *destination
	query  backend.Query
	member *backend.Member // holds one of its slots

	ticket     limit.Ticket
	peer       netip.AddrPort
	acceptedAt time.Time
	sni        string
	offered    string // by ALPN, for the access log
	backend    string // the member that was tried last
	tried      int32
	failed     bool // a backend was tried in vain
	noPorts    bool // for one of them there was no local port
	firstReply time.Duration

	charged  int32  // bytes of the budget, while sniffing
	pending  uint32 // datagrams of the batch that are to be sent on
	up, down udpFlow
	held     udpHeld
	quic     *sniff.QUIC // while sniffing

	number     uint64      // in the order of its loop, TCP and UDP; part of its ID
	prev, next *udpSession // its shard's list; next also in its free list
}

// udpFlow counts what one side sent and the other was sent.
type udpFlow struct {
	datagrams, bytes uint64
}

// getUDP returns an empty session in the list of open ones.
func (sh *shard) getUDP() *udpSession {
	u := &sh.udp
	s := u.free
	if s != nil {
		u.free = s.next
		u.nfree--
		*s = udpSession{}
	} else {
		s = new(udpSession)
	}
	s.shard, s.fd = sh, -1
	sh.number++
	s.number = sh.number
	s.accepted, s.acceptedAt = sh.loop.Now(), time.Now()
	s.moved = s.accepted
	if s.next = u.first; s.next != nil {
		s.next.prev = s
	}
	u.first = s
	return s
}

// retireUDP takes a closed session off the list. Its state stays until it is used again.
func (sh *shard) retireUDP(s *udpSession) {
	u := &sh.udp
	sh.skipUDP(s)
	if s.next != nil {
		s.next.prev = s.prev
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		u.first = s.next
	}
	s.prev, s.next = nil, nil
	if u.nfree < maxFree {
		s.next, u.free = u.free, s
		u.nfree++
	}
	if sh.idle() {
		sh.signalDrained()
	}
}

// begin goes as far as it can without having looked at a datagram.
func (s *udpSession) begin() {
	if s.routing.sniffs(s.peer.Addr()) {
		s.arm(s.routing.conf.SniffTimeout)
		return
	}
	s.route(s.routing.bySource(s.peer.Addr()))
}

// take looks at a datagram of the client. It reports whether that is to be sent on
// with the batch.
func (s *udpSession) take(data []byte) bool {
	s.moved = s.shard.loop.Now()
	switch s.state {
	case udpRelaying:
		return true
	case udpSniffing:
		s.sniff(data)
	case udpClosed: // just now, by begin
		s.counters.drop(dropUnsent, 1)
	}
	return false
}

// route sends the session where its first datagrams said; nil closes it.
func (s *udpSession) route(to *destination) {
	to.count()
	if to == nil {
		s.close(reasonNoRoute)
		return
	}
	s.to = to
	s.state = udpRelaying
	s.discharge()
	s.query.Reset(backend.HashAddr(s.peer.Addr()))
	s.arm(s.routing.conf.UDPIdleTimeout)
	s.reach()
}

// reach connects to the next member that is there and sends it what is held, or closes
// the session.
func (s *udpSession) reach() {
	for {
		s.connect()
		if s.state == udpClosed || s.resend() {
			return
		}
	}
}

// connect gives the session a socket to the next member, or closes it when none is left.
func (s *udpSession) connect() {
	for {
		m, err := s.to.group.Pick(&s.query)
		if err != nil {
			switch {
			case s.noPorts:
				s.close(reasonNoPorts)
			case s.failed:
				s.close(reasonConnectFailed)
			default:
				s.close(reasonNoServer)
			}
			return
		}
		s.member, s.backend = m, m.Name()
		s.tried++
		err = s.dial()
		if err == nil {
			return
		}
		s.lost(err)
		if outOfDescriptors(err) {
			s.shard.server.exhausted()
			s.close(reasonNoDescriptors)
			return
		}
	}
}

func (s *udpSession) dial() error {
	l := s.shard.events
	g := s.member.Group()
	fd, err := l.DialDatagrams(s.member.Endpoint().Sockaddr(), g.Socket().Datagrams())
	if err != nil {
		g.ConnectFailed(err)
		s.noPorts = s.noPorts || backend.OutOfPorts(err)
		return err
	}
	if err := l.WatchReads(fd, s); err != nil {
		loop.CloseSocket(fd)
		return err
	}
	s.fd = fd
	return nil
}

// lost reports to the member why it was of no use and lets go of it.
func (s *udpSession) lost(err error) {
	outcome := backend.Classify(err)
	if outcome == backend.Refused {
		outcome = backend.Unreachable
	}
	s.shard.connectFailures(s.to.pool, outcome)
	s.member.Report(outcome)
	s.member.Done()
	s.member = nil
	s.failed = true
	if s.fd >= 0 {
		s.shard.loop.CloseFD(s.fd)
		s.fd = -1
	}
}

func (s *udpSession) arm(d time.Duration) { s.shard.loop.Arm(&s.timer, d, s) }

// Expire implements [loop.Expirer]. Traffic does not touch the timer; it only leaves
// the time.
func (s *udpSession) Expire(*loop.Timer) {
	if s.state == udpSniffing {
		s.close(reasonSniffTimeout)
		return
	}
	limit := s.routing.conf.UDPIdleTimeout
	if quiet := s.shard.loop.Now() - s.moved; quiet < limit {
		s.arm(limit - quiet)
		return
	}
	s.close(reasonIdle)
}

// Abort implements [loop.Aborter].
func (s *udpSession) Abort() {
	if s.state != udpClosed {
		s.close(reasonInternal)
	}
}

// close ends the session. The object may be used for another one after the callback
// that is running, so callers return at once.
func (s *udpSession) close(why reason) {
	if s.state == udpClosed {
		panic("BUG: UDP session closed twice")
	}
	s.shard.loop.Disarm(&s.timer)
	s.state = udpClosed
	delete(s.listener.sessions, s.client)
	if s.fd >= 0 {
		s.shard.loop.CloseFD(s.fd)
		s.fd = -1
	}
	s.counters.drop(dropUnsent, s.held.total-s.held.counted)
	s.held.release()
	s.discharge()
	s.giveBack(why)
	s.ticket.Release()
	s.record(why)
	s.shard.retireUDP(s)
	s.listener.closeIfDone()
}

// giveBack tells the member how the session went and returns its slot.
func (s *udpSession) giveBack(why reason) {
	m := s.member
	if m == nil {
		return
	}
	s.member = nil
	if why == reasonIdle && s.down.datagrams == 0 && s.routing.conf.UDPResponses > 0 {
		m.Report(backend.Timeout) // it answers, the configuration says, and it did not
	}
	m.Count(s.up.bytes, s.down.bytes)
	m.Done()
}

// refused reports whether err says that nobody is there.
func refused(err unix.Errno) bool {
	return err != 0 && err != unix.EACCES && backend.Classify(err) == backend.Refused
}

// udpHeld are the first datagrams of a session, in case they have to be sent again:
// to the backend that the hello chooses, or to the next one where a backend turns out
// not to be there. The zero value holds nothing.
type udpHeld struct {
	buf     *pool.Buffer // datagrams, each behind its length in three bytes
	end     int
	total   int
	counted int // so many were sent to some backend, or dropped, and counted as that
}
