package backend

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrQueueFull is returned by Enqueue when as many wait as the pool's queue holds.
var ErrQueueFull = errors.New("the queue of the pool is full")

// Waiter is one place in the queue of a group. The zero Waiter with Wake set is ready
// for Enqueue; it serves once. After Enqueue returned nil its owner calls Leave
// exactly once: when Wake was called, or before, to give the place up.
type Waiter struct {
	// Wake is called once, when Leave has a member or an error to return, unless
	// Leave comes first. It may be called before Enqueue returns, by any goroutine
	// and with the lock of a Registry held: it must not block and not call back.
	Wake func()

	group      *Group
	query      *Query
	since      time.Time
	prev, next *Waiter
	waiting    bool // it is in the list
	member     *Member
	err        error
}

// queue is who waits for a slot, in the order they came. A Done looks at nothing but
// length where nobody waits.
//
// A slot goes from Done straight to the first waiter that can use it, so that no Pick
// gets in between. No wake-up is lost: Done looks at length once more after it gave
// the slot back, Enqueue raises length before it looks for slots, and all answers are
// given under mu.
type queue struct {
	length atomic.Int32

	mu          sync.Mutex
	first, last *Waiter
}

// Enqueue makes w wait for a member for q behind all who wait already. It is for
// callers to whom Pick said ErrFull, and returns ErrQueueFull where there is no place.
// The queue owns q until w has left it.
func (g *Group) Enqueue(w *Waiter, q *Query) error {
	bound := g.table.Load().pool.Queue
	z := &g.queue
	z.mu.Lock()
	if int(z.length.Load()) >= bound {
		z.mu.Unlock()
		g.overflows.Inc()
		return ErrQueueFull
	}
	w.group, w.query, w.since = g, q, time.Now()
	z.push(w)
	z.length.Add(1)
	g.queued.Add(1)
	z.mu.Unlock()
	g.serveQueue() // a slot may have come free since the Pick
	return nil
}

// Leave ends the waiting. It returns the member that w got, with a slot reserved as
// by Pick, or why it can get none; both are nil where w left before its turn.
func (w *Waiter) Leave() (*Member, error) {
	g := w.group
	g.queue.mu.Lock()
	if w.waiting {
		g.dequeue(w)
	}
	m, err := w.member, w.err
	g.queue.mu.Unlock()
	g.waited.Observe(time.Since(w.since))
	return m, err
}

// QueueTimeout is how long a waiter should wait before it leaves.
func (g *Group) QueueTimeout() time.Duration { return g.table.Load().pool.QueueTimeout }

// serveQueue gives free slots to who waits, the first first. One who was turned away
// by the members that are free now is passed over and keeps the place. It is called
// after each change that may help: a slot that came back, a new table.
func (g *Group) serveQueue() {
	z := &g.queue
	if z.length.Load() == 0 {
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	t := g.table.Load()
	for w := z.first; w != nil; {
		next := w.next
		m, full := t.pick(w.query)
		if m == nil && full {
			if w.query.count == 0 {
				return // no member has a free slot, for anyone
			}
			w = next
			continue
		}
		g.dequeue(w)
		w.member = m
		if m == nil {
			w.err = ErrNoServer
			g.none.Inc()
		} else {
			m.picks.Add(1)
		}
		w.Wake()
		w = next
	}
}

// passOn gives the slot of m, which its holder is done with, to the first waiter that
// may have it, and reports whether there was one.
func (g *Group) passOn(m *Member) bool {
	z := &g.queue
	z.mu.Lock()
	defer z.mu.Unlock()
	t := g.table.Load()
	limit := m.bound()
	if !t.inUse(m) || limit != 0 && m.inFlight.Load() > limit {
		return false // drained, down, a backup that is not needed, or lowered max_conns
	}
	for w := z.first; w != nil; w = w.next {
		if w.query.count >= t.tries || w.query.has(m) {
			continue
		}
		w.query.note(m)
		w.member = m
		m.picks.Add(1)
		g.dequeue(w)
		w.Wake()
		return true
	}
	return false
}

// dequeue takes w off the list. z.mu is held.
func (g *Group) dequeue(w *Waiter) {
	g.queue.remove(w)
	g.queue.length.Add(-1)
	g.queued.Add(-1)
}

func (z *queue) push(w *Waiter) {
	w.waiting, w.prev = true, z.last
	if z.last == nil {
		z.first = w
	} else {
		z.last.next = w
	}
	z.last = w
}

func (z *queue) remove(w *Waiter) {
	if w.prev == nil {
		z.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		z.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.waiting, w.prev, w.next = false, nil, nil
}
