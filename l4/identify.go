package l4

import (
	"bytes"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/sniff"
	"weir/pool/limit"
)

// proxyTimeout is how long a balancer may take to send its PROXY header, which it
// does before anything else.
const proxyTimeout = 5 * time.Second

// proxied is what a PROXY header said beside the client's address.
type proxied struct {
	destination netip.AddrPort // where the client connected to; may be zero
	tlvs        []byte
}

// isBalancer reports whether connections from addr begin with a PROXY header. A
// peer on a unix socket has no address and is none.
func (r *routing) isBalancer(addr netip.Addr) bool {
	addr = addr.Unmap()
	for _, p := range r.balancer {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// identify reads the PROXY header. It is looked at in the kernel's buffer until it
// is whole and then taken out alone, so that what follows is left to its reader.
func (s *session) identify() {
	for s.state == stateIdentifying && s.client.readable {
		b := s.shard.loop.Scratch()[:sniff.ProxyMaxV2]
		n, errno := s.shard.loop.Peek(s.client.fd, b)
		switch {
		case errno == unix.EAGAIN:
			s.client.readable, s.client.toEnd = false, false
		case errno == unix.EINTR:
		case errno != 0:
			s.close(reasonClientReset)
		case n == 0:
			s.close(reasonProxyMalformed)
		default:
			s.judgeProxy(b[:n])
		}
	}
}

func (s *session) judgeProxy(b []byte) {
	var h sniff.ProxyHeader
	n, v := sniff.Proxy(b, sniff.ProxyMaxV2, &h)
	switch {
	case v == sniff.NeedMore && !s.client.toEnd:
		s.client.readable = false // the next byte is an edge, though these are still there
	case v != sniff.Done:
		s.close(reasonProxyMalformed)
	default:
		if h.Destination.IsValid() || len(h.TLVs) > 0 {
			s.proxied = &proxied{destination: h.Destination, tlvs: bytes.Clone(h.TLVs)}
		}
		if m, errno := s.shard.loop.Read(s.client.fd, b[:n]); errno != 0 || m != n {
			s.close(reasonClientReset)
			return
		}
		s.identified(h.Source)
	}
}

// identified goes on with the client that the header named, if it named one: it is
// the peer from now on, and the caps per source are its own.
func (s *session) identified(client netip.AddrPort) {
	if client.IsValid() {
		refused := s.routing.listener.limit.Identify(&s.ticket, client.Addr())
		s.peer = client
		if refused != limit.Admitted {
			s.shard.refused(s.routing.listener, refused, client.Addr())
			s.close(reasonOverLimit)
			return
		}
	}
	s.proceed()
}

// guard looks at the first bytes of a client that is no balancer, on a listener
// that has some. It reports whether they are clearly no PROXY header: one of a
// stranger must reach nobody who may believe it.
func (s *session) guard(b []byte) bool {
	switch sniff.ProxyStart(b) {
	case sniff.Done:
		s.close(reasonProxyRefused)
	case sniff.Malformed:
		s.guarded = false
	}
	return s.state != stateClosed && !s.guarded
}

// guardRelay is guard for a session that does not wait for first bytes. They are
// left in the kernel's buffer until it is clear what they are.
func (s *session) guardRelay() bool {
	first := s.shard.loop.Scratch()[:16]
	for {
		n, errno := s.shard.loop.Peek(s.client.fd, first)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			s.client.readable, s.client.toEnd = false, false
			return false
		case errno != 0, n == 0, s.guard(first[:n]):
			s.guarded = false
			return true
		case s.state == stateClosed:
			return false
		case s.client.toEnd: // too short to be one
			s.guarded = false
			return true
		}
		s.client.readable = false
		return false
	}
}
