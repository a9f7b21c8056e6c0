package l4

// sniffBudget is the memory of a loop for first datagrams that name no server yet,
// enough for some thousand hellos at a time. Each may hold a few times sniff_max, and
// whoever makes up addresses leaves all of them unfinished.
const sniffBudget = 32 << 20

// charge accounts for what s holds now while it sniffs. It reports false where that is
// more than the loop has left; s is then to be closed.
func (s *udpSession) charge() bool {
	size := s.quic.Size()
	if s.held.buf != nil {
		size += len(s.held.buf.B)
	}
	u := &s.shard.udp
	u.sniffing += size - int(s.charged)
	s.charged = int32(size) //nolint:gosec // some times sniff_max, which is at most 64 KiB, and a datagram
	return u.sniffing <= u.budget
}

// discharge is told when s has stopped to sniff.
func (s *udpSession) discharge() {
	s.shard.udp.sniffing -= int(s.charged)
	s.charged = 0
	s.quic = nil
}
