package backend

import (
	"testing"
	"time"

	"weir/conf"
)

// station simulates a server that works on a few requests at a time, each of which takes
// a while; the others wait for their turn.
func station(workers int, work time.Duration) func(inFlight int32) time.Duration {
	return func(inFlight int32) time.Duration {
		return work * time.Duration(max(int(inFlight), workers)) / time.Duration(workers)
	}
}

// The limit settles near what the server can work on, whatever that is.
func TestAdaptedFindsTheLimit(t *testing.T) {
	f := func(workers, quiet, lo, hi int) {
		t.Helper()
		c := &conf.Concurrency{Adaptive: true, Min: 2, Max: 1000, Tolerance: 150}
		var a adapted
		a.within(c)
		answer := station(workers, 10*time.Millisecond)
		for range 300 {
			a.observe(answer(1), 1, c) // a quiet beginning tells what is usual
		}
		for range 3000 {
			n := a.limit.Load()
			a.observe(answer(n), n, c)
			for range quiet {
				a.observe(answer(1), 1, c)
			}
		}
		if got := int(a.limit.Load()); got < lo || got > hi {
			t.Errorf("%d workers, %d quiet answers for a busy one: the limit is %d, want %d to %d", workers, quiet, got, lo, hi)
		}
	}
	f(5, 1, 5, 30)
	f(5, 0, 5, 30)
	f(20, 1, 20, 80)
	f(20, 0, 20, 120)
	f(100, 1, 100, 300)
	f(100, 0, 100, 450)
}

func TestAdaptedBounds(t *testing.T) {
	c := &conf.Concurrency{Adaptive: true, Min: 4, Max: 50, Tolerance: 150}
	var a adapted
	f := func(what string, want int32) {
		t.Helper()
		if got := a.limit.Load(); got != want {
			t.Errorf("%s: the limit is %d, want %d", what, got, want)
		}
	}
	f("without a configuration", 0)
	a.observe(time.Second, 100, c)
	f("an answer before that", 0)
	a.within(c)
	f("at first", firstLimit)
	for range 1000 {
		a.observe(time.Millisecond, 1, c)
	}
	f("a server that is not busy", firstLimit)
	for range 1000 {
		a.observe(time.Millisecond, 50, c)
	}
	f("a quick server", 50)
	for range 100 {
		a.failed(c)
	}
	f("failures", 4)
	a.within(&conf.Concurrency{Adaptive: true, Min: 10, Max: 50, Tolerance: 150})
	f("a reload with a higher minimum", 10)
	a.within(&conf.Concurrency{})
	f("a reload that ends it", 0)
}

// A member at its found limit is full, and max_conns holds beside it.
func TestAdaptedLimitsPicks(t *testing.T) {
	f := func(maxConns, want int) {
		t.Helper()
		p := testPool("p", balanceLeastConn, servers(1))
		p.Concurrency = conf.Concurrency{Adaptive: true, Min: 4, Max: 100, Tolerance: 150}
		p.Servers[0].MaxConns = maxConns
		g := group(t, p)
		if !g.Timed() {
			t.Error("the group does not want to know latencies")
		}
		n := 0
		for ; n < 200; n++ {
			if _, err := g.Pick(&Query{}); err != nil {
				if err != ErrFull {
					t.Errorf("got %v", err)
				}
				break
			}
		}
		if n != want {
			t.Errorf("max_conns %d: %d picks, want %d", maxConns, n, want)
		}
	}
	f(0, firstLimit)
	f(7, 7)
	f(100, firstLimit)
}

func TestObserveAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are not counted under the race detector")
		return
	}
	p := testPool("p", balanceLatency, servers(1))
	p.Concurrency = conf.Concurrency{Adaptive: true, Min: 4, Max: 100, Tolerance: 150}
	m := group(t, p).Members()[0]
	if n := testing.AllocsPerRun(1000, func() {
		m.reserve()
		m.Observe(time.Millisecond)
		m.Report(ServerError)
		m.Report(Success)
		m.Done()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
