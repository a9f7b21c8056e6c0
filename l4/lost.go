package l4

import "weir/pool/backend"

// CloseLost ends the sessions to a server that its pool lost, on all loops, in small
// steps and without waiting for them. It is for backend.Options.OnLost.
//
// No session slips through: a loop chooses a server only from the table in force,
// which is without the lost one before this is called, and a session that was chosen
// for it earlier is in the loop's list when the walk begins.
func (s *Server) CloseLost(l backend.Lost) {
	why := lostReason(l.Why)
	for _, sh := range s.shards {
		sh.startScan(func(v live) (int, bool) {
			if s, ok := v.(*session); ok && s.dropLost(l.Pool, l.Backend) || !v.at(l.Pool, l.Backend) {
				return 0, true
			}
			v.close(why)
			return endCost, true
		}, func() {})
	}
}

func (s *session) at(pool, backend string) bool {
	return s.to != nil && s.backend == backend && s.to.pool == pool && s.member != nil
}

func (s *udpSession) at(pool, backend string) bool {
	return s.to != nil && s.backend == backend && s.to.pool == pool && s.member != nil
}

func lostReason(l backend.Loss) reason {
	switch l {
	case backend.LossDown:
		return reasonBackendDown
	case backend.LossRemoved:
		return reasonBackendRemoved
	case backend.LossRole:
	}
	return reasonRoleLost
}
