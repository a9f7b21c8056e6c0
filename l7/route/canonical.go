package route

import (
	"errors"
	"fmt"
	"strings"
	"weir/l7/message"
)

// canonical brings a configured path into the form of a Match path; octets that
// no request target can hold (spaces, non-ASCII letters) are escaped first, so
// that "/café/" may be written as it is. Paths that no request can have are
// errors. Encoded slashes are let through: whether a listener takes them is its
// own setting.
func canonical(path string) (string, error) {
	if path == "*" {
		return path, nil
	}
	if path == "" || path[0] != '/' {
		return "", errors.New(`it must start with "/"`)
	}
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case c == '?' || c == '#':
			return "", fmt.Errorf("%q does not belong to the path of a request", c)
		case c <= ' ' || c >= 0x7f:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	out, err := message.AppendPath(nil, []byte(b.String()), true)
	if err != nil {
		if e, ok := errors.AsType[*message.Error](err); ok {
			return "", errors.New(e.Text)
		}
		return "", err
	}
	return string(out), nil
}
