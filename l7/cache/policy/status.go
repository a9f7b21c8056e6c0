package policy

import (
	"math"
	"strconv"
	"time"
)

// Forward says why a request went to the backend (RFC 9211 section 2.2).
type Forward uint8

// The reasons. Hit is the zero value: it did not.
const (
	Hit            Forward = iota
	ForwardBypass          // the route does not want it cached
	ForwardMethod          // its method
	ForwardMiss            // nothing usable is stored, for another reason than the next two
	ForwardURI             // nothing is stored under its key
	ForwardVary            // nothing stored under its key fits its fields
	ForwardRequest         // what is stored is fresh, and the client wants it validated
	ForwardStale           // what is stored is stale
	ForwardPartial         // not all of what it asks for is stored
)

var forwardNames = [...]string{
	Hit: "hit", ForwardBypass: "bypass", ForwardMethod: "method", ForwardMiss: "miss", ForwardURI: "uri-miss",
	ForwardVary: "vary-miss", ForwardRequest: "request", ForwardStale: "stale", ForwardPartial: "partial",
}

// String returns the name of f for logs, metrics and Cache-Status.
func (f Forward) String() string {
	if int(f) < len(forwardNames) {
		return forwardNames[f]
	}
	return "forward_" + strconv.Itoa(int(f))
}

// Forward returns the reason for Cache-Status of a request that Passes refuses, or of a
// decision to revalidate. Decision.Forward knows more of the latter.
func (r Reason) Forward() Forward {
	switch r {
	case Method:
		return ForwardMethod
	case RequestBody, Upgrade, Precondition:
		return ForwardBypass
	case RequestNoCache, RequestMaxAge, RequestMinFresh:
		return ForwardRequest
	case LifetimeOver, ResponseNoCache:
		return ForwardStale
	default:
		return ForwardMiss
	}
}

// Forward returns the reason for Cache-Status: of a decision to revalidate, why. What is
// stale as well is sent on for that, whatever the client asks for (RFC 9211 section 2.2).
func (d *Decision) Forward() Forward {
	switch {
	case d.Use != Revalidate:
		return Hit
	case d.TTL <= 0:
		return ForwardStale
	}
	return d.Why.Forward()
}

// Status is what Weir says of its part in a response (RFC 9211).
type Status struct {
	Cache     string // who says it: a token, or any text, which is quoted
	Forward   Forward
	FwdStatus int           // of what the backend sent, where it is another than the client's; 0: left out
	HasTTL    bool          // TTL counts
	TTL       time.Duration // of the response that the client gets; negative when stale
	Stored    bool          // the response to the forwarded request was stored
	Collapsed bool          // it was answered by another request's fill
	Key       []byte        // shown where it is not nil
	Detail    Reason        // shown where it is not OK
}

// Append appends the value of a Cache-Status field. A response that already has the
// field keeps it: this is a further line, behind it.
func (s *Status) Append(dst []byte) []byte {
	if isSFToken(s.Cache) {
		dst = append(dst, s.Cache...)
	} else {
		dst = appendString(dst, s.Cache)
	}
	if s.Forward == Hit {
		dst = append(dst, "; hit"...)
	} else {
		dst = append(append(dst, "; fwd="...), s.Forward.String()...)
		if s.FwdStatus != 0 {
			dst = strconv.AppendInt(append(dst, "; fwd-status="...), int64(s.FwdStatus), 10)
		}
	}
	if s.HasTTL {
		dst = strconv.AppendInt(append(dst, "; ttl="...), int64(math.Floor(s.TTL.Seconds())), 10)
	}
	if s.Stored && s.Forward != Hit {
		dst = append(dst, "; stored"...)
	}
	if s.Collapsed && s.Forward != Hit {
		dst = append(dst, "; collapsed"...)
	}
	if s.Key != nil {
		dst = appendString(append(dst, "; key="...), s.Key)
	}
	if s.Detail != OK {
		dst = append(append(dst, "; detail="...), s.Detail.String()...)
	}
	return dst
}

// appendString appends a string of RFC 8941. Octets that it cannot have become "?".
func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20 || c > 0x7e:
			dst = append(dst, '?')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// isSFToken reports whether s is a token of RFC 8941.
func isSFToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if i == 0 && c != '*' && (lower(c) < 'a' || lower(c) > 'z') || !isToken(c) {
			return false
		}
	}
	return s != ""
}
