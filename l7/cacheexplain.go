package l7

import (
	"strings"

	"weir/l7/cache/policy"
)

// explainCache says in words what the cache has to do with a request that the route
// takes; "": the route has none. It looks at no store, which is that of another process.
func (x *exchange) explainCache() string {
	rc := x.route.cache
	if rc == nil {
		return ""
	}
	r := &x.req
	if len(rc.purge) > 0 && string(r.Method) == "PURGE" {
		if allows(rc.purge, x.client.Addr()) {
			return "drops what is stored for the URL"
		}
		return "403: purge names no network that the client is in"
	}
	if why := policy.Passes(r); why != policy.OK {
		return "bypass: " + why.String()
	}
	if which, holds := rc.bypass.Holds(&x.lookup); holds {
		return "bypass: condition on " + which
	}
	wish := policy.ReadWish(&rc.policy, r)
	var b strings.Builder
	switch {
	case wish.NoStore:
		b.WriteString("looked up, the response is not stored: the request says no-store")
	case wish.OnlyIfCached:
		b.WriteString("looked up, 504 where nothing is stored: the request says only-if-cached")
	case wish.NoCache:
		b.WriteString("validated: the request says no-cache")
	default:
		b.WriteString("looked up")
	}
	if _, one := firstOctet(r); one && rc.conf.Slice > 0 && string(r.Method) == "GET" && !wish.NoStore {
		b.WriteString(", a range of what is not stored as a whole in slices of " + rc.conf.Slice.String())
	}
	b.WriteString("; key: " + x.clientScheme() + ", " + string(r.Authority) + ", " + string(r.Match))
	b.WriteString(rc.explainQuery(r.HasQuery))
	for _, name := range rc.conf.Key.Headers {
		b.WriteString(", header " + name)
	}
	for _, name := range rc.conf.Key.Cookies {
		b.WriteString(", cookie " + name)
	}
	b.WriteString("; what is stored is not known here, and the response decides whether it is")
	return b.String()
}

// explainQuery says what of a query belongs to the key.
func (rc *routeCache) explainQuery(has bool) string {
	k := &rc.conf.Key
	what := ", the query"
	switch {
	case !has:
		return ""
	case k.Query == "ignore":
		return ", nothing of the query"
	case len(k.QueryAllow) > 0:
		what = ", of the query " + strings.Join(k.QueryAllow, ", ")
	case len(k.QueryDeny) > 0:
		what = ", the query without " + strings.Join(k.QueryDeny, ", ")
	}
	if k.Query == "sorted" {
		what += " in any order"
	}
	return what
}
