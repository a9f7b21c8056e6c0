package l7

import (
	"bytes"
	"encoding/binary"
	"errors"
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
	why   string // a slice is served although it is stale; "": it is fresh

	// Of what the exchange had fetched.
	outdated policy.Decision // on what was stored and could not be used; zero: nothing was
	outcome  *sliceOutcome
	rest     *exchange // that has the rest of the range come past the cache; nil: none

	// Of the request that fetches a slice.
	span message.Span // that is asked for; no length: no slice
	main []byte       // key of the whole
}

// sliceOutcome is what the request for a slice tells the exchange that has sent it. It is
// written before the flight ends, and read behind that.
type sliceOutcome struct {
	confirmed bool // what was stored still holds
	answered  bool // a server answered, if only with a failure
}

// sliceMark begins what tells the key of a slice from that of the whole. No key of
// policy.AppendKey goes on with it.
const sliceMark = 0xFF

// What stands for the number of a slice in a key under which is noted that there are none.
const (
	unsliced         = -1
	unslicedForUsers = -2 // for requests with Authorization
	inSlices         = -3 // not that, but that all of it is answered from slices
	replaced         = -4 // not that, but that a version, whose tag follows, is an old one
)

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

// farthest is where a range begins at most as far as slices are concerned: behind the end
// of all that there is, and so that no sum of it overflows.
const farthest = 1 << 59

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
	if errors.Is(err, strconv.ErrRange) {
		err = nil // n is the largest number then
	}
	return int64(min(n, farthest)), dash && err == nil
}

// maxSliceRounds is how often another slice turns out to be the first one, for want of the
// length or because the resource has changed.
const maxSliceRounds = 4

// serveSlices answers from slices: a GET of one range or of all of a long resource, or a
// HEAD. It is not decided where the resource has none: the request goes on as any other
// then.
func (x *exchange) serveSlices() (v verdict, decided bool) {
	c := &x.cached
	s := &c.slices
	if c.rc.conf.Slice == 0 || c.wish.NoStore && !c.wish.OnlyIfCached {
		return next, false
	}
	if string(x.req.Method) == "HEAD" {
		return x.headOfSlices()
	}
	at, ok := firstOctet(&x.req)
	if !ok && (x.req.Has(message.Range) || !x.isKnownLong()) || c.isUnsliced(x) {
		return next, false
	}
	size, asked := int64(c.rc.conf.Slice), false
	for range maxSliceRounds {
		led, outcome := x.takeSlice(at / size)
		if asked = asked || led; outcome != cache.Stored {
			s.on = false
			return x.notInSlices(asked, outcome)
		}
		first, ok := x.beginSlices()
		switch {
		case !ok:
			return x.leaveSlices()
		case first >= 0:
			at = first
		case c.wish.OnlyIfCached && !x.haveSlices():
			return x.leaveSlices()
		default:
			x.presentSlices(asked)
			return fromStore, true
		}
	}
	x.leaveSlices()
	return x.passBy(policy.ForwardMiss, "uncacheable"), true
}

// headOfSlices answers a HEAD from the first slice, if that is stored and needs no server.
func (x *exchange) headOfSlices() (v verdict, decided bool) {
	c := &x.cached
	if c.isUnsliced(x) {
		return next, false
	}
	s, now := &c.slices, time.Now()
	s.at, s.key = 0, c.rc.appendSliceKey(s.key[:0], c.key, 0)
	if !x.findSlice(now) || !x.usesSlice(now, now) {
		return x.leaveSlices()
	}
	_, head := cutServer(c.ref.Head())
	part, ok := policy.ParseContentRange(head.Get("content-range"))
	if !ok || !policy.SamePart(head, head) {
		return x.leaveSlices()
	}
	s.on, s.end, s.total = true, 0, part.Total
	x.presentSlices(false)
	return fromStore, true
}

// leaveSlices gives up what serveSlices has begun: the request goes on as any other.
func (x *exchange) leaveSlices() (v verdict, decided bool) {
	c := &x.cached
	c.ref.Release()
	c.slices.on, c.slices.why, c.collapsed = false, "", false
	return next, false
}

// notInSlices goes on where a slice is not to be had.
func (x *exchange) notInSlices(asked bool, outcome cache.Outcome) (v verdict, decided bool) {
	c := &x.cached
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
	if c.wish.OnlyIfCached || c.isUnsliced(x) {
		return next, false
	}
	return x.passBy(policy.ForwardMiss, "uncacheable"), true
}

// isUnsliced reports whether servers were found not to have the resource in slices.
func (c *cached) isUnsliced(x *exchange) bool {
	return c.isNoted(x, unsliced) || x.req.Has(message.Authorization) && c.isNoted(x, unslicedForUsers)
}

func (c *cached) isNoted(x *exchange, number int64) bool {
	s := &c.slices
	s.key = c.rc.appendSliceKey(s.key[:0], c.key, number)
	var ref cache.Ref
	found := c.rc.store.Lookup(s.key, &x.req, time.Now(), &ref)
	ref.Release()
	return found == cache.Uncacheable
}

// beginSlices reads what the slice that is held says of the whole, and evaluates the
// request against that. first is where the slice begins that is needed first where that is
// another one, else -1. It is not ok where the answer is not made of slices.
func (x *exchange) beginSlices() (first int64, ok bool) {
	c := &x.cached
	s := &c.slices
	if s.on && !x.fitsSlice() {
		// What told the length is of another version than what is asked for.
		_, head := cutServer(c.ref.Head())
		x.changeSlices(head.Get("etag"))
		c.ref.Release()
		s.on = false
		return s.at, !c.isUnsliced(x)
	}
	_, head := cutServer(c.ref.Head())
	part, ok := policy.ParseContentRange(head.Get("content-range"))
	if !ok || !policy.SamePart(head, head) {
		return -1, false
	}
	s.on, s.total, s.tag = true, part.Total, append(s.tag[:0], head.Get("etag")...)
	outcome, spans := policy.Evaluate(&x.req, wholeOf(c.ref.Meta()), head, s.total, c.serving.spans[:0])
	if c.serving.spans = spans; len(spans) > 1 ||
		outcome == policy.Whole && (x.req.Has(message.Range) || s.total <= c.rc.store.MaxObject()) {
		return -1, false
	}
	switch s.end = 0; outcome {
	case policy.Whole:
		s.end = s.total
	case policy.Partial:
		s.end = spans[0].Start + spans[0].Length
		if size := int64(c.rc.conf.Slice); spans[0].Start/size*size != s.at {
			c.ref.Release()
			return spans[0].Start, true
		}
	default:
	}
	return -1, true
}

// wholeOf is the Meta of the response that a slice is a part of.
func wholeOf(part *policy.Meta) *policy.Meta {
	m := *part
	m.Status = 200
	return &m
}

// presentSlices makes the head of the response from the first slice, which is held.
func (x *exchange) presentSlices(asked bool) {
	c := &x.cached
	if c.slices.end > 0 {
		x.prefetchSlice()
	}
	switch {
	case c.slices.why != "":
		c.result, c.why = resultStale, c.slices.why
	case asked:
		x.tellFetched()
	default:
		c.result, c.why = resultHit, policy.WithinLifetime.String()
		x.acted.mirrored = nil // mirrors see what servers see
	}
	server, head := cutServer(c.ref.Head())
	whole := wholeOf(c.ref.Meta())
	outcome, spans := policy.Evaluate(&x.req, whole, head, c.slices.total, c.serving.spans[:0])
	x.present(outcome, spans, whole, server, head)
}

// tellFetched notes how the first slice came in.
func (x *exchange) tellFetched() {
	c := &x.cached
	s := &c.slices
	c.result, c.why, c.forward, c.kept = resultMiss, "cold", policy.ForwardURI, "stored"
	if s.outdated != (policy.Decision{}) {
		c.why, c.forward = s.outdated.Why.String(), s.outdated.Forward()
	}
	if s.outcome != nil && s.outcome.confirmed {
		c.result, c.why, c.fwdStatus = resultRevalidated, "not_modified", 304
	}
}
