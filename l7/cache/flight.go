package cache

import (
	"sync/atomic"
	"time"

	"weir/l7/cache/policy"
	"weir/l7/message"
)

// Flight is one fetch for which others wait. Its leader ends it exactly once.
type Flight struct {
	store   *Store
	shard   *shard
	name    string
	since   Epoch
	done    chan struct{}
	outcome Outcome // written before done is closed
	waiters atomic.Int32
}

// Role is what Join makes of who asks.
type Role uint8

const (
	// Leader fetches, and calls End.
	Leader Role = iota
	// Waiter waits for the leader.
	Waiter
	// Again says that there is something else by now than Lookup found; Lookup says what.
	Again
	// Alone fetches and asks nobody to wait: what comes is not stored as far as is known.
	Alone
)

// Outcome is how a flight ended.
type Outcome uint8

const (
	// Stored says that there is something to be found, perhaps still growing, perhaps for others.
	Stored Outcome = iota
	// Unstored says that the response cannot be stored: each waiter goes on its own, all at once.
	Unstored
	// Failed says that there was no response. A waiter that sends a request of its own now adds to
	// what the backend suffers from: it is better answered as the leader is.
	Failed
	// Late says that the wait took as long as the waiter would wait at most.
	Late
	// Stopped says that the waiter was told to stop.
	Stopped
)

// Join asks who fetches what Lookup did not find, or found stale: ref is what it filled
// in. Of those who ask for the same key, and, where the responses stored under it vary,
// have the same variant by the newest of them, one becomes the leader. Between Lookup and
// Join nothing is lost: what was stored in between makes it Again.
func (s *Store) Join(key []byte, req *message.Request, now time.Time, ref *Ref) (*Flight, Role) {
	hash := s.hash(key)
	sh := s.shardOf(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.fitting(sh, hash, key, req) != ref.id {
		return nil, Again
	}
	if sh.marks.has(hash, now.UnixNano()) {
		return nil, Alone
	}
	var buf [maxNames]byte
	name := s.flightName(buf[:0], sh, hash, key, req)
	if f := sh.flights[string(name)]; f != nil {
		s.counts.waits.Add(1)
		return f, Waiter
	}
	f := &Flight{store: s, shard: sh, name: string(name), since: s.Epoch(), done: make(chan struct{})}
	if sh.flights == nil {
		sh.flights = make(map[string]*Flight)
	}
	sh.flights[f.name] = f
	s.counts.flights.Add(1)
	return f, Leader
}

// flightName is the key, with the variant by the newest entry that varies. The shard is
// locked.
func (s *Store) flightName(dst []byte, sh *shard, hash uint64, key []byte, req *message.Request) []byte {
	dst = append(dst, key...)
	for id := s.find(sh.chain(hash), hash, key); id != 0; id = s.find(s.entries.at(id).next, hash, key) {
		if e := s.entries.at(id); e.vary != 0 && !e.is(derived) {
			return policy.AppendVariant(dst, e.varyOf(s.arena.bytes(e.first)), req.Fields)
		}
	}
	return dst
}

// Since is the store's Epoch at the time of Join, for Object.Since.
func (f *Flight) Since() Epoch { return f.since }

// End ends the flight, by its leader: with Stored after Begin, Put or Refresh, with
// Unstored or Failed otherwise. Ending it again does nothing, so that a deferred End with
// Failed covers all ways out.
func (f *Flight) End(o Outcome) {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if f.shard.flights[f.name] != f {
		return
	}
	delete(f.shard.flights, f.name)
	f.store.counts.flights.Add(-1)
	f.outcome = o
	close(f.done)
}

// Wait waits until the flight has ended, stop is closed, or limit has passed; zero is no
// limit.
func (f *Flight) Wait(stop <-chan struct{}, limit time.Duration) Outcome {
	f.waiters.Add(1)
	defer f.waiters.Add(-1)
	f.store.counts.waiting.Add(1)
	defer f.store.counts.waiting.Add(-1)
	var late <-chan time.Time
	if limit > 0 {
		t := time.NewTimer(limit)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-f.done:
		return f.outcome
	case <-stop:
		return Stopped
	case <-late:
		return Late
	}
}

// Awaited reports whether anybody waits for the flight. It may be called from any
// goroutine.
func (f *Flight) Awaited() bool { return f.waiters.Load() > 0 }

// Done is closed when the flight has ended, for those who wait for something else as well.
func (f *Flight) Done() <-chan struct{} { return f.done }
