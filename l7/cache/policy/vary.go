package policy

import (
	"weir/l7/message"
)

// maxVaryNames bounds the fields that a response may vary with. A response that names
// more is not stored.
const maxVaryNames = 32

// AppendVary appends the names that the Vary fields of a response list, in lower case,
// sorted, each once, parted by commas: the names of AppendVariant. Nothing is appended
// where the response varies with nothing. It is not ok where no request can match: "*"
// is among them, something that is no name (RFC 9111 section 4.1), or a field that Weir
// writes for each request, so that it is not among those of the client.
func AppendVary(dst []byte, fields []message.Field) (names []byte, ok bool) {
	var buf [maxVaryNames][]byte
	sorted := buf[:0]
	for i := range fields {
		if fields[i].Known != message.Vary {
			continue
		}
		for rest, more := fields[i].Value, true; more; {
			var name []byte
			name, rest, more = cut(rest, ',')
			if name = trim(name); len(name) == 0 {
				continue
			}
			if string(name) == "*" || !message.ValidName(name) || isOurs(name) {
				return dst, false
			}
			if sorted, ok = insertName(sorted, name); !ok {
				return dst, false
			}
		}
	}
	for i, name := range sorted {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLower(dst, name)
	}
	return dst, true
}

// isOurs reports whether Weir itself tells backends by this field who asks. The others of
// its kind say what the key has: scheme and host.
func isOurs(name []byte) bool {
	switch message.Lookup(name) {
	case message.XForwardedFor, message.Forwarded, message.XRequestID:
		return true
	default:
		return false
	}
}

// insertName inserts a name in order, if it is not there yet; not ok when there is no
// room.
func insertName(names [][]byte, name []byte) (out [][]byte, ok bool) {
	i := len(names)
	for ; i > 0; i-- {
		order := compareFold(names[i-1], name)
		if order == 0 {
			return names, true
		}
		if order < 0 {
			break
		}
	}
	if len(names) == cap(names) {
		return names, false
	}
	names = names[:len(names)+1]
	copy(names[i+1:], names[i:])
	names[i] = name
	return names, true
}

// compareFold compares without regard to case.
func compareFold(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if d := int(lower(a[i])) - int(lower(b[i])); d != 0 {
			return d
		}
	}
	return len(a) - len(b)
}

func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, lower(c))
	}
	return dst
}

// AppendVariant appends what tells a request from others with the same key, for stored
// responses with these names (of AppendVary): the values of its fields, in a form that
// is the same for values that mean the same (RFC 9111 section 4.1). A field that is
// absent is told from one that is empty. fields are those of the request as the client
// sent it; those meant for this connection only count as absent.
func AppendVariant(dst, names []byte, fields []message.Field) []byte {
	for more := len(names) > 0; more; {
		var name []byte
		name, names, more = cut(names, ',')
		start := len(dst)
		if id := message.Lookup(name); !hasField(fields, id, name) {
			dst = append(dst, 0)
		} else {
			dst = append(dst, 1)
			start++
			dst = endPart(appendNormal(dst, id, name, fields), start)
		}
	}
	return dst
}

// appendVarying is AppendVariant for one name.
func appendVarying(dst []byte, name string, fields []message.Field) []byte {
	var buf [64]byte
	return AppendVariant(dst, append(buf[:0], name...), fields)
}

func hasField(fields []message.Field, id message.ID, name []byte) bool {
	for i := range fields {
		if isField(&fields[i], id, name) {
			return true
		}
	}
	return false
}

// isField reports whether f is an end-to-end field of that ID, or name where it has none.
func isField(f *message.Field, id message.ID, name []byte) bool {
	return f.Known == id && !f.Hop && (id != message.Unknown || equalFold(f.Name, name))
}
