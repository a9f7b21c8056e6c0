package l7

import (
	"io"
	"time"

	"weir/l7/cache"
	"weir/l7/cache/policy"
	"weir/l7/message"
)

// takeSlice takes a slice into the exchange's Ref, from the store or from a server. asked
// says that this exchange had it fetched. Any outcome but Stored is that there is none.
func (x *exchange) takeSlice(number int64) (asked bool, o cache.Outcome) {
	c := &x.cached
	s, rc := &c.slices, c.rc
	s.at = number * int64(rc.conf.Slice)
	began, failed := time.Now(), false
	for range maxRounds {
		s.key = rc.appendSliceKey(s.key[:0], c.key, number)
		now := time.Now()
		if x.findSlice(now) && x.usesSlice(now, began) {
			return asked, cache.Stored
		}
		if c.wish.OnlyIfCached && !c.serving.on {
			c.ref.Release()
			return asked, cache.Unstored
		}
		s.outdated = policy.Decision{}
		if c.ref.Held() {
			s.outdated = c.found
		}
		flight, role := rc.store.Join(s.key, &x.req, now, &c.ref)
		c.ref.Release()
		switch role {
		case cache.Alone:
			return asked, cache.Unstored
		case cache.Again:
			continue
		case cache.Leader:
			asked, c.collapsed = true, false
			s.outcome = x.fetchSlice(number, flight, false)
		case cache.Waiter:
			c.collapsed = !asked
		}
		switch o = x.awaitSlice(flight); {
		case o == cache.Failed && role == cache.Waiter && !failed:
			failed = true // of what another one began, or this one ahead of time
		case o == cache.Failed || o == cache.Late:
			return asked, x.staleSlice(o, o == cache.Failed && role == cache.Leader && s.outcome.answered)
		case o != cache.Stored:
			return asked, o
		}
	}
	return asked, cache.Unstored
}

// findSlice looks for the slice whose key is in memory.
func (x *exchange) findSlice(now time.Time) bool {
	c := &x.cached
	st, key := c.rc.store, c.slices.key
	switch st.Lookup(key, &x.req, now, &c.ref) {
	case cache.Hit:
		return true
	case cache.Miss, cache.OtherVariant:
		return st.OnDisk(key) && st.Load(key, &x.req, now, &c.ref)
	case cache.Uncacheable:
	}
	return false
}

// usesSlice reports whether the slice that is held needs no server: it is fresh, or came
// since it was asked for, or, where the client wants nothing older, since its request did.
func (x *exchange) usesSlice(now, began time.Time) bool {
	c := &x.cached
	c.found = policy.Reuse(&c.rc.policy, c.ref.Meta(), &c.wish, now)
	switch {
	case c.found.Use == policy.Fresh, c.ref.Meta().Received >= began.UnixNano(), x.cameSince(c.ref.Meta(), &c.found):
		return true
	case c.found.Use == policy.Stale:
		c.slices.why = c.found.Why.String()
		return true
	}
	return false
}

// cameSince reports whether a slice is fresh and came since the client's request did.
func (x *exchange) cameSince(m *policy.Meta, d *policy.Decision) bool {
	return d.TTL > 0 && m.Received >= x.started.UnixNano()
}

// staleSlice takes the slice whose key is in memory although it is stale, where it may
// stand in for a failure; answered says that it is one that a server told of. Without one
// it returns the outcome that it is given.
func (x *exchange) staleSlice(o cache.Outcome, answered bool) cache.Outcome {
	c := &x.cached
	now := time.Now()
	if !x.findSlice(now) {
		return o
	}
	c.found = policy.Reuse(&c.rc.policy, c.ref.Meta(), &c.wish, now)
	if why, ok := c.standsIn(); ok && !c.ref.Growing() && (why != "grace" || !answered) {
		c.slices.why = why
		return cache.Stored
	}
	c.ref.Release()
	return o
}

// awaitSlice waits for the head of a slice.
func (x *exchange) awaitSlice(f *cache.Flight) cache.Outcome {
	began := time.Now()
	stop := x.whenGone()
	x.c.await()
	o := f.Wait(stop, x.route.conf.ResponseHeaderTimeout)
	x.c.awaited()
	x.forgetGone()
	took := time.Since(began)
	x.cached.waited += took
	x.stages.Queue += took
	return o
}

// fitsSlice reports whether the slice that is held is of the response that is being put
// together.
func (x *exchange) fitsSlice() bool {
	c := &x.cached
	_, head := cutServer(c.ref.Head())
	part, ok := policy.ParseContentRange(head.Get("content-range"))
	return ok && part.Start == c.slices.at && part.Length == c.ref.Length() && part.Total == c.slices.total &&
		message.SameTag(head.Get("etag"), c.slices.tag, true)
}

// nextSlice goes on with the slice behind the one that was read. Where the resource has
// become another one meanwhile, what is stored of it goes, and the response breaks off
// unless a server still has the old one.
func (x *exchange) nextSlice() ([]byte, error) {
	c := &x.cached
	if err := x.flushBody(); err != nil {
		return nil, &clientError{err}
	}
	number := c.slices.at/int64(c.rc.conf.Slice) + 1
	c.ref.Release()
	switch _, o := x.takeSlice(number); o {
	case cache.Stored:
	case cache.Stopped:
		return nil, cache.ErrStopped
	case cache.Unstored:
		return x.relayRest()
	default:
		return nil, io.ErrUnexpectedEOF
	}
	if !x.fitsSlice() {
		_, head := cutServer(c.ref.Head())
		x.changeSlices(head.Get("etag"))
		c.ref.Release()
		return x.relayRest() // another server may still have the old one
	}
	x.prefetchSlice()
	return x.readStored()
}

// prefetchSlice has the slice behind the one that is held fetched, if it will be needed and
// is not there.
func (x *exchange) prefetchSlice() {
	c := &x.cached
	number := c.slices.at/int64(c.rc.conf.Slice) + 1
	if number*int64(c.rc.conf.Slice) >= c.slices.end {
		return
	}
	now := time.Now()
	var ref cache.Ref
	defer ref.Release()
	if x.haveSlice(number, now, &ref) {
		return
	}
	if flight, role := c.rc.store.Join(c.slices.key, &x.req, now, &ref); role == cache.Leader {
		x.fetchSlice(number, flight, true)
	}
}

// haveSlice reports whether a slice is stored, as far as is known without asking the disk,
// and for what is in memory, whether it needs no server. What Lookup finds is in ref.
func (x *exchange) haveSlice(number int64, now time.Time, ref *cache.Ref) bool {
	c := &x.cached
	s, st := &c.slices, c.rc.store
	s.key = c.rc.appendSliceKey(s.key[:0], c.key, number)
	if st.Lookup(s.key, &x.req, now, ref) == cache.Hit {
		d := policy.Reuse(&c.rc.policy, ref.Meta(), &c.wish, now)
		return d.Use == policy.Fresh || d.Use == policy.Stale || x.cameSince(ref.Meta(), &d)
	}
	return st.OnDisk(s.key)
}

// haveSlices reports whether all that the client asks for is stored, as far as is known
// without asking the disk.
func (x *exchange) haveSlices() bool {
	s, size, now := &x.cached.slices, int64(x.cached.rc.conf.Slice), time.Now()
	for number := s.at/size + 1; number*size < s.end; number++ {
		var ref cache.Ref
		have := x.haveSlice(number, now, &ref)
		ref.Release()
		if !have {
			return false
		}
	}
	return true
}
