package l7

import (
	"bytes"
	"time"

	"weir/l7/cache"
	"weir/l7/cache/policy"
	"weir/l7/message"
)

// A response that is longer than may be stored is stored in slices all the same, where the
// route has them: a GET of all of it is answered from slices as one of a range is.

// isLong reports whether a response that may be stored is too long for that, and is to be
// had in slices as far as it tells.
func (x *exchange) isLong(meta *policy.Meta, received time.Time) bool {
	c, r := &x.cached, &x.res
	tag := r.Get(message.ETag)
	return c.rc.conf.Slice > 0 && r.Status == 200 && r.ContentLength > c.rc.store.MaxObject() &&
		message.SameTag(tag, tag, true) && !meta.Has(policy.NoCache) && meta.TTL(received) > 0 &&
		acceptsRanges(r) && !c.isUnsliced(x)
}

// acceptsRanges reports whether the server says that it answers ranges of octets.
func acceptsRanges(r *message.Response) bool {
	for i := range r.Fields {
		if f := &r.Fields[i]; message.EqualFold(f.Name, "accept-ranges") {
			return message.EqualFold(bytes.TrimSpace(f.Value), "bytes")
		}
	}
	return false
}

// takeLong leaves a long response where it is and answers from slices, for this request
// and for those that wait for it. Nothing of the server is held meanwhile: its slices may
// wait for that. again says that there turned out to be none: the request goes out once more.
func (x *exchange) takeLong(meta *policy.Meta, received time.Time) (v verdict, decided, again bool) {
	c := &x.cached
	if !x.isLong(meta, received) {
		return next, false, false
	}
	c.rc.store.MarkUncacheable(c.rc.appendSliceKey(nil, c.key, inSlices), received.Add(missTime))
	if !c.asks || c.round > 1 || x.req.Has(message.Range) {
		return next, false, false
	}
	x.endFlight(cache.Stored) // whoever waits looks again, and asks for slices
	x.discard()
	x.leavePool()
	if v, decided = x.serveSlices(); decided {
		return v, true, false
	}
	return next, true, true
}

// isKnownLong reports whether all of a resource is to be answered from slices, as far as is
// known without asking the disk: its first slice is stored, or it turned out to be long.
func (x *exchange) isKnownLong() bool {
	c := &x.cached
	if c.isNoted(x, inSlices) {
		return true
	}
	s, st := &c.slices, c.rc.store
	s.key = c.rc.appendSliceKey(s.key[:0], c.key, 0)
	var ref cache.Ref
	defer ref.Release()
	if st.Lookup(s.key, &x.req, time.Now(), &ref) != cache.Hit {
		return st.OnDisk(s.key)
	}
	_, head := cutServer(ref.Head())
	part, ok := policy.ParseContentRange(head.Get("content-range"))
	return ok && part.Total > st.MaxObject()
}
