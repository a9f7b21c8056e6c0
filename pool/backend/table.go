package backend

import (
	"slices"
	"sync/atomic"

	"weir/conf"
)

// table is what Pick reads: the members of a group that take work at present,
// and the balancers over them. It is immutable (the balancers' turns apart) and
// replaced as a whole whenever a state, a weight or the set of members changes.
type table struct {
	pool   *conf.Pool
	socket *Socket
	tries  uint32             // members that one query may try
	timed  bool               // how quickly members answer counts
	pins   map[string]*Member // by the value of their cookie; those in use
	tiers  [tierCount]tier
}

// newTable makes a table of g without members.
func newTable(g *Group) *table {
	t := &table{
		pool: g.pool, socket: g.socket, tries: maxTries,
		timed: g.pool.Balance == balanceLatency || g.pool.Concurrency.Adaptive,
	}
	if n := g.pool.ConnectTries; n > 0 {
		t.tries = uint32(min(n, maxTries))
	}
	return t
}

// The tiers of a group. A later one is used only where nothing in an earlier
// one is usable. Members are split by zone only where some of both sorts are left.
const (
	tierZone    = iota // primaries in Weir's own zone
	tierPrimary        // primaries, or those of other zones
	tierBackup
	tierCount
)

// tier is one rank of members with a balancer over them.
type tier struct {
	slots []slot
	balancer
}

// slot is a member with its weight in a table.
type slot struct {
	m      *Member
	weight uint32 // > 0, in units of 1/rampScale
}

// balancer chooses among the slots of one tier. Any number of goroutines use it at once.
type balancer interface {
	// pick returns a member with a slot reserved for q that q was not given before,
	// or nil where there is none.
	pick(q *Query) *Member
}

// newTier makes the tier for slots. turn outlives the table, so that a new table
// does not send everyone back to the first member. total is how many members the
// group has in all, usable or not.
func newTier(balance string, slots []slot, turn *atomic.Uint64, total int) tier {
	t := tier{slots: slots}
	if len(slots) == 0 {
		return t
	}
	switch balance {
	case balanceLeastConn:
		t.balancer = &leastConn{slots: slots, wheel: newWheel(slots), turn: turn}
	case balanceP2C:
		t.balancer = &powerOfTwo{slots: slots, wheel: newWheel(slots)}
	case balanceRandom:
		t.balancer = &random{slots: slots, wheel: newWheel(slots)}
	case balanceLatency:
		t.balancer = &leastLatency{slots: slots, wheel: newWheel(slots)}
	case balanceSourceHash, balanceHash:
		t.balancer = newSourceHash(slots, total)
	default:
		t.balancer = &roundRobin{slots: slots, wheel: newWheel(slots), turn: turn}
	}
	return t
}

// pick searches the tiers in order. full reports that a member was passed over
// only because of its max_conns.
func (t *table) pick(q *Query) (m *Member, full bool) {
	if q.count >= t.tries {
		return nil, false
	}
	if m := q.prefer; m != nil && m.rotating.Load() && q.take(m) {
		return m, false
	}
	for i := range t.tiers {
		tier := &t.tiers[i]
		if len(tier.slots) == 0 {
			continue
		}
		if m := tier.pick(q); m != nil {
			return m, false
		}
		// Work does not spill over to a backup because the primaries are busy: a
		// backup is often a standby that must not serve beside its primary.
		for j := range tier.slots {
			if m := tier.slots[j].m; m.full() && !q.has(m) {
				full = true
				break
			}
		}
		if full && i != tierZone {
			return nil, true
		}
	}
	return nil, false
}

// inUse reports whether m takes work: it is in the first tier that has any members,
// or in the one that a busy zone spills over to.
func (t *table) inUse(m *Member) bool {
	for i := range t.tiers {
		slots := t.tiers[i].slots
		if slices.ContainsFunc(slots, func(s slot) bool { return s.m == m }) {
			return true
		}
		if len(slots) > 0 && i != tierZone {
			return false
		}
	}
	return false
}

// scan tries the slots one after the other, from start on and around.
func scan(slots []slot, start int, q *Query) *Member {
	for i := range slots {
		j := start + i
		if j >= len(slots) {
			j -= len(slots)
		}
		if m := slots[j].m; q.take(m) {
			return m
		}
	}
	return nil
}
