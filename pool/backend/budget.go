package backend

import (
	"sync"
	"sync/atomic"
	"time"
)

// The retry budget of a group: over the last budgetWindow seconds, retries may be
// one in budgetShare of the requests, and budgetFloor in each second in any case.
const (
	budgetWindow = 10
	budgetShare  = 5
	budgetFloor  = 10
)

// budget keeps retries from multiplying the load on a group that fails. Counting
// a request is one atomic addition; the clock is read only for retries.
type budget struct {
	requests atomic.Uint64 // since the start

	mu      sync.Mutex
	now     int64                // the second the window ends with
	counted uint64               // of requests, how many the window knows
	window  [budgetWindow]second // by second modulo the window
}

type second struct{ requests, retries uint64 }

// allow takes one retry from the budget if it has one.
func (b *budget) allow(t time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(t.Unix())
	var requests, retries uint64
	for _, s := range b.window {
		requests += s.requests
		retries += s.retries
	}
	this := &b.window[b.now%budgetWindow]
	if this.retries >= budgetFloor && (retries+1)*budgetShare > requests {
		return false
	}
	this.retries++
	return true
}

// advance moves the window to the second now and puts the requests counted since
// the last call into it, spread evenly over the seconds that passed. A clock that
// stepped back leaves the window where it is.
func (b *budget) advance(now int64) {
	total := b.requests.Load()
	fresh := total - b.counted
	b.counted = total
	passed := uint64(max(now-b.now, 0))
	if b.now == 0 { // the first call: all of them are recent
		passed = 1
	}
	if passed == 0 {
		b.window[b.now%budgetWindow].requests += fresh
		return
	}
	b.now = now
	n := min(passed, budgetWindow)
	fresh = fresh * n / passed // what is older than the window is forgotten
	for i := range n {
		b.window[(now-int64(i))%budgetWindow] = second{requests: fresh / n}
	}
	b.window[now%budgetWindow].requests += fresh % n
}
