package backend

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/conf"
)

// ward is a group with a breaker whose requests a test makes.
type ward struct {
	t *testing.T
	r *Registry
	g *Group
}

func newWard(t *testing.T, c conf.Breaker) *ward {
	w := &ward{t: t, r: New(Options{})}
	t.Cleanup(w.r.Close)
	w.configure(c)
	return w
}

func (w *ward) configure(c conf.Breaker) {
	w.t.Helper()
	p := testPool("p", "", servers(1))
	p.Breaker = c
	w.g = commit(w.t, w.r, p).Group("p")
}

// enter begins a request that must be let in.
func (w *ward) enter() Pass {
	w.t.Helper()
	p, err := w.g.Enter()
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// requests makes so many, one after the other.
func (w *ward) requests(n int, good bool) {
	w.t.Helper()
	for range n {
		p := w.enter()
		w.g.Tell(&p, good)
		w.g.Leave(&p)
	}
}

// refuses checks that a request is refused because the breaker is open or half-open.
func (w *ward) refuses(what string) {
	w.t.Helper()
	if p, err := w.g.Enter(); !errors.Is(err, ErrBreakerOpen) {
		w.t.Errorf("%s: a request was let in (%v)", what, err)
		w.g.Leave(&p)
	}
}

func (w *ward) is(what string, want BreakerState) {
	w.t.Helper()
	if got := w.g.Status().Breaker.State; got != want.String() {
		w.t.Errorf("%s: the breaker is %s, want %s", what, got, want)
	}
}

var halfFails = conf.Breaker{
	FailurePercent: 50, Window: time.Hour, MinRequests: 10, OpenTime: 5 * time.Second, Trials: 3,
}

// TestBreakerStates takes every way between the states.
func TestBreakerStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, halfFails)
		w.requests(9, false)
		w.is("too few to tell", BreakerClosed)
		w.requests(1, false)
		w.is("ten of ten failed", BreakerOpen)
		w.refuses("open")
		time.Sleep(4 * time.Second)
		w.refuses("open for less than its time")
		time.Sleep(2 * time.Second)

		trials := []Pass{w.enter(), w.enter(), w.enter()}
		w.is("after its time", BreakerHalfOpen)
		w.refuses("three trials under way")
		w.g.Tell(&trials[0], true)
		w.refuses("one trial went well and two are under way")
		w.g.Tell(&trials[1], false)
		w.is("a trial failed", BreakerOpen)
		w.g.Tell(&trials[2], true)
		w.is("the last trial is too late", BreakerOpen)
		for i := range trials {
			w.g.Leave(&trials[i])
		}

		time.Sleep(6 * time.Second)
		w.requests(2, true)
		w.is("two trials of three", BreakerHalfOpen)
		w.requests(1, true)
		w.is("three trials went well", BreakerClosed)
		w.requests(9, false)
		w.is("what was before counts once more", BreakerClosed)
		if s := w.g.Status().Breaker; s.Opened != 2 || s.UnderWay != 0 || s.Refused != 4 || s.Failed != 9 {
			t.Errorf("got %+v", s)
		}
	})
}

// A request from before the breaker opened says nothing about the time after.
func TestBreakerForgetsEarlierRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, halfFails)
		old := []Pass{w.enter(), w.enter(), w.enter(), w.enter()}
		w.requests(10, false)
		time.Sleep(6 * time.Second)
		trial := w.enter()
		for i := range old[:3] {
			w.g.Tell(&old[i], true)
		}
		w.is("old successes", BreakerHalfOpen)
		w.g.Tell(&old[3], false)
		w.is("an old failure", BreakerHalfOpen)
		for i := range old {
			w.g.Leave(&old[i])
		}
		w.g.Leave(&trial)
		w.requests(3, true)
		w.is("a trial that ended without a result, and three more", BreakerClosed)
	})
}

// Windows begin from zero, and a part below the limit never opens it.
func TestBreakerCounts(t *testing.T) {
	f := func(want BreakerState, percent, requests, oneIn int, pause time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			c := halfFails
			c.FailurePercent, c.Window = percent, 10*time.Second
			w := newWard(t, c)
			time.Sleep(time.Until(time.Now().Truncate(c.Window).Add(c.Window)))
			for i := range requests {
				if w.g.Status().Breaker.State != "closed" {
					break
				}
				w.requests(1, i%oneIn != 0)
				time.Sleep(pause)
			}
			w.is("in the end", want)
		})
	}
	f(BreakerOpen, 30, 100, 3, 0)
	f(BreakerClosed, 50, 100, 3, 0)
	f(BreakerClosed, 30, 100, 3, 2*time.Second)
	f(BreakerOpen, 100, 10, 1, 0)
	f(BreakerClosed, 100, 100, 1, 2*time.Second)
}

func TestBreakerMaxRequests(t *testing.T) {
	w := newWard(t, conf.Breaker{MaxRequests: 2})
	one, two := w.enter(), w.enter()
	if _, err := w.g.Enter(); !errors.Is(err, ErrMaxRequests) {
		t.Errorf("got %v", err)
	}
	w.g.Tell(&one, false)
	w.g.Leave(&one)
	w.g.Leave(&one) // it is a zero Pass by now
	one = w.enter()
	if _, err := w.g.Enter(); !errors.Is(err, ErrMaxRequests) {
		t.Errorf("got %v", err)
	}
	w.configure(conf.Breaker{})
	if w.g.Status().Breaker != nil {
		t.Error("a pool without a breaker shows one")
	}
	free := w.enter()
	w.g.Leave(&free)
	w.g.Leave(&one)
	w.g.Leave(&two)
	w.configure(conf.Breaker{MaxRequests: 1})
	if s := w.g.Status().Breaker; s.UnderWay != 0 || s.Refused != 2 {
		t.Errorf("got %+v", s)
	}
}

// A reload keeps the state, and one that ends the breaker ends it.
func TestBreakerReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t, halfFails)
		w.requests(10, false)
		w.configure(halfFails)
		w.refuses("after a reload")
		w.configure(conf.Breaker{})
		w.requests(20, false)
		w.configure(halfFails)
		w.is("a breaker that is there again", BreakerClosed)
		w.requests(1, true)
	})
}

// TestBreakerProperty lets many enter and fail at once: however they interleave, no more
// trials than allowed are under way, and nothing is left in the end.
func TestBreakerProperty(t *testing.T) {
	c := halfFails
	c.OpenTime, c.MinRequests, c.MaxRequests = time.Millisecond, 1, 50
	w := newWard(t, c)
	var trials atomic.Int32
	var wg sync.WaitGroup
	for seed := range 8 {
		r := rand.New(rand.NewPCG(1, uint64(seed)))
		wg.Go(func() {
			for i := range 3000 {
				p, err := w.g.Enter()
				if err != nil {
					time.Sleep(10 * time.Microsecond)
					continue
				}
				trial := p.trial
				if trial && trials.Add(1) > 2*int32(c.Trials) { // those of a round that failed may still run
					t.Errorf("%d trials are under way", trials.Load())
				}
				if r.IntN(10) == 0 {
					time.Sleep(50 * time.Microsecond)
				}
				if trial {
					trials.Add(-1)
				}
				if r.IntN(20) > 0 {
					w.g.Tell(&p, i%500 >= 20 && r.IntN(3) > 0) // all fail at first, so that it opens
				}
				w.g.Leave(&p)
			}
		})
	}
	wg.Wait()
	if s := w.g.Status().Breaker; s.UnderWay != 0 || s.Opened == 0 {
		t.Errorf("got %+v", s)
	}
	w.g.breaker.mu.Lock()
	defer w.g.breaker.mu.Unlock()
	if n := w.g.breaker.trials; n != 0 {
		t.Errorf("%d trials are left", n)
	}
}

func TestBreakerAllocs(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates
	}
	f := func(c conf.Breaker) {
		t.Helper()
		w := newWard(t, c)
		if n := testing.AllocsPerRun(1000, func() {
			p, _ := w.g.Enter()
			w.g.Tell(&p, true)
			w.g.Leave(&p)
		}); n != 0 {
			t.Errorf("a request allocates %v times", n)
		}
	}
	f(conf.Breaker{})
	f(halfFails)
	f(conf.Breaker{MaxRequests: 1})
}

// 502, 503 and 504 in a row can eject before other failures do, and 500 is not one of
// them.
func TestGatewayFailuresEject(t *testing.T) {
	f := func(limit int, want string, outcomes ...Outcome) {
		t.Helper()
		p := testPool("p", "", servers(1, 1, 1))
		p.Ejection.GatewayFailures = limit
		p.Ejection.Failures = 5
		m := group(t, p).Members()[0]
		for _, o := range outcomes {
			m.Report(o)
		}
		got := ""
		if !m.Endpoint().Usable() {
			got = m.Endpoint().ejection.cause.String()
		}
		if got != want {
			t.Errorf("gateway_failures = %d, %v: ejected for %q, want %q", limit, outcomes, got, want)
		}
	}
	g, s, ok := GatewayError, ServerError, Success
	f(2, "gateway_error", g, g)
	f(2, "", g, ok, g)
	f(2, "", g, s, g, Reset)
	f(2, "", s, s, s, s)
	f(2, "server_error", g, s, s, s, s)
	f(0, "", g, g, g, g)
	f(0, "gateway_error", g, g, g, g, g)
}
