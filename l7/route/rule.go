package route

import (
	"cmp"
	"net/netip"
	"slices"
)

// rule is a route with one of its hosts and one of its source networks: what is
// left to be asked where host and path are those of the route.
type rule struct {
	index      int
	methods    []string     // empty: any
	source     netip.Prefix // zero: anywhere
	conditions []condition  // all must hold
	weight     uint32       // of conditions
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

// holds reports whether all but the method is as the rule wants it.
func (r *rule) holds(q *Request) bool {
	if r.source.IsValid() && !r.source.Contains(q.Source) {
		return false
	}
	for i := range r.conditions {
		if !r.conditions[i].holds(q) {
			return false
		}
	}
	return true
}

// compareRules orders rules of the same host and path.
func compareRules(a, b *rule) int {
	given := func(list []string) int {
		if len(list) > 0 {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(given(a.methods), given(b.methods)),
		cmp.Compare(b.source.Bits(), a.source.Bits()), // -1 where there is none
		cmp.Compare(b.weight, a.weight),
		cmp.Compare(a.index, b.index),
	)
}

func sortRules(list []rule) {
	slices.SortFunc(list, func(a, b rule) int { return compareRules(&a, &b) })
}

// search is one run over the table: what is looked for and what was found.
type search struct {
	r *Request
	// collect, when set, is called for every rule whose host and path match, and
	// nothing ends the search.
	collect func(*rule)

	found        *rule
	methodFailed bool // a rule matched but for its method
}

// try offers a rule whose host and path match to the search and reports whether
// the search is over.
func (s *search) try(r *rule) bool {
	if s.collect != nil {
		s.collect(r)
		return false
	}
	if !r.accepts(s.r.Method) {
		s.methodFailed = s.methodFailed || r.holds(s.r)
		return false
	}
	if r.holds(s.r) {
		s.found = r
		return true
	}
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
