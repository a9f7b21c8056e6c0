package conf

import "time"

// Cache is [cache]: where responses are stored. It is there also where no route caches.
type Cache struct {
	Memory    Size
	MaxObject Size       // longest body that is stored
	Disk      *CacheDisk // nil: memory alone
}

// CacheDisk is [cache.disk]: where responses are kept beside memory.
type CacheDisk struct {
	Path string // absolute
	Size Size   // of all files together
}

// RouteCache is [l7.route.cache]. A zero duration means that the key was left out,
// unless it says something else.
type RouteCache struct {
	TTL        time.Duration // in place of what responses say; 0: what they say
	MinTTL     time.Duration
	MaxTTL     time.Duration // 0: no limit
	DefaultTTL time.Duration // of responses that say nothing; 0: heuristic freshness, if any
	StatusTTL  []StatusTTL   // as DefaultTTL, by status

	Heuristic    int // percent of the age at Last-Modified; 0: no heuristic freshness
	HeuristicMax time.Duration

	StaleWhileRevalidate time.Duration // of responses that say nothing, as the next one
	StaleIfError         time.Duration
	Grace                time.Duration // stale use while no server can be asked

	Targets          []string // targeted fields, the most specific first
	IgnoreRequest    bool     // Cache-Control and Pragma of requests
	SetCookie        bool     // responses with Set-Cookie may be stored
	Authorized       bool     // as a shared response, whatever Authorization the request has
	Key              CacheKey
	BypassHeader     []Condition // where one of the three lists has one that holds
	BypassQuery      []Condition
	BypassCookie     []Condition
	LockTimeout      time.Duration // for another request's fetch
	OnClientGone     string        // cancel, finish
	Purge            []string      // CIDR; empty: PURGE is a method like others
	CacheStatus      bool
	RevalidateBehind int  // requests in the background at a time
	Slice            Size // of what is fetched for a range; 0: the whole is fetched
}

// StatusTTL is the freshness of responses with a status.
type StatusTTL struct {
	Status int
	TTL    time.Duration
}

// CacheKey is [l7.route.cache.key]: what tells requests apart beside scheme, host,
// path and query.
type CacheKey struct {
	Query      string   // as_is, sorted, ignore
	QueryAllow []string // only these parameters count; empty: all
	QueryDeny  []string // these do not
	Headers    []string
	Cookies    []string
}
