package policy

import (
	"weir/l7/message"
)

// readTarget reads a targeted field of that name, lower case, as a dictionary of RFC
// 8941 section 3.2, all its lines together. It is not ok, and the field is to be
// ignored, when it is not there, is empty, or breaks the syntax anywhere (RFC 9213
// section 2.1).
func readTarget(fields []message.Field, name string) (c control, ok bool) {
	c = newControl()
	lines, empty := 0, false
	for i := range fields {
		f := &fields[i]
		if f.Known != message.Unknown || !message.EqualFold(f.Name, name) {
			continue
		}
		lines++
		p := sfParser{b: f.Value}
		p.spaces()
		if len(p.b) == 0 {
			empty = true
			continue
		}
		if !p.dictionary(&c) {
			return c, false
		}
		ok = true
	}
	// An empty line between others would be an empty member of the joined list.
	return c, ok && (!empty || lines == 1)
}

// sfParser reads structured fields (RFC 8941 section 4.2) from the front of b.
type sfParser struct{ b []byte }

// sfKind is the type of a bare item.
type sfKind uint8

const (
	sfNone sfKind = iota // malformed
	sfInteger
	sfDecimal
	sfString
	sfToken
	sfBytes
	sfTrue
	sfFalse
	sfList
)

// sfValue is an item: its type and its octets, without quotes. raw of a string has its
// escapes; of an integer it has the sign.
type sfValue struct {
	kind sfKind
	raw  []byte
}

// dictionary reads members up to the end. A member that is there again replaces the one
// before it.
func (p *sfParser) dictionary(c *control) bool {
	for {
		key := p.key()
		if key == nil {
			return false
		}
		v := sfValue{kind: sfTrue}
		if p.take('=') {
			if v = p.member(); v.kind == sfNone {
				return false
			}
		}
		if !p.parameters() {
			return false
		}
		c.target(key, v)
		p.ows()
		if len(p.b) == 0 {
			return true
		}
		if !p.take(',') {
			return false
		}
		p.ows()
		if len(p.b) == 0 {
			return false // a comma ends it
		}
	}
}

// member reads an item or an inner list, without its parameters.
func (p *sfParser) member() sfValue {
	if len(p.b) > 0 && p.b[0] == '(' {
		if p.innerList() {
			return sfValue{kind: sfList}
		}
		return sfValue{}
	}
	return p.bareItem()
}

func (p *sfParser) innerList() bool {
	p.b = p.b[1:]
	for {
		p.spaces()
		if p.take(')') {
			return true
		}
		if p.bareItem().kind == sfNone || !p.parameters() {
			return false
		}
		if len(p.b) == 0 || p.b[0] != ' ' && p.b[0] != ')' {
			return false
		}
	}
}

func (p *sfParser) parameters() bool {
	for p.take(';') {
		p.spaces()
		if p.key() == nil {
			return false
		}
		if p.take('=') && p.bareItem().kind == sfNone {
			return false
		}
	}
	return true
}

// key reads a key: lower case only.
func (p *sfParser) key() []byte {
	n := 0
	for n < len(p.b) {
		switch c := p.b[n]; {
		case 'a' <= c && c <= 'z', c == '*':
		case n > 0 && ('0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'):
		default:
			return p.cut(n)
		}
		n++
	}
	return p.cut(n)
}

// cut takes n octets off the front; nil for none.
func (p *sfParser) cut(n int) []byte {
	if n == 0 {
		return nil
	}
	out := p.b[:n:n]
	p.b = p.b[n:]
	return out
}

func (p *sfParser) bareItem() sfValue {
	if len(p.b) == 0 {
		return sfValue{}
	}
	switch c := p.b[0]; {
	case c == '"':
		return p.string()
	case c == '?':
		return p.boolean()
	case c == ':':
		return p.bytes()
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	case c == '*' || 'a' <= lower(c) && lower(c) <= 'z':
		n := 1
		for n < len(p.b) && (isToken(p.b[n]) || p.b[n] == ':' || p.b[n] == '/') {
			n++
		}
		return sfValue{sfToken, p.cut(n)}
	}
	return sfValue{}
}

func (p *sfParser) string() sfValue {
	for i := 1; i < len(p.b); i++ {
		switch c := p.b[i]; {
		case c == '\\':
			if i++; i == len(p.b) || p.b[i] != '"' && p.b[i] != '\\' {
				return sfValue{}
			}
		case c == '"':
			v := sfValue{sfString, p.b[1:i:i]}
			p.b = p.b[i+1:]
			return v
		case c < 0x20 || c > 0x7e:
			return sfValue{}
		}
	}
	return sfValue{}
}

func (p *sfParser) boolean() sfValue {
	if len(p.b) < 2 || p.b[1] != '0' && p.b[1] != '1' {
		return sfValue{}
	}
	kind := sfTrue
	if p.b[1] == '0' {
		kind = sfFalse
	}
	p.b = p.b[2:]
	return sfValue{kind: kind}
}

func (p *sfParser) bytes() sfValue {
	for i := 1; i < len(p.b); i++ {
		switch c := p.b[i]; {
		case c == ':':
			v := sfValue{sfBytes, p.b[1:i:i]}
			p.b = p.b[i+1:]
			return v
		case 'a' <= lower(c) && lower(c) <= 'z', '0' <= c && c <= '9', c == '+', c == '/', c == '=':
		default:
			return sfValue{}
		}
	}
	return sfValue{}
}

// number reads an integer of at most 15 digits, or a decimal of at most 12 and 3.
func (p *sfParser) number() sfValue {
	n, dot := 0, -1
	if p.b[0] == '-' {
		n = 1
	}
	start := n
	for ; n < len(p.b); n++ {
		c := p.b[n]
		if c == '.' && dot < 0 && n > start && n-start <= 12 {
			dot = n
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		if dot < 0 && n-start >= 15 || dot >= 0 && n-dot > 3 {
			return sfValue{}
		}
	}
	if n == start || dot == n-1 {
		return sfValue{}
	}
	if dot >= 0 {
		return sfValue{sfDecimal, p.cut(n)}
	}
	return sfValue{sfInteger, p.cut(n)}
}

func (p *sfParser) take(c byte) bool {
	if len(p.b) == 0 || p.b[0] != c {
		return false
	}
	p.b = p.b[1:]
	return true
}

func (p *sfParser) spaces() {
	for len(p.b) > 0 && p.b[0] == ' ' {
		p.b = p.b[1:]
	}
}

func (p *sfParser) ows() {
	for len(p.b) > 0 && (p.b[0] == ' ' || p.b[0] == '\t') {
		p.b = p.b[1:]
	}
}

// target sets what a member of a targeted field says. A number of another type makes
// the response stale, as in Cache-Control; ?0 takes a directive back.
func (c *control) target(key []byte, v sfValue) {
	if n := c.delta(key); n != nil {
		*n = invalid
		if v.kind == sfInteger {
			*n = parseDelta(v.raw)
		}
		return
	}
	if v.kind == sfFalse {
		c.clearFlag(key)
		return
	}
	c.clearFlag(key)
	c.flag(key, v.raw)
}

// clearFlag undoes flag.
func (c *control) clearFlag(name []byte) {
	switch string(name) {
	case "no-store":
		c.noStore = false
	case "no-cache":
		c.noCache = false
	case "private":
		c.private = false
	case "public":
		c.public = false
	case "must-revalidate":
		c.mustRevalidate = false
	case "proxy-revalidate":
		c.proxyRevalidate = false
	case "must-understand":
		c.mustUnderstand = false
	case "immutable":
		c.immutable = false
	}
}
