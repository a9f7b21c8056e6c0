package l7

import (
	"bytes"
	"encoding/binary"
	"io"
	"strconv"
	"time"

	"weir/l7/cache"
	"weir/l7/cache/policy"
	"weir/l7/message"
)

// slicing is a response that is put together from slices: pieces of a long resource, each
// asked of a server, stored and judged by itself. Slices make one response only as long
// as they have one strong entity tag and one complete length.
type slicing struct {
	on    bool
	at    int64  // where the slice that is read begins
	end   int64  // of what the client asked for
	total int64  // octets of the whole
	tag   []byte // a copy, for what is read next
	key   []byte // memory for keys

	// Of the request that fetches a slice.
	span message.Span // that is asked for; no length: no slice
	main []byte       // key of the whole
}

// sliceMark begins what tells the key of a slice from that of the whole. No key of
// policy.AppendKey goes on with it.
const sliceMark = 0xFF

// unsliced stands for the number of a slice in the key under which is noted that there
// are none.
const unsliced = -1

// appendSliceKey appends the key of a slice. It begins with that of the whole, so that it
// is purged by host and prefix as that is.
func (rc *routeCache) appendSliceKey(dst, key []byte, number int64) []byte {
	dst = append(append(dst, key...), sliceMark)
	dst = binary.BigEndian.AppendUint64(dst, uint64(rc.conf.Slice))
	return binary.BigEndian.AppendUint64(dst, uint64(number))
}

// sliceTag is the tag by which all slices under the key of the whole are found.
func sliceTag(key []byte) []byte { return append([]byte{'s'}, key...) }

// dropSlices drops the slices under the key of the whole, or makes them stale.
func (rc *routeCache) dropSlices(key []byte, soft bool, now time.Time) int {
	if rc.conf.Slice == 0 {
		return 0
	}
	return rc.store.Purge(&cache.Selector{Tag: sliceTag(key), Soft: soft}, now)
}

// firstOctet reads where the one range of a request begins: 0 for a range that counts
// from the end, which needs the length first. It is not ok for several ranges and for what
// is none.
func firstOctet(req *message.Request) (at int64, ok bool) {
	var value []byte
	for i := range req.Fields {
		if f := &req.Fields[i]; f.Known == message.Range {
			if value != nil {
				return 0, false
			}
			value = f.Value
		}
	}
	const unit = "bytes="
	if len(value) <= len(unit) || !bytes.EqualFold(value[:len(unit)], []byte(unit)) ||
		bytes.IndexByte(value, ',') >= 0 {
		return 0, false
	}
	first, _, dash := bytes.Cut(value[len(unit):], []byte{'-'})
	if len(first) == 0 {
		return 0, dash
	}
	n, err := strconv.ParseUint(string(first), 10, 63) // takes no sign
	return int64(n), dash && err == nil
}

// serveSlices answers a GET of one range from slices. It is not decided where the resource
// has none: the request goes on as any other then.
func (x *exchange) serveSlices() (v verdict, decided bool) {
	c := &x.cached
	at, ok := firstOctet(&x.req)
	if c.rc.conf.Slice == 0 || !ok || string(x.req.Method) != "GET" || c.isUnsliced(x) {
		return next, false
	}
	size := int64(c.rc.conf.Slice)
	asked, outcome := x.takeSlice(at / size)
	if outcome == cache.Stored {
		v, decided = x.startSlices(asked)
		if !decided {
			c.ref.Release()
			c.slices.on, c.collapsed = false, false
		}
		return v, decided
	}
	switch outcome {
	case cache.Stopped:
		x.fail(message.Client, "client_gone", nil)
		return end, true
	case cache.Failed, cache.Late:
		if asked {
			return x.passBy(policy.ForwardURI, "cold"), true // the client gets the server's own failure
		}
		return x.instead(x.waitedInVain("fetch_failed")), true
	default:
	}
	if c.isUnsliced(x) {
		return next, false
	}
	return x.passBy(policy.ForwardMiss, "uncacheable"), true
}

// isUnsliced reports whether servers were found not to have the resource in slices.
func (c *cached) isUnsliced(x *exchange) bool {
	s := &c.slices
	s.key = c.rc.appendSliceKey(s.key[:0], c.key, unsliced)
	var ref cache.Ref
	found := c.rc.store.Lookup(s.key, &x.req, time.Now(), &ref)
	ref.Release()
	return found == cache.Uncacheable
}

// startSlices makes the head of the response from the first slice, which is held. It is
// not decided where the answer is not made of slices: all of the resource is wanted.
func (x *exchange) startSlices(asked bool) (v verdict, decided bool) {
	c := &x.cached
	s := &c.slices
	whole := *c.ref.Meta()
	whole.Status = 200
	server, head := cutServer(c.ref.Head())
	part, ok := policy.ParseContentRange(head.Get("content-range"))
	if !ok || !policy.SamePart(head, head) {
		return next, false
	}
	s.on, s.total, s.tag = true, part.Total, append(s.tag[:0], head.Get("etag")...)
	outcome, spans := policy.Evaluate(&x.req, &whole, head, s.total, c.serving.spans[:0])
	if outcome == policy.Whole || len(spans) > 1 {
		return next, false
	}
	if outcome == policy.Partial {
		s.end = spans[0].Start + spans[0].Length
		if n := spans[0].Start / int64(c.rc.conf.Slice); n*int64(c.rc.conf.Slice) != s.at {
			c.ref.Release()
			if again, got := x.takeSlice(n); got != cache.Stored || !x.fitsSlice() {
				return next, false
			} else if again {
				asked = true
			}
			server, head = cutServer(c.ref.Head())
		}
		x.prefetchSlice()
	}
	c.result, c.why = resultHit, policy.WithinLifetime.String()
	if asked {
		c.result, c.why, c.forward, c.kept = resultMiss, "cold", policy.ForwardURI, "stored"
	} else {
		x.acted.mirrored = nil // mirrors see what servers see
	}
	x.present(outcome, spans, &whole, server, head)
	return fromStore, true
}

// takeSlice takes a slice into the exchange's Ref, from the store or from a server. asked
// says that this exchange had it fetched. Any outcome but Stored is that there is none.
func (x *exchange) takeSlice(number int64) (asked bool, o cache.Outcome) {
	c := &x.cached
	s, rc := &c.slices, c.rc
	s.at = number * int64(rc.conf.Slice)
	began := time.Now()
	for range maxRounds {
		s.key = rc.appendSliceKey(s.key[:0], c.key, number)
		now := time.Now()
		if x.findSlice(now) {
			c.found = policy.Reuse(&rc.policy, c.ref.Meta(), &c.wish, now)
			if c.found.Use == policy.Fresh || c.ref.Meta().Received >= began.UnixNano() {
				return asked, cache.Stored
			}
		}
		flight, role := rc.store.Join(s.key, &x.req, now, &c.ref)
		c.ref.Release()
		switch role {
		case cache.Alone:
			return asked, cache.Unstored
		case cache.Again:
			continue
		case cache.Leader:
			asked = true
			x.fetchSlice(number, flight)
		case cache.Waiter:
			c.collapsed = !asked
		}
		if o := x.awaitSlice(flight); o != cache.Stored {
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
	case cache.Miss:
		return st.OnDisk(key) && st.Load(key, &x.req, now, &c.ref)
	case cache.Uncacheable:
	}
	return false
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
// become another one meanwhile, what is stored of it goes, and the response breaks off.
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
	default:
		return nil, io.ErrUnexpectedEOF
	}
	if !x.fitsSlice() {
		c.rc.dropSlices(c.key, false, time.Now())
		return nil, errChanged
	}
	x.prefetchSlice()
	return x.readStored()
}

// prefetchSlice has the slice behind the one that is held fetched, if it will be needed and
// is not there.
func (x *exchange) prefetchSlice() {
	c := &x.cached
	s, rc := &c.slices, c.rc
	number := s.at/int64(rc.conf.Slice) + 1
	if number*int64(rc.conf.Slice) >= s.end {
		return
	}
	s.key = rc.appendSliceKey(s.key[:0], c.key, number)
	var ref cache.Ref
	now := time.Now()
	defer ref.Release()
	switch rc.store.Lookup(s.key, &x.req, now, &ref) {
	case cache.Hit:
		if d := policy.Reuse(&rc.policy, ref.Meta(), &c.wish, now); d.Use == policy.Fresh {
			return
		}
	case cache.Miss:
		if rc.store.OnDisk(s.key) {
			return
		}
	case cache.Uncacheable:
		return
	}
	if flight, role := rc.store.Join(s.key, &x.req, now, &ref); role == cache.Leader {
		x.fetchSlice(number, flight)
	}
}
