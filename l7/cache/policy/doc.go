// Package policy is what a shared HTTP cache may do: RFC 9111, with the conditions and
// ranges of RFC 9110, stale responses (RFC 5861), immutable ones (RFC 8246), targeted
// fields (RFC 9213), Cache-Status (RFC 9211) and groups (RFC 9875).
//
// It is pure: no clock, no goroutine, no I/O, no panic whatever the octets are. It
// stores nothing. It judges messages, writes keys and fields, and leaves the doing to
// its caller. What it says of a hit allocates nothing.
//
// # From request to response
//
// The caller has one Config and one KeyPolicy for a route, made once.
//
//	if why := policy.Passes(req); why != policy.OK { forward; see "Unsafe methods" }
//	wish := policy.ReadWish(cfg, req)             // what the client asks of caches
//	key = policy.AppendKey(key[:0], kp, scheme, req)
//	for each list of names stored under key:      // none: no response has a Vary
//		variant = policy.AppendVariant(variant[:0], names, req.Fields)
//
// Nothing found: with wish.OnlyIfCached answer 504, else forward the request (its own
// conditions and its Range included, unless the fill is to be of the whole) and go on
// at "A response comes in". Found, with its Meta and Head:
//
//		d := policy.Reuse(cfg, &meta, &wish, now)
//
//	  - Fresh, Stale: deliver.
//	  - StaleWhileRevalidate: deliver, and revalidate behind it, once for a key.
//	  - Revalidate: send the request with AppendConditions in place of its own If fields
//	    and without its Range. On failure (no response, 500, 502, 503, 504) deliver the
//	    stored response where d.OnError says so.
//	  - Unsatisfiable: answer 504.
//
// Deliver: Evaluate says what of the stored response answers this request: Whole,
// Partial, NotModified, BadRange. The head is the Head, without those fields that
// IsOmitted names for the status, then Age by AppendAge(d.Age), Content-Length or other
// framing, and AppendStatus where the route shows it. To HEAD goes the same head and no
// body.
//
// # A response comes in
//
// Interim responses (1xx) are passed on and are none of the cache's business. To a
// request without a stored response:
//
//	meta, why := policy.Judge(cfg, req, res, requested, received)
//	if why == policy.OK {
//		head = policy.AppendHead(head[:0], cfg, res, received)
//		names, _ = policy.AppendVary(names[:0], res.Fields)
//		for tag := range policy.Tags(res.Fields) { ... }
//	}
//
// A response to HEAD is never stored; where there is a stored response to GET,
// CompareHead says whether it is confirmed (to be refreshed as by a 304) or outdated
// (to be made stale).
//
// To a revalidation: a 304 for which Confirms is true refreshes the stored response by
// AppendMerged and Renew; one for which it is false says nothing about it: the request
// goes out again without conditions. After a 304, Evaluate answers the client from
// what is stored now. Any other response goes through Judge as if nothing were stored,
// and is for the client as it is.
//
// # Unsafe methods
//
// When the response to a request that Passes comes in, Invalidates says whether it
// makes stored responses useless: that of AppendKey, those that AppendReferenceKey
// finds for Location and Content-Location, and those with a tag of InvalidatedGroups.
//
// # Time
//
// Times are Unix nanoseconds in a Meta and time.Time in arguments, read as wall clock
// time. A caller that adds the monotonic time since its start to the wall clock time of
// its start is not disturbed by a clock that is set.
package policy
