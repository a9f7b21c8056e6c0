package backend

import (
	"math/rand/v2"
	"time"
)

// leastLatency takes two members at random by weight, and of these the one that is
// expected to answer first: by its latency, once more for each request that it has
// in flight, for its weight. Callers that time nothing get what powerOfTwo gives.
type leastLatency struct {
	slots []slot
	wheel []uint32
}

func (b *leastLatency) pick(q *Query) *Member {
	now := time.Now().UnixNano()
	two := powerOfTwo{slots: b.slots, wheel: b.wheel}
	for range min(len(b.slots), maxTurns) {
		i, j := two.two()
		if b.slots[i].cost(now) > b.slots[j].cost(now) {
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

// strange is what the latency of a member counts for that has work and has not
// answered yet: more than one request is not bet on it.
const strange = time.Second

// cost is how long a request more is expected to take on s, for its weight.
func (s *slot) cost(now int64) float64 {
	n := s.m.inFlight.Load()
	nanos := s.m.latency.at(now)
	if nanos == 0 && n > 0 {
		nanos = float64(strange)
	}
	return nanos * float64(n+1) / float64(s.weight)
}
