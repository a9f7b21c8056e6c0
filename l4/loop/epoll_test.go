package loop

import (
	"runtime"
	"testing"
	"time"
)

// TestYields: a loop that is never without events gives Go's scheduler a look, again and
// again. On one processor the goroutine of this test is the proof.
func TestYields(t *testing.T) {
	l, _ := newLoop(t)
	a, b := pair(t)
	defer CloseSocket(b)
	busy := true
	times, yields := 0, 0
	h := &handler{}
	h.ready = func(fd int, _ Events) {
		if times++; busy {
			l.Again(fd)
		}
	}
	on(t, l, func() {
		if err := l.Watch(a, h); err != nil {
			t.Error(err)
		}
	})
	last := time.Duration(0)
	for deadline := time.Now().Add(10 * time.Second); yields < 3 && time.Now().Before(deadline); {
		on(t, l, func() {
			if l.yielded != last {
				last = l.yielded
				yields++
			}
		})
		runtime.Gosched()
	}
	on(t, l, func() { busy = false; l.CloseFD(a) })
	if yields < 3 || times < 10 {
		t.Errorf("%d yields in %d events", yields, times)
	}
}

// TestTasksAfterAPanic: a round that ends outside of any handler leaves events behind,
// the wake-up among them. The tasks run all the same.
func TestTasksAfterAPanic(t *testing.T) {
	p, err := openEpoll()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.close() }()
	rounds := 0
	round := func() (panicked bool) {
		defer func() { panicked = recover() != nil }()
		_ = p.run(func(int, Events) {}, func() bool {
			if rounds++; rounds == 1 {
				if err := p.wake(); err != nil {
					t.Error(err)
				}
				panic("in a task")
			}
			return false
		}, func() {})
		return false
	}
	if !round() || round() || rounds != 2 {
		t.Errorf("%d rounds", rounds)
	}
	if err := p.wake(); err != nil {
		t.Error(err)
	}
	if p.run(func(int, Events) {}, func() bool { rounds++; return rounds < 4 }, func() {}); rounds != 4 {
		t.Errorf("%d rounds: a wake-up was lost", rounds)
	}
}

// TestWakesWithoutEnd: no number of wake-ups uses up what they are told by.
func TestWakesWithoutEnd(t *testing.T) {
	l, _ := newLoop(t)
	for range 2000 {
		on(t, l, func() {})
	}
}
