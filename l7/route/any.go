package route

import "weir/conf"

// Any is a set of conditions that is asked whether one of them holds. It is
// immutable; nil has none.
type Any struct {
	conditions []condition
}

// NewAny makes the set of conditions on header fields, parameters of the query and
// cookies; nil where there are none. An error means a regular expression that cannot
// be used.
func NewAny(header, query, cookie []conf.Condition) (*Any, error) {
	b := &builder{}
	list, err := b.parseConditions(&conf.L7Route{Header: header, Query: query, Cookie: cookie})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &Any{list}, nil
}

// Holds returns the first condition that holds for r, in words; "" and false where
// none does.
func (a *Any) Holds(r *Request) (which string, holds bool) {
	if a == nil {
		return "", false
	}
	for i := range a.conditions {
		if c := &a.conditions[i]; c.holds(r) {
			return partNames[c.of] + " " + c.name, true
		}
	}
	return "", false
}
