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
// flight. It goes on when the client is gone: it is short.
func (x *exchange) fetchSlice(number int64, flight *cache.Flight) {
	c := &x.cached
	size := int64(c.rc.conf.Slice)
	n, err := x.alone()
	if err != nil {
		x.s.log.Debug("cannot fetch a slice", "listener", c.rc.listener, "route", c.rc.route, "err", err)
		flight.End(cache.Failed)
		return
	}
	nc := &n.cached
	nc.rc, nc.wish, nc.asks, nc.unseen, nc.flight = c.rc, c.wish, true, true, flight
	nc.key = c.rc.appendSliceKey(nil, c.key, number)
	nc.slices.main = append([]byte(nil), c.key...)
	nc.slices.span = message.Span{Start: number * size, Length: size}
	if !x.s.fetches.startBehind(n.c, n.runSlice) {
		flight.End(cache.Failed)
	}
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
	c.requested = time.Now()
	c.round++
	if v := x.forward(); v != next {
		return
	}
	received := time.Now()
	x.judge()
	why := x.keepSlice(received)
	c.rc.metrics.Counter(metricStored, c.rc.listener, c.rc.route, why).Inc()
	if c.fetch != nil {
		x.fetchBehind()
		return
	}
	switch status := x.res.Status; {
	case status >= 500:
		return
	case status != 416: // that one speaks of this slice alone
		noted := c.rc.appendSliceKey(nil, c.slices.main, unsliced)
		c.rc.store.MarkUncacheable(noted, received.Add(missTime))
	}
	x.endFlight(cache.Unstored)
}

// keepSlice begins to store a response that is exactly the slice that was asked for, and
// says what became of it. One that would have to be validated before each use is of none.
func (x *exchange) keepSlice(received time.Time) (why string) {
	c, r := &x.cached, &x.res
	meta, part, reason := policy.JudgePart(&c.rc.policy, &x.req, r, c.requested, received)
	if reason != policy.OK {
		return reason.String()
	}
	asked := c.slices.span
	tag := r.Get(message.ETag)
	switch {
	case part.Start != asked.Start, r.ContentLength != part.Length,
		part.Length != min(asked.Length, part.Total-part.Start):
		return policy.PartialContent.String()
	case !message.SameTag(tag, tag, true):
		return policy.NoValidator.String()
	case meta.Has(policy.NoCache), meta.TTL(received) <= 0:
		return policy.StaleOnArrival.String()
	}
	fill, err := x.begin(&meta, received)
	if err != nil {
		return storeReason(err)
	}
	c.fetch = &fetch{
		s: x.s, rc: c.rc, fill: fill, route: x.route, status: r.Status, length: r.ContentLength,
	}
	x.endFlight(cache.Stored)
	return "stored"
}

// appendRange appends the field that asks for a span.
func appendRange(dst []byte, s message.Span) []byte {
	dst = strconv.AppendInt(append(dst, "Range: bytes="...), s.Start, 10)
	dst = strconv.AppendInt(append(dst, '-'), s.Start+s.Length-1, 10)
	return append(dst, '\r', '\n')
}
