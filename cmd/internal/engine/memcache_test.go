package engine

import "testing"

func TestCacheGivesWayFirst(t *testing.T) {
	var squeezed, relaxed int
	c := &cacheMemory{limit: 1 << 30, held: func() int64 { return 0 }, squeeze: func(short bool) {
		if short {
			squeezed++
		} else {
			relaxed++
		}
	}}
	f := func(share float64, wantSqueezed, wantRelaxed int) {
		t.Helper()
		squeezed, relaxed = 0, 0
		c.look(share)
		if squeezed != wantSqueezed || relaxed != wantRelaxed {
			t.Errorf("%v: squeezed %d times, relaxed %d", share, squeezed, relaxed)
		}
	}
	f(0.5, 0, 1)
	f(0.9, 0, 0)
	f(0.919, 0, 0)
	f(0.92, 1, 0)
	f(0.89, 1, 0) // until there is some room
	f(0.879, 0, 1)
	f(0.9, 0, 0)
	f(0.99, 1, 0)
	if squeezeFrom >= rises[shedding] {
		t.Error("others give up something before the cache does")
	}
}

func TestRuntimeKnowsOfTheCache(t *testing.T) {
	var held, soft int64
	c := &cacheMemory{
		limit: 1 << 30, held: func() int64 { return held }, squeeze: func(bool) {},
		setSoft: func(n int64) { soft = n },
	}
	f := func(now, want int64) {
		t.Helper()
		held, soft = now, 0
		c.look(0.5)
		if soft != want {
			t.Errorf("%d held: told %d, want %d", now, soft, want)
		}
	}
	ninety := int64(float64(c.limit) * memoryShare)
	f(0, 0)
	f(retellStep-1, 0)
	f(retellStep, ninety-retellStep)
	f(retellStep+1, 0)
	f(200<<20, ninety-200<<20)
	f(900<<20, 1<<28)
	f(0, ninety)
}
