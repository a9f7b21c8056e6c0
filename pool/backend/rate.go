package backend

import (
	"sync/atomic"
	"time"
)

// rate counts what went well and what failed, in windows that follow one another. The
// zero rate is ready. What is counted while one window gives way to the next may be
// lost: it is a rate of many.
type rate struct {
	window atomic.Int64 // number of the present one
	good   atomic.Uint32
	bad    atomic.Uint32
}

// turn begins a new window where it is time.
func (r *rate) turn(now time.Time, length time.Duration) {
	n := now.UnixNano() / int64(max(length, time.Millisecond))
	if old := r.window.Load(); old != n && r.window.CompareAndSwap(old, n) {
		r.reset()
	}
}

func (r *rate) reset() {
	r.good.Store(0)
	r.bad.Store(0)
}

// counts says how many are bad, and how many there are.
func (r *rate) counts() (bad, all int) {
	bad = int(r.bad.Load())
	return bad, bad + int(r.good.Load())
}

// exceeds reports whether there are at least least counts, and at least percent of
// them are bad.
func (r *rate) exceeds(percent, least int) bool {
	good, bad := uint64(r.good.Load()), uint64(r.bad.Load())
	return good+bad >= uint64(least) && bad*100 >= (good+bad)*uint64(percent)
}
