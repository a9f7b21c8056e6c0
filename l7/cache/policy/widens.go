package policy

import (
	"bytes"

	"weir/l7/message"
)

// Widens reports whether a head that a 304 was merged into varies with more than the
// stored one, or has a tag that the stored one has not. What is stored under the old names
// and tags must not have the new head: it would answer requests that it does not fit, and
// a purge by the new tag would not find it.
func Widens(stored, merged Head) bool {
	before := stored.AppendFields(make([]message.Field, 0, 32))
	after := merged.AppendFields(make([]message.Field, 0, 32))
	old, _ := AppendVary(nil, before)
	names, ok := AppendVary(nil, after)
	if !ok {
		return true
	}
	for more := len(names) > 0; more; {
		var name []byte
		if name, names, more = cut(names, ','); !isListed(old, name) {
			return true
		}
	}
	for tag := range Tags(after) {
		if !isTagged(before, tag) {
			return true
		}
	}
	return false
}

// isListed reports whether a list of AppendVary has a name.
func isListed(names, name []byte) bool {
	for more := len(names) > 0; more; {
		var n []byte
		if n, names, more = cut(names, ','); bytes.Equal(n, name) {
			return true
		}
	}
	return false
}

func isTagged(fields []message.Field, tag Tag) bool {
	for t := range Tags(fields) {
		if t.Group == tag.Group && bytes.Equal(t.Value, tag.Value) {
			return true
		}
	}
	return false
}
