package accesslog

import "unicode/utf8"

// maxField is how many bytes of one value a line holds, after escaping. Hosts,
// paths and queries come from clients; a log line must not.
const maxField = 2 << 10

// cutMark ends a value that was longer.
const cutMark = "...[cut]"

const hexDigits = "0123456789abcdef"

// verbatim tells which ASCII bytes stand for themselves inside quotes.
var verbatim = func() (t [utf8.RuneSelf]bool) {
	for c := byte(0x20); c < 0x7F; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendEscaped appends s to b as the inside of a JSON string. Control characters,
// C0 as well as C1, and the line separators of Unicode are escaped, so that no
// value can end a line or drive a terminal. A byte that is not UTF-8 becomes the
// escape of the code point with its number.
func appendEscaped[S string | []byte](b []byte, s S) []byte {
	end := len(b) + maxField
	for i := 0; i < len(s); {
		c := s[i]
		n, size := 1, 1 // bytes to append, bytes to take
		var r rune
		switch {
		case c < utf8.RuneSelf && verbatim[c]:
		case c < utf8.RuneSelf:
			r, n = rune(c), escapedLen(c)
		default:
			r, size = decodeRune(s[i:])
			n = size
			if mustEscape(r, size) {
				n = len(`\u0000`)
			}
		}
		if len(b)+n > end {
			return append(b, cutMark...)
		}
		switch {
		case n == size:
			b = append(b, s[i:i+size]...)
		case r == utf8.RuneError && size == 1:
			b = appendU(b, rune(c))
		default:
			b = appendEscape(b, r)
		}
		i += size
	}
	return b
}

// mustEscape reports whether a rune beyond ASCII is not logged as it is.
func mustEscape(r rune, size int) bool {
	return r == utf8.RuneError && size == 1 || // not UTF-8
		r < 0xA0 || // C1 controls; some terminals obey them
		r == '\u2028' || r == '\u2029' // line ends to some readers
}

func escapedLen(c byte) int {
	switch c {
	case '"', '\\', '\n', '\r', '\t':
		return 2
	}
	return len(`\u0000`)
}

func appendEscape(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return appendU(b, r)
}

func appendU(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

func decodeRune[S string | []byte](s S) (rune, int) {
	// A rune has four bytes at most; the array keeps the conversion off the heap.
	var a [utf8.UTFMax]byte
	return utf8.DecodeRune(a[:copy(a[:], s)])
}

// bare reports whether s can stand in logfmt without quotes.
func bare[S string | []byte](s S) bool {
	if len(s) > maxField {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || !verbatim[c] || c == ' ' || c == '=' {
			return false
		}
	}
	return len(s) > 0
}
