package l4

import (
	"math/bits"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/pool/limit"
)

// udpListener is the socket of one loop on one UDP address, with the sessions of the
// clients that the kernel sends there. The sockets of an address stay as long as the
// address does, so a client's datagrams always come to the same one.
type udpListener struct {
	shard    *shard
	binding  *binding
	fd       int // -1: closed
	sessions map[loop.Client]*udpSession
	draining bool // no new sessions, closed with the last one

	overflows overflows
	tell      time.Duration // when the log may hear again that nothing can be received

	current *udpSession // in which a callback works, for Abort
	touched [loop.BatchSize]*udpSession
	ntouch  int // sessions that have datagrams of the batch waiting
}

// udpShard is what a loop has for UDP: its sessions and the memory they share.
type udpShard struct {
	batch *loop.Batch // nil until the first address
	first *udpSession // all that are open
	free  *udpSession
	nfree int

	sniffing, budget int // bytes that sessions hold before they have a route, and may hold
}

// listenUDP begins to receive on fd, which it owns unless it returns an error.
func (sh *shard) listenUDP(b *binding, fd int) (*udpListener, error) {
	if sh.udp.batch == nil {
		sh.udp.batch = loop.NewBatch()
		sh.udp.budget = sniffBudget
	}
	ul := &udpListener{shard: sh, binding: b, fd: fd, sessions: make(map[loop.Client]*udpSession)}
	if err := sh.events.WatchReads(fd, ul); err != nil {
		return nil, err
	}
	return ul, nil
}

// Ready implements [loop.Handler]: it takes one batch. What is left is reported again
// when the loop's other descriptors have had their turn.
func (ul *udpListener) Ready(int, loop.Events) {
	batch := ul.shard.udp.batch
	n, errno := batch.Receive(ul.fd)
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR:
	default:
		// Memory is short, or an error of the network: the next datagram has better luck.
		ul.cannotReceive(errno)
		return
	}
	ul.watchOverflows()
	for i := range n {
		ul.take(i)
	}
	// By session, so that several datagrams of one go out at once.
	for ul.ntouch > 0 {
		ul.ntouch--
		s := ul.touched[ul.ntouch]
		ul.touched[ul.ntouch] = nil
		ul.current = s
		s.forward()
	}
	ul.current = nil
}

// cannotReceive tells the log, and not again for a while: the socket stays readable.
func (ul *udpListener) cannotReceive(errno unix.Errno) {
	if now := ul.shard.loop.Now(); now >= ul.tell {
		ul.tell = now + refusedEvery
		ul.shard.log.Warn("cannot receive datagrams", "address", ul.binding.addr.String(), "error", errno)
	}
}

// take finds the session of datagram i, or begins one.
func (ul *udpListener) take(i int) {
	batch := ul.shard.udp.batch
	if batch.Truncated(i) {
		ul.counters().drop(dropTruncated, 1)
		return
	}
	client := batch.Client(i)
	s := ul.sessions[client]
	if s == nil {
		if s = ul.open(client); s == nil {
			return
		}
		ul.current = s
		s.begin()
	}
	ul.current = s
	if !s.take(batch.Data(i)) {
		return
	}
	if s.pending == 0 {
		ul.touched[ul.ntouch] = s
		ul.ntouch++
	}
	s.pending |= 1 << i
}

// counters are where a datagram without a session is counted.
func (ul *udpListener) counters() *counters {
	return &ul.binding.routing.Load().listener.perLoop[ul.shard.index]
}

// open makes a session for a client that has none, or returns nil where that is not
// allowed. Live sessions never make way for new ones: a flood of made-up addresses
// would throw out the real ones.
func (ul *udpListener) open(client loop.Client) *udpSession {
	sh := ul.shard
	r := ul.binding.routing.Load()
	n := &r.listener.perLoop[sh.index]
	if ul.draining {
		n.drop(dropDraining, 1)
		return nil
	}
	peer := client.AddrPort()
	ticket, refused := sh.server.admitUDP(r, peer.Addr())
	if refused != limit.Admitted {
		sh.refused(r.listener, refused, peer.Addr())
		n.drop(dropRefused, 1)
		return nil
	}
	n.accepted.Add(1)
	n.active.Add(1)
	s := sh.getUDP()
	s.listener, s.routing, s.counters = ul, r, n
	s.client, s.peer, s.ticket = client, peer, ticket
	ul.sessions[client] = s
	return s
}

// admitUDP asks the caps for a session. Sources can be made up, so a listener without
// a cap of its own gets half of what the process may have: TCP goes on in a flood.
func (s *Server) admitUDP(r *routing, source netip.Addr) (limit.Ticket, limit.Refusal) {
	if s.scarce.Load() != noneScarce {
		r.listener.limit.Refuse(limit.RefusedMemory)
		return limit.Ticket{}, limit.RefusedMemory
	}
	if most := s.conns.Max() / 2; r.conf.MaxConns == 0 && most > 0 && r.listener.limit.Count() >= most {
		r.listener.limit.Refuse(limit.RefusedListener)
		return limit.Ticket{}, limit.RefusedListener
	}
	return r.listener.limit.Acquire(source)
}

// Abort implements [loop.Aborter]: the session that the callback was working on ends,
// and what the batch still held for others is lost.
func (ul *udpListener) Abort() {
	for _, s := range ul.touched[:ul.ntouch] {
		ul.counters().drop(dropFailed, bits.OnesCount32(s.pending))
		s.pending = 0
	}
	clear(ul.touched[:])
	ul.ntouch = 0
	if s := ul.current; s != nil {
		ul.current = nil
		s.Abort()
	}
}

// drain lets the sessions end and takes no new ones; the socket is needed for answers
// until then.
func (ul *udpListener) drain() {
	ul.draining = true
	ul.closeIfDone()
}

// end closes the socket and its sessions.
func (ul *udpListener) end(why reason) {
	ul.draining = true
	for _, s := range ul.sessions {
		s.close(why)
	}
	ul.closeIfDone()
}

func (ul *udpListener) closeIfDone() {
	if ul.draining && len(ul.sessions) == 0 && ul.fd >= 0 {
		ul.countOverflows()
		ul.shard.loop.Disarm(&ul.overflows.timer)
		ul.shard.loop.CloseFD(ul.fd)
		ul.fd = -1
	}
}
