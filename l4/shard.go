package l4

import (
	"log/slog"
	"net/netip"
	"time"

	"weir/l4/loop"
	"weir/l4/sniff"
	"weir/pool/accesslog"
	"weir/pool/limit"
	"weir/pool/metric"
)

// maxFree bounds how many session objects a loop keeps for reuse.
const maxFree = 4096

// shard is what belongs to one loop: its sessions and the memory they share.
// Everything but loop and the constant fields is touched on the loop only.
type shard struct {
	index  int
	server *Server
	log    *slog.Logger
	events *loop.Loop
	loop   kernel // of the sessions: events, and the operating system
	stages stages

	hello  sniff.Hello
	offers offers
	line   accesslog.L4Record
	giving loop.Handover // while the hand-over function runs

	first   *session // all that are open, the youngest first
	tunnels *session // those that relay for L7; in none of the counts
	guests  *guest   // tunnels that L7 relays, the youngest first
	scans   []*scan  // that walk the lists
	number  uint64   // of the last session, UDP too
	free    *session
	nfree   int
	udp     udpShard
	sampler metric.Sampler
	drained chan struct{} // closed when the last session ends, where set

	tunneled counters // of tunnels; those of listeners are L7's

	cancels map[*canceller]struct{} // connections that are open
}

// take begins with a connection that was accepted on b.
func (sh *shard) take(b *binding, fd int, peer netip.AddrPort) {
	r := b.routing.Load()
	n := &r.listener.perLoop[sh.index]
	n.accepted.Add(1)
	source, balancer := peer.Addr(), r.isBalancer(peer.Addr())
	if balancer {
		source = netip.Addr{} // it stands for many clients; their addresses count
	}
	ticket, refused := sh.server.admit(r, source)
	if refused != limit.Admitted {
		sh.refused(r.listener, refused, peer.Addr())
		loop.Reset(fd) // no FIN: nothing of a flood is to stay in the kernel
		return
	}
	if r.l7 != "" && !balancer {
		n.handedOver.Add(1)
		sh.give(r.l7, loop.Handover{
			FD: fd, Local: b.localAddr(fd), Remote: peer, Accepted: time.Now(),
			Ticket: ticket, Listener: r.listener.name,
		})
		return
	}
	n.active.Add(1)
	s := sh.get()
	s.routing, s.counters = r, n
	s.peer, s.ticket = peer, ticket
	s.accepted, s.acceptedAt = sh.loop.Now(), time.Now()
	s.timed = sh.sampler.Take() || sh.server.access.Enabled() // the log has the stages of all
	s.guarded = len(r.balancer) > 0 && !balancer
	s.begin(fd, b.path != "", balancer)
}

// give calls the hand-over function. Should it panic, the connection is closed
// here: a function that has taken it over does not panic any more.
func (sh *shard) give(l7 string, h loop.Handover) {
	h.Loop = sh.events
	sh.giving = h
	defer sh.loop.Recovered(sh)
	sh.server.handOver(l7, h)
	sh.giving = loop.Handover{}
}

// Abort implements [loop.Aborter] for a hand-over that panicked.
func (sh *shard) Abort() {
	loop.CloseSocket(sh.giving.FD)
	sh.giving.Ticket.Release()
	sh.giving = loop.Handover{}
}

// get returns an empty session in the list of open ones.
func (sh *shard) get() *session {
	s := sh.blank()
	sh.enlist(s)
	return s
}

// blank returns an empty session that is in no list.
func (sh *shard) blank() *session {
	s := sh.free
	if s != nil {
		sh.free = s.next
		sh.nfree--
		*s = session{}
	} else {
		s = new(session)
	}
	s.shard = sh
	sh.number++
	s.number = sh.number
	return s
}

// enlist puts s into the list it belongs to.
func (sh *shard) enlist(s *session) {
	first := sh.list(s)
	if s.next = *first; s.next != nil {
		s.next.prev = s
	}
	*first = s
}

// list is the first of the list that s belongs to.
func (sh *shard) list(s *session) **session {
	if s.tunnel != nil {
		return &sh.tunnels
	}
	return &sh.first
}

// retire takes a closed session off the list. Its fields stay until it is used
// again: the callback that closed it may still look at its state.
func (sh *shard) retire(s *session) {
	sh.skip(s)
	if s.next != nil {
		s.next.prev = s.prev
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		*sh.list(s) = s.next
	}
	s.prev, s.next, s.tunnel = nil, nil, nil
	if sh.nfree < maxFree {
		s.next, sh.free = sh.free, s
		sh.nfree++
	}
	if sh.idle() {
		sh.signalDrained()
	}
}

// idle reports whether no session is open.
func (sh *shard) idle() bool { return sh.first == nil && sh.udp.first == nil }

func (sh *shard) signalDrained() {
	if sh.drained != nil {
		close(sh.drained)
		sh.drained = nil
	}
}

// closeAll ends every session, and what sessions left behind.
func (sh *shard) closeAll(why reason) {
	for c := range sh.cancels {
		c.end()
	}
	for sh.first != nil {
		sh.first.close(why)
	}
	for sh.udp.first != nil {
		sh.udp.first.close(why)
	}
	sh.endTunnels()
}

// call runs f on the loop and waits for it. It does nothing once the loop has ended.
func (sh *shard) call(f func()) {
	done := make(chan struct{})
	if sh.loop.Do(func() { defer close(done); f() }) {
		<-done
	}
}
