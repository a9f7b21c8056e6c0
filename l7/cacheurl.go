package l7

import (
	"slices"
	"time"

	"weir/l7/cache"
	"weir/l7/cache/policy"
	"weir/l7/message"
	"weir/l7/route"
	"weir/pool/metric"
)

// invalidate drops what a response to a request with an unsafe method makes useless (RFC
// 9111 section 4.4): whatever the caches of the listener have for its URL, and for those
// that it names of the same origin.
func (x *exchange) invalidate() {
	r := &x.req
	if !policy.Invalidates(r.Method, x.res.Status) {
		return
	}
	now, scheme := time.Now(), x.clientScheme()
	n, sides := 0, x.getters(r.Match)
	for _, rc := range sides {
		n += rc.drop(policy.AppendKey(nil, rc.key, scheme, r), now)
		if rc.url != nil {
			n += rc.store.Purge(&cache.Selector{Tag: rc.urlTag(scheme, r)}, now)
		}
	}
	for _, id := range [...]message.ID{message.Location, message.ContentLocation} {
		if ref := x.res.Get(id); ref != nil {
			n += x.invalidateReference(sides, ref, now)
		}
	}
	for tag := range policy.InvalidatedGroups(r.Method, &x.res) {
		for _, rc := range sides[:min(len(sides), 1)] { // all have the same store
			n += rc.store.Purge(&cache.Selector{Tag: x.groupTag(tag.Value)}, now)
		}
	}
	if n > 0 {
		x.s.metrics.Counter(metric.CacheInvalidated, x.l.name, x.route.name).Inc()
	}
}

// invalidateReference drops what is stored for a URL that a response refers to.
func (x *exchange) invalidateReference(sides []*routeCache, ref []byte, now time.Time) (n int) {
	scheme := x.clientScheme()
	for _, rc := range sides {
		key, ok := policy.AppendReferenceKey(nil, rc.key, scheme, &x.req, ref)
		if !ok {
			continue
		}
		n += rc.drop(key, now)
		_, _, path, ok := policy.KeyURL(key)
		if !ok {
			continue
		}
		for _, other := range x.getters(path) { // another route may serve it
			if key, ok := policy.AppendReferenceKey(nil, other.key, scheme, &x.req, ref); ok && other != rc {
				n += other.drop(key, now)
			}
		}
	}
	return n
}

// drop drops all variants under a key.
func (rc *routeCache) drop(key []byte, now time.Time) int {
	return rc.store.Purge(&cache.Selector{Key: key}, now) + rc.dropSlices(key, false, now)
}

// getters are the caches of the route that a GET of path on the request's host takes, one
// for each side of a split; and those of the request's own route.
func (x *exchange) getters(path []byte) (list []*routeCache) {
	q := x.lookup
	q.Method, q.Path = methodGet, path
	if i, found := x.l.table.Find(&q); found == route.Found {
		list = x.l.routes[i].caches(list)
	}
	if x.route != nil && string(path) == string(x.req.Match) && !slices.Contains(list, x.route.cache) {
		list = x.route.caches(list)
	}
	return list
}

var methodGet = []byte("GET")

// caches appends the caches of all sides of a route.
func (r *routeState) caches(list []*routeCache) []*routeCache {
	if r.split == nil {
		if r.cache != nil {
			list = append(list, r.cache)
		}
		return list
	}
	for _, side := range r.split.sides {
		if side.cache != nil {
			list = append(list, side.cache)
		}
	}
	return list
}

// purgeURL answers a PURGE.
func (x *exchange) purgeURL() verdict {
	c := &x.cached
	c.result = resultPurge
	if !allows(c.rc.purge, x.client.Addr()) {
		c.why = "forbidden"
		v := x.refuse(403, message.Client, "purge_forbidden", nil)
		x.reply.text = "You may not drop what is stored."
		return v
	}
	n := x.s.purgeRequest(x.route.caches(nil), x.clientScheme(), &x.req, false)
	c.why = "url"
	x.s.metrics.Counter(metric.CachePurged, "url").Inc()
	if n == 0 {
		x.reply = reply{status: 404, text: "Nothing was stored for this address."}
		return respond
	}
	x.reply = reply{status: 200, text: "What was stored for this address is dropped."}
	return respond
}

// purgeRequest drops what the caches have for the URL of a request, or makes it stale.
func (s *Server) purgeRequest(caches []*routeCache, scheme string, r *message.Request, soft bool) (n int) {
	now := time.Now()
	for _, rc := range caches {
		sel := cache.Selector{Key: policy.AppendKey(nil, rc.key, scheme, r), Soft: soft}
		if rc.url == nil {
			n += rc.dropSlices(sel.Key, soft, now)
		} else {
			sel = cache.Selector{Tag: rc.urlTag(scheme, r), Soft: soft}
		}
		n += rc.store.Purge(&sel, now)
	}
	return n
}
