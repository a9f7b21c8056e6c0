package policy

import "strconv"

// Reason says why something is so: why a response is not stored, why a request is not
// answered from the cache, or why it is. Its names are stable: logs, metrics and
// Cache-Status show them.
type Reason uint8

// The reasons. OK is the zero value: nothing is in the way.
const (
	OK Reason = iota

	// Why the cache has no part in a request; see Passes.
	Method       // another method than GET and HEAD
	RequestBody  // a body that the key does not show
	Upgrade      // a WebSocket
	Precondition // If-Match or If-Unmodified-Since: only the backend can tell

	// Why a response is not stored; see Judge.
	NotGet          // it answers another method than GET
	StatusNotStored // interim, 304, or a status that forbids it
	PartialContent  // 206
	RequestNoStore  // the request says no-store
	NoStore         // the response says no-store
	NotUnderstood   // must-understand, and the status is not one that is known here
	Private         // the response is for one user
	VaryStar        // Vary names "*" or is malformed: no request can match
	SetCookie       // it sets a cookie
	Authorization   // the request has credentials and the response does not allow for that
	NoFreshness     // nothing says how long it may live
	NoValidator     // it must be validated before each use and has no validator
	StaleOnArrival  // its age is beyond its lifetime, and nothing could make use of it

	// Why a stored response is used, or is not; see Reuse.
	WithinLifetime    // it is fresh
	WithinMaxStale    // it is stale and the client takes it
	WithinStaleWindow // it is stale and stale-while-revalidate allows it
	LifetimeOver      // it is stale
	ResponseNoCache   // it must be validated before each use
	RequestNoCache    // the client wants it validated: no-cache, or Pragma
	RequestMaxAge     // it is older than the client wants
	RequestMinFresh   // it will be stale sooner than the client wants
	OnlyIfCached      // the client wants nothing from the backend
	numReasons
)

var reasonNames = [numReasons]string{
	OK: "ok", Method: "method", RequestBody: "request_body", Upgrade: "upgrade", Precondition: "precondition",
	NotGet: "not_get", StatusNotStored: "status", PartialContent: "partial", RequestNoStore: "request_no_store",
	NoStore: "no_store", NotUnderstood: "not_understood", Private: "private", VaryStar: "vary_star",
	SetCookie: "set_cookie", Authorization: "authorization", NoFreshness: "no_freshness",
	NoValidator: "no_validator", StaleOnArrival: "stale_on_arrival",
	WithinLifetime: "fresh", WithinMaxStale: "max_stale", WithinStaleWindow: "stale_while_revalidate",
	LifetimeOver: "stale", ResponseNoCache: "no_cache", RequestNoCache: "request_no_cache",
	RequestMaxAge: "request_max_age", RequestMinFresh: "request_min_fresh", OnlyIfCached: "only_if_cached",
}

// String returns the name of r for logs, metrics and the detail of Cache-Status: a token.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "reason_" + strconv.Itoa(int(r))
}
