package limit

import (
	"math"
	"sync/atomic"
	"time"
)

// Bucket is a token bucket: it fills with rate tokens per second, up to those of one
// window. The zero value has no rate and gives everything. All methods may be called
// from any goroutine and take no lock. Times are those of one monotonic clock that
// the caller chooses.
type Bucket struct {
	rate  atomic.Int64 // tokens per second; 0: no limit
	empty atomic.Int64 // when it was, or will be, empty: it holds what came since
}

// SetRate changes the rate, 0 for no limit. What is in the bucket by time stays.
func (b *Bucket) SetRate(rate int64) { b.rate.Store(rate) }

// Rate is the rate in tokens per second; 0: no limit.
func (b *Bucket) Rate() int64 { return b.rate.Load() }

// Reset makes the bucket as full as it is after it was left alone for d.
func (b *Bucket) Reset(now, d time.Duration) { b.empty.Store(int64(now - d)) }

// Take takes one token, if there is one.
func (b *Bucket) Take(now, window time.Duration) bool {
	rate := b.rate.Load()
	if rate <= 0 {
		return true
	}
	for {
		empty := b.empty.Load()
		next, ok := takeOne(empty, int64(now), rate, window)
		if !ok || b.empty.CompareAndSwap(empty, next) {
			return ok
		}
	}
}

// takeOne returns when a bucket that was empty then is empty after one more token
// was taken, and whether there was one.
func takeOne(empty, now, rate int64, window time.Duration) (int64, bool) {
	cost := max(int64(time.Second)/rate, 1)
	empty = max(empty, now-max(int64(window), cost))
	return empty + cost, empty+cost <= now
}

// Available is how many tokens there are, negative where Spend took more than that.
// Without a rate it is math.MaxInt64.
func (b *Bucket) Available(now, window time.Duration) int64 {
	rate := b.rate.Load()
	if rate <= 0 {
		return math.MaxInt64
	}
	since := min(int64(now)-b.empty.Load(), int64(window))
	// Seconds and the rest apart, so that no rate makes the product overflow.
	return since/int64(time.Second)*rate + int64(float64(since%int64(time.Second))*float64(rate)/float64(time.Second))
}

// Spend takes n tokens whether they are there or not.
func (b *Bucket) Spend(now, window time.Duration, n int64) {
	rate := b.rate.Load()
	if rate <= 0 {
		return
	}
	cost := int64(float64(n) * float64(time.Second) / float64(rate))
	for {
		empty := b.empty.Load()
		if b.empty.CompareAndSwap(empty, max(empty, int64(now-window))+cost) {
			return
		}
	}
}
