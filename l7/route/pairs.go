package route

import (
	"bytes"

	"weir/l7/message"
)

var ampersand, semicolon, equals = []byte{'&'}, []byte{';'}, []byte{'='}

// nextParameter takes the first parameter off a query. Both parts are as received.
// A parameter without "=" has an empty value; rest is nil after the last one.
func nextParameter(query []byte) (name, value, rest []byte) {
	name, rest, _ = bytes.Cut(query, ampersand)
	name, value, _ = bytes.Cut(name, equals)
	return name, value, rest
}

// nextCookie takes the first pair off the value of a Cookie field (RFC 6265 section
// 4.2.1). What is no pair has no name. Quotes belong to the value.
func nextCookie(list []byte) (name, value, rest []byte) {
	pair, rest, _ := bytes.Cut(list, semicolon)
	name, value, found := bytes.Cut(pair, equals)
	if !found {
		return nil, nil, rest
	}
	return trimBlanks(name), trimBlanks(value), rest
}

// Cookie returns the value of the first cookie of that name that is sent on.
func Cookie(r *Request, name string) ([]byte, bool) {
	c := condition{of: ofCookie, name: name}
	return c.value(r, nil)
}

// Field returns the value of the first field of that name, in lower case, that is
// sent on.
func Field(r *Request, name string, known message.ID) ([]byte, bool) {
	c := condition{of: ofHeader, name: name, known: known}
	return c.value(r, nil)
}

func trimBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// decodeOne decodes the first octet of a name or value of a query, as forms encode
// them: %XX and "+". What is no escape stands for itself.
func decodeOne(b []byte) (c byte, n int) {
	switch {
	case b[0] == '+':
		return ' ', 1
	case b[0] == '%' && len(b) >= 3:
		hi, lo := unhex(b[1]), unhex(b[2])
		if hi >= 0 && lo >= 0 {
			return byte(hi<<4 | lo), 3
		}
	}
	return b[0], 1
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// equalDecoded reports whether raw stands for want.
func equalDecoded(raw []byte, want string) bool {
	for i := range len(want) {
		if len(raw) == 0 {
			return false
		}
		c, n := decodeOne(raw)
		if c != want[i] {
			return false
		}
		raw = raw[n:]
	}
	return len(raw) == 0
}

// decoded returns what raw stands for: raw itself, or scratch, which grows.
func decoded(raw, scratch []byte) (value, grown []byte) {
	if bytes.IndexByte(raw, '%') < 0 && bytes.IndexByte(raw, '+') < 0 {
		return raw, scratch
	}
	scratch = scratch[:0]
	for len(raw) > 0 {
		c, n := decodeOne(raw)
		scratch = append(scratch, c)
		raw = raw[n:]
	}
	return scratch, scratch
}
