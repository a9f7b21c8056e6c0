package l7

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"weir/conf"
	"weir/l7/cache"
	"weir/l7/cache/policy"
	"weir/l7/route"
	"weir/pool/metric"
)

// routeCache is a compiled [l7.route.cache], once for each side of a split.
type routeCache struct {
	conf   *conf.RouteCache
	store  *cache.Store
	policy policy.Config
	key    *policy.KeyPolicy
	// url is key without fields and cookies, where key has some: the tag by which all that
	// is stored for a URL is found. nil: key alone finds it.
	url    *policy.KeyPolicy
	bypass *route.Any
	purge  []netip.Prefix

	behind atomic.Int64 // requests in the background
	late   lateGate

	stats    *cacheStats
	hits     *metric.Counter
	listener string
	route    string
	metrics  *metric.Registry
}

// buildCache gives a route its cache, where it has one.
func (s *Server) buildCache(l *listener, r *routeState) (err error) {
	c := r.conf.Cache
	if c == nil {
		return nil
	}
	rc := &routeCache{
		conf: c, store: s.stored(), listener: l.name, route: r.name, metrics: s.metrics,
		stats: s.cacheStats(l.name, r.name),
	}
	rc.hits = s.metrics.Counter(metric.CacheRequests, l.name, r.name, resultHit.String(),
		policy.WithinLifetime.String())
	if rc.bypass, err = route.NewAny(c.BypassHeader, c.BypassQuery, c.BypassCookie); err != nil {
		return err
	}
	for _, cidr := range c.Purge {
		p, err := netip.ParsePrefix(cidr)
		if err != nil {
			return fmt.Errorf("cannot use network %q of purge: %w", cidr, err)
		}
		rc.purge = append(rc.purge, p.Masked())
	}
	rc.policy = cachePolicy(c)
	rc.policy.PerClient = perClient(&r.conf.RequestHeaders)
	parts := keyParts(&c.Key)
	parts.Space = l.name + "\x00" + r.name + "\x00" + r.pool
	rc.key = policy.NewKeyPolicy(parts)
	if len(parts.Headers)+len(parts.Cookies) > 0 {
		parts.Headers, parts.Cookies = nil, nil
		rc.url = policy.NewKeyPolicy(parts)
	}
	r.cache, l.caches = rc, true
	return nil
}

// cachePolicy is what the file says of freshness and of what may be stored.
func cachePolicy(c *conf.RouteCache) policy.Config {
	p := policy.Config{
		Targets: make([]string, 0, len(c.Targets)),
		TTL:     c.TTL, MinTTL: c.MinTTL, MaxTTL: c.MaxTTL, DefaultTTL: c.DefaultTTL,
		HeuristicPercent: c.Heuristic, HeuristicMax: c.HeuristicMax,
		StaleWhileRevalidate: c.StaleWhileRevalidate, StaleIfError: c.StaleIfError,
		AllowSetCookie: c.SetCookie, AllowAuthorization: c.Authorized, IgnoreRequest: c.IgnoreRequest,
	}
	for _, t := range c.Targets {
		p.Targets = append(p.Targets, strings.ToLower(t))
	}
	if p.HeuristicPercent == 0 {
		p.HeuristicPercent = -1
	}
	for _, st := range c.StatusTTL {
		p.StatusTTL = append(p.StatusTTL, policy.StatusTTL{Status: st.Status, TTL: st.TTL})
	}
	return p
}

// perClient names the fields of requests, in lower case, that the route makes of what no
// key has.
func perClient(changes *conf.FieldChanges) (names []string) {
	for _, list := range [...][]conf.FieldValue{changes.Set, changes.Add} {
		for i := range list {
			if list[i].Value.PerClient() != "" {
				names = append(names, strings.ToLower(list[i].Name))
			}
		}
	}
	return names
}

// keyParts is what the file says of the key.
func keyParts(k *conf.CacheKey) policy.KeyParts {
	p := policy.KeyParts{Sort: k.Query == "sorted", Headers: k.Headers, Cookies: k.Cookies}
	switch {
	case k.Query == "ignore":
		p.Query = policy.NoParams
	case len(k.QueryAllow) > 0:
		p.Query, p.Params = policy.OnlyParams, k.QueryAllow
	case len(k.QueryDeny) > 0:
		p.Query, p.Params = policy.WithoutParams, k.QueryDeny
	}
	return p
}

// stored returns the server's store, which is made for the first route with a cache and
// stays until Close.
func (s *Server) stored() *cache.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store == nil {
		s.store = cache.New(cache.Options{})
		s.showStore(s.store)
	}
	return s.store
}

// showStore shows the numbers that the store keeps.
func (s *Server) showStore(st *cache.Store) {
	m := s.metrics
	gauge := func(def *metric.Def, value func(*cache.Stats) float64) {
		m.GaugeFunc(def, func() float64 {
			stats := st.Stats()
			return value(&stats)
		})
	}
	gauge(metric.CacheObjects, func(st *cache.Stats) float64 { return float64(st.Objects) })
	gauge(metric.CacheMemory, func(st *cache.Stats) float64 { return float64(st.Bytes) })
	gauge(metric.CacheBudget, func(st *cache.Stats) float64 { return float64(st.Budget) })
	gauge(metric.CacheFetches, func(st *cache.Stats) float64 { return float64(st.Flights) })
	gauge(metric.CacheWaiting, func(st *cache.Stats) float64 { return float64(st.Waiting) })
	m.CounterFunc(metric.CacheEvictions, func() uint64 { return st.Stats().Evicted })
}

// closeStore gives the store's memory back. Nobody uses it any more.
func (s *Server) closeStore() {
	s.mu.Lock()
	st := s.store
	s.store = nil
	s.mu.Unlock()
	if st == nil {
		return
	}
	if err := st.Close(); err != nil {
		s.log.Error("cache not closed", "err", err)
	}
}

// limitStore gives the store the limits of a configuration that comes into force.
func (s *Server) limitStore(c *conf.Cache) {
	s.mu.Lock()
	st := s.store
	s.mu.Unlock()
	if st != nil && c != nil {
		st.SetOptions(cache.Options{Budget: int64(c.Memory), MaxObject: int64(c.MaxObject)})
		s.useDisk(st, c.Disk)
	}
}

// cacheResult is what became of a request on a route with a cache.
type cacheResult uint8

const (
	resultNone cacheResult = iota // the cache was not asked
	resultHit
	resultStale
	resultRevalidated
	resultMiss
	resultBypass
	resultError
	resultPurge
	numResults
)

var resultNames = [numResults]string{
	resultHit: "hit", resultStale: "stale", resultRevalidated: "revalidated", resultMiss: "miss",
	resultBypass: "bypass", resultError: "error", resultPurge: "purge",
}

// String returns the name for logs and metrics.
func (r cacheResult) String() string { return resultNames[r] }

// cacheStats counts the results of a route. It outlives reloads.
type cacheStats struct {
	results [numResults]atomic.Uint64
}

// statsKey names a route across reloads.
type statsKey struct{ listener, route string }

func (s *Server) cacheStats(listener, route string) *cacheStats {
	v, _ := s.cacheCounts.LoadOrStore(statsKey{listener, route}, new(cacheStats))
	return v.(*cacheStats)
}

// count counts what became of a request.
func (rc *routeCache) count(r cacheResult, why string) {
	rc.stats.results[r].Add(1)
	if r == resultHit && why == policy.WithinLifetime.String() {
		rc.hits.Inc()
		return
	}
	rc.metrics.Counter(metric.CacheRequests, rc.listener, rc.route, r.String(), why).Inc()
}

// lateGate bounds how many of those who waited too long for a fetch go to a server
// themselves: one in each interval for a key, or for a few keys that share a place.
type lateGate struct {
	next [64]atomic.Int64 // Unix nanoseconds from when on another one may go
}

// pass reports whether who asks may go.
func (g *lateGate) pass(key []byte, now time.Time, interval time.Duration) bool {
	h := uint32(2166136261) // FNV-1a
	for _, b := range key {
		h = (h ^ uint32(b)) * 16777619
	}
	at := &g.next[h%uint32(len(g.next))]
	due := at.Load()
	return now.UnixNano() >= due && at.CompareAndSwap(due, now.Add(interval).UnixNano())
}
