package compress

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"

	"weir/l7/message"
)

// Available returns the hash of the dictionary that the client says it has: the
// Available-Dictionary field, a byte sequence of RFC 9651 with 32 octets (RFC 9842 section
// 2.2). Anything else, and more than one field, is as good as none.
func Available(fields []message.Field) (hash Hash, ok bool) {
	found := false
	for i := range fields {
		f := &fields[i]
		if f.Known != message.Unknown || !message.EqualFold(f.Name, "available-dictionary") {
			continue
		}
		if found {
			return Hash{}, false
		}
		found = true
		hash, ok = parseHash(f.Value)
	}
	return hash, ok
}

// encodedHash is the length of a hash in base64, padding included.
const encodedHash = (sha256.Size + 2) / 3 * 4

// parseHash reads ":base64:".
func parseHash(b []byte) (hash Hash, ok bool) {
	if len(b) != encodedHash+2 || b[0] != ':' || b[len(b)-1] != ':' {
		return Hash{}, false
	}
	var raw [sha256.Size + 1]byte // Decode wants room for the padding too
	n, err := base64.StdEncoding.Strict().Decode(raw[:], b[1:len(b)-1])
	if err != nil || n != sha256.Size {
		return Hash{}, false
	}
	return Hash(raw[:sha256.Size]), true
}

// HasUseAs reports whether the server offers its response as a dictionary by itself.
func HasUseAs(fields []message.Field) bool {
	for i := range fields {
		if f := &fields[i]; f.Known == message.Unknown && message.EqualFold(f.Name, "use-as-dictionary") {
			return true
		}
	}
	return false
}

// Pattern is the pattern of paths for which a response may be a dictionary: literal but
// for "*", which stands for any octets, slashes too. It is the part of URL patterns that
// servers can afford: no groups and no regular expressions.
type Pattern struct {
	text  string
	parts [][]byte // between the asterisks
}

// NewPattern makes a pattern of what the configuration has checked.
func NewPattern(text string) Pattern {
	return Pattern{text: text, parts: bytes.Split([]byte(text), []byte{'*'})}
}

// Matches reports whether a path matches. It takes time linear in the path for each
// asterisk, and allocates nothing.
func (p *Pattern) Matches(path []byte) bool {
	first := p.parts[0]
	if !bytes.HasPrefix(path, first) {
		return false
	}
	path = path[len(first):]
	if len(p.parts) == 1 {
		return len(path) == 0
	}
	last := p.parts[len(p.parts)-1]
	for _, part := range p.parts[1 : len(p.parts)-1] {
		i := bytes.Index(path, part)
		if i < 0 {
			return false
		}
		path = path[i+len(part):]
	}
	return bytes.HasSuffix(path, last)
}

// AppendUseAs appends the field that makes a response a dictionary for paths that match
// (RFC 9842 section 2.1).
func (p *Pattern) AppendUseAs(dst []byte) []byte {
	dst = append(dst, `Use-As-Dictionary: match="`...)
	dst = append(dst, p.text...)
	return append(dst, "\"\r\n"...)
}
