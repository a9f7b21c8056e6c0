package route

import (
	"errors"
	"fmt"
	"strings"
)

// canonical brings a configured path into the form of a Match path: unreserved
// octets decoded (RFC 3986 2.3), other escapes in upper-case hex, octets that
// cannot stand in a URI escaped. Paths that no request can have are errors.
func canonical(path string) (string, error) {
	if path == "*" {
		return path, nil
	}
	if path == "" || path[0] != '/' {
		return "", errors.New(`it must start with "/"`)
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if i+2 >= len(path) || unhex(path[i+1]) < 0 || unhex(path[i+2]) < 0 {
				return "", fmt.Errorf("%q is not an escape; expected %% and two hex digits",
					path[i:min(i+3, len(path))])
			}
			c = byte(unhex(path[i+1])<<4 | unhex(path[i+2]))
			i += 2
			if isUnreserved(c) {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
			continue
		}
		switch {
		case c == '?' || c == '#':
			return "", fmt.Errorf("%q does not belong to the path of a request", c)
		case c == '\\':
			return "", errors.New("a backslash is refused in every request")
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>^`{|}", c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	out := b.String()
	for segment := range strings.SplitSeq(out[1:], "/") {
		if segment == "." || segment == ".." {
			return "", errors.New("dot segments are refused in every request")
		}
	}
	return out, nil
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// unhex returns the value of a hex digit, -1 for any other octet.
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
