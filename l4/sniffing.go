package l4

import (
	"bytes"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/l4/sniff"
	"weir/pool"
	"weir/pool/limit"
)

// sniffStart is the first size of the buffer for first bytes: today's ClientHello
// has about 1.5 KB.
const sniffStart = 4 << 10

// sniff reads first bytes until they decide. They are held in the up direction, so
// that they reach the backend before everything else.
func (s *session) sniff() {
	for s.state == stateSniffing && s.client.readable {
		space := s.sniffSpace()
		n, errno := s.shard.loop.Read(s.client.fd, space)
		switch {
		case errno == unix.EAGAIN:
			s.client.readable, s.client.toEnd = false, false
		case errno == unix.EINTR:
		case errno != 0:
			s.close(reasonClientReset)
		case n == 0:
			s.close(reasonSniffEnd)
		default:
			if s.up.end == 0 && s.mayWait() {
				s.arm(s.routing.conf.SniffTimeout) // the client does speak first
			}
			s.up.end += n
			if n < len(space) && s.client.tcp && !s.client.toEnd {
				s.client.readable = false // as in fill
			}
			s.judge()
		}
	}
}

// sniffSpace returns room for more bytes. Within the limit there always is some:
// what fills the buffer without a verdict is too large.
func (s *session) sniffSpace() []byte {
	up := &s.up
	most := int(s.routing.conf.SniffMax)
	switch {
	case up.buf == nil:
		up.buf = pool.Get(min(sniffStart, most))
	case up.end == len(up.buf.B):
		larger := pool.Get(min(4*up.end, most))
		copy(larger.B, up.buf.B[:up.end])
		up.buf.Release()
		up.buf = larger
	}
	return up.buf.B[up.end:min(len(up.buf.B), most)]
}

// judge looks at what has arrived and routes, waits for more, or closes.
func (s *session) judge() {
	if s.guarded && !s.guard(s.up.buf.B[s.up.off:s.up.end]) {
		return
	}
	switch protocol := s.routing.conf.Protocol; {
	case s.prologue.hello:
		s.judgeHello()
	case protocol == "postgres":
		s.judgePostgres()
	case protocol == "mysql":
		s.judgeMySQL()
	default:
		s.judgeHello()
	}
}

// judgeHello wants a ClientHello, or first bytes of something else. A hello that is
// broken or incomplete matches no route and never reaches the fallback, which would
// be a way around the routes.
func (s *session) judgeHello() {
	up := &s.up
	hello := &s.shard.hello
	most, start := int(s.routing.conf.SniffMax), up.off+int(s.prologue.asked)
	switch sniff.ClientHello(up.buf.B[start:up.end], most-start, hello) {
	case sniff.NeedMore:
	case sniff.Done:
		s.timeSniff()
		to, name := s.routing.find(known{source: s.peer.Addr(), protocol: sniff.TLS, hello: hello})
		if name == "" {
			name = string(hello.SNI())
		}
		s.sni = name
		s.offered = s.shard.offered(hello)
		if to == nil {
			s.alert(alertUnrecognizedName)
		}
		s.hello = true
		s.route(to)
	case sniff.NotTLS:
		if s.routing.conf.Protocol != "auto" {
			s.close(reasonNotTLS)
			return
		}
		s.judgeOther()
	case sniff.Malformed:
		s.close(reasonMalformed)
	case sniff.TooLarge:
		s.close(reasonTooLarge)
	}
}

// judgeOther tells protocols apart that do not begin with TLS, as far as routes ask
// for them. What may still become one of them is waited for, like a hello.
func (s *session) judgeOther() {
	protocol, verdict := sniff.Protocol(s.up.buf.B[s.up.off:s.up.end], s.routing.table.protocols)
	if verdict == sniff.NeedMore {
		return
	}
	to, _ := s.routing.find(known{source: s.peer.Addr(), protocol: protocol})
	if s.routing.front != nil && (to == nil || !to.clear) {
		s.close(reasonNotTLS)
		return
	}
	s.timeSniff()
	s.route(to)
}

// mayWait reports whether a silent client is routed by its source alone after
// server_first_wait, for protocols in which the server speaks first.
func (s *session) mayWait() bool {
	c := s.routing.conf
	return c.Protocol == "auto" && c.ServerFirstWait > 0 && s.routing.bySource(s.peer.Addr()) != nil
}

// sniffExpired ends the wait for first bytes.
func (s *session) sniffExpired() {
	if s.up.end == 0 && s.mayWait() {
		s.route(s.routing.bySource(s.peer.Addr()))
		return
	}
	s.close(reasonSniffTimeout)
}

// handOver gives the client connection to an L7 listener, with what was read. The
// caps of both listeners count.
func (s *session) handOver(to *destination) {
	if to.web != nil {
		if refused := s.ticket.Join(to.web.limit); refused != limit.Admitted {
			s.to = to
			s.shard.refused(to.web, refused, s.peer.Addr())
			s.close(reasonOverLimit)
			return
		}
	}
	h := loop.Handover{
		FD: s.client.fd, Local: s.shard.loop.LocalAddr(s.client.fd), Remote: s.peer,
		Accepted: s.acceptedAt, Ticket: s.ticket, SNI: s.sni, Listener: s.routing.listener.name,
	}
	if s.proxied != nil {
		h.Destination, h.TLVs = s.proxied.destination, s.proxied.tlvs
	}
	if up := &s.up; up.buf != nil {
		h.Data = bytes.Clone(up.buf.B[up.off:up.end])
		up.release()
	}
	s.ticket = limit.Ticket{}
	s.shard.loop.Disarm(&s.timer)
	s.shard.loop.Release(h.FD)
	s.client.fd = -1
	s.state = stateClosed
	s.counters.active.Add(-1)
	s.counters.handedOver.Add(1)
	w := s.shard
	w.give(to.l7, h)
	w.retire(s) // only now: a drain must not end while the connection belongs to no one
}
