package static

import (
	"bytes"

	"weir/l7/message"
)

// accepts reports whether the client takes a content coding (RFC 9110 section
// 12.5.3): it is named with a weight above zero, or "*" is and it is not named.
func accepts(fields []message.Field, coding string) bool {
	star := false
	for i := range fields {
		if fields[i].Known != message.AcceptEncoding {
			continue
		}
		for rest := fields[i].Value; len(rest) > 0; {
			var item []byte
			item, rest, _ = bytes.Cut(rest, []byte(","))
			name, params, _ := bytes.Cut(item, []byte(";"))
			name = bytes.TrimSpace(name)
			switch {
			case message.EqualFold(name, coding), coding == "gzip" && message.EqualFold(name, "x-gzip"):
				return hasWeight(params)
			case string(name) == "*":
				star = hasWeight(params)
			}
		}
	}
	return star
}

// hasWeight reports whether the parameters of an item give it a weight above zero;
// none is 1. What cannot be read is taken for zero.
func hasWeight(params []byte) bool {
	params = bytes.TrimSpace(params)
	if len(params) == 0 {
		return true
	}
	if len(params) < 3 || params[0]|0x20 != 'q' || params[1] != '=' {
		return false
	}
	q := params[2:]
	if q[0] == '1' {
		return true
	}
	if q[0] != '0' {
		return false
	}
	return bytes.ContainsAny(q, "123456789") && len(q) <= len("0.123")
}
