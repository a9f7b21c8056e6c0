package l7

import (
	"net/netip"
	"sync"
	"time"

	"weir/l7/cache"
	"weir/l7/cache/policy"
	"weir/l7/message"
)

// How a request is answered on a route with a cache:
//
//	look up ── fresh, or stale where that may be ─────────────────────────> serve
//	   │  ├─── another request is fetching it ──> wait ──> look up again
//	   │  └─── the cache has no part in it ─────> forward, deliver as without a cache
//	   v
//	forward, as leader of a flight ─── 304 ──> refresh ───────────────────> serve
//	   │        │                  └── no server answers ──> serve stale, or the failure
//	   v        v
//	store    do not store
//	   │        └──────────> deliver as without a cache; who waits goes on its own
//	   └─> fill ──> deliver what is filled in; who waits reads it as well
//
// What is served takes the place of a server's response: transform and deliver work on
// it as on any other.

// cached is what the cache has to do with one request. It belongs to its exchange.
type cached struct {
	rc     *routeCache // nil: nothing
	wish   policy.Wish
	key    []byte
	found  policy.Decision
	ref    cache.Ref     // what is stored and fits, to be served or to be validated
	flight *cache.Flight // that this exchange leads; nil: none
	fetch  *fetch        // of a response that is being stored; nil: none
	asks   bool          // the request that goes out is the cache's own: for all, and unconditional but for ref
	unseen bool          // no client waits for it: it goes on behind an answer
	round  int           // how often the request went out

	requested time.Time   // when
	since     cache.Epoch // of the store then: a purge since is for the response, too
	waited    time.Duration
	collapsed bool // another request's fetch was waited for

	serving serving
	slices  slicing

	// For log, metrics and Cache-Status.
	result    cacheResult
	why       string
	forward   policy.Forward
	fwdStatus int
	kept      string // what became of the response that was received
	gone      chan struct{}
	scratch   []byte
}

// reset makes it ready for the next request and keeps its memory. endCache came before.
func (c *cached) reset() {
	if c.rc == nil {
		return
	}
	c.serving.reset()
	*c = cached{
		key: c.key[:0], scratch: c.scratch[:0], serving: c.serving,
		slices: slicing{tag: c.slices.tag[:0], key: c.slices.key[:0]},
	}
}

// maxRounds is how often something else is found than was there a moment before, until
// the request goes to a server without more ado.
const maxRounds = 16

// lookUp is the step "cache": it answers from the store, waits for others that fetch the
// same, or lets the request go on to a server.
func (x *exchange) lookUp() verdict {
	rc := x.route.cache
	if rc == nil {
		return next
	}
	c, r := &x.cached, &x.req
	c.rc = rc
	if len(rc.purge) > 0 && string(r.Method) == "PURGE" {
		return x.purgeURL()
	}
	onLane := x.ride.desk != nil
	if why := policy.Passes(r); why != policy.OK {
		if onLane {
			return leave
		}
		return x.passBy(why.Forward(), why.String())
	}
	if _, holds := rc.bypass.Holds(&x.lookup); holds {
		if onLane {
			return leave
		}
		return x.passBy(policy.ForwardBypass, "condition")
	}
	c.wish = policy.ReadWish(&rc.policy, r)
	c.key = policy.AppendKey(c.key[:0], rc.key, x.clientScheme(), r)
	if onLane {
		return x.lookUpOnLane()
	}
	now := x.started
	for range maxRounds {
		v, decided := x.find(now)
		if decided {
			return v
		}
		if !c.ref.Held() {
			if v, decided := x.serveSlices(); decided {
				return v
			}
		}
		flight, role := rc.store.Join(c.key, r, now, &c.ref)
		switch role {
		case cache.Leader:
			c.flight, c.asks = flight, true
			x.c.setWanted(flight.Awaited)
			return next
		case cache.Alone:
			c.ref.Release()
			return x.unaided()
		case cache.Waiter:
			c.ref.Release()
			if v, again := x.wait(flight); !again {
				return v
			}
		case cache.Again:
			c.ref.Release()
		}
		now = time.Now()
	}
	c.asks = true
	return next
}

// passBy lets a request go to a server as if there were no cache.
func (x *exchange) passBy(f policy.Forward, why string) verdict {
	c := &x.cached
	c.result, c.forward, c.why = resultBypass, f, why
	return next
}

// unaided lets a request go to a server as the client made it: what comes is not stored
// as far as is known, and nobody waits for it. If it may be stored after all, it is.
func (x *exchange) unaided() verdict {
	c := &x.cached
	c.result, c.forward, c.why = resultMiss, policy.ForwardMiss, "uncacheable"
	return next
}

// find looks for what is stored. It is not decided where the request has to go to a
// server, as leader of a flight if it can be.
func (x *exchange) find(now time.Time) (v verdict, decided bool) {
	c := &x.cached
	c.result = resultMiss
	found := c.rc.store.Lookup(c.key, &x.req, now, &c.ref)
	if (found == cache.Miss || found == cache.OtherVariant) && x.load(now) {
		found = cache.Hit
	}
	switch found {
	case cache.Hit:
		if v, decided := x.use(now); decided {
			return v, true
		}
	case cache.Uncacheable:
		if c.wish.OnlyIfCached {
			return x.onlyStored(), true
		}
		if v, decided := x.serveSlices(); decided { // it is the whole that cannot be stored
			return v, true
		}
		return x.unaided(), true
	case cache.Miss, cache.OtherVariant:
		if c.wish.OnlyIfCached {
			return x.onlyStored(), true
		}
		if c.forward, c.why = policy.ForwardURI, "cold"; found == cache.OtherVariant {
			c.forward, c.why = policy.ForwardVary, "vary"
		}
	}
	switch {
	case string(x.req.Method) == "HEAD" && c.ref.Held():
		return next, true // what is there may be compared with its answer
	case string(x.req.Method) == "HEAD":
		v, _ := x.serveSlices()
		return v, true
	case c.wish.NoStore && !c.rc.policy.IgnoreRequest:
		c.ref.Release()
		return next, true
	case c.ref.Held() && c.found.Why != policy.LifetimeOver, c.ref.Held() && c.ref.Meta().Lifetime == 0:
		// Each request needs a validation of its own: to wait for that of another is of
		// no use, and would put them in a row.
		c.asks = true
		return next, true
	}
	return next, false
}

// use serves what was found where it may be.
func (x *exchange) use(now time.Time) (v verdict, decided bool) {
	c := &x.cached
	c.found = policy.Reuse(&c.rc.policy, c.ref.Meta(), &c.wish, now)
	switch c.found.Use {
	case policy.Fresh:
		return x.serve(resultHit, c.found.Why.String()), true
	case policy.Stale:
		return x.serve(resultStale, c.found.Why.String()), true
	case policy.StaleWhileRevalidate:
		switch x.revalidateBehind(now) {
		case isBehind:
			return x.serve(resultStale, c.found.Why.String()), true
		case isBefore:
			c.forward, c.why, c.asks = policy.ForwardStale, policy.LifetimeOver.String(), true
			return next, true
		case notBehind:
		}
		c.found.Why = policy.LifetimeOver
	case policy.Unsatisfiable:
		c.ref.Release()
		return x.onlyIfCached(), true
	case policy.Revalidate:
	}
	c.forward, c.why = c.found.Forward(), c.found.Why.String()
	if c.ref.Growing() { // there is nothing yet that could be validated
		c.ref.Release()
		c.asks = true
		return next, true
	}
	return next, false
}

// onlyStored answers a request that wants nothing from a server, for which there is
// nothing whole.
func (x *exchange) onlyStored() verdict {
	if v, decided := x.serveSlices(); decided {
		return v
	}
	return x.onlyIfCached()
}

// onlyIfCached answers a request that wants nothing from a server (RFC 9111 section 5.2.1.7).
func (x *exchange) onlyIfCached() verdict {
	x.cached.result, x.cached.why = resultError, policy.OnlyIfCached.String()
	v := x.refuse(504, message.Client, "only_if_cached", nil)
	x.reply.text = "This is not stored, and the request asked for nothing else."
	return v
}

// wait waits for the leader of a flight. again says that there may be something to be
// found now.
func (x *exchange) wait(f *cache.Flight) (v verdict, again bool) {
	c := &x.cached
	limit := c.rc.conf.LockTimeout
	if limit == 0 {
		c.asks = true
		return next, false
	}
	began := time.Now()
	stop := x.whenGone()
	x.c.await()
	outcome := f.Wait(stop, limit)
	x.c.awaited()
	x.forgetGone()
	took := time.Since(began)
	c.waited += took
	x.stages.Queue += took
	switch outcome {
	case cache.Stored:
		c.collapsed = true
		return next, true
	case cache.Unstored:
		return x.unaided(), false
	case cache.Failed:
		return x.instead(x.waitedInVain("fetch_failed")), false
	case cache.Stopped:
		x.fail(message.Client, "client_gone", nil)
		return end, false
	case cache.Late:
	}
	// A fetch that takes long may fail in the end. One request in each interval finds
	// out for itself, so that those who wait are served as soon as a server answers.
	switch {
	case c.rc.late.pass(c.key, time.Now(), limit):
		c.asks = true
		return next, false
	case c.waited >= x.route.conf.ResponseHeaderTimeout:
		return x.instead(x.waitedInVain("fetch_late")), false
	}
	return next, true
}

// waitedInVain answers who waited for a fetch that came to nothing. To ask a server once
// more is what those who wait for a fetch must not all do at once.
func (x *exchange) waitedInVain(reason string) verdict {
	v := x.refuse(503, message.Upstream, reason, nil)
	x.reply.retryAfter = soon
	x.cached.result, x.cached.why = resultError, reason
	return v
}

// whenGone returns a channel that is closed when the client is found to be gone, until
// forgetGone.
func (x *exchange) whenGone() <-chan struct{} {
	c := &x.cached
	if c.gone == nil {
		gone := make(chan struct{})
		var once sync.Once
		c.gone = gone
		x.c.onGone(func() { once.Do(func() { close(gone) }) })
	}
	return c.gone
}

// forgetGone ends whenGone. What else waits for a server asks to be told itself.
func (x *exchange) forgetGone() {
	if x.cached.gone != nil {
		x.c.onGone(nil)
		x.cached.gone = nil
	}
}

// endCache gives back what the request had of the store and counts what became of it.
func (x *exchange) endCache() {
	c := &x.cached
	if c.rc == nil {
		return
	}
	if f := c.fetch; f != nil && !f.begun {
		f.fill.Abort(errNotBegun)
	}
	x.endFlight(cache.Stored) // whoever waits looks again, and leads the next one
	if c.fetch != nil {
		x.c.setWanted(nil)
	}
	x.endRest()
	growing := c.ref.Growing()
	c.ref.Release()
	if f := c.fetch; f != nil && growing && x.fault.side == message.Client && x.fault.reason != "" {
		f.abandon()
	}
	x.forgetGone()
	if c.serving.on {
		x.res.Reset() // it points into the store
	}
	if c.result != resultNone {
		c.rc.count(c.result, c.why)
	}
}

// endFlight ends the flight that this exchange leads, if it leads one.
func (x *exchange) endFlight(o cache.Outcome) {
	if f := x.cached.flight; f != nil {
		f.End(o)
		x.cached.flight = nil
		if x.cached.fetch == nil { // else the fetch sees to it: see startFetch
			x.c.setWanted(nil)
		}
	}
}

// allows reports whether addr is in one of the networks.
func allows(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range networks {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
