package cache

import (
	"errors"
	"slices"
	"time"
)

// ErrUnread says that nobody reads a body that is not stored.
var ErrUnread = errors.New("cannot go on with the body: it is not stored, and nobody reads it")

// reading is what a fill knows of a reader. It is guarded by the fill's lock.
type reading struct {
	prev, next *Ref
	done       int64 // the reader is done with what comes before
	heldFrom   int64 // where the piece begins at which it looks, 0 for the first one
	held       piece
	left       bool // behind: it gets no more
}

func (f *Fill) attach(r *Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.fill = f
	r.reading = reading{next: f.readers}
	if f.readers != nil {
		f.readers.prev = r
	}
	f.readers = r
}

func (f *Fill) detach(r *Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !r.left {
		f.remove(r)
	}
	f.moved()
}

// remove takes a reader off the list.
func (f *Fill) remove(r *Ref) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		f.readers = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
}

// progress tells a reader how far it may read, and whether that is the end, and takes
// note of where it stands: what it was given before is not looked at any more.
func (f *Fill) progress(r *Ref) (end int64, done bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.left {
		return 0, true, ErrLagged
	}
	if r.at < f.written && r.at >= int64(r.entry.inlined) {
		r.advance()
	}
	r.done, r.heldFrom, r.held = r.at, r.start, r.piece
	f.moved()
	switch f.state {
	case failed:
		if r.at >= f.written {
			return f.written, true, f.err
		}
	case complete:
		r.length = f.written
		if f.passed {
			return f.written, true, nil
		}
		// From here on it is an object like any other.
		f.remove(r)
		r.fill = nil
		return f.written, true, nil
	}
	return f.written, false, nil
}

// await waits for news.
func (f *Fill) await(r *Ref, stop <-chan struct{}, patience time.Duration) error {
	f.mu.Lock()
	if r.at < f.written || f.state >= complete || r.left {
		f.mu.Unlock()
		return nil
	}
	if f.wake == nil {
		f.wake = make(chan struct{})
	}
	wake := f.wake
	f.mu.Unlock()
	var late <-chan time.Time
	if patience > 0 {
		t := time.NewTimer(patience)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-wake:
		return nil
	case <-stop:
		return ErrStopped
	case <-late:
		return ErrSlow
	}
}

// news wakes the readers that wait. The lock is held.
func (f *Fill) news() {
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}

// moved wakes the writer, if it waits for a reader. The lock is held.
func (f *Fill) moved() {
	if f.moves != nil {
		close(f.moves)
		f.moves = nil
	}
}

// pass takes the fill out of the index: it is not stored. The lock is held, and given up
// for a moment.
func (f *Fill) pass() {
	f.mu.Unlock()
	f.store.drop(f.id, nil)
	f.store.counts.passed.Add(1)
	f.mu.Lock()
	f.state, f.passed, f.since = passing, true, f.written
}

// waitForReaders waits until a passing body may go on: until no reader has more than
// Window before it. The lock is held, and given up while it waits.
func (f *Fill) waitForReaders(stop <-chan struct{}) error {
	for {
		slowest := f.giveBack()
		if slowest == nil {
			return ErrUnread
		}
		if f.written-max(slowest.done, f.since) < Window {
			return nil
		}
		f.moves = make(chan struct{})
		moves := f.moves
		f.mu.Unlock()
		t := time.NewTimer(patience)
		var err error
		late := false
		select {
		case <-moves:
		case <-stop:
			err = ErrStopped
		case <-t.C:
			late = true
		}
		t.Stop()
		f.mu.Lock()
		if err != nil {
			return err
		}
		if late {
			f.leave()
		}
	}
}

// leave leaves those behind that hold the writer up. The lock is held.
func (f *Fill) leave() {
	for r := f.readers; r != nil; {
		next := r.next
		if f.written-max(r.done, f.since) >= Window {
			f.remove(r)
			r.left = true
			f.behind = append(f.behind, r.held)
			f.store.counts.lagged.Add(1)
		}
		r = next
	}
	f.news()
}

// giveBack gives the pieces back that all readers are done with, those excepted at which a
// reader that was left behind may still look, and returns the slowest reader, nil where
// there is none. The lock is held.
func (f *Fill) giveBack() (slowest *Ref) {
	least := f.written
	for r := f.readers; r != nil; r = r.next {
		if slowest == nil || r.done < slowest.done {
			slowest = r
		}
		least = min(least, r.heldFrom)
	}
	a := f.store.arena
	for p := f.entry.chain; p != 0 && p != f.last && f.begins+int64(p.chainCap()) <= least; p = f.entry.chain {
		f.begins += int64(p.chainCap())
		f.entry.chain = a.next(p)
		if slices.Contains(f.behind, p) {
			a.setNext(p, f.orphans)
			f.orphans = p
		} else {
			a.put(p)
		}
	}
	return slowest
}

// adopt appends the orphans to the chain, with which they are given back. Nobody reads that
// far. The lock is held.
func (f *Fill) adopt() {
	if f.orphans != 0 {
		f.store.arena.setNext(f.last, f.orphans)
		f.orphans = 0
	}
}
