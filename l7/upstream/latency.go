package upstream

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Latency is a live distribution of the times in which a group's backends began to
// answer. Older times count less: whenever latencyWindow have come, all are halved, so
// that about the last two windows decide. The zero Latency is ready; any number of
// goroutines use it.
type Latency struct {
	counts [latencyBuckets]atomic.Uint32
	fresh  atomic.Uint32 // since the last halving
	known  atomic.Uint32 // in all, up to latencyLeast
}

// Buckets are microseconds, eight to each doubling, so that a quantile is at most an
// eighth too high.
const (
	latencyBuckets = 256 // to 2^32 us, over an hour
	latencyWindow  = 1024
	latencyLeast   = 64 // times below which nothing is said
)

// Observe adds one time.
func (l *Latency) Observe(d time.Duration) {
	l.counts[latencyBucket(d)].Add(1)
	if l.known.Load() < latencyLeast {
		l.known.Add(1)
	}
	if n := l.fresh.Add(1); n == latencyWindow {
		for i := range l.counts {
			// What comes in between is lost or not halved: nothing that would matter.
			l.counts[i].Store(l.counts[i].Load() / 2)
		}
		l.fresh.Store(0)
	}
}

// Quantile returns the time within which percent of the answers came, rounded up;
// false while too little is known.
func (l *Latency) Quantile(percent int) (time.Duration, bool) {
	if l.known.Load() < latencyLeast {
		return 0, false
	}
	var total, below uint64
	for i := range l.counts {
		total += uint64(l.counts[i].Load())
	}
	want := (total*uint64(percent) + 99) / 100
	for i := range l.counts {
		if below += uint64(l.counts[i].Load()); below >= want && below > 0 {
			return latencyBound(i), true
		}
	}
	return 0, false // halved in between
}

func latencyBucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < 16 {
		return int(us)
	}
	octave := bits.Len64(us) - 4 // of 16 to 31 us: 1
	return min(8*octave+int(us>>octave), latencyBuckets-1)
}

// latencyBound is the upper end of a bucket.
func latencyBound(i int) time.Duration {
	if i < 16 {
		return time.Duration(i+1) * time.Microsecond
	}
	octave := i/8 - 1
	return time.Duration(uint64(i%8+9)<<octave) * time.Microsecond
}

// Latency is the distribution of a group, shared by all who ask for it.
func (t *Transport) Latency(group string) *Latency { return &t.countersOf(group).latency }
