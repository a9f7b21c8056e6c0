package backend

import "math/rand/v2"

// random takes any place of the wheel: a weighted choice without memory.
type random struct {
	slots []slot
	wheel []uint32
}

func (b *random) pick(q *Query) *Member {
	for range min(2*len(b.slots), maxTurns) {
		if m := b.slots[spin(b.wheel)].m; q.take(m) {
			return m
		}
	}
	return scan(b.slots, rand.IntN(len(b.slots)), q)
}

// spin returns the index at a random place of the wheel.
func spin(wheel []uint32) int { return int(wheel[rand.IntN(len(wheel))]) }
