package l7

import (
	"errors"
	"strconv"
	"time"

	"weir/l7/cache"
	"weir/l7/cache/policy"
	"weir/l7/message"
)

// errChanged is why a response of slices breaks off: they are not all of one resource.
var errChanged = errors.New("the resource has changed since the response began")

// fetchSlice has a slice fetched by a request of its own, for whoever waits for the
// flight, or validated where it is stored and stale. ahead says that nobody needs it yet.
// The request goes on when the client is gone: it is short. What it returns may be read
// when the flight has ended.
func (x *exchange) fetchSlice(number int64, flight *cache.Flight, ahead bool) *sliceOutcome {
	c, told := &x.cached, new(sliceOutcome)
	size := int64(c.rc.conf.Slice)
	n, err := x.alone()
	if err != nil {
		x.s.log.Debug("cannot fetch a slice", "listener", c.rc.listener, "route", c.rc.route, "err", err)
		flight.End(cache.Failed)
		return told
	}
	nc := &n.cached
	nc.rc, nc.wish, nc.asks, nc.unseen, nc.flight = c.rc, c.wish, true, ahead, flight
	nc.key = c.rc.appendSliceKey(nil, c.key, number)
	nc.slices.main = append([]byte(nil), c.key...)
	nc.slices.span, nc.slices.outcome = message.Span{Start: number * size, Length: size}, told
	if c.rc.store.Lookup(nc.key, &n.req, time.Now(), &nc.ref) == cache.Hit && nc.ref.Growing() {
		nc.ref.Release()
	}
	if !x.s.fetches.startBehind(n.c, n.runSlice) {
		nc.ref.Release()
		flight.End(cache.Failed)
	}
	return told
}

// runSlice is the goroutine of a request for a slice.
func (x *exchange) runSlice() {
	defer func() {
		if p := recover(); p != nil {
			x.s.panicked("slice", p)
		}
		x.endFlight(cache.Failed) // where it has not ended
		x.cached.result = resultNone
		x.endCache()
		x.dropUpstream()
		x.leavePool()
	}()
	c := &x.cached
	for {
		c.requested, c.since = time.Now(), c.rc.store.Epoch()
		c.round++
		if x.forward() != next {
			return
		}
		if !x.receiveSlice() {
			break
		}
		x.discard()
		x.leavePool()
	}
	if c.fetch != nil {
		x.fetchBehind()
	}
}

// receiveSlice decides what becomes of the answer to a request for a slice. again says
// that the request goes out once more, without conditions.
func (x *exchange) receiveSlice() (again bool) {
	c := &x.cached
	received := time.Now()
	c.slices.outcome.answered = true
	x.judge()
	if c.ref.Held() {
		if x.validateSlice(received) {
			return false
		}
		c.ref.Release()
		if x.res.Status == 304 {
			return c.round == 1 // it is about something else than what is stored
		}
	}
	why := x.keepSlice(received)
	c.rc.metrics.Counter(metricStored, c.rc.listener, c.rc.route, why).Inc()
	switch {
	case c.fetch != nil, isFailure(x.res.Status):
	case why == "purged":
		x.endFlight(cache.Stored) // whoever waits asks for what is there since
	default:
		x.endFlight(cache.Unstored)
	}
	return false
}

// validateSlice uses the answer to a request that asked whether a stored slice still
// holds. It reports whether that was all that there is to do.
func (x *exchange) validateSlice(received time.Time) (done bool) {
	c, r := &x.cached, &x.res
	_, head := cutServer(c.ref.Head())
	switch {
	case r.Status == 304 && policy.Confirms(c.ref.Meta(), head, r.Fields):
		x.countValidation("not_modified")
		c.slices.outcome.confirmed = true
		flight := c.flight
		c.flight = nil
		x.refresh(received)
		flight.End(cache.Stored) // what cannot be stored any more is gone, and asked for anew
		return true
	case r.Status == 304:
		return false
	case isFailure(r.Status):
		x.countValidation("failed")
		return true
	}
	x.countValidation("replaced")
	if !message.SameTag(r.Get(message.ETag), head.Get("etag"), true) {
		x.dropOldSlices()
	}
	return false
}

// dropOldSlices drops all slices of the resource, which has become another one. What has
// just come is not hit by that, as it is by other purges since it was asked for.
func (x *exchange) dropOldSlices() {
	c := &x.cached
	before := c.rc.store.Epoch()
	c.rc.dropSlices(c.slices.main, false, time.Now())
	if after := c.rc.store.Epoch(); before == c.since && after == before+1 {
		c.since = after
	}
}

// keepSlice begins to store a response that is exactly the slice that was asked for, and
// says what became of it. One that would have to be validated before each use is of none.
// Where the next answer is likely to be of no use either, that is noted.
func (x *exchange) keepSlice(received time.Time) (why string) {
	c, r := &x.cached, &x.res
	meta, part, reason := policy.JudgePart(&c.rc.policy, &x.req, r, c.requested, received)
	if reason != policy.OK {
		x.noteUnsliced(reason, received)
		return reason.String()
	}
	asked, tag := c.slices.span, r.Get(message.ETag)
	switch {
	case part.Start != asked.Start, r.ContentLength != part.Length,
		part.Length != min(asked.Length, part.Total-part.Start):
		reason = policy.PartialContent
	case !message.SameTag(tag, tag, true):
		reason = policy.NoValidator
	case meta.Has(policy.NoCache), meta.TTL(received) <= 0:
		reason = policy.StaleOnArrival
	}
	if reason != policy.OK {
		x.noteUnsliced(reason, received)
		return reason.String()
	}
	fill, err := x.begin(&meta, received)
	if err != nil {
		if errors.Is(err, cache.ErrTooLarge) || errors.Is(err, errVaries) {
			x.noteUnsliced(policy.VaryStar, received)
		}
		return storeReason(err)
	}
	c.fetch = &fetch{
		s: x.s, rc: c.rc, fill: fill, route: x.route, status: r.Status, length: r.ContentLength,
	}
	x.endFlight(cache.Stored)
	return "stored"
}

// noteUnsliced notes for a while that the resource is not to be had in slices, unless it is
// this request for which, or this moment at which it is not.
func (x *exchange) noteUnsliced(why policy.Reason, now time.Time) {
	c, number := &x.cached, int64(unsliced)
	switch {
	case why == policy.RequestNoStore:
		return
	case why == policy.Authorization:
		number = unslicedForUsers
	case x.res.Status >= 300 && !lasts(x.res.Status):
		return
	}
	c.rc.store.MarkUncacheable(c.rc.appendSliceKey(nil, c.slices.main, number), now.Add(missTime))
}

// lasts reports whether a status other than success is likely to be that of the next
// answer, whoever asks for whatever part.
func lasts(status int) bool {
	switch status {
	case 301, 308, 404, 410:
		return true
	}
	return false
}

// appendRange appends the field that asks for a span.
func appendRange(dst []byte, s message.Span) []byte {
	dst = strconv.AppendInt(append(dst, "Range: bytes="...), s.Start, 10)
	dst = strconv.AppendInt(append(dst, '-'), s.Start+s.Length-1, 10)
	return append(dst, '\r', '\n')
}
