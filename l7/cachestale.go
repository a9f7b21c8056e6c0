package l7

import (
	"time"

	"weir/l7/cache"
	"weir/l7/cache/policy"
	"weir/pool/metric"
)

// validated uses the answer to a request that asked whether what is stored still holds.
// It is not decided where that answer is a response of its own.
func (x *exchange) validated(received time.Time) (v verdict, decided bool) {
	c, r := &x.cached, &x.res
	_, head := cutServer(c.ref.Head())
	switch {
	case r.Status == 304 && policy.Confirms(c.ref.Meta(), head, r.Fields):
		x.countValidation("not_modified")
		meta, stored := x.refresh(received)
		c.result, c.why, c.fwdStatus = resultRevalidated, "not_modified", 304
		return x.serveAs(&meta, stored), true
	case r.Status == 304 && c.round == 1:
		return next, false
	case isFailure(r.Status) && c.found.OnError:
		x.countValidation("failed")
		c.fwdStatus = r.Status
		x.discard()
		x.endFlight(cache.Failed)
		return x.serve(resultStale, "stale_if_error"), true
	}
	x.countValidation("replaced")
	return next, false
}

func (x *exchange) countValidation(result string) {
	rc, where := x.cached.rc, "before"
	if x.cached.unseen {
		where = "behind"
	}
	rc.metrics.Counter(metric.CacheRevalidations, rc.listener, rc.route, where, result).Inc()
}

// refresh takes what a 304, or an answer to HEAD, says into what is stored, and returns
// what there is now: the store's, or only this request's where it does not take it.
func (x *exchange) refresh(received time.Time) (meta policy.Meta, stored []byte) {
	c, r := &x.cached, &x.res
	server, head := cutServer(c.ref.Head())
	stored = appendServer(nil, string(server))
	at := len(stored)
	stored = policy.AppendMerged(stored, &c.rc.policy, head, r.Fields, received)
	meta, why := policy.Renew(&c.rc.policy, c.ref.Meta(), &x.req, policy.Head(stored[at:]), r.Fields,
		c.requested, received)
	if string(x.req.Method) == "GET" {
		x.discard()
	}
	c.found.Age, c.found.TTL = meta.Age(received), meta.TTL(received)
	switch {
	case why == policy.NotGet: // an answer to HEAD: the response is still one to GET
		why = policy.OK
	case why != policy.OK:
		c.rc.store.Purge(&cache.Selector{Key: c.key}, received)
	}
	c.kept = why.String()
	widens := why == policy.OK && policy.Widens(head, policy.Head(stored[at:]))
	if widens { // the store cannot take it in: the next request gets all of it
		c.rc.store.Purge(&cache.Selector{Key: c.key}, received)
		c.kept = "widened"
	}
	if why == policy.OK && !widens && c.rc.store.Refresh(&c.ref, &meta, stored, c.since) {
		c.kept = "stored"
	}
	if c.found.TTL <= 0 || why != policy.OK || widens {
		x.endFlight(cache.Unstored)
	} else {
		x.endFlight(cache.Stored)
	}
	return meta, stored
}

// compareHead holds the answer to HEAD against what is stored for GET (RFC 9111 section
// 4.3.5).
func (x *exchange) compareHead(received time.Time) {
	c := &x.cached
	if !c.ref.Held() || c.ref.Growing() {
		return
	}
	_, head := cutServer(c.ref.Head())
	switch policy.CompareHead(c.ref.Meta(), head, c.ref.Length(), &x.res) {
	case policy.Confirmed:
		x.refresh(received)
	case policy.Outdated:
		c.rc.store.Purge(&cache.Selector{Key: c.key, Soft: true}, received)
	case policy.Unrelated:
	}
}

// unanswered ends a request to which no server gave an answer.
func (x *exchange) unanswered(v verdict) verdict {
	c := &x.cached
	if v == end {
		x.endFlight(cache.Stored) // it is this client that is gone: another one asks next
		return v
	}
	if c.result == resultBypass {
		return v
	}
	if c.ref.Held() {
		x.countValidation("failed")
	}
	x.endFlight(cache.Failed)
	c.result, c.why = resultError, x.fault.reason
	return x.instead(v)
}

// instead serves what is stored in place of a failure, where that may be; else it
// answers as v says.
func (x *exchange) instead(v verdict) verdict {
	c := &x.cached
	now := time.Now()
	if !c.ref.Held() && c.rc.store.Lookup(c.key, &x.req, now, &c.ref) != cache.Hit {
		return v
	}
	if c.ref.Growing() {
		c.ref.Release()
		return v
	}
	c.found = policy.Reuse(&c.rc.policy, c.ref.Meta(), &c.wish, now)
	why, ok := c.standsIn()
	if !ok {
		return v
	}
	x.reply = reply{}
	return x.serve(resultStale, why)
}

// standsIn reports why what was found may be served in place of a failure.
func (c *cached) standsIn() (why string, ok bool) {
	m := c.ref.Meta()
	switch {
	case c.found.Use != policy.Revalidate && c.found.Use != policy.Unsatisfiable:
		return c.found.Why.String(), true // another request has fetched it meanwhile
	case c.found.OnError:
		return "stale_if_error", true
	case m.Flags&(policy.NoCache|policy.MustRevalidate|policy.SharedAge) == 0 && -c.found.TTL <= c.rc.conf.Grace:
		return "grace", true
	}
	return "", false
}

// behind is what became of a revalidation in the background.
type behind uint8

const (
	isBehind  behind = iota // it is under way
	isBefore                // there are too many: this request leads the flight
	notBehind               // the response cannot be stored any more
)

// revalidateBehind has what is stored validated in the background, unless somebody is at
// it.
func (x *exchange) revalidateBehind(now time.Time) behind {
	c, rc := &x.cached, x.cached.rc
	flight, role := rc.store.Join(c.key, &x.req, now, &c.ref)
	switch role {
	case cache.Alone:
		return notBehind
	case cache.Waiter, cache.Again:
		return isBehind
	case cache.Leader:
	}
	if rc.behind.Add(1) > int64(rc.conf.RevalidateBehind) {
		rc.behind.Add(-1)
		c.flight = flight
		return isBefore
	}
	done := func() {
		flight.End(cache.Stored)
		rc.behind.Add(-1)
	}
	n, err := x.alone()
	if err != nil {
		x.s.log.Debug("cannot revalidate behind the answer", "listener", rc.listener, "route", rc.route, "err", err)
		done()
		return isBehind
	}
	nc := &n.cached
	nc.rc, nc.wish, nc.asks, nc.unseen = rc, c.wish, true, true
	nc.key, nc.flight, nc.found = append([]byte(nil), c.key...), flight, c.found
	if rc.store.Lookup(nc.key, &n.req, now, &nc.ref) != cache.Hit || nc.ref.Growing() {
		nc.ref.Release()
		done()
		return isBehind
	}
	if !x.s.fetches.startBehind(n.c, func() { n.runBehind(done) }) {
		nc.ref.Release()
		done()
	}
	return isBehind
}

// runBehind is the goroutine of a request behind an answer.
func (x *exchange) runBehind(done func()) {
	defer done()
	defer func() {
		if p := recover(); p != nil {
			x.s.panicked("revalidation", p)
		}
		x.cached.result = resultNone // no client asked
		x.endCache()
		x.dropUpstream()
		x.leavePool()
	}()
	x.fetchOrStale()
	if x.cached.fetch != nil {
		x.fetchBehind()
	}
}

// fetchBehind takes the body of a response into the store, in the goroutine of a request
// without a client.
func (x *exchange) fetchBehind() {
	f := x.cached.fetch
	x.cached.ref.Release() // nobody reads here
	f.begun, f.up, f.member = true, x.up, x.member
	x.c.setUpstream(nil)
	x.up, x.member = nil, nil
	if !x.s.fetches.lend(f) {
		f.fill.Abort(errNotBegun)
		f.up.Release()
		f.member.Done()
		return
	}
	f.run()
}
