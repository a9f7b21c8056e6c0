package backend

import "sync/atomic"

// maxTurns is how many further choices a balancer makes when one fails (tried
// before, or full) until it takes any member that is left. Choosing again keeps
// the shares of the others right; taking the neighbour would double its share.
const maxTurns = 16

// roundRobin goes around the wheel: smooth weighted round robin.
type roundRobin struct {
	slots []slot
	wheel []uint32
	turn  *atomic.Uint64
}

func (b *roundRobin) pick(q *Query) *Member {
	i := 0
	for range min(2*len(b.slots), maxTurns) {
		i = int(b.wheel[(b.turn.Add(1)-1)%uint64(len(b.wheel))])
		if m := b.slots[i].m; q.take(m) {
			return m
		}
	}
	return scan(b.slots, i, q)
}
