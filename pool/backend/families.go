package backend

import "golang.org/x/sys/unix"

// maxOutraced is how many lost races in a row eject an endpoint. A lost race is less
// than a timeout: one SYN that got lost on the way is enough for it.
const maxOutraced = 3

// Dual reports whether other members that take work come from the same configured
// name and have the other address family, so that PickOther may find one. It is cheap.
func (m *Member) Dual() bool { return m.dual.Load() }

// PickOther chooses a member for q as Pick does, but one that comes from the same
// configured name as m and has the other address family: a second way to what m
// stands for (RFC 8305). It is the one with the fewest slots taken, and nil where there is
// none with a free slot that q was not given before. A caller that could not even
// begin with it gives its turn back with [Query.Undo].
func (g *Group) PickOther(m *Member, q *Query) *Member {
	t := g.table.Load()
	if q.count >= t.tries {
		return nil
	}
	var best *Member
	for i := range t.tiers {
		for _, s := range t.tiers[i].slots {
			o := s.m
			if !otherFamily(m, o) || !t.inUse(o) || q.has(o) || o.full() {
				continue
			}
			if best == nil || o.InFlight() < best.InFlight() {
				best = o
			}
		}
	}
	if best == nil || !q.take(best) {
		return nil
	}
	best.picks.Add(1)
	return best
}

// Undo forgets that q was given m, where that was the last one it was given.
func (q *Query) Undo(m *Member) {
	if n := q.count; n > 0 && q.tried[n-1] == m.id {
		q.count--
	}
}

// otherFamily reports whether a and b are addresses of one name, one by IPv4 and the
// other by IPv6.
func otherFamily(a, b *Member) bool {
	name := a.endpoint.key.name
	return name != "" && name == b.endpoint.key.name && a.endpoint.isIPv6() != b.endpoint.isIPv6()
}

func (e *Endpoint) isIPv6() bool {
	_, ok := e.sockaddr.(*unix.SockaddrInet6)
	return ok
}

// markDual notes which members have one of the other family beside them. Both must
// take work in the same tier. Registry.mu is held.
func markDual(members []*Member, tiers [tierCount][]slot) {
	for _, m := range members {
		m.dual.Store(false)
	}
	for _, slots := range tiers {
		type families struct{ v4, v6 bool }
		var names map[string]families
		for _, s := range slots {
			name := s.m.endpoint.key.name
			if name == "" {
				continue
			}
			if names == nil {
				names = make(map[string]families)
			}
			f := names[name]
			v6 := s.m.endpoint.isIPv6()
			names[name] = families{f.v4 || !v6, f.v6 || v6}
		}
		for _, s := range slots {
			if f := names[s.m.endpoint.key.name]; f.v4 && f.v6 {
				s.m.dual.Store(true)
			}
		}
	}
}
