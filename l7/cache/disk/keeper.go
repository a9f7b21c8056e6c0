package disk

import (
	"errors"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// keepEvery is how often the keeper looks around: for the lock, for purges that are
	// not durable yet.
	keepEvery = 500 * time.Millisecond
	// growEvery is how often a budget that shrank for want of space grows by a 64th.
	growEvery = 30 * time.Second
	// ownEvery is how often a directory is tried again that could not be used.
	ownEvery = 5 * time.Second
	// mostRest is how long the keeper rests at a time between pieces of work.
	mostRest = 100 * time.Millisecond
)

// keeper is the one goroutine of a tier: it gets hold of the directory, reads what is
// in it, keeps room free and carries purges out.
type keeper struct {
	t        *Tier
	woken    chan struct{}
	stopping chan struct{}
	done     chan struct{}

	wantSweep atomic.Bool
	wantClear atomic.Uint64 // what is older than this mark is all to go

	// Its own.
	found  []foundSegment // segments that are not in the index yet
	grown  time.Time
	denied time.Time // when the directory could not be used
}

func (k *keeper) start(t *Tier) {
	k.t = t
	k.woken, k.stopping, k.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go k.run()
}

// stop ends the keeper and returns when it has ended.
func (k *keeper) stop() {
	close(k.stopping)
	<-k.done
}

// wake has the keeper look around now.
func (k *keeper) wake() {
	select {
	case k.woken <- struct{}{}:
	default:
	}
}

// sweep has the keeper carry bans out.
func (k *keeper) sweep() {
	k.wantSweep.Store(true)
	k.wake()
}

// clearUpTo has the keeper drop everything that is older than a mark.
func (k *keeper) clearUpTo(mark uint64) {
	k.wantClear.Store(mark)
	k.wake()
}

func (k *keeper) run() {
	defer close(k.done)
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		k.keepSafely()
		select {
		case <-k.stopping:
			return
		case <-k.woken:
		case <-tick.C:
		}
	}
}

// keepSafely is keep, and survives a bug of ours: the next look comes with the next tick.
func (k *keeper) keepSafely() {
	defer func() {
		if p := recover(); p != nil {
			k.t.log.Error("BUG: the keeper of the cache on disk panicked", "directory", k.t.dir,
				"panic", p, "stack", string(debug.Stack()))
		}
	}()
	k.keep()
}

func (k *keeper) keep() {
	t := k.t
	if state(t.state.Load()) == waiting && !k.own() {
		return
	}
	k.makeRoom()
	if mark := k.wantClear.Swap(0); mark > 0 {
		k.clear(mark)
	}
	k.load()
	k.makeRoom()
	if k.wantSweep.Swap(false) {
		k.carryOut()
	}
	k.keepJournal()
	if now := time.Now(); now.Sub(k.grown) >= growEvery {
		k.grown = now
		t.shelf.grow(t.size / 64)
	}
}

// stopped reports whether the tier is being closed.
func (k *keeper) stopped() bool {
	select {
	case <-k.stopping:
		return true
	default:
		return false
	}
}

// rest rests as long as the work since begin took, so that the keeper takes at most
// half of a disk and half of a core, and reports whether to go on.
func (k *keeper) rest(begin time.Time) bool {
	d := min(time.Since(begin), mostRest)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-k.stopping:
		return false
	case <-timer.C:
		return true
	}
}

// own gets hold of the directory, and reports whether it has.
func (k *keeper) own() bool {
	t := k.t
	if !k.denied.IsZero() && time.Since(k.denied) < ownEvery {
		return false
	}
	err := k.take()
	if errors.Is(err, errLocked) {
		t.trouble.waits()
		return false
	}
	if err != nil {
		k.denied = time.Now()
		t.trouble.met("use its directory", err)
		return false
	}
	return state(t.state.Load()) == ready
}

// makeRoom keeps the headroom free.
func (k *keeper) makeRoom() {
	t := k.t
	for t.shelf.over(t.headroom()) > 0 && !k.stopped() {
		if !t.evictOldest(true) {
			return
		}
	}
}

// sealed ends the segment that is being written and returns all slots there are, and
// the mark that everything in them is older than.
func (k *keeper) sealed() (mark uint64, ids []slotID) {
	t := k.t
	t.appending.Lock()
	defer t.appending.Unlock()
	mark = t.Mark()
	t.seal()
	return mark, t.shelf.ids()
}

// clear drops all that there was when everything was purged.
func (k *keeper) clear(mark uint64) {
	t := k.t
	for _, s := range t.shelf.ids() {
		if s.id > mark {
			continue
		}
		n, seg, ok := t.shelf.get(s.slot, false)
		if !ok || n.id != s.id {
			if seg != nil {
				seg.release()
			}
			continue
		}
		if seg != nil {
			seg.release()
			if !seg.sealed.Load() {
				continue // not read yet, after a start: its objects are judged one by one
			}
			t.evictSegment(s.slot, s.id, false, &t.stats.purged)
			continue
		}
		if _, removed := t.index.remove(n.hash, place{slot: s.slot}); removed {
			t.stats.purged.Add(1)
		}
		t.removeFile(s.slot, s.id)
	}
}

// carryOut drops every object that a ban hits, after which the bans are done with. What
// was purged softly and not revalidated since goes as well.
func (k *keeper) carryOut() {
	t := k.t
	mark, ids := k.sealed()
	for _, s := range ids {
		begin := time.Now()
		k.judge(s)
		if !k.rest(begin) {
			return
		}
	}
	t.bans.carriedOut(mark)
	t.purging.Lock()
	defer t.purging.Unlock()
	if err := t.journal.rewrite(t.fs, t.dir, &t.bans); err != nil {
		t.trouble.met("write the journal", err)
	}
}

// judge drops what bans hit in one file.
func (k *keeper) judge(s slotID) {
	t := k.t
	n, seg, ok := t.shelf.get(s.slot, false)
	if !ok {
		return
	}
	if seg == nil {
		if n.id == s.id {
			k.judgeOne(n.hash, place{slot: s.slot}, &n, nil)
		}
		return
	}
	defer seg.release()
	if seg.id != s.id {
		return
	}
	for i, hash := range seg.hashes {
		p := place{slot: s.slot, at: seg.ats[i]}
		if q, ok := t.index.at(hash); ok && q.same(p) {
			k.judgeOne(hash, p, &n, seg)
		}
	}
}

// judgeOne drops an object if a ban hits it.
func (k *keeper) judgeOne(hash uint64, p place, n *slot, seg *segment) {
	t := k.t
	o := &Object{t: t, at: p, id: n.id, seg: seg, have: -1, from: -1}
	if seg != nil {
		seg.retain()
	}
	defer o.Close()
	if err := o.readFirst(hash, n); err != nil {
		t.unreadable(hash, p, n.id, err)
		return
	}
	if o.h.dead || t.bans.judge(o.h.labelsOf(o.first.B), o.h.mark) != clean {
		t.stats.purged.Add(1)
		t.dropEntered(hash, p)
	}
}

// keepJournal makes purges durable, and writes the journal anew where it is long or was
// lost.
func (k *keeper) keepJournal() {
	t := k.t
	t.purging.Lock()
	defer t.purging.Unlock()
	j := &t.journal
	if j.file != nil && j.size < 2*j.begun+journalFloor {
		if err := j.sync(); err != nil {
			t.trouble.met("make purges durable", err)
		}
		return
	}
	if j.file == nil && t.trouble.resting() {
		return
	}
	if err := j.rewrite(t.fs, t.dir, &t.bans); err != nil {
		t.writeFailed("write the journal", err)
	}
}
