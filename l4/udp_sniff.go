package l4

import "weir/l4/sniff"

// sniff looks for the server name of a QUIC connection in one more datagram. All
// datagrams are held until it is known, and reach the backend in their order.
func (s *udpSession) sniff(data []byte) {
	most := int(s.routing.conf.SniffMax)
	if s.quic == nil {
		s.quic = new(sniff.QUIC)
	}
	hello := &s.shard.hello
	v := s.quic.Add(data, most, hello)
	if !s.held.add(data, 2*most) {
		// Nothing of the hello can be in it that counts: what does not fit is past the limit.
		s.counters.drop(dropHeld, 1)
		s.close(reasonTooLarge)
		return
	}
	switch v {
	case sniff.NeedMore:
		if !s.charge() {
			s.close(reasonOverLimit)
		}
	case sniff.Done:
		to, name := s.routing.find(known{source: s.peer.Addr(), protocol: sniff.TLS, hello: hello})
		if name == "" {
			name = string(hello.SNI())
		}
		s.sni = name
		s.offered = s.shard.offered(hello)
		s.route(to)
	case sniff.NotTLS:
		if s.routing.conf.Protocol != "auto" {
			s.close(reasonNotTLS)
			return
		}
		s.route(s.routing.bySource(s.peer.Addr()))
	case sniff.Malformed:
		s.close(reasonMalformed)
	case sniff.TooLarge:
		s.close(reasonTooLarge)
	}
}
