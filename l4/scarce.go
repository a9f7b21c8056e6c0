package l4

import (
	"net/netip"

	"weir/pool/limit"
)

// What is refused because memory is short.
const (
	noneScarce uint32 = iota
	sessionsScarce
	allScarce
)

// RefuseForMemory says what is refused from now on because memory is short: new
// sessions, and where all is set also connections that are for L7. They are reset,
// counted and logged as those beyond a cap; what is open goes on. It may be called
// again and again.
func (s *Server) RefuseForMemory(sessions, all bool) {
	switch {
	case all:
		s.scarce.Store(allScarce)
	case sessions:
		s.scarce.Store(sessionsScarce)
	default:
		s.scarce.Store(noneScarce)
	}
}

// admit asks whether a new connection may come in: memory first, then the caps.
func (s *Server) admit(r *routing, source netip.Addr) (limit.Ticket, limit.Refusal) {
	if scarce := s.scarce.Load(); scarce == allScarce || scarce == sessionsScarce && r.l7 == "" {
		r.listener.limit.Refuse(limit.RefusedMemory)
		return limit.Ticket{}, limit.RefusedMemory
	}
	return r.listener.limit.Acquire(source)
}
