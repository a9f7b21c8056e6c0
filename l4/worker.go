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

// worker is what belongs to one loop: its sessions and the memory they share.
// Everything but loop and the constant fields is touched on the loop only.
type worker struct {
	index  int
	server *Server
	log    *slog.Logger
	loop   *loop.Loop
	stages stages

	hello  sniff.Hello
	line   accesslog.L4Record
	giving loop.Handover // while the hand-over function runs

	first   *session // all that are open
	free    *session
	nfree   int
	sampler metric.Sampler
	drained chan struct{} // closed when the last session ends, where set
}

// take begins with a connection that was accepted on b.
func (w *worker) take(b *binding, fd int, peer netip.AddrPort) {
	r := b.routing.Load()
	n := &r.listener.perLoop[w.index]
	n.accepted.Add(1)
	ticket, refused := r.listener.limit.Acquire(peer.Addr())
	if refused != limit.Admitted {
		loop.Reset(fd) // no FIN: nothing of a flood is to stay in the kernel
		return
	}
	if r.l7 != "" {
		n.handedOver.Add(1)
		w.give(r.l7, loop.Handover{
			FD: fd, Local: b.localAddr(fd), Remote: peer, Accepted: time.Now(),
			Ticket: ticket, Listener: r.listener.name,
		})
		return
	}
	n.active.Add(1)
	s := w.get()
	s.routing, s.counters = r, n
	s.peer, s.ticket = peer, ticket
	s.accepted, s.acceptedAt = w.loop.Now(), time.Now()
	s.timed = w.sampler.Take()
	s.begin(fd, b.path != "")
}

// give calls the hand-over function. Should it panic, the connection is closed
// here: a function that has taken it over does not panic any more.
func (w *worker) give(l7 string, h loop.Handover) {
	w.giving = h
	defer w.loop.Recovered(w)
	w.server.handOver(l7, h)
	w.giving = loop.Handover{}
}

// Abort implements [loop.Aborter] for a hand-over that panicked.
func (w *worker) Abort() {
	loop.CloseSocket(w.giving.FD)
	w.giving.Ticket.Release()
	w.giving = loop.Handover{}
}

// get returns an empty session in the list of open ones.
func (w *worker) get() *session {
	s := w.free
	if s != nil {
		w.free = s.next
		w.nfree--
		*s = session{}
	} else {
		s = new(session)
	}
	s.w = w
	if s.next = w.first; s.next != nil {
		s.next.prev = s
	}
	w.first = s
	return s
}

// retire takes a closed session off the list. Its fields stay until it is used
// again: the callback that closed it may still look at its state.
func (w *worker) retire(s *session) {
	if s.next != nil {
		s.next.prev = s.prev
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		w.first = s.next
	}
	s.prev, s.next = nil, nil
	if w.nfree < maxFree {
		s.next, w.free = w.free, s
		w.nfree++
	}
	if w.first == nil {
		w.signalDrained()
	}
}

func (w *worker) signalDrained() {
	if w.drained != nil {
		close(w.drained)
		w.drained = nil
	}
}

// closeAll ends every session.
func (w *worker) closeAll(why reason) {
	for w.first != nil {
		w.first.close(why)
	}
}

// call runs f on the loop and waits for it. It does nothing once the loop has ended.
func (w *worker) call(f func()) {
	done := make(chan struct{})
	if w.loop.Do(func() { defer close(done); f() }) {
		<-done
	}
}
