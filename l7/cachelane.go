package l7

import (
	"weir/l7/cache"
	"weir/l7/cache/policy"
)

// lookUpOnLane answers with what is whole, in memory and fresh. All else may wait for a
// disk, for another request or for a server in more than one way, and is left to a
// goroutine, which looks anew.
func (x *exchange) lookUpOnLane() verdict {
	c := &x.cached
	if c.rc.store.Lookup(c.key, &x.req, x.started, &c.ref) != cache.Hit {
		return leave
	}
	if !c.ref.Growing() {
		c.found = policy.Reuse(&c.rc.policy, c.ref.Meta(), &c.wish, x.started)
		if c.found.Use == policy.Fresh {
			return x.serve(resultHit, c.found.Why.String())
		}
	}
	c.ref.Release()
	return leave
}

// wasHit reports whether the request was one that a lane can serve, as far as a cache is
// concerned.
func (c *cached) wasHit() bool { return c.rc == nil || c.result == resultHit }
