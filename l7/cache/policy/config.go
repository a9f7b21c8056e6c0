package policy

import (
	"slices"
	"time"
)

// Config is the rules of one route, beside those that messages bring along. The zero
// value is RFC 9111 with its heuristic and nothing more. A Config is only read and may
// be shared.
type Config struct {
	// Targets are the names of targeted fields in lower case, the most important first
	// (RFC 9213 section 2.2). nil: CDN-Cache-Control; empty and not nil: none.
	Targets []string

	// TTL is how long a response lives from when it came in, whatever its fields say of
	// freshness; 0: they decide. It makes nothing storable that must not be stored, and
	// touches neither statuses that only an explicit lifetime makes storable nor those
	// of StatusTTL.
	TTL time.Duration
	// MinTTL and MaxTTL bound how long a response lives from when it came in, whoever
	// said so; 0: no bound. MinTTL lengthens no lifetime where the response must be
	// validated before each use.
	MinTTL, MaxTTL time.Duration
	// DefaultTTL is for responses that say nothing of freshness and have a status that
	// allows a heuristic, or are public. 0: the heuristic decides.
	DefaultTTL time.Duration
	// StatusTTL is for responses of a status that say nothing of freshness, before
	// DefaultTTL: negative caching. The first entry of a status counts.
	StatusTTL []StatusTTL

	// HeuristicPercent of the time since Last-Modified is the lifetime of a response that
	// says nothing of it (RFC 9111 section 4.2.2). 0: 10; negative: no heuristic.
	HeuristicPercent int
	// HeuristicMax bounds that lifetime. 0: a day.
	HeuristicMax time.Duration

	// StaleWhileRevalidate and StaleIfError are for responses that do not say it
	// themselves (RFC 5861). 0: none. They give way to must-revalidate,
	// proxy-revalidate, s-maxage and no-cache (RFC 9111 section 4.2.4).
	StaleWhileRevalidate, StaleIfError time.Duration

	// AllowSetCookie stores responses that set a cookie, cookie included: every client
	// gets it.
	AllowSetCookie bool
	// AllowAuthorization stores responses to requests with credentials as if they had
	// none: whoever has none gets them too. Without it RFC 9111 section 3.5 decides.
	AllowAuthorization bool
	// PerClient are the fields, in lower case, that the route writes into requests with a
	// value that depends on more than what the key has. A response that varies with one
	// is not stored.
	PerClient []string
	// IgnoreRequest gives directives of requests no effect, only-if-cached excepted.
	IgnoreRequest bool
}

// StatusTTL is how long responses of a status live that say nothing of it.
type StatusTTL struct {
	Status int
	TTL    time.Duration
}

const (
	defaultPercent = 10
	defaultMax     = 24 * time.Hour
)

var defaultTargets = []string{"cdn-cache-control"} // only read

func (c *Config) targets() []string {
	if c.Targets == nil {
		return defaultTargets
	}
	return c.Targets
}

// perClient reports whether a list of AppendVary has one of PerClient.
func (c *Config) perClient(names []byte) bool {
	if len(c.PerClient) == 0 {
		return false
	}
	for more := true; more; {
		var name []byte
		name, names, more = cut(names, ',')
		if slices.Contains(c.PerClient, string(name)) {
			return true
		}
	}
	return false
}

// statusTTL returns the lifetime that the route has for a status.
func (c *Config) statusTTL(status int) (time.Duration, bool) {
	for _, s := range c.StatusTTL {
		if s.Status == status {
			return s.TTL, true
		}
	}
	return 0, false
}
