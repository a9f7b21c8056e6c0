package route

import (
	"errors"
	"strings"

	"weir/l7/message"
)

// canonical brings a configured path into the form of a Match path. Paths that no
// request can have are errors. Encoded slashes are let through: whether a
// listener takes them is its own setting.
func canonical(path string) (string, error) {
	switch {
	case path == "*":
		return path, nil
	case path == "" || path[0] != '/':
		return "", errors.New(`it must start with "/"`)
	case strings.ContainsAny(path, "?#"):
		return "", errors.New("a query or fragment does not belong to the path of a request")
	}
	out, err := message.AppendPath(nil, []byte(path), true)
	if e, ok := errors.AsType[*message.Error](err); ok {
		return "", errors.New(e.Text)
	}
	return string(out), err
}
