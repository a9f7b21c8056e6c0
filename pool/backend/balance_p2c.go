package backend

import "math/rand/v2"

// powerOfTwo takes two members at random by weight, and of these the one with
// fewer slots in use for its weight. It comes close to leastConn without looking
// at every member, and callers on other cores or in other Weirs do not all run
// to the same one.
type powerOfTwo struct {
	slots []slot
	wheel []uint32
}

func (b *powerOfTwo) pick(q *Query) *Member {
	for range min(len(b.slots), maxTurns) {
		i, j := b.two()
		if b.slots[i].busier(&b.slots[j]) {
			i, j = j, i
		}
		if m := b.slots[i].m; q.take(m) {
			return m
		}
		if m := b.slots[j].m; q.take(m) {
			return m
		}
	}
	return scan(b.slots, rand.IntN(len(b.slots)), q)
}

// two chooses two members, different ones if there are.
func (b *powerOfTwo) two() (i, j int) {
	i = spin(b.wheel)
	for range 3 {
		if j = spin(b.wheel); j != i {
			return i, j
		}
	}
	// One member has nearly the whole wheel; compare it with any other.
	return i, (i + 1) % len(b.slots)
}

// busier reports whether s has more slots in use for its weight than o.
func (s *slot) busier(o *slot) bool {
	return uint64(s.m.inFlight.Load())*uint64(o.weight) > uint64(o.m.inFlight.Load())*uint64(s.weight)
}
