package backend

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"weir/conf"
	"weir/pool/metric"
)

// Why Enter lets a request not in.
var (
	ErrBreakerOpen = errors.New("the breaker of the pool is open: too many requests failed")
	ErrMaxRequests = errors.New("the pool has max_requests under way")
)

// BreakerState says what the breaker of a group does with a request.
type BreakerState uint32

// The states of a breaker:
//
//	closed -> open       too many of the requests of a window failed
//	open -> half-open    open_time has passed and a request comes
//	half-open -> closed  as many trials as the file says went well
//	half-open -> open    a trial failed
//
// The numbers are what the metric shows.
const (
	BreakerClosed   BreakerState = iota // all go through
	BreakerHalfOpen                     // a few go through, as trials
	BreakerOpen                         // none goes through
)

// String gives the word that the log and the admin API use.
func (s BreakerState) String() string {
	switch s {
	case BreakerClosed:
		return "closed"
	case BreakerHalfOpen:
		return "half_open"
	case BreakerOpen:
		return "open"
	}
	return "unknown"
}

// breaker refuses requests of a group that would most likely fail, and those beyond
// max_requests. The zero breaker is closed.
//
// Each state is a round of its own. A request belongs to the round in which it came:
// one that ends in a later round, maybe much later, says nothing of that.
type breaker struct {
	under atomic.Int32  // requests that entered and did not leave
	state atomic.Uint32 // BreakerState; written under mu
	round atomic.Uint32 // written under mu, before state
	until atomic.Int64  // end of the open state, in unix nanoseconds; written under mu
	rate  rate          // of the requests of a closed round

	mu     sync.Mutex
	trials int // of a half-open round: under way
	good   int // and those that went well
}

// Pass is the right of one request to use a group. The zero Pass is of a group without a
// breaker, and every method takes it. It belongs to one goroutine.
type Pass struct {
	held  bool
	told  bool
	trial bool
	round uint32
}

// Enter asks the breaker for a pass. Who gets one calls Leave exactly once, when the
// request has ended, and before that Tell, where it is known how it went. The error is
// ErrBreakerOpen or ErrMaxRequests. It allocates nothing, and takes no lock unless the
// breaker is half-open.
func (g *Group) Enter() (Pass, error) {
	b, c := &g.breaker, &g.table.Load().pool.Breaker
	if c.FailurePercent == 0 && c.MaxRequests == 0 {
		return Pass{}, nil
	}
	p := Pass{held: true}
	if n := b.under.Add(1); c.MaxRequests > 0 && int(n) > c.MaxRequests {
		b.under.Add(-1)
		g.overMax.Inc()
		return Pass{}, ErrMaxRequests
	}
	if c.FailurePercent > 0 && !b.admit(&p, c, time.Now()) {
		b.under.Add(-1)
		g.refusedOpen.Inc()
		return Pass{}, ErrBreakerOpen
	}
	return p, nil
}

// admit finds the round of p, or refuses it.
func (b *breaker) admit(p *Pass, c *conf.Breaker, now time.Time) bool {
	p.round = b.round.Load() // before the state: a round that ends just now may not count p
	switch BreakerState(b.state.Load()) {
	case BreakerClosed:
		return true
	case BreakerOpen:
		if now.UnixNano() < b.until.Load() {
			return false
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch BreakerState(b.state.Load()) {
	case BreakerOpen:
		if now.UnixNano() < b.until.Load() {
			return false
		}
		b.enter(BreakerHalfOpen)
	case BreakerHalfOpen:
		if b.trials+b.good >= c.Trials {
			return false
		}
	case BreakerClosed:
		p.round = b.round.Load()
		return true
	}
	b.trials++
	p.trial, p.round = true, b.round.Load()
	return true
}

// enter begins a round. b.mu is held.
func (b *breaker) enter(s BreakerState) {
	b.round.Add(1)
	b.trials, b.good = 0, 0
	b.rate.reset()
	b.state.Store(uint32(s))
}

// Tell says how the request of p went. Only the first call for a pass counts.
func (g *Group) Tell(p *Pass, good bool) {
	b := &g.breaker
	if !p.held || p.told {
		return
	}
	p.told = true
	c := &g.table.Load().pool.Breaker
	if c.FailurePercent == 0 || p.round != b.round.Load() {
		return
	}
	now := time.Now()
	if !p.trial {
		b.rate.turn(now, c.Window)
		if good {
			b.rate.good.Add(1)
			return
		}
		b.rate.bad.Add(1)
		if !b.rate.exceeds(c.FailurePercent, c.MinRequests) {
			return
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.round != b.round.Load() {
		return // another was faster
	}
	if p.trial {
		b.trials--
	}
	switch {
	case !good:
		g.openBreaker(c, now)
	case b.good+1 >= c.Trials:
		b.enter(BreakerClosed)
		g.r.events.add(slog.LevelInfo, "breaker closed", "pool", g.name, "trials", c.Trials)
	default:
		b.good++
	}
}

// openBreaker begins an open round. g.breaker.mu is held.
func (g *Group) openBreaker(c *conf.Breaker, now time.Time) {
	b := &g.breaker
	failed, of := b.rate.counts()
	again := BreakerState(b.state.Load()) == BreakerHalfOpen
	b.until.Store(now.Add(c.OpenTime).UnixNano())
	b.enter(BreakerOpen)
	g.opened.Inc()
	if again {
		g.r.events.add(slog.LevelWarn, "breaker open again: a trial failed", "pool", g.name, "for", c.OpenTime)
		return
	}
	g.r.events.add(slog.LevelWarn, "breaker open", "pool", g.name, "for", c.OpenTime, "failed", failed, "of", of)
}

// BreakerRest is how long the breaker stays open from now on; 0 where it is not open. A
// half-open one may let the next request in at any moment.
func (g *Group) BreakerRest(now time.Time) time.Duration {
	b := &g.breaker
	if BreakerState(b.state.Load()) != BreakerOpen {
		return 0
	}
	return max(time.Duration(b.until.Load()-now.UnixNano()), 0)
}

// Leave gives p back, after which it is a zero Pass.
func (g *Group) Leave(p *Pass) {
	if !p.held {
		return
	}
	b := &g.breaker
	b.under.Add(-1)
	if p.trial && !p.told {
		b.mu.Lock()
		if p.round == b.round.Load() {
			b.trials-- // another one tries
		}
		b.mu.Unlock()
	}
	*p = Pass{}
}

// within takes over the configuration: a pool that has no breaker any more begins with
// a closed one when it gets one again.
func (b *breaker) within(c *conf.Breaker) {
	if c.FailurePercent > 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.enter(BreakerClosed)
}

// BreakerStatus is the breaker of a group as the admin API shows it.
type BreakerStatus struct {
	State    string     `json:"state"`            // closed, half_open, open
	Until    *time.Time `json:"until,omitempty"`  // of the open state
	Failed   int        `json:"failed"`           // in the present window
	Requests int        `json:"requests"`         // in the present window, the failed ones too
	Trials   int        `json:"trials,omitempty"` // that went well, while half-open
	UnderWay int        `json:"under_way"`        // in servers and in the queue
	Max      int        `json:"max_requests"`     // 0: any number
	Opened   uint64     `json:"opened"`           // times
	Refused  uint64     `json:"refused"`          // requests, for either reason
}

// breakerStatus describes the breaker, nil where there is none. Registry.mu is held.
func (g *Group) breakerStatus() *BreakerStatus {
	b, c := &g.breaker, &g.pool.Breaker
	if c.FailurePercent == 0 && c.MaxRequests == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	state := BreakerState(b.state.Load())
	failed, of := b.rate.counts()
	s := &BreakerStatus{
		State: state.String(), Failed: failed, Requests: of, Trials: b.good,
		UnderWay: int(b.under.Load()), Max: c.MaxRequests,
		Opened: g.opened.Load(), Refused: g.refusedOpen.Load() + g.overMax.Load(),
	}
	if state == BreakerOpen {
		until := time.Unix(0, b.until.Load())
		s.Until = &until
	}
	return s
}

// showBreaker shows what the breaker does. Registry.mu is held.
func (g *Group) showBreaker() {
	b := &g.breaker
	g.r.metrics.GaugeFunc(metric.BackendBreaker, func() float64 { return float64(b.state.Load()) }, g.name)
	g.r.metrics.GaugeFunc(metric.BackendRequests, func() float64 { return float64(b.under.Load()) }, g.name)
}

// hideBreaker drops the metrics of a group that is retired. Registry.mu is held.
func (g *Group) hideBreaker() {
	g.r.metrics.Unregister(metric.BackendBreaker, g.name)
	g.r.metrics.Unregister(metric.BackendRequests, g.name)
}
