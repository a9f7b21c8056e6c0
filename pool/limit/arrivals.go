package limit

import (
	"math/rand/v2"
	"sync"
	"time"
)

// The connection rate of each source needs a memory of sources, and a flood may come
// from as many as it likes. So the memory has a fixed size: a cache of buckets in
// sets, in each of which the fullest bucket makes way for a new source. A full bucket
// says no more than none, so nothing is forgotten until more than a set's sources
// came within one second; then some get a second's worth anew. The hash has a secret,
// so that nobody can choose whom to push out.
const (
	arrivalSets = 2048 // a power of two
	arrivalWays = 8
	// ArrivalSources is how many sources are remembered at a time. They take 24 bytes each.
	ArrivalSources = arrivalSets * arrivalWays
)

// rateWindow is the time whose connections may come at once.
const rateWindow = time.Second

// arrivals are the buckets of sources. The zero value is ready and has no memory yet.
type arrivals struct {
	once sync.Once
	seed uint64
	sets []arrivalSet
	mu   [sourceShards]struct {
		sync.Mutex
		_ [56]byte // a cache line each
	} // that of a set by its index
}

type arrivalSet [arrivalWays]arrival

// arrival is a bucket. The zero key is nobody's: its bucket is one that was never used.
type arrival struct {
	source key
	empty  int64 // as in Bucket
}

// take takes one token of k's bucket, if there is one.
func (a *arrivals) take(k key, now time.Duration, rate int64) bool {
	a.once.Do(func() {
		a.seed = rand.Uint64() | 1
		a.sets = make([]arrivalSet, arrivalSets)
	})
	h := (k.hi ^ k.lo*0x9E3779B97F4A7C15) * a.seed
	i := int(h>>40) % arrivalSets
	mu := &a.mu[i%sourceShards]
	mu.Lock()
	defer mu.Unlock()
	e := a.sets[i].find(k, int64(now-rateWindow))
	next, ok := takeOne(e.empty, int64(now), rate, rateWindow)
	if ok {
		e.empty = next
	}
	return ok
}

// find returns the bucket of k, or a full one for it in the place of the fullest.
func (s *arrivalSet) find(k key, full int64) *arrival {
	fullest := &s[0]
	for i := range s {
		e := &s[i]
		if e.source == k {
			return e
		}
		if e.source == (key{}) || e.empty < fullest.empty && fullest.source != (key{}) {
			fullest = e
		}
	}
	*fullest = arrival{source: k, empty: full}
	return fullest
}
