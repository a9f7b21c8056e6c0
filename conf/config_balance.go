package conf

import "time"

// HashBy is what balance = "hash" chooses a server by. The zero value is none.
type HashBy struct {
	Of   string // source, path, header, cookie
	Name string // of the header or the cookie
}

// String gives the form of the configuration, "" for none.
func (h HashBy) String() string {
	if h.Name == "" {
		return h.Of
	}
	return h.Of + ":" + h.Name
}

// PoolSticky is [pool.NAME.sticky]: clients stay on a server by a cookie. Cookie ""
// means none.
type PoolSticky struct {
	Cookie   string
	Key      Secret        // signs the cookie; empty: made once in Process.StateDir
	MaxAge   time.Duration // 0: until the browser is closed
	Path     string
	Domain   string // "": the host that was asked
	SameSite string // lax, strict, none
	Secure   string // auto, always, never
	HTTPOnly bool
}

// fillZones tells each pool where this Weir runs.
func (c *Config) fillZones() {
	for i := range c.Pools {
		c.Pools[i].Zone = c.Process.Zone
	}
}

// Concurrency is [pool.NAME.concurrency]: a limit of requests in flight to each
// server that follows from how quickly it answers.
type Concurrency struct {
	Adaptive  bool
	Min       int
	Max       int
	Tolerance int // percent of its usual latency that a server may take
}

// Breaker is [pool.NAME.breaker]: requests are refused at once while too many fail, or
// while too many are under way.
type Breaker struct {
	FailurePercent int           // of the requests of a window; 0: it never opens
	Window         time.Duration // that FailurePercent looks at
	MinRequests    int           // in Window, below which FailurePercent says nothing
	OpenTime       time.Duration // until trials are let through
	Trials         int           // that must go well for it to close
	MaxRequests    int           // of the pool at a time; 0: any number
}
