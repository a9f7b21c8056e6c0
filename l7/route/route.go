// Package route decides which route of an L7 listener a request takes.
//
// It is pure: a Table is built once from the configuration, never changes, and
// may be used by any number of goroutines. Finding a route allocates nothing.
//
// # Which route wins
//
// Of all routes that match a request the one that comes first in this order is taken:
//
//  1. host: exact, then wildcard with the longest suffix, then none given
//  2. path: exact, then the longest prefix, then pattern (the one with more literal
//     segments, then with the first literal further left), then regular expression,
//     then none given
//  3. method: given, then none given
//  4. source: the longest network, then none given
//  5. fields, parameters, cookies: the most conditions; of as many the most exact ones,
//     then the most prefixes, then the most regular expressions
//  6. position in the file
//
// That is one total order of all routes of a listener, each taken apart by its hosts
// and networks; of any request the first route in it that matches is taken.
// Every criterion is decided on the whole request: a host without a matching path
// does not hide the wildcard and host-less routes behind it, and a path whose other
// conditions fail does not hide a less specific path.
//
// # Hosts
//
// "*.example.com" stands for one label or more below example.com, not for
// example.com itself.
//
// # Paths
//
//	"=/x"       that path and no other
//	"/static/"  whole-segment prefix: /static, /static/ and everything below, not
//	            /statics; "/static" means the same, "/" is every path. These are
//	            the semantics of Envoy's path_separated_prefix and of the
//	            Kubernetes Gateway API. nginx answers /static itself with a
//	            redirect to /static/; that is left to the backend here, so a route
//	            can never be slipped past by leaving out a slash.
//	"/u/{id}"   pattern: each {name} is one segment that is not empty
//	"~regex"    regular expression (RE2), found anywhere in the path, as in nginx;
//	            anchor it with ^ and $
//	""          every path, "*" of OPTIONS too
//
// A configured path is brought into the form of message's Match path first:
// unreserved octets decoded, other escapes in upper-case hex. A regular
// expression is taken as it is and sees the Match path.
//
// # Methods
//
// They are compared with case. GET stands for HEAD too.
//
// # Fields, parameters and cookies
//
// Conditions see only what is sent on: no hop-by-hop fields, and of a peer that is
// no trusted proxy nothing that says who its client is. Where a name comes several
// times, one value that fits is enough. Parameters are compared without their
// percent-encoding, "+" is a space, and what is no escape stands for itself.
package route

import (
	"bytes"
	"slices"
	"sort"
	"strings"

	"weir/conf"
)

// Verdict is the outcome of Find.
type Verdict uint8

const (
	// NotFound says that no route matches, whatever the method (404).
	NotFound Verdict = iota
	// MethodNotAllowed says that routes match but for the method (405).
	MethodNotAllowed
	// Found says that there is a route.
	Found
)

// Table holds the routes of one listener. It is immutable. The zero Table has no
// routes.
type Table struct {
	exact     map[string]*paths // by host
	wildcard  map[string]*paths // by suffix with its dot: ".example.com"
	any       *paths            // routes without a host; nil when there are none
	shortest  int               // length of the shortest wildcard suffix
	longest   int               // length of the longest wildcard suffix
	numRoutes int
	entries   []entry // for Explain, in the order in which they were added
}

// Build makes a table of routes. The index that Find returns is the position in
// routes. An error names the route and the reason; the configuration has been
// checked by conf for everything that needs no knowledge of paths.
func Build(routes []conf.L7Route) (*Table, error) {
	b := builder{t: &Table{
		exact:     make(map[string]*paths),
		wildcard:  make(map[string]*paths),
		numRoutes: len(routes),
	}}
	for i := range routes {
		if err := b.add(i, &routes[i]); err != nil {
			return nil, err
		}
	}
	b.finish()
	return b.t, nil
}

// Len returns the number of routes.
func (t *Table) Len() int { return t.numRoutes }

// Find returns the index of the route for a request, -1 when there is none.
func (t *Table) Find(r *Request) (index int, v Verdict) {
	s := search{r: r}
	t.visit(r.Host, &s)
	switch {
	case s.found != nil:
		return s.found.index, Found
	case s.methodFailed:
		return -1, MethodNotAllowed
	}
	return -1, NotFound
}

// AppendAllow appends to dst the value of the Allow field for a request that got
// MethodNotAllowed: the methods that there is a route for, sorted, separated by ", ".
// It is for that slow path only.
func (t *Table) AppendAllow(dst []byte, r *Request) []byte {
	var methods []string
	t.visit(r.Host, &search{r: r, collect: func(ru *rule) {
		if !ru.holds(r) {
			return
		}
		for _, m := range ru.methods {
			methods = append(methods, m)
			if m == "GET" {
				methods = append(methods, "HEAD")
			}
		}
	}})
	sort.Strings(methods)
	return append(dst, strings.Join(slices.Compact(methods), ", ")...)
}

// visit runs s over the path tables that fit host, most specific first, until it
// is done.
func (t *Table) visit(host []byte, s *search) {
	if len(host) > 0 {
		if p := t.exact[string(host)]; p != nil && p.find(s) {
			return
		}
		if t.visitWildcards(host, s) {
			return
		}
	}
	if t.any != nil {
		t.any.find(s)
	}
}

// visitWildcards tries the suffixes of host that start at a dot, longest first.
// Only suffixes of a length that occurs are hashed, so that a host of many
// labels costs no more than its bytes.
func (t *Table) visitWildcards(host []byte, s *search) bool {
	if len(t.wildcard) == 0 {
		return false
	}
	start := max(1, len(host)-t.longest) // at least one byte before the dot
	for len(host)-start >= t.shortest {
		dot := bytes.IndexByte(host[start:], '.')
		if dot < 0 {
			return false
		}
		start += dot
		if p := t.wildcard[string(host[start:])]; p != nil && p.find(s) {
			return true
		}
		start++
	}
	return false
}
