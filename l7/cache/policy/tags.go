package policy

import (
	"bytes"
	"iter"

	"weir/l7/message"
)

// maxTags and maxTag bound what is taken of the tags of a response: their number, and
// the octets of each. Cache-Groups asks for 32 and 32 at least (RFC 9875 section 2).
const (
	maxTags = 128
	maxTag  = 1024
)

// Tag is a name that stored responses are purged by.
type Tag struct {
	// Group says that the tag is of Cache-Groups: it is the same one only for the same
	// origin (scheme, host and port). Other tags mean the same everywhere.
	Group bool
	Value []byte // a slice of the field, or a copy; to be copied if it is kept
}

// Tags yields the tags of a response: the groups of Cache-Groups (RFC 9875 section 2),
// and the tags of Surrogate-Key, parted by spaces, and Cache-Tag, parted by commas. The
// same tag may come more than once.
func Tags(fields []message.Field) iter.Seq[Tag] {
	return func(yield func(Tag) bool) {
		left := maxTags
		if !groups(fields, "cache-groups", &left, yield) {
			return
		}
		for i := range fields {
			f := &fields[i]
			if f.Known != message.Unknown {
				continue
			}
			switch {
			case message.EqualFold(f.Name, "surrogate-key"):
				if !split(f.Value, ' ', &left, yield) {
					return
				}
			case message.EqualFold(f.Name, "cache-tag"):
				if !split(f.Value, ',', &left, yield) {
					return
				}
			}
		}
	}
}

// InvalidatedGroups yields the groups that a response to an unsafe method invalidates,
// those of Cache-Group-Invalidation (RFC 9875 section 3). It yields none for a response
// that does not invalidate.
func InvalidatedGroups(method []byte, res *message.Response) iter.Seq[Tag] {
	return func(yield func(Tag) bool) {
		left := maxTags
		if Invalidates(method, res.Status) {
			groups(res.Fields, "cache-group-invalidation", &left, yield)
		}
	}
}

// split yields what stands between separators. It is false when nothing more is wanted.
func split(b []byte, separator byte, left *int, yield func(Tag) bool) bool {
	for len(b) > 0 {
		end := bytes.IndexByte(b, separator)
		if end < 0 {
			end = len(b)
		}
		tag := trim(b[:end])
		b = b[min(end+1, len(b)):]
		if len(tag) == 0 || len(tag) > maxTag {
			continue
		}
		if *left == 0 || !yield(Tag{Value: tag}) {
			return false
		}
		*left--
	}
	return true
}

// groups yields the members of a list of strings (RFC 8941 section 3.1). A field that
// is anything else is ignored wholly.
func groups(fields []message.Field, name string, left *int, yield func(Tag) bool) bool {
	if !isStringList(fields, name) {
		return true
	}
	for i := range fields {
		if f := &fields[i]; f.Known != message.Unknown || !message.EqualFold(f.Name, name) {
			continue
		}
		for p := (sfParser{fields[i].Value}); p.nextString(); {
			v := p.bareItem()
			_ = p.parameters() // isStringList has seen that they are well formed
			tag := unescape(v.raw)
			if len(tag) == 0 || len(tag) > maxTag {
				continue
			}
			if *left == 0 || !yield(Tag{Group: true, Value: tag}) {
				return false
			}
			*left--
		}
	}
	return true
}

// nextString goes to the next quote of a list that is known to be one of strings.
func (p *sfParser) nextString() bool {
	i := bytes.IndexByte(p.b, '"')
	if i < 0 {
		return false
	}
	p.b = p.b[i:]
	return true
}

// isStringList reports whether all lines of a field together are a list of strings with
// at least one member.
func isStringList(fields []message.Field, name string) bool {
	some := false
	for i := range fields {
		if f := &fields[i]; f.Known != message.Unknown || !message.EqualFold(f.Name, name) {
			continue
		}
		p := sfParser{fields[i].Value}
		p.spaces()
		for more := true; more; {
			if p.bareItem().kind != sfString || !p.parameters() {
				return false
			}
			p.ows()
			if more = len(p.b) > 0; more && !p.take(',') {
				return false
			}
			p.ows()
		}
		some = true
	}
	return some
}

// unescape takes the backslashes out of a string, which is copied only if it has some.
func unescape(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		out = append(out, b[i])
	}
	return out
}
