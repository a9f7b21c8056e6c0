package policy

import (
	"bytes"

	"weir/l7/message"
)

// maxDelta is the largest number of seconds that is told apart: what is larger is as
// good as this (RFC 9111 section 1.2.2).
const maxDelta = 1 << 31

// What a delta is that is no number of seconds.
const (
	absent  int64 = -1
	invalid int64 = -2
)

// parseDelta reads a number of seconds: digits and nothing else, else invalid.
func parseDelta(b []byte) int64 {
	if len(b) == 0 {
		return invalid
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return invalid
		}
		n = min(n*10+int64(c-'0'), maxDelta)
	}
	return n
}

// directive is one of Cache-Control (RFC 9111 section 5.2), of a request or a response.
type directive struct {
	name   []byte
	value  []byte // without its quotes; nil when there is none
	broken bool   // followed by what no directive has, or its quotes do not end
}

// nextDirective cuts the next directive off a field value. What is not one is skipped,
// up to the next comma that is not in quotes. At the end the name is nil.
func nextDirective(b []byte) (d directive, rest []byte) {
	for len(b) > 0 {
		if c := b[0]; c == ' ' || c == '\t' || c == ',' {
			b = b[1:]
			continue
		}
		n := 0
		for n < len(b) && isToken(b[n]) {
			n++
		}
		d, b = directive{name: b[:n]}, b[n:]
		if len(b) > 0 && b[0] == '=' {
			d.value, b, d.broken = directiveValue(b[1:])
		}
		var junk bool
		if b, junk = toComma(b); junk {
			d.broken = true
		}
		if n > 0 {
			return d, b
		}
	}
	return directive{}, nil
}

// directiveValue reads the argument of a directive, a token or a quoted string: either
// is to be taken for either (RFC 9111 section 5.2).
func directiveValue(b []byte) (value, rest []byte, broken bool) {
	if len(b) > 0 && b[0] == '"' {
		end := quotedEnd(b)
		if end < 0 {
			return b[1:], nil, true
		}
		return b[1 : end-1], b[end:], false
	}
	n := 0
	for n < len(b) && b[n] != ',' && b[n] != ' ' && b[n] != '\t' && b[n] != '"' {
		n++
	}
	return b[:n:n], b[n:], false
}

// quotedEnd returns where the quoted string that b begins with ends, -1 for nowhere.
func quotedEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// toComma skips to the next comma that is not in quotes; junk tells that there was
// something else than white space before it.
func toComma(b []byte) (rest []byte, junk bool) {
	for len(b) > 0 {
		switch b[0] {
		case ',':
			return b[1:], junk
		case ' ', '\t':
			b = b[1:]
		case '"':
			junk = true
			end := quotedEnd(b)
			if end < 0 {
				return nil, true
			}
			b = b[end:]
		default:
			junk = true
			b = b[1:]
		}
	}
	return nil, junk
}

func isToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c != 0 && bytes.IndexByte(tokenMarks, c) >= 0
}

var tokenMarks = []byte("!#$%&'*+-.^_`|~") // only read

// control is what directives of a response say (RFC 9111 section 5.2.2).
type control struct {
	noStore, noCache, private, public  bool
	mustRevalidate, proxyRevalidate    bool
	mustUnderstand, immutable          bool
	maxAge, sMaxAge                    int64 // seconds, absent or invalid
	staleWhileRevalidate, staleIfError int64

	named  [maxNamed][]byte // lists of fields that no-cache and private name
	nNamed int
}

// maxNamed bounds the lists of fields that are looked at; with more, no-cache and
// private count for the whole response.
const maxNamed = 4

func newControl() control {
	return control{maxAge: absent, sMaxAge: absent, staleWhileRevalidate: absent, staleIfError: absent}
}

// readControl adds the directives of one Cache-Control field line. Of a directive with
// a number that is there more than once the first one counts (RFC 9111 section 4.2.1).
func (c *control) readControl(value []byte) {
	for {
		var d directive
		if d, value = nextDirective(value); d.name == nil {
			return
		}
		if n := c.delta(d.name); n != nil {
			if *n == absent {
				*n = d.delta()
			}
			continue
		}
		c.flag(d.name, d.value)
	}
}

// delta returns the number of seconds of a directive.
func (d *directive) delta() int64 {
	if d.broken {
		return invalid
	}
	return parseDelta(d.value)
}

// delta returns where the number of a directive belongs, nil for those that have none.
func (c *control) delta(name []byte) *int64 {
	switch {
	case message.EqualFold(name, "max-age"):
		return &c.maxAge
	case message.EqualFold(name, "s-maxage"):
		return &c.sMaxAge
	case message.EqualFold(name, "stale-while-revalidate"):
		return &c.staleWhileRevalidate
	case message.EqualFold(name, "stale-if-error"):
		return &c.staleIfError
	}
	return nil
}

// flag sets what a directive without number says. Arguments where none belong do not
// take a directive's effect away: what restricts is taken as it can be.
func (c *control) flag(name, value []byte) {
	switch {
	case message.EqualFold(name, "no-store"):
		c.noStore = true
	case message.EqualFold(name, "no-cache"):
		c.noCache = !c.name(value) || c.noCache
	case message.EqualFold(name, "private"):
		c.private = !c.name(value) || c.private
	case message.EqualFold(name, "public"):
		c.public = true
	case message.EqualFold(name, "must-revalidate"):
		c.mustRevalidate = true
	case message.EqualFold(name, "proxy-revalidate"):
		c.proxyRevalidate = true
	case message.EqualFold(name, "must-understand"):
		c.mustUnderstand = true
	case message.EqualFold(name, "immutable"):
		c.immutable = true
	}
}

// name keeps the list of fields that no-cache or private names. It is false where the
// directive is about the whole response: no list, or none that can be read.
func (c *control) name(list []byte) bool {
	if c.nNamed == maxNamed || !isNameList(list) {
		return false
	}
	c.named[c.nNamed] = list
	c.nNamed++
	return true
}

// isNameList reports whether b is a list of at least one field name.
func isNameList(b []byte) bool {
	some := false
	for rest, more := b, true; more; {
		var name []byte
		name, rest, more = cut(rest, ',')
		if name = trim(name); len(name) == 0 {
			continue
		}
		if !message.ValidName(name) {
			return false
		}
		some = true
	}
	return some
}

// names reports whether no-cache or private names the field.
func (c *control) names(field []byte) bool {
	for _, list := range c.named[:c.nNamed] {
		for rest, more := list, true; more; {
			var name []byte
			name, rest, more = cut(rest, ',')
			if equalFold(trim(name), field) {
				return true
			}
		}
	}
	return false
}

// cut is bytes.Cut at one octet.
func cut(b []byte, at byte) (before, after []byte, found bool) {
	if i := bytes.IndexByte(b, at); i >= 0 {
		return b[:i], b[i+1:], true
	}
	return b, nil, false
}

// trim removes optional white space from both ends. What is not nil stays so.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares two field names.
func equalFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
