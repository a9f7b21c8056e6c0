package backend

import "sync/atomic"

// leastConn takes the member with the fewest slots in use for its weight. Ties go
// by the wheel, so that idle members share by weight too. Each pick looks at
// every member; for thousands of them p2c is the better choice.
type leastConn struct {
	slots []slot
	wheel []uint32
	turn  *atomic.Uint64
}

func (b *leastConn) pick(q *Query) *Member {
	start := int(b.wheel[(b.turn.Add(1)-1)%uint64(len(b.wheel))])
	for range 3 {
		best := b.least(start, q)
		if best == nil {
			return nil
		}
		if q.take(best.m) {
			return best.m
		}
		// Another caller took its last slot in between.
	}
	return scan(b.slots, start, q)
}

// least finds the first of the least busy slots from start on that q can have.
func (b *leastConn) least(start int, q *Query) *slot {
	var best *slot
	var load, weight uint64 // of best
	for i := range b.slots {
		j := start + i
		if j >= len(b.slots) {
			j -= len(b.slots)
		}
		s := &b.slots[j]
		n := uint64(s.m.inFlight.Load())
		if best != nil && n*weight >= load*uint64(s.weight) || s.m.full() || q.has(s.m) {
			continue
		}
		best, load, weight = s, n, uint64(s.weight)
	}
	return best
}
