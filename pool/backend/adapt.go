package backend

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"weir/conf"
)

// firstLimit is where the search for a limit begins, within its bounds.
const firstLimit = 20

const (
	usualSpan   = 500              // answers that the usual latency is an average of
	busyTime    = 10 * time.Minute // the same where a busy server raises it: an overload, most likely
	limitStep   = 0.2              // how much of a new limit counts at once
	failureStep = 0.9              // what a failure leaves of a limit
	mostShrink  = 0.5              // what one slow answer asks for at most

	// swayed is how many of the answers to a full load each count for a whole limitStep; of
	// more each counts for less. They were all asked for under the limit of one latency ago:
	// if each counted fully, the limit would swing between its bounds.
	swayed = 4
)

// adapted is a limit of what a member may have in flight, found by the gradient of
// its latency: usual / present says how much of the load is served rather than
// waiting, and the square root of the limit is what may wait. It follows the
// Gradient2 limit of Netflix's concurrency-limits. The zero adapted has no limit.
type adapted struct {
	limit atomic.Int32 // 0: none

	mu    sync.Mutex // guards the rest
	exact float64    // the limit with its fraction
	usual float64    // latency in nanoseconds
	last  time.Time  // of the answer before
}

// within begins with a limit, brings it within new bounds, or ends it.
func (a *adapted) within(c *conf.Concurrency) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !c.Adaptive {
		a.exact, a.usual = 0, 0
		a.limit.Store(0)
		return
	}
	if a.exact == 0 {
		a.exact = firstLimit
	}
	a.set(a.exact, c)
}

// set takes over a limit. a.mu is held.
func (a *adapted) set(limit float64, c *conf.Concurrency) {
	a.exact = min(max(limit, float64(c.Min)), float64(c.Max))
	a.limit.Store(int32(a.exact))
}

// observe takes an answer into account that came now, and took d while inFlight were under
// way. Answers that come at the same moment need not all count, so nobody waits here.
func (a *adapted) observe(d time.Duration, now time.Time, inFlight int32, c *conf.Concurrency) {
	if !c.Adaptive || !a.mu.TryLock() {
		return
	}
	defer a.mu.Unlock()
	if a.exact == 0 {
		return
	}
	present := float64(max(d, 1))
	if a.usual == 0 {
		a.usual = present
	}
	busy := float64(inFlight)*2 >= a.exact
	weight := 2.0 / (usualSpan + 1)
	if busy && present > a.usual {
		// By time, since a quick server has many answers in a short overload.
		weight = min(float64(max(now.Sub(a.last), 0))/float64(busyTime), weight)
	}
	a.last = now
	a.usual += (present - a.usual) * weight
	if a.usual > 2*present {
		a.usual *= 0.95 // the load that made it slow is gone
	}
	if !busy {
		return // a server that is not busy says nothing of what it can do
	}
	gradient := min(max(a.usual*float64(c.Tolerance)/100/present, mostShrink), 1)
	wanted := a.exact*gradient + math.Sqrt(a.exact)
	a.set(a.exact+(wanted-a.exact)*limitStep*min(swayed/a.exact, 1), c)
}

// failed takes a failure into account.
func (a *adapted) failed(c *conf.Concurrency) {
	if !c.Adaptive || !a.mu.TryLock() {
		return
	}
	defer a.mu.Unlock()
	if a.exact > 0 {
		a.set(a.exact*failureStep, c)
	}
}

// bound is how much the member may have in flight, 0: any number.
func (m *Member) bound() int32 {
	limit, found := m.maxConns.Load(), m.adapted.limit.Load()
	if limit == 0 || found != 0 && found < limit {
		return found
	}
	return limit
}
