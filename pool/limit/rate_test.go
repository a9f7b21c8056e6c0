package limit

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hand is a clock that a test moves.
type hand struct{ now atomic.Int64 }

func (h *hand) pass(d time.Duration) { h.now.Add(int64(d)) }

// rated is New with a clock of its own.
func rated(l Limits) (*Conns, *hand) {
	c := New(l)
	h := new(hand)
	h.pass(time.Minute)
	c.clock = func() time.Duration { return time.Duration(h.now.Load()) }
	return c, h
}

// come lets n connections arrive from src, which end at once, and returns how many
// were admitted.
func come(t *testing.T, l *Listener, src string, n int, want Refusal) int {
	t.Helper()
	admitted := 0
	for range n {
		tk, r := acquire(l, src)
		switch r {
		case Admitted:
			admitted++
			tk.Release()
		case want:
		default:
			t.Fatalf("refused by %s, want %s", r, want)
		}
	}
	return admitted
}

// TestRow40_ConnectionRates: those beyond a rate are refused, by the narrowest cap
// that is in the way, and what one source sends too much is not taken from others.
func TestRow40_ConnectionRates(t *testing.T) {
	c, clock := rated(Limits{Rate: 100, RatePerSource: 20})
	web := c.Listener("web", Limits{Rate: 50, RatePerSource: 10})
	db := c.Listener("db", Limits{})
	f := func(l *Listener, src string, n, want int, why Refusal) {
		t.Helper()
		if got := come(t, l, src, n, why); got != want {
			t.Errorf("admitted %d of %d, want %d", got, n, want)
		}
	}
	f(web, "10.0.0.1", 1000, 10, RefusedSourceRate) // a second's worth at once
	f(web, "10.0.0.2", 10, 10, RefusedSourceRate)   // the flood took nothing from others
	f(web, "", 1000, 30, RefusedListenerRate)       // 50 in all
	f(db, "", 1000, 50, RefusedGlobalRate)          // 100 in all
	clock.pass(time.Second / 2)
	f(web, "10.0.0.1", 1000, 5, RefusedSourceRate) // half a second later half of it is there again
	f(web, "", 1000, 20, RefusedListenerRate)
	f(db, "10.0.0.1", 1000, 15, RefusedSourceRate) // 20 of it in all; 5 were used up on web
	clock.pass(time.Hour)
	f(web, "10.0.0.1", 1000, 10, RefusedSourceRate) // but never more than a second's
	if n := web.Refused(RefusedSourceRate); n != 990+995+990 {
		t.Errorf("%d refusals by the rate of a source, want %d", n, 990+995+990)
	}
	c.SetLimits(Limits{})
	web.SetLimits(Limits{})
	f(web, "10.0.0.1", 1000, 1000, Admitted)
	if c.Count() != 0 {
		t.Errorf("%d connections are left", c.Count())
	}
}

// Over a while the rate is exact, however the connections come.
func TestRateOverTime(t *testing.T) {
	f := func(rate int, step time.Duration) {
		t.Helper()
		c, clock := rated(Limits{Rate: rate})
		l := c.Listener("l", Limits{})
		come(t, l, "", 2*rate, RefusedGlobalRate) // the burst
		n := 0
		const seconds = 20
		for range int(seconds * time.Second / step) {
			clock.pass(step)
			n += come(t, l, "", 2*rate/int(time.Second/step)+2, RefusedGlobalRate)
		}
		if n < seconds*rate-1 || n > seconds*rate+1 {
			t.Errorf("rate %d in steps of %s: %d in %d s", rate, step, n, seconds)
		}
	}
	f(1, time.Second/10)
	f(7, time.Second/100)
	f(100, time.Second/1000)
	f(3000, time.Second/10)
}

func TestSourceNetworks(t *testing.T) {
	f := func(n Networks, a, b string, same bool) {
		t.Helper()
		c := New(Limits{MaxPerSource: 1})
		c.SetNetworks(n)
		l := c.Listener("l", Limits{})
		acquire(l, a)
		if _, r := acquire(l, b); (r == RefusedSource) != same {
			t.Errorf("%s and %s with %+v: %s; one source is %v", a, b, n, r, same)
		}
	}
	f(Networks{}, "10.0.0.1", "10.0.0.2", false)
	f(Networks{Bits4: 24}, "10.0.0.1", "10.0.0.200", true)
	f(Networks{Bits4: 24}, "10.0.0.1", "10.0.1.1", false)
	f(Networks{Bits4: 8}, "10.0.0.1", "10.255.0.1", true)
	f(Networks{Bits6: 48}, "2001:db8:1:2::1", "2001:db8:1:3::1", true)
	f(Networks{Bits6: 48}, "2001:db8:1:2::1", "2001:db8:2:2::1", false)
	f(Networks{Bits6: 64}, "2001:db8:1:2::1", "2001:db8:1:2:1::1", true)
	f(Networks{Bits6: 128}, "2001:db8::1", "2001:db8::2", false)
	f(Networks{Bits6: 128}, "2001:db8::1", "2001:db8::1", true)
	f(Networks{Bits6: 120}, "2001:db8::1", "2001:db8::ff", true)
	f(Networks{Bits6: 120}, "2001:db8::1", "2001:db8::1ff", false)
	f(Networks{Bits4: 8, Bits6: 16}, "0.0.0.1", "::1", false)
}

// A flood from more sources than can be remembered takes no memory beyond a fixed
// size, refuses none that comes for the first time, and still holds back a source
// that comes again and again among them.
func TestRow40_FloodOfSources(t *testing.T) {
	c, clock := rated(Limits{RatePerSource: 5})
	l := c.Listener("l", Limits{})
	come(t, l, "192.0.2.1", 100, RefusedSourceRate) // the memory is there from now on
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const flood = 20 * ArrivalSources
	again := 0
	for i := range flood {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		tk, r := l.Acquire(a)
		if r != Admitted {
			t.Fatalf("source %d of the flood, its first connection: %s", i, r)
		}
		tk.Release()
		if i%16 == 0 {
			clock.pass(time.Microsecond)
			again += come(t, l, "192.0.2.1", 1, RefusedSourceRate)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d sources took %d bytes", flood, grown)
	}
	if again > flood/16/10 {
		t.Errorf("one source among them got %d of %d connections, at 5 per second", again, flood/16)
	}
}

// The client that a PROXY header names counts for its own rate; its connection was
// counted for the listener when it came.
func TestIdentify(t *testing.T) {
	c, _ := rated(Limits{})
	l := c.Listener("l", Limits{MaxPerSource: 2, Rate: 100, RatePerSource: 3})
	f := func(src string, want Refusal) {
		t.Helper()
		tk, r := l.Acquire(netip.Addr{})
		if r != Admitted {
			t.Fatalf("the balancer was refused: %s", r)
		}
		if r = l.Identify(&tk, netip.MustParseAddr(src)); r != want {
			t.Errorf("%s: %s, want %s", src, r, want)
		}
		if r != Admitted && tk != (Ticket{}) {
			t.Error("a refused connection holds something")
		}
		if src == "10.0.0.1" {
			tk.Release()
		}
	}
	for range 3 {
		f("10.0.0.1", Admitted)
	}
	f("10.0.0.1", RefusedSourceRate)
	f("10.0.0.2", Admitted)
	f("10.0.0.2", Admitted)
	f("10.0.0.2", RefusedSource)
	if c.Count() != 2 || l.Count() != 2 {
		t.Errorf("%d and %d connections, want 2", c.Count(), l.Count())
	}
	if got := come(t, l, "", 1000, RefusedListenerRate); got != 100-7 {
		t.Errorf("%d more connections of the listener, want %d: each of 7 counts once", got, 100-7)
	}
}

// Many goroutines never get more than the rate gives.
func TestRateConcurrent(t *testing.T) {
	c, _ := rated(Limits{Rate: 1000, RatePerSource: 100})
	l := c.Listener("l", Limits{})
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				src := ""
				if i%2 == 0 {
					src = fmt.Sprintf("10.0.0.%d", g%2)
				}
				if tk, r := acquire(l, src); r == Admitted {
					admitted.Add(1)
					tk.Release()
				}
			}
		})
	}
	wg.Wait()
	if n := admitted.Load(); n != 1000 {
		t.Errorf("admitted %d, want 1000", n)
	}
}

func TestBucketOfBytes(t *testing.T) {
	const window = 200 * time.Millisecond
	f := func(rate, chunk int64, step time.Duration) {
		t.Helper()
		var b Bucket
		b.SetRate(rate)
		now := time.Minute
		b.Reset(now, 0)
		got := int64(0)
		for range int(10 * time.Second / step) {
			now += step
			for b.Available(now, window) > 0 {
				b.Spend(now, window, chunk)
				got += chunk
			}
		}
		if want := 10 * rate; got < want-rate/50-chunk || got > want+rate/50+chunk {
			t.Errorf("rate %d: %d bytes in 10 s, want %d", rate, got, want)
		}
	}
	f(1000, 100, 10*time.Millisecond)
	f(1<<20, 64<<10, 20*time.Millisecond)
	f(1<<30, 256<<10, 10*time.Millisecond)
	f(1<<40, 64<<20, 50*time.Millisecond)
	var free Bucket
	free.Spend(0, window, 1<<40)
	if !free.Take(0, window) || free.Available(0, window) < 1<<40 {
		t.Error("a bucket without a rate gave nothing")
	}
}
