package policy

import (
	"math"
	"strconv"
	"time"

	"weir/l7/message"
)

// Passes says why the cache has no part in a request, so that it is to be forwarded as
// it is, or OK. Conditions that only the backend can evaluate are among the reasons (RFC
// 9111 section 4.3.2), and a body, which no key shows.
func Passes(req *message.Request) Reason {
	switch m := string(req.Method); {
	case m != "GET" && m != "HEAD":
		return Method
	case req.WebSocket:
		return Upgrade
	case req.HasBody():
		return RequestBody
	case req.Has(message.IfMatch) || req.Has(message.IfUnmodifiedSince):
		return Precondition
	}
	return OK
}

// none is a duration that a request does not name.
const none time.Duration = -1

// Wish is what a request asks of caches (RFC 9111 section 5.2.1).
type Wish struct {
	NoCache      bool // use nothing that is not validated now
	NoStore      bool // store nothing
	OnlyIfCached bool // answer from the cache or with 504

	maxAge, maxStale, minFresh, onError time.Duration // none where not named
}

// ReadWish reads the wishes of a request. Pragma: no-cache counts where there is no
// Cache-Control (RFC 9111 section 5.4). Numbers that cannot be read wish nothing.
func ReadWish(cfg *Config, req *message.Request) Wish {
	w := Wish{maxAge: none, maxStale: none, minFresh: none, onError: none}
	if !req.Has(message.CacheControl) {
		if req.Has(message.Pragma) {
			w.readPragma(req)
		}
	} else {
		for i := range req.Fields {
			if req.Fields[i].Known == message.CacheControl {
				w.read(req.Fields[i].Value)
			}
		}
	}
	if cfg.IgnoreRequest {
		return Wish{OnlyIfCached: w.OnlyIfCached, maxAge: none, maxStale: none, minFresh: none, onError: none}
	}
	return w
}

func (w *Wish) readPragma(req *message.Request) {
	for i := range req.Fields {
		if req.Fields[i].Known != message.Pragma {
			continue
		}
		for d, rest := nextDirective(req.Fields[i].Value); d.name != nil; d, rest = nextDirective(rest) {
			w.NoCache = w.NoCache || message.EqualFold(d.name, "no-cache")
		}
	}
}

// read adds the directives of one field line. Of one with a number the first counts.
func (w *Wish) read(value []byte) {
	for d, rest := nextDirective(value); d.name != nil; d, rest = nextDirective(rest) {
		switch {
		case message.EqualFold(d.name, "no-cache"):
			w.NoCache = true
		case message.EqualFold(d.name, "no-store"):
			w.NoStore = true
		case message.EqualFold(d.name, "only-if-cached"):
			w.OnlyIfCached = true
		case message.EqualFold(d.name, "max-age"):
			d.wish(&w.maxAge)
		case message.EqualFold(d.name, "min-fresh"):
			d.wish(&w.minFresh)
		case message.EqualFold(d.name, "stale-if-error"):
			d.wish(&w.onError)
		case message.EqualFold(d.name, "max-stale"):
			if d.value == nil && !d.broken && w.maxStale == none {
				w.maxStale = math.MaxInt64 // however stale
				continue
			}
			d.wish(&w.maxStale)
		}
	}
}

func (d *directive) wish(to *time.Duration) {
	if n := d.delta(); n >= 0 && *to == none {
		*to = seconds(n)
	}
}

// Use is what is to be done with a stored response.
type Use uint8

// The uses.
const (
	Revalidate           Use = iota // ask the backend first
	Fresh                           // use it
	Stale                           // use it, though it is stale: the client takes it
	StaleWhileRevalidate            // use it, and ask the backend meanwhile
	Unsatisfiable                   // the client wants nothing from the backend: 504
)

var useNames = [...]string{
	Revalidate: "revalidate", Fresh: "fresh", Stale: "stale",
	StaleWhileRevalidate: "stale_while_revalidate", Unsatisfiable: "unsatisfiable",
}

// String returns the name of u for logs and metrics.
func (u Use) String() string {
	if int(u) < len(useNames) {
		return useNames[u]
	}
	return "use_" + strconv.Itoa(int(u))
}

// Decision is what Reuse says.
type Decision struct {
	Use     Use
	Why     Reason
	OnError bool          // with Revalidate: if the backend fails it may be used after all
	Age     time.Duration // for AppendAge
	TTL     time.Duration // for AppendStatus; negative when stale
}

// Reuse says whether a stored response that fits a request by key and Vary may answer it
// at now without the backend (RFC 9111 section 4).
func Reuse(_ *Config, m *Meta, w *Wish, now time.Time) Decision {
	d := Decision{Age: m.Age(now)}
	d.TTL = m.Lifetime - d.Age
	d.Use, d.Why = m.use(w, d.Age, d.TTL)
	switch {
	case d.Use != Revalidate:
	case w.OnlyIfCached:
		d.Use, d.Why = Unsatisfiable, OnlyIfCached
	default:
		d.OnError = m.servesOnError(w, d.TTL)
	}
	return d
}

func (m *Meta) use(w *Wish, age, ttl time.Duration) (Use, Reason) {
	fresh := ttl > 0
	switch {
	case m.Has(NoCache):
		return Revalidate, ResponseNoCache
	case w.NoCache:
		return Revalidate, RequestNoCache
	case w.maxAge != none && age > w.maxAge && (!fresh || !m.Has(Immutable)):
		// RFC 8246 section 2: what cannot have changed need not be asked for again.
		return Revalidate, RequestMaxAge
	case w.minFresh != none && ttl < w.minFresh:
		return Revalidate, RequestMinFresh
	case fresh:
		return Fresh, WithinLifetime
	case m.Flags&(MustRevalidate|SharedAge) == 0 && w.maxStale != none && -ttl <= w.maxStale:
		return Stale, WithinMaxStale
	case m.WhileRevalidate > 0 && -ttl <= m.WhileRevalidate:
		return StaleWhileRevalidate, WithinStaleWindow
	}
	return Revalidate, LifetimeOver
}

// servesOnError reports whether the response may be used when the backend fails. What
// the client asks for is not more than it gets from a cache without connection (RFC
// 9111 section 4.2.4), except that it may set a limit of its own (RFC 5861 section 4).
func (m *Meta) servesOnError(w *Wish, ttl time.Duration) bool {
	switch {
	case m.Has(NoCache):
		return false
	case ttl > 0:
		return true
	case m.Has(MustRevalidate):
		return false
	case -ttl <= m.OnError && m.OnError > 0:
		return true
	}
	return !m.Has(SharedAge) && w.onError != none && -ttl <= w.onError
}

// AppendAge appends the value of an Age field: whole seconds, at most 2^31.
func AppendAge(dst []byte, age time.Duration) []byte {
	return strconv.AppendInt(dst, min(max(int64(age/time.Second), 0), maxDelta), 10)
}
