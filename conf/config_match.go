package conf

import "time"

// Condition is one condition on a field, a query parameter or a cookie of a request,
// all three in the same form. At most one of Exact, Prefix, Regex and Absent is set;
// where none is, the condition is that there is one of this name.
type Condition struct {
	Name   string   // of fields in any case, else as is
	Exact  []string // one of these values
	Prefix string
	Regex  string // found anywhere in the value
	Absent bool   // there is none of this name
}

// Share is one of the pools that a route spreads its requests over.
type Share struct {
	Pool   string
	Weight int // its part of the sum of all; 0: none
}

// Sticky is [l7.route.sticky]: what keeps a client on one side of a split. At most
// one of Cookie and Header is set; where none is, every request is drawn anew.
type Sticky struct {
	Cookie string        // a cookie of Weir's own
	Header string        // a field of the request
	MaxAge time.Duration // of the cookie; 0: until the browser is closed
}
