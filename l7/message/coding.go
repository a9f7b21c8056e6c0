package message

import "bytes"

// MaxWeight is the weight of what a client names without one (RFC 9110 section 12.4.2).
const MaxWeight = 1000

// CodingWeight returns the weight, in thousandths, that the Accept-Encoding fields
// among fields give to a content coding, a lower-case name. named is false where
// neither the coding nor "*" is in them: for identity that means acceptable, for any
// other coding not (RFC 9110 section 12.5.3). The first mention counts; a weight that
// cannot be read is 0. It allocates nothing.
func CodingWeight(fields []Field, coding string) (weight int, named bool) {
	star, hasStar := 0, false
	for i := range fields {
		if fields[i].Known != AcceptEncoding {
			continue
		}
		for item, rest := nextToken(fields[i].Value); item != nil; item, rest = nextToken(rest) {
			name, params, _ := bytes.Cut(item, semicolon)
			name = trimOWS(name)
			switch {
			case EqualFold(name, coding), coding == "gzip" && EqualFold(name, "x-gzip"):
				return parseWeight(params), true
			case !hasStar && string(name) == "*":
				star, hasStar = parseWeight(params), true
			}
		}
	}
	return star, hasStar
}

var semicolon = []byte{';'} // only read

// parseWeight reads what follows the name and the semicolon of an element: nothing,
// or "q=" and a number from 0 to 1 with up to three decimals (RFC 9110 section 12.4.2).
func parseWeight(params []byte) int {
	params = trimOWS(params)
	if len(params) == 0 {
		return MaxWeight
	}
	if len(params) < len("q=0") || len(params) > len("q=0.000") || lower(params[0]) != 'q' || params[1] != '=' {
		return 0
	}
	q := params[2:]
	if q[0] != '0' && q[0] != '1' || len(q) > 1 && q[1] != '.' {
		return 0
	}
	weight, digit := int(q[0]-'0')*MaxWeight, MaxWeight/10
	for _, c := range q[min(2, len(q)):] {
		if c < '0' || c > '9' {
			return 0
		}
		weight += int(c-'0') * digit
		digit /= 10
	}
	if weight > MaxWeight {
		return 0
	}
	return weight
}

// HasToken reports whether a comma-separated list has a token, given in lower case.
func HasToken(list []byte, token string) bool {
	for item, rest := nextToken(list); item != nil; item, rest = nextToken(rest) {
		if EqualFold(item, token) {
			return true
		}
	}
	return false
}
