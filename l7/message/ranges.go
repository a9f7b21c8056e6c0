package message

import (
	"bytes"
	"math"
	"strconv"
)

// Span is a part of a representation, in octets.
type Span struct{ Start, Length int64 }

// maxRanges bounds what one request may ask for. More is answered with the whole,
// as are ranges that together are longer than it: a few octets of a request must not
// make many times as much go out (RFC 9110 section 17.15).
const maxRanges = 16

// ParseRanges reads the value of a Range field for a representation of size octets. It is not
// ok, and the field is to be ignored, when it is of another unit, malformed or
// greedy. Ranges beyond the end are left out; none left is 416. ranges is memory to be
// used; the result is appended to it.
func ParseRanges(value []byte, size int64, ranges []Span) (out []Span, ok bool) {
	const unit = "bytes="
	if len(value) < len(unit) || !bytes.EqualFold(value[:len(unit)], []byte(unit)) {
		return nil, false
	}
	out = ranges
	var sum int64
	n := 0
	for rest, more := value[len(unit):], true; more; {
		var spec []byte
		spec, rest, more = bytes.Cut(rest, []byte(","))
		if spec = bytes.Trim(spec, " \t"); len(spec) == 0 {
			continue // RFC 9110 section 5.6.1: empty elements are allowed
		}
		if n++; n > maxRanges {
			return nil, false
		}
		r, fine := parseRange(spec, size)
		if !fine {
			return nil, false
		}
		if r.Length > 0 {
			out = append(out, r)
			sum += r.Length
		}
	}
	if n == 0 || len(out) > 1 && sum > size {
		return nil, false
	}
	return out, true
}

// parseRange reads "first-last", "first-" or "-suffix". A range of no octets is one
// that lies beyond the end.
func parseRange(spec []byte, size int64) (r Span, ok bool) {
	first, last, found := bytes.Cut(spec, []byte("-"))
	if !found {
		return r, false
	}
	if len(first) == 0 {
		n, fine := number(last)
		n = min(n, size)
		return Span{size - n, n}, fine
	}
	start, fine := number(first)
	if !fine {
		return r, false
	}
	end := size - 1
	if len(last) > 0 {
		if end, fine = number(last); !fine || end < start {
			return r, false
		}
		end = min(end, size-1)
	}
	if start >= size {
		return Span{}, true
	}
	return Span{start, end - start + 1}, true
}

// number reads decimal digits; what is too large for an int64 is as good as the
// largest one.
func number(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// AppendContentRange appends the value of the Content-Range field of r.
func (r Span) AppendContentRange(dst []byte, size int64) []byte {
	dst = append(dst, "bytes "...)
	dst = strconv.AppendInt(dst, r.Start, 10)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, r.Start+r.Length-1, 10)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, size, 10)
}
