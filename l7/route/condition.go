package route

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"weir/conf"
	"weir/l7/message"
)

// part says what of a request a condition looks at.
type part uint8

const (
	ofHeader part = iota
	ofQuery
	ofCookie
)

var partNames = [...]string{ofHeader: "header", ofQuery: "query", ofCookie: "cookie"}

// condition is one conf.Condition, ready to be asked.
type condition struct {
	of     part
	name   string     // of a field in lower case
	known  message.ID // of a field
	exact  []string   // empty: any
	prefix string
	re     *regexp.Regexp // nil: any
	absent bool
}

// holds reports whether the condition holds for r.
func (c *condition) holds(r *Request) bool {
	if c.absent {
		_, found := c.value(r, nil)
		return !found
	}
	_, found := c.value(r, (*condition).fits)
	return found
}

// value finds the first value of the name that takes accepts, or the first of all
// where takes is nil. It lives until the next call for the same request.
func (c *condition) value(r *Request, takes func(*condition, []byte) bool) ([]byte, bool) {
	switch c.of {
	case ofQuery:
		return c.parameter(r, takes)
	case ofCookie:
		return c.cookie(r, takes)
	}
	for i := range r.Fields {
		f := &r.Fields[i]
		if f.Known != c.known || c.known == message.Unknown && !message.EqualFold(f.Name, c.name) || !r.sees(f) {
			continue
		}
		if takes == nil || takes(c, f.Value) {
			return f.Value, true
		}
	}
	return nil, false
}

func (c *condition) parameter(r *Request, takes func(*condition, []byte) bool) ([]byte, bool) {
	for rest := r.Query; len(rest) > 0; {
		var name, value []byte
		name, value, rest = nextParameter(rest)
		if !equalDecoded(name, c.name) {
			continue
		}
		value, r.scratch = decoded(value, r.scratch)
		if takes == nil || takes(c, value) {
			return value, true
		}
	}
	return nil, false
}

func (c *condition) cookie(r *Request, takes func(*condition, []byte) bool) ([]byte, bool) {
	for i := range r.Fields {
		f := &r.Fields[i]
		if f.Known != message.Cookie || !r.sees(f) {
			continue
		}
		for rest := f.Value; len(rest) > 0; {
			var name, value []byte
			name, value, rest = nextCookie(rest)
			if string(name) == c.name && (takes == nil || takes(c, value)) {
				return value, true
			}
		}
	}
	return nil, false
}

// fits reports whether a value of the name is one that the condition asks for.
func (c *condition) fits(value []byte) bool {
	if len(c.exact) > 0 {
		for _, e := range c.exact { //nolint:modernize // Contains would make a string
			if string(value) == e {
				return true
			}
		}
		return false
	}
	if c.re != nil {
		return c.re.Match(value)
	}
	return len(value) >= len(c.prefix) && string(value[:len(c.prefix)]) == c.prefix
}

// parseConditions takes over the conditions of a route.
func (b *builder) parseConditions(r *conf.L7Route) ([]condition, error) {
	var all []condition
	for of, list := range [...][]conf.Condition{ofHeader: r.Header, ofQuery: r.Query, ofCookie: r.Cookie} {
		for i := range list {
			c := &list[i]
			n := condition{of: part(of), name: c.Name, exact: slices.Clone(c.Exact), prefix: c.Prefix, absent: c.Absent}
			if n.of == ofHeader {
				n.name = strings.ToLower(c.Name)
				n.known = message.Lookup([]byte(c.Name))
			}
			if c.Regex != "" {
				re, err := b.compile(c.Regex)
				if err != nil {
					return nil, err
				}
				n.re = re
			}
			all = append(all, n)
		}
	}
	return all, nil
}

// weigh says how much a route's conditions ask for: the more of them the more, then
// the more that are exact, then prefixes, then regular expressions. No route has as
// many as 256 of one sort.
func weigh(list []condition) uint32 {
	var w uint32
	for i := range list {
		w += 1 << 24
		switch c := &list[i]; {
		case len(c.exact) > 0:
			w += 1 << 16
		case c.prefix != "":
			w += 1 << 8
		case c.re != nil:
			w++
		}
	}
	return w
}

// maxShown bounds what an explanation quotes of a request, in bytes.
const maxShown = 64

// failure says in words why the condition does not hold.
func (c *condition) failure(r *Request) string {
	name := partNames[c.of] + " " + c.name
	value, found := c.value(r, nil)
	if !found {
		return name + " is missing"
	}
	if c.absent {
		return name + " is there"
	}
	shown := strconv.Quote(string(value[:min(len(value), maxShown)]))
	if len(value) > maxShown {
		shown += "..."
	}
	return name + " is " + shown + ", wanted " + c.wanted()
}

func (c *condition) wanted() string {
	switch {
	case len(c.exact) == 1:
		return strconv.Quote(c.exact[0])
	case len(c.exact) > 1:
		return "one of " + strconv.Quote(strings.Join(c.exact, ", "))
	case c.re != nil:
		return "~" + c.re.String()
	}
	return strconv.Quote(c.prefix) + " and more"
}
