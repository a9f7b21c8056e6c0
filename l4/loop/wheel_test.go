package loop

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWheelFiresInOrderAndNeverEarly(t *testing.T) {
	f := func(start int64, at ...int64) {
		t.Helper()
		var w wheel
		w.advance(start, nil)
		for _, tick := range at {
			w.add(&Timer{}, start+tick)
		}
		var got []int64
		for {
			next, ok := w.next()
			if !ok {
				break
			}
			w.advance(next, func(tm *Timer) { got = append(got, w.now-start) })
		}
		want := slices.Clone(at)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("start %d: fired at %v, want %v", start, got, want)
		}
	}
	f(0, 1, 2, 3)
	f(0, 63, 64, 65, 4095, 4096, 4097, 1<<24, 1<<30)
	f(63, 1, 2, 64, 65)
	f(4095, 1, 63, 64, 4096)
	f(1<<24-1, 1, 2, 1<<24)
	f(12345678, 360000, 100, 200, 3000, 3001, 50)
	f(1, 7, 7, 7)
}

func TestWheelPastAndFarTicks(t *testing.T) {
	var w wheel
	w.advance(100, nil)
	var past, far Timer
	w.add(&past, 3)
	w.add(&far, 1<<62)
	if past.at != 101 || far.at != wheelMax {
		t.Errorf("past timer at %d, want 101; far one at %d, want %d", past.at, far.at, wheelMax)
	}
}

// TestWheelAgainstList drives the wheel and a plain list with the same random steps.
func TestWheelAgainstList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var w wheel
	timers := make([]Timer, 200)
	twin := make(map[*Timer]int64)
	spread := []int64{2, 70, 5000, 300000, 1 << 26}
	for step := range 100000 {
		tm := &timers[rnd.IntN(len(timers))]
		switch rnd.IntN(3) {
		case 0:
			if tm.armed {
				w.remove(tm)
			}
			at := w.now + rnd.Int64N(spread[rnd.IntN(len(spread))])
			w.add(tm, at)
			twin[tm] = max(at, w.now+1)
		case 1:
			if tm.armed {
				w.remove(tm)
				delete(twin, tm)
			}
		case 2:
			to := w.now + rnd.Int64N(spread[rnd.IntN(len(spread))])
			w.advance(to, func(tm *Timer) {
				if twin[tm] != w.now || twin[tm] > to {
					t.Fatalf("step %d: fired at %d, want %d", step, w.now, twin[tm])
				}
				delete(twin, tm)
			})
			if w.now != to {
				t.Fatalf("step %d: now %d, want %d", step, w.now, to)
			}
			for tm, at := range twin {
				if at <= to || !tm.armed {
					t.Fatalf("step %d: timer of %d was not fired by %d", step, at, to)
				}
			}
		}
	}
}

func TestWheelCallbackMayChangeIt(t *testing.T) {
	var w wheel
	var first, same, later, again Timer
	w.add(&first, 5)
	w.add(&same, 5)
	w.add(&later, 900)
	var at []int64
	w.advance(10, func(tm *Timer) {
		at = append(at, w.now)
		if len(at) > 1 {
			return
		}
		for _, other := range []*Timer{&first, &same, &later} {
			if other.armed {
				w.remove(other)
			}
		}
		w.add(&later, 0) // has passed: the next tick
		w.add(&again, 7)
		w.add(tm, 11) // not yet
	})
	if !slices.Equal(at, []int64{5, 6, 7}) {
		t.Errorf("fired at %v, want 5, 6 and 7", at)
	}
}

func BenchmarkWheel(b *testing.B) {
	var w wheel
	timers := make([]Timer, 1024)
	for i := range b.N {
		tm := &timers[i%len(timers)]
		if tm.armed {
			w.remove(tm)
		}
		w.add(tm, w.now+int64(i%360000))
	}
}
