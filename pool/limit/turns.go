package limit

import (
	"container/list"
	"sync"
	"time"
)

// Turns bounds how many goroutines do costly work at the same time, so that others
// of the process get processor time as well. Who has begun something goes before who
// has not, else a flood of beginnings would keep everything from its end; within each
// kind it is first come, first served. Any number of goroutines may use it.
type Turns struct {
	mu    sync.Mutex
	free  int       // guarded by mu
	begun list.List // of chan struct{}; guarded by mu
	fresh list.List // the same; guarded by mu
}

// NewTurns allows n at a time, at least one.
func NewTurns(n int) *Turns { return &Turns{free: max(n, 1)} }

// Take waits for a turn, until stop is closed or the time is over; it then reports
// false. The caller who gets true must call Give. begun: the work has had a turn before.
func (t *Turns) Take(begun bool, stop <-chan struct{}, most time.Duration) bool {
	t.mu.Lock()
	if t.free > 0 {
		t.free-- // nobody waits while one is free
		t.mu.Unlock()
		return true
	}
	queue := &t.fresh
	if begun {
		queue = &t.begun
	}
	mine := make(chan struct{}, 1)
	place := queue.PushBack(mine)
	t.mu.Unlock()

	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-mine:
		return true
	case <-stop:
	case <-timer.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-mine: // it came just now, for someone else then
		t.give()
	default:
		queue.Remove(place)
	}
	return false
}

// Give ends a turn.
func (t *Turns) Give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.give()
}

func (t *Turns) give() {
	for _, queue := range [...]*list.List{&t.begun, &t.fresh} {
		if next := queue.Front(); next != nil {
			queue.Remove(next)
			next.Value.(chan struct{}) <- struct{}{} // has room
			return
		}
	}
	t.free++
}

// Waiting returns how many wait for a turn.
func (t *Turns) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.begun.Len() + t.fresh.Len()
}
