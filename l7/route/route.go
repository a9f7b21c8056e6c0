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
//  2. path: exact, then the longest prefix, then pattern, then regular expression, then none given
//  3. method: given, then none given
//  4. position in the file
//
// Every criterion is decided on the whole request: a host without a matching path
// does not hide the wildcard and host-less routes behind it, and a path without
// the request's method does not hide a less specific path.
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
	// NotFound says that no route matches host and path, whatever the method (404).
	NotFound Verdict = iota
	// MethodNotAllowed says that routes match host and path, none of them the method (405).
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

// Find returns the index of the route for a request, -1 when there is none. Host
// is the canonical host (lower case, no port, no final dot), empty when the
// request has none; path is the Match path; method is as received.
func (t *Table) Find(host, path, method []byte) (index int, v Verdict) {
	s := search{path: path, method: method}
	t.visit(host, &s)
	switch {
	case s.found != nil:
		return s.found.index, Found
	case s.methodFailed:
		return -1, MethodNotAllowed
	}
	return -1, NotFound
}

// AppendAllow appends to dst the value of the Allow field for a request that got
// MethodNotAllowed: the methods that host and path have a route for, sorted,
// separated by ", ". It is for that slow path only.
func (t *Table) AppendAllow(dst, host, path []byte) []byte {
	var methods []string
	s := search{path: path, collect: func(r *rule) {
		for _, m := range r.methods {
			methods = append(methods, m)
			if m == "GET" {
				methods = append(methods, "HEAD")
			}
		}
	}}
	t.visit(host, &s)
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

// search is one run over the table: what is looked for and what was found.
type search struct {
	path   []byte
	method []byte
	// collect, when set, is called for every rule whose path matches, and
	// nothing ends the search.
	collect func(*rule)

	found        *rule
	methodFailed bool // a rule matched but for its method
}

// rule is one route in one list of routes that rank the same.
type rule struct {
	index   int
	methods []string // empty: any
}

// accepts reports whether the rule is for method.
func (r *rule) accepts(method []byte) bool {
	if len(r.methods) == 0 {
		return true
	}
	for _, m := range r.methods {
		if m == string(method) || m == "GET" && string(method) == "HEAD" {
			return true
		}
	}
	return false
}

// try offers a rule whose path matches to the search and reports whether the
// search is over.
func (s *search) try(r *rule) bool {
	if s.collect != nil {
		s.collect(r)
		return false
	}
	if r.accepts(s.method) {
		s.found = r
		return true
	}
	s.methodFailed = true
	return false
}

// tryAll offers rules in their order.
func (s *search) tryAll(rules []rule) bool {
	for i := range rules {
		if s.try(&rules[i]) {
			return true
		}
	}
	return false
}

// compareRules orders rules of the same host and path.
func compareRules(a, b rule) int {
	if am, bm := len(a.methods) > 0, len(b.methods) > 0; am != bm {
		if am {
			return -1
		}
		return 1
	}
	return a.index - b.index
}
