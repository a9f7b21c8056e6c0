package l7

import (
	"bytes"
	"errors"
	"time"

	"weir/l7/cache"
	"weir/l7/cache/policy"
	"weir/l7/message"
)

// fetchOrStale is the step "forward": on a route with a cache it also decides what
// becomes of the response.
func (x *exchange) fetchOrStale() verdict {
	c := &x.cached
	if c.rc == nil {
		v := x.forward()
		if v == next && x.l.caches {
			x.invalidate()
		}
		return v
	}
	for {
		c.requested, c.since = time.Now(), c.rc.store.Epoch()
		c.round++
		if v := x.forward(); v != next {
			return x.unanswered(v)
		}
		if v, again := x.receive(); !again {
			return v
		}
		if x.up != nil {
			x.discard()
			x.leavePool()
		}
	}
}

// receive decides what becomes of a response. again says that the request goes out once
// more, in another form.
func (x *exchange) receive() (v verdict, again bool) {
	c := &x.cached
	received := time.Now()
	x.judge()
	switch {
	case c.result == resultBypass:
		x.invalidate()
	case string(x.req.Method) == "HEAD":
		x.compareHead(received)
	case c.ref.Held():
		if v, decided := x.validated(received); decided {
			return v, false
		}
		if x.res.Status == 304 && c.round == 1 {
			// It is about something else than what is stored: the client gets all of it.
			c.ref.Release()
			return next, true
		}
		c.ref.Release()
		return x.keep(received)
	default:
		return x.keep(received)
	}
	x.addStatus()
	return next, false
}

// keep stores the response where that may be.
func (x *exchange) keep(received time.Time) (v verdict, again bool) {
	c, r := &x.cached, &x.res
	meta, why := policy.Judge(&c.rc.policy, &x.req, r, c.requested, received)
	if why != policy.OK {
		x.endUnstored(why, received)
		return x.unstored(why.String())
	}
	fill, err := x.begin(&meta, received)
	if err != nil {
		if v, decided, again := x.takeLong(&meta, received); decided {
			return v, again
		}
		if errors.Is(err, cache.ErrTooLarge) || errors.Is(err, errVaries) {
			c.rc.store.MarkUncacheable(c.key, received.Add(missTime))
		}
		x.endFlight(cache.Unstored)
		return x.unstored(storeReason(err))
	}
	c.fetch = &fetch{
		s: x.s, rc: c.rc, fill: fill, route: x.route, status: r.Status,
		length: r.ContentLength,
	}
	fill.Read(&c.ref)
	x.c.setWanted(always) // others may have it by now
	c.kept = "stored"
	c.rc.metrics.Counter(metricStored, c.rc.listener, c.rc.route, c.kept).Inc()
	c.found.Age, c.found.TTL = meta.Age(received), meta.TTL(received)
	// Those who wait could not use what has to be validated before each use: they would
	// lead one flight after the other.
	if meta.Has(policy.NoCache) || c.found.TTL <= 0 {
		x.endFlight(cache.Unstored)
	} else {
		x.endFlight(cache.Stored)
	}
	return x.serveFetched(&meta), false
}

func always() bool { return true }

// missTime is for how long requests for something that cannot be stored do not wait for
// each other.
const missTime = 2 * time.Minute

// endUnstored tells those who wait that a response cannot be stored, and remembers it
// where that is likely to be so for the next one.
func (x *exchange) endUnstored(why policy.Reason, now time.Time) {
	c := &x.cached
	if x.res.Status >= 500 {
		x.endFlight(cache.Failed)
		return
	}
	switch why {
	case policy.NoStore, policy.Private, policy.SetCookie, policy.VaryStar, policy.NoFreshness,
		policy.NoValidator, policy.StaleOnArrival, policy.NotUnderstood:
		if c.asks {
			c.rc.store.MarkUncacheable(c.key, now.Add(missTime))
		}
	default: // because of this request, or of this answer
	}
	x.endFlight(cache.Unstored)
}

// unstored delivers the response as it is. A client that asked for a part of something
// long gets the part, though: nothing is stored for which all of it was asked for.
func (x *exchange) unstored(why string) (v verdict, again bool) {
	c := &x.cached
	c.kept = why
	c.rc.metrics.Counter(metricStored, c.rc.listener, c.rc.route, why).Inc()
	long := x.res.ContentLength < 0 || x.res.ContentLength > maxInline
	if c.asks && c.round == 1 && x.res.Status == 200 && long && x.req.Has(message.Range) {
		c.asks = false
		return next, true
	}
	x.addStatus()
	return next, false
}

// errVaries is why a response is not stored that is made for one client; see variesByClient.
var errVaries = errors.New("the response varies with the client")

// storeReason names why the store does not take a response.
func storeReason(err error) string {
	switch {
	case errors.Is(err, cache.ErrTooLarge):
		return "too_large"
	case errors.Is(err, cache.ErrPurged):
		return "purged"
	case errors.Is(err, errVaries):
		return "vary_client"
	}
	return "full"
}

// begin begins to store the response.
func (x *exchange) begin(meta *policy.Meta, received time.Time) (*cache.Fill, error) {
	c, r := &x.cached, &x.res
	o := cache.Object{Key: c.key, Meta: *meta, Length: r.ContentLength, Tags: x.tags(), Since: c.since}
	if r.Framing == message.None {
		o.Length = 0 // 204
	}
	names, _ := policy.AppendVary(nil, r.Fields)
	if variesByClient(names) {
		return nil, errVaries
	}
	if len(names) > 0 {
		o.Vary, o.Variant = names, policy.AppendVariant(nil, names, x.req.Fields)
	}
	o.Head = policy.AppendHead(appendServer(nil, x.backend), &c.rc.policy, r, received)
	return c.rc.store.Begin(&o)
}

// tags are what the response may be purged by, and its URL where its key alone does not
// find it.
func (x *exchange) tags() (tags [][]byte) {
	for t := range policy.Tags(x.res.Fields) {
		tags = append(tags, tagOf(t.Value))
		if t.Group {
			tags = append(tags, x.groupTag(t.Value))
		}
	}
	if main := x.cached.slices.main; main != nil {
		tags = append(tags, sliceTag(main))
	}
	if rc := x.cached.rc; rc.url != nil {
		tags = append(tags, rc.urlTag(x.clientScheme(), &x.req))
	}
	return tags
}

// tagOf is the form in which the store knows a tag of a response.
func tagOf(value []byte) []byte { return append([]byte{'t'}, value...) }

// groupTag is the form of a group of Cache-Groups, which is one of the request's origin.
func (x *exchange) groupTag(value []byte) []byte {
	tag := append([]byte{'g'}, x.clientScheme()...)
	tag = policy.AppendOrigin(append(tag, 0), x.clientScheme(), &x.req)
	return append(append(tag, 0), value...)
}

// urlTag is the form of a URL, for keys that have more in them.
func (rc *routeCache) urlTag(scheme string, r *message.Request) []byte {
	return policy.AppendKey([]byte{'u'}, rc.url, scheme, r)
}

// appendServer appends the name of the server that a stored head is from, which comes
// before the fields: names of it in Location are to be replaced for each client.
func appendServer(dst []byte, name string) []byte {
	name = name[:min(len(name), 255)]
	return append(append(dst, byte(len(name))), name...)
}

// cutServer takes a stored head apart again.
func cutServer(b []byte) (server []byte, head policy.Head) {
	n := 1 + int(b[0])
	return b[1:n], policy.Head(b[n:])
}

var (
	fieldAge         = []byte("Age")
	fieldCacheStatus = []byte("Cache-Status")
)

// addStatus tells the client what the cache did, where the route says so.
func (x *exchange) addStatus() {
	c := &x.cached
	if !c.rc.conf.CacheStatus {
		return
	}
	st := policy.Status{Cache: "weir", Forward: c.forward, FwdStatus: c.fwdStatus, Collapsed: c.collapsed}
	switch c.result {
	case resultHit, resultStale:
		if !c.collapsed && c.fwdStatus == 0 {
			st.Forward = policy.Hit
		}
		st.HasTTL, st.TTL = true, c.found.TTL
	case resultRevalidated:
		st.HasTTL, st.TTL, st.Stored = true, c.found.TTL, c.kept == "stored"
	default:
		st.Stored = c.kept == "stored"
		if st.HasTTL = st.Stored; st.HasTTL {
			st.TTL = c.found.TTL
		}
	}
	from := len(c.scratch)
	c.scratch = st.Append(c.scratch)
	x.res.Add(fieldCacheStatus, c.scratch[from:len(c.scratch):len(c.scratch)])
}

// variesByClient reports whether a response varies with a field that Weir itself sends,
// mostly made of who asks: what the client sent under that name does not tell requests apart then.
// X-Forwarded-Proto and -Host follow from the key, and policy.Config.PerClient has those of the route.
func variesByClient(names []byte) bool {
	for rest, more := names, len(names) > 0; more; {
		var name []byte
		name, rest, more = bytes.Cut(rest, []byte{','})
		switch message.Lookup(name) {
		case message.XForwardedFor, message.XRequestID, message.Forwarded, message.Via:
			return true
		default:
		}
	}
	return false
}
