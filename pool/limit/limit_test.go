package limit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// acquire is Acquire for an address in text; "" is the zero address.
func acquire(l *Listener, src string) (Ticket, Refusal) {
	var a netip.Addr
	if src != "" {
		a = netip.MustParseAddr(src)
	}
	return l.Acquire(a)
}

func (s *sources) len() int {
	n := 0
	for i := range s.shard {
		s.shard[i].mu.Lock()
		n += len(s.shard[i].n)
		s.shard[i].mu.Unlock()
	}
	return n
}

// TestCaps is row 24: one connection beyond a cap is refused, those there stay.
func TestCaps(t *testing.T) {
	c := New(Limits{Max: 4, MaxPerSource: 3})
	web := c.Listener("web", Limits{Max: 3, MaxPerSource: 2})
	db := c.Listener("db", Limits{})
	var held []Ticket
	f := func(l *Listener, src string, want Refusal) {
		t.Helper()
		tk, got := acquire(l, src)
		if got != want {
			t.Errorf("from %q: %s, want %s", src, got, want)
		}
		if got == Admitted {
			held = append(held, tk)
		} else if tk != (Ticket{}) {
			t.Errorf("a refusal came with a ticket")
		}
	}
	f(web, "10.0.0.1", Admitted)
	f(web, "10.0.0.1", Admitted)
	f(web, "10.0.0.1", RefusedSource) // 2 on this listener
	f(web, "10.0.0.2", Admitted)
	f(web, "10.0.0.3", RefusedListener) // 3 in all on it
	f(db, "10.0.0.1", Admitted)
	f(db, "10.0.0.1", RefusedGlobal) // 4 in the process
	f(db, "", RefusedGlobal)

	held[1].Release()
	f(db, "10.0.0.1", Admitted) // two on db, one on web
	held[2].Release()
	f(db, "10.0.0.1", RefusedSource) // 3 in the process
	f(web, "10.0.0.1", RefusedSource)
	f(db, "10.0.0.9", Admitted)

	if c.Count() != 4 || web.Count() != 1 || db.Count() != 3 {
		t.Errorf("counts %d, %d, %d; want 4, 1, 3", c.Count(), web.Count(), db.Count())
	}
	for _, r := range []struct {
		l    *Listener
		r    Refusal
		want uint64
	}{
		{web, RefusedGlobal, 0},
		{web, RefusedListener, 1},
		{web, RefusedSource, 2},
		{db, RefusedGlobal, 2},
		{db, RefusedListener, 0},
		{db, RefusedSource, 1},
	} {
		if got := r.l.Refused(r.r); got != r.want {
			t.Errorf("refused by %s: %d, want %d", r.r, got, r.want)
		}
	}
	for i := range held {
		held[i].Release()
		held[i].Release() // does nothing
	}
	if c.Count() != 0 || web.Count() != 0 || db.Count() != 0 || c.all.sources.len() != 0 || web.own.sources.len() != 0 {
		t.Error("something is still counted after all tickets were released")
	}
}

func TestSourcesAreTellingApart(t *testing.T) {
	f := func(a, b string, same bool) {
		t.Helper()
		c := New(Limits{MaxPerSource: 1})
		l := c.Listener("l", Limits{})
		acquire(l, a)
		if _, r := acquire(l, b); (r == RefusedSource) != same {
			t.Errorf("%s and %s: %s; one source is %v", a, b, r, same)
		}
	}
	f("10.0.0.1", "10.0.0.1", true)
	f("10.0.0.1", "10.0.0.2", false)
	f("10.0.0.1", "::ffff:10.0.0.1", true)
	f("0.0.0.0", "::", false)
	f("255.255.255.255", "::", false)
	f("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true)
	f("2001:db8:1:2::1", "2001:db8:1:3::1", false)
	f("fe80::1%eth0", "fe80::1%eth1", true)
	f("", "", false)
	f("", "10.0.0.1", false)
}

func TestSetLimits(t *testing.T) {
	c := New(Limits{Max: 1})
	l := c.Listener("l", Limits{})
	first, _ := acquire(l, "10.0.0.1")
	f := func(src string, want Refusal) {
		t.Helper()
		if _, got := acquire(l, src); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f("10.0.0.2", RefusedGlobal)
	c.SetLimits(Limits{Max: 3})
	f("10.0.0.2", Admitted)
	l.SetLimits(Limits{Max: 1})
	f("10.0.0.2", RefusedListener)
	if c.Listener("l", Limits{MaxPerSource: 1}) != l {
		t.Error("the same name gave another listener")
	}
	f("10.0.0.1", Admitted) // the first was not counted by source
	c.SetLimits(Limits{})
	f("10.0.0.1", RefusedSource)
	// A cap that is turned off while tickets hold sources takes them all back.
	l.SetLimits(Limits{})
	first.Release()
	if c.Count() != 2 {
		t.Errorf("count %d, want 2", c.Count())
	}
	c.Forget("l")
	if c.Listener("l", Limits{}) == l {
		t.Error("a forgotten listener came back")
	}
}

// twin is the slow and obvious form of what the package does.
type twin struct {
	mu       sync.Mutex
	all      int
	bySource map[string]int
}

// Many goroutines acquire and release at random. At no moment may a cap be
// exceeded, which the twin, updated inside the tickets' lifetimes, would see; in
// the end nothing is left.
func TestConcurrentAgainstTwin(t *testing.T) {
	const workers, rounds, maxAll, maxSource = 8, 4000, 12, 3
	c := New(Limits{Max: maxAll, MaxPerSource: maxSource})
	l := c.Listener("l", Limits{MaxPerSource: 2})
	other := c.Listener("other", Limits{Max: 8})
	tw := twin{bySource: make(map[string]int)}
	var admitted, refused atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			type heldTicket struct {
				t   Ticket
				src string
			}
			var held []heldTicket
			release := func() {
				h := &held[len(held)-1]
				tw.mu.Lock()
				tw.all--
				tw.bySource[h.src]--
				tw.mu.Unlock()
				h.t.Release()
				held = held[:len(held)-1]
			}
			for range rounds {
				if len(held) > 0 && rand.IntN(2) == 0 {
					release()
					continue
				}
				src := fmt.Sprintf("10.0.0.%d", rand.IntN(6))
				ln := l
				if rand.IntN(2) == 0 {
					ln = other
				}
				tk, r := acquire(ln, src)
				if r != Admitted {
					refused.Add(1)
					continue
				}
				admitted.Add(1)
				tw.mu.Lock()
				tw.all++
				tw.bySource[src]++
				if tw.all > maxAll || tw.bySource[src] > maxSource {
					t.Errorf("%d in all, %d of %s; caps %d and %d", tw.all, tw.bySource[src], src, maxAll, maxSource)
				}
				tw.mu.Unlock()
				held = append(held, heldTicket{tk, src})
			}
			for len(held) > 0 {
				release()
			}
		})
	}
	wg.Wait()
	if admitted.Load() == 0 || refused.Load() == 0 {
		t.Errorf("admitted %d and refused %d, want some of each", admitted.Load(), refused.Load())
	}
	n := l.Refused(RefusedGlobal) + l.Refused(RefusedSource) + l.Refused(RefusedListener) +
		other.Refused(RefusedGlobal) + other.Refused(RefusedSource) + other.Refused(RefusedListener)
	if n != uint64(refused.Load()) {
		t.Errorf("counted %d refusals, saw %d", n, refused.Load())
	}
	if c.Count() != 0 || l.Count() != 0 || other.Count() != 0 || c.all.sources.len() != 0 || l.own.sources.len() != 0 {
		t.Error("something is still counted after all tickets were released")
	}
}

// A sequence on one goroutine has one right answer for each step.
func TestSequenceAgainstTwin(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		lim := Limits{Max: rnd.IntN(12), MaxPerSource: rnd.IntN(4)}
		c := New(lim)
		l := c.Listener("l", Limits{})
		bySource := make(map[int]int)
		type heldTicket struct {
			t   Ticket
			src int
		}
		var held []heldTicket
		for step := range 500 {
			if len(held) > 0 && rnd.IntN(5) < 2 {
				i := rnd.IntN(len(held))
				held[i].t.Release()
				bySource[held[i].src]--
				held = append(held[:i], held[i+1:]...)
				continue
			}
			src := rnd.IntN(5)
			want := Admitted
			switch {
			case lim.Max > 0 && len(held) >= lim.Max:
				want = RefusedGlobal
			case lim.MaxPerSource > 0 && bySource[src] >= lim.MaxPerSource:
				want = RefusedSource
			}
			tk, got := acquire(l, fmt.Sprintf("2001:db8:0:%d::%d", src, step))
			if got != want {
				t.Fatalf("seed %d step %d: %s, want %s", seed, step, got, want)
			}
			if got == Admitted {
				bySource[src]++
				held = append(held, heldTicket{tk, src})
			}
		}
		if c.Count() != len(held) {
			t.Fatalf("seed %d: count %d, want %d", seed, c.Count(), len(held))
		}
	}
}

func TestMapsShrinkAfterAFlood(t *testing.T) {
	var s sources
	for i := range uint64(sourceShards * shrinkAt * 2) {
		if !s.take(key{hi: i << 8}, 1) {
			t.Fatal("a new source was refused")
		}
	}
	used := 0
	for i := range s.shard {
		if s.shard[i].peak > shrinkAt {
			used++
		}
	}
	if used < sourceShards/2 {
		t.Errorf("only %d of %d shards hold their part of %d neighbours", used, sourceShards, sourceShards*shrinkAt*2)
	}
	for i := range uint64(sourceShards * shrinkAt * 2) {
		s.give(key{hi: i << 8})
	}
	for i := range s.shard {
		if s.shard[i].peak > shrinkAt || s.shard[i].peak == 0 && s.shard[i].n != nil {
			t.Errorf("shard %d keeps a map of %d", i, s.shard[i].peak)
		}
	}
}

func TestGivingBackTooMuchIsABug(t *testing.T) {
	defer func() {
		if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "BUG: ") {
			t.Errorf("got %v, want a panic with BUG", p)
		}
	}()
	var s sources
	s.give(key{hi: 1})
}

func TestBudget(t *testing.T) {
	f := func(nofile, fixed, configured, want int) {
		t.Helper()
		if got := Budget(nofile, fixed, configured); got != want {
			t.Errorf("Budget(%d, %d, %d) = %d, want %d", nofile, fixed, configured, got, want)
		}
	}
	f(0, 0, 0, 1)
	f(25, 8, 0, 1)
	f(64, 8, 0, 20)
	f(64, 24, 0, 12)
	f(64, 100, 0, 1)
	f(64, 8, 10, 10)
	f(64, 8, 1000, 20)
	f(1024, 0, 0, 480)
	f(1024, 800, 0, 80)
	f(1048576, 0, 0, 523776)
	f(1<<31-1, 8, 0, 1<<24)
	f(1<<31-1, 8, 5, 5)
}

func TestRaiseNoFile(t *testing.T) {
	n, err := RaiseNoFile()
	if err != nil || n < 1 {
		t.Fatalf("limit %d, error %v", n, err)
	}
	if again, err := RaiseNoFile(); err != nil || again != n {
		t.Errorf("again: %d and %v, want %d", again, err, n)
	}
}

func TestRefusalNames(t *testing.T) {
	f := func(r Refusal, want string) {
		t.Helper()
		if r.String() != want {
			t.Errorf("%d is %q, want %q", r, r, want)
		}
	}
	f(Admitted, "admitted")
	f(RefusedGlobal, "global")
	f(RefusedListener, "listener")
	f(RefusedSource, "source")
	f(RefusedGlobalRate, "global_rate")
	f(RefusedListenerRate, "listener_rate")
	f(RefusedSourceRate, "source_rate")
	f(NumRefusals, "unknown")
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	c := New(Limits{Max: 100, MaxPerSource: 10, Rate: 1e8, RatePerSource: 1e8})
	l := c.Listener("l", Limits{Max: 50, MaxPerSource: 5})
	src := netip.MustParseAddr("192.0.2.1")
	n := testing.AllocsPerRun(1000, func() {
		tk, _ := l.Acquire(src)
		tk.Release()
	})
	if n != 0 {
		t.Errorf("Acquire and Release allocate %v times", n)
	}
	// Sources that never come twice must not make the maps grow either.
	var i uint32
	n = testing.AllocsPerRun(100_000, func() {
		i++
		tk, _ := l.Acquire(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}))
		tk.Release()
	})
	if n != 0 {
		t.Errorf("with ever new sources: %v allocations", n)
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	c := New(Limits{Max: 1 << 20, MaxPerSource: 1 << 20})
	l := c.Listener("l", Limits{MaxPerSource: 1 << 20})
	var n atomic.Uint32
	b.RunParallel(func(pb *testing.PB) {
		src := netip.AddrFrom4([4]byte{10, 0, 0, byte(n.Add(1))})
		for pb.Next() {
			tk, _ := l.Acquire(src)
			tk.Release()
		}
	})
}
