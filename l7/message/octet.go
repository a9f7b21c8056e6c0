package message

import "encoding/binary"

// Classes of octets, as bits of octets[c].
const (
	isToken      = 1 << iota // tchar, RFC 9110 section 5.6.2
	isPlain                  // letter, digit or hyphen: the field names that are passed on
	isVisible                // 0x21-0x7e: what a request target may hold
	isUnreserved             // RFC 3986 section 2.3
	isHost                   // letter, digit, hyphen, dot, underscore
	isHex
)

var octets = func() (t [256]uint8) {
	set := func(bits uint8, s string) {
		for i := range len(s) {
			t[s[i]] |= bits
		}
	}
	for c := 0x21; c <= 0x7e; c++ {
		t[c] |= isVisible
	}
	set(isToken|isPlain|isUnreserved|isHost,
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")
	set(isToken, "!#$%&'*+.^_`|~")
	set(isUnreserved, "._~")
	set(isHost, "._")
	set(isHex, "0123456789abcdefABCDEF")
	return t
}()

// all reports whether every octet of b is of the class.
func all(b []byte, class uint8) bool {
	for _, c := range b {
		if octets[c]&class == 0 {
			return false
		}
	}
	return true
}

// validValue reports whether b holds no control octet but HTAB, so no NUL, CR, LF
// or DEL (RFC 9110 section 5.5). Octets from 0x80 are opaque and allowed.
func validValue(b []byte) bool {
	if len(b) < 8 {
		return validSlow(b)
	}
	i := 0
	for ; i+8 < len(b); i += 8 {
		if suspect(b[i:]) && !validSlow(b[i:i+8]) {
			return false
		}
	}
	last := b[len(b)-8:] // may overlap what was looked at
	return !suspect(last) || validSlow(last)
}

// suspect reports whether one of the first eight octets is below 0x20, or is 0x7f.
func suspect(b []byte) bool {
	const each, high, del = 0x0101010101010101, 0x8080808080808080, 0x7f7f7f7f7f7f7f7f
	x := binary.LittleEndian.Uint64(b)
	y := x ^ del
	return ((x-each*0x20)&^x|(y-each)&^y)&high != 0
}

func validSlow(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// trimOWS removes optional white space from both ends.
func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// EqualFold reports whether b equals the lower-case ASCII string s without regard
// to the case of b's letters.
func EqualFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if lower(c) != s[i] {
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

// equalFoldBytes is EqualFold for two names of any case.
func equalFoldBytes(a, b []byte) bool {
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

// nextToken cuts the next element off a comma-separated list (RFC 9110 section
// 5.6.1). Empty elements are skipped; the token is nil at the end of the list.
func nextToken(list []byte) (token, rest []byte) {
	for len(list) > 0 {
		i := 0
		for i < len(list) && list[i] != ',' {
			i++
		}
		token, list = trimOWS(list[:i]), list[min(i+1, len(list)):]
		if len(token) > 0 {
			return token, list
		}
	}
	return nil, nil
}
