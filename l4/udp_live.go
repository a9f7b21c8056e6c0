package l4

// ID implements live.
func (s *udpSession) ID() uint64 { return s.shard.server.sessionID(s.number, s.shard.index) }

func (s *udpSession) show(x *Session) {
	now := s.shard.loop.Now()
	*x = Session{
		ID: s.ID(), Kind: "session", Listener: s.routing.listener.name, Network: "udp", Client: s.peer, SNI: s.sni,
		Backend: s.backend, State: s.state.String(), Start: s.acceptedAt, Age: now - s.accepted,
		Idle: max(now-s.moved, 0), BytesIn: s.up.bytes, BytesOut: s.down.bytes,
	}
	if s.to != nil {
		x.Route, x.Pool = s.to.name, s.to.pool
	}
}

// String gives the word that the admin API has for the state.
func (s udpState) String() string {
	switch s {
	case udpSniffing:
		return "sniffing"
	case udpRelaying:
		return "relaying"
	case udpClosed:
	}
	return "closed"
}
