// Package rewrite fills in the templates of routes: paths, hosts and field values
// with variables.
//
// It is pure. A template is compiled once; a request gives its Values once, and
// each is put between the literals as it is, or percent-encoded where it would mean
// something else there. Nothing that a client sent is ever read as a template, and
// since all values come from a canonical request, none holds CR, LF, NUL or another
// control octet.
//
// # What a value may do
//
// In a path, captures and {path} keep their escapes: they are paths already. Behind
// the "?" of a path template everything but {query} is encoded but for unreserved
// octets, so that no value adds a parameter. What comes out of a path template must
// still be checked as a path (message.AppendPath): a template may build a dot
// segment of a value.
package rewrite

import (
	"fmt"
	"net/netip"
	"slices"

	"weir/conf"
	"weir/l7/message"
)

// Values are what one request gives to templates. Its slices are those of the
// request and live as long. It is reused by Begin and belongs to one goroutine.
type Values struct {
	Client    netip.Addr // zero: a client on a unix socket
	Scheme    string
	Host      []byte // canonical, without a port
	Method    []byte
	Path      []byte // as received
	Query     []byte
	RequestID []byte

	match    []byte
	captures [][]byte
}

// Begin sets the captures from the Match path of a request that took the route of p.
func (v *Values) Begin(p *Path, match []byte) {
	v.match = match
	if cap(v.captures) < p.captures {
		v.captures = make([][]byte, p.captures)
	}
	v.captures = v.captures[:p.captures]
	clear(v.captures)
	p.fill(v)
}

// variable is a value that every request has; captures count up from numVariables.
type variable int

const (
	literal variable = iota
	clientIP
	host
	method
	path
	query
	requestID
	scheme
	numVariables
)

var byName = map[string]variable{
	"client_ip": clientIP, "host": host, "method": method, "path": path,
	"query": query, "request_id": requestID, "scheme": scheme,
}

// Template is a compiled conf.Template. It is immutable.
type Template struct {
	parts []part
}

type part struct {
	literal []byte
	source  variable
	inQuery bool // behind the first "?" of the text
}

// Compile resolves the variables of t, those of p among them. conf has checked that
// each is there; one that is not is an error all the same.
func Compile(t *conf.Template, p *Path) (*Template, error) {
	c := &Template{parts: make([]part, 0, len(t.Parts))}
	inQuery := false
	for _, src := range t.Parts {
		out := part{literal: []byte(src.Literal), inQuery: inQuery}
		if src.Variable == "" {
			inQuery = inQuery || slices.Contains(out.literal, '?')
		} else if i, ok := p.names[src.Variable]; ok {
			out.source = numVariables + variable(i)
		} else if out.source, ok = byName[src.Variable]; !ok {
			return nil, fmt.Errorf("cannot use template %q: there is no variable {%s}", t.Text, src.Variable)
		}
		c.parts = append(c.parts, out)
	}
	return c, nil
}

// HasQuery reports whether the text has a "?", so that it makes the query too.
func (t *Template) HasQuery() bool {
	for i := range t.parts {
		if slices.Contains(t.parts[i].literal, '?') {
			return true
		}
	}
	return false
}

// AppendText appends the text with the values as they are: for a field value or a host.
func (t *Template) AppendText(dst []byte, v *Values) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		if p.source == literal {
			dst = append(dst, p.literal...)
			continue
		}
		dst = v.append(dst, p.source)
	}
	return dst
}

// AppendPath appends the text as a path and perhaps a query, each value encoded as
// its place needs it.
func (t *Template) AppendPath(dst []byte, v *Values) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		start := len(dst)
		switch {
		case p.source == literal:
			dst = append(dst, p.literal...)
		case p.source == query, p.source >= numVariables && !p.inQuery, p.source == path && !p.inQuery:
			dst = v.append(dst, p.source)
		default:
			// A path's escapes are whole and stay; elsewhere a percent sign is one more octet.
			escaped := p.source == path || p.source >= numVariables
			dst = v.append(dst, p.source)
			dst = encode(dst, start, escaped)
		}
	}
	return dst
}

// append appends one value.
func (v *Values) append(dst []byte, s variable) []byte {
	switch s {
	case clientIP:
		if !v.Client.IsValid() {
			return append(dst, "unknown"...)
		}
		return v.Client.Unmap().WithZone("").AppendTo(dst)
	case host:
		return append(dst, v.Host...)
	case method:
		return append(dst, v.Method...)
	case path:
		return append(dst, v.Path...)
	case query:
		return append(dst, v.Query...)
	case requestID:
		return append(dst, v.RequestID...)
	case scheme:
		return append(dst, v.Scheme...)
	case literal, numVariables:
	}
	if i := int(s - numVariables); i >= 0 && i < len(v.captures) {
		return append(dst, v.captures[i]...)
	}
	return dst
}

// encode percent-encodes dst from start on, but for unreserved octets, and for
// percent signs where keep says that they begin escapes.
func encode(dst []byte, start int, keep bool) []byte {
	const digits = "0123456789ABCDEF"
	extra := 0
	for _, c := range dst[start:] {
		if !unreserved(c) && (!keep || c != '%') {
			extra += 2
		}
	}
	if extra == 0 {
		return dst
	}
	r := len(dst)
	dst = append(dst, make([]byte, extra)...)
	for w := len(dst); r > start; {
		r--
		if c := dst[r]; !unreserved(c) && (!keep || c != '%') {
			w -= 3
			dst[w], dst[w+1], dst[w+2] = '%', digits[c>>4], digits[c&15]
		} else {
			w--
			dst[w] = c
		}
	}
	return dst
}

// unreserved reports whether an octet means itself everywhere in a URI (RFC 3986
// section 2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// ValidPath reports whether b, the outcome of AppendPath, may be sent as a path with
// an optional query: it begins with one slash and message accepts the path.
// scratch is used for the check and returned for the next.
func ValidPath(b, scratch []byte, allowEncodedSlash bool) (ok bool, s []byte) {
	for i, c := range b {
		if c == '?' {
			b = b[:i]
			break
		}
	}
	if len(b) == 0 || b[0] != '/' {
		return false, scratch
	}
	s, err := message.AppendPath(scratch[:0], b, allowEncodedSlash)
	return err == nil, s
}
