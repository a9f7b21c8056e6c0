package backend

import (
	"slices"
	"testing"
	"time"

	"weir/conf"
)

// station simulates a server that works on a few requests at a time, each of which takes
// a while; the others wait for their turn. As many come as the limit lets in, but for
// clients. What the limit does shows only in answers to requests that come later.
type station struct {
	adapted
	workers int
	work    time.Duration
	now     time.Time
	queue   []time.Time // when who waits was asked
	working []job       // in the order of their ends
	ends    []int       // the limits at all answers so far
}

type job struct{ asked, end time.Time }

// run serves so many clients, each of which asks again when it has its answer.
func (s *station) run(c *conf.Concurrency, clients, answers int) {
	for range answers {
		for n := len(s.queue) + len(s.working); n < min(int(s.limit.Load()), clients); n++ {
			s.queue = append(s.queue, s.now)
		}
		for len(s.working) < s.workers && len(s.queue) > 0 {
			s.working = append(s.working, job{s.queue[0], s.now.Add(s.work + time.Duration(len(s.ends)%7)*s.work/20)})
			s.queue = s.queue[1:]
		}
		slices.SortFunc(s.working, func(a, b job) int { return a.end.Compare(b.end) })
		inFlight := int32(len(s.queue) + len(s.working))
		j := s.working[0]
		s.working, s.now = s.working[1:], j.end
		s.observe(s.now.Sub(j.asked), s.now, inFlight, c)
		s.ends = append(s.ends, int(s.limit.Load()))
	}
}

// The limit settles near what the server can work on, whatever that is and however long
// it takes, and stays there.
func TestAdaptedFindsTheLimit(t *testing.T) {
	f := func(workers int, work time.Duration, lo, hi int) {
		t.Helper()
		c := &conf.Concurrency{Adaptive: true, Min: 2, Max: 1000, Tolerance: 150}
		s := &station{workers: workers, work: work, now: time.Unix(1e9, 0)}
		s.within(c)
		s.run(c, 10_000, 20_000)
		settled := s.ends[5000:]
		if least, most := slices.Min(settled), slices.Max(settled); least < lo || most > hi {
			t.Errorf("%d workers of %v: the limit was %d to %d, want %d to %d", workers, work, least, most, lo, hi)
		}
	}
	f(5, 10*time.Millisecond, 6, 20)
	f(20, time.Millisecond, 21, 45)
	f(20, 10*time.Millisecond, 21, 45)
	f(20, 100*time.Millisecond, 21, 60)
	f(100, 10*time.Millisecond, 101, 200)
}

// The limit falls when the server becomes slow, and comes back with it.
func TestAdaptedFollows(t *testing.T) {
	c := &conf.Concurrency{Adaptive: true, Min: 4, Max: 200, Tolerance: 150}
	s := &station{workers: 20, work: 10 * time.Millisecond, now: time.Unix(1e9, 0)}
	s.within(c)
	f := func(what string, work time.Duration, answers, lo, hi int) {
		t.Helper()
		s.work = work
		s.run(c, 100, answers)
		if got := s.ends[len(s.ends)-1]; got < lo || got > hi {
			t.Errorf("%s: the limit is %d, want %d to %d", what, got, lo, hi)
		}
	}
	f("at first", 10*time.Millisecond, 5000, 21, 45)
	f("slow", 100*time.Millisecond, 1000, 4, 6)
	f("quick again", 10*time.Millisecond, 1000, 21, 50)
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
	a.observe(time.Second, time.Now(), 100, c)
	f("an answer before that", 0)
	a.within(c)
	f("at first", firstLimit)
	for range 1000 {
		a.observe(time.Millisecond, time.Now(), 1, c)
	}
	f("a server that is not busy", firstLimit)
	for range 1000 {
		a.observe(time.Millisecond, time.Now(), 50, c)
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
