package metric

import (
	"math"
	"sync/atomic"
	"time"
)

// Counter is a number that only grows. It may be used by any number of goroutines.
// Each fills a cache line of its own, so that two counters never slow one another.
type Counter struct {
	n atomic.Uint64
	_ [56]byte
}

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Load returns the present value.
func (c *Counter) Load() uint64 { return c.n.Load() }

// Gauge is a whole number that goes up and down. It may be used by any number of goroutines.
type Gauge struct {
	n atomic.Int64
	_ [56]byte
}

// Set replaces the value.
func (g *Gauge) Set(n int64) { g.n.Store(n) }

// Add adds n, which may be negative.
func (g *Gauge) Add(n int64) { g.n.Add(n) }

// Load returns the present value.
func (g *Gauge) Load() int64 { return g.n.Load() }

// bounds are the upper bounds of the histogram buckets. They reach from a step on
// an event loop (10 us) to the longest timeout that is on by default (60 s), three
// per decade; what is longer falls into +Inf.
var bounds = [...]time.Duration{
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	1 * time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	1 * time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 25 * time.Second, 60 * time.Second,
}

// Histogram counts durations in fixed buckets. It may be used by any number of
// goroutines, takes no lock and allocates nothing.
//
// The buckets are Prometheus' own (le), not the vmrange buckets of
// VictoriaMetrics, which a Prometheus server cannot add up.
type Histogram struct {
	buckets [len(bounds) + 1]atomic.Uint64 // not cumulative; the last is +Inf
	sum     atomic.Uint64                  // nanoseconds
}

// Observe adds one duration. A negative one, as a clock step can make, counts as zero.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	lo, hi := 0, len(bounds)
	for lo < hi {
		mid := (lo + hi) / 2
		if d <= bounds[mid] {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	h.buckets[lo].Add(1)
	h.sum.Add(uint64(d))
}

// Count returns how many durations were added.
func (h *Histogram) Count() uint64 {
	var n uint64
	for i := range h.buckets {
		n += h.buckets[i].Load()
	}
	return n
}

// Quantile returns an upper bound of the q-quantile (0 to 1) of all durations:
// the bound of the bucket it falls into, zero without any, and the largest
// Duration where it lies beyond the last bound.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.Count())))
	if rank == 0 {
		return 0
	}
	var n uint64
	for i := range bounds {
		if n += h.buckets[i].Load(); n >= rank {
			return bounds[i]
		}
	}
	return math.MaxInt64
}
