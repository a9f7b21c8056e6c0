package compress

import (
	"bytes"
	"hash/maphash"
	"sync/atomic"

	"weir/l7/message"
)

// Tags remembers which entity tags Weir has weakened, so that a request that brings
// one back can be given to the server as the server knows it.
//
// An encoded body is not octet for octet what the tag of the server stands for, so the
// client gets "v1" as W/"v1" (RFC 9110 section 8.8.1). With If-None-Match a server
// should see past the difference; many compare texts. With If-Match a weak tag never
// matches, and a client that read an encoded response could not write it back. From
// the text alone nobody can tell whether W/ is the server's own, hence this memory: a
// table of fixed size, in which a newer tag may take the place of an older one. A tag
// that is forgotten goes to the server as the client sent it, which is safe.
//
// The zero value is ready. Its methods may be called from any goroutine.
type Tags struct {
	slots [tagSlots]atomic.Uint64 // hashes; 0: empty
}

// tagSlots makes the table 32 KiB.
const tagSlots = 4096

var tagSeed = maphash.MakeSeed() // only read

func hashTag(scope string, tag []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15 // the parts cannot change places then

	return (maphash.String(tagSeed, scope)*odd ^ maphash.Bytes(tagSeed, tag)) | 1 // never the empty slot
}

// AppendWeak appends the weak form of an ETag value and remembers a strong one. scope
// keeps servers apart that may use the same tags: the name of the pool.
func (t *Tags) AppendWeak(dst []byte, scope string, value []byte) []byte {
	if isStrong(value) {
		h := hashTag(scope, value)
		t.slots[h%tagSlots].Store(h)
		dst = append(dst, 'W', '/')
	}
	return append(dst, value...)
}

// Restore makes the tags of If-None-Match and If-Match that Weir has weakened strong
// again, in the octets of the fields' values, and reports whether there was one in
// If-None-Match. If-Range stays: who has an encoded part must not get a part of what
// is not encoded.
func (t *Tags) Restore(scope string, fields []message.Field) (restored bool) {
	for i := range fields {
		switch f := &fields[i]; f.Known {
		case message.IfNoneMatch:
			n := len(f.Value)
			f.Value = t.restore(scope, f.Value)
			restored = restored || len(f.Value) < n
		case message.IfMatch:
			f.Value = t.restore(scope, f.Value)
		}
	}
	return restored
}

// NamesWeak reports whether If-None-Match has the weak form of a tag that is strong, and
// not the tag itself: the client has an encoded response.
func NamesWeak(fields []message.Field, tag []byte) bool {
	if !isStrong(tag) {
		return false
	}
	found := false
	for i := range fields {
		if fields[i].Known != message.IfNoneMatch {
			continue
		}
		for list := fields[i].Value; len(list) > 0; {
			n, weak := nextTag(list)
			switch {
			case n == 0:
				return found
			case weak && bytes.Equal(list[2:n], tag):
				found = true
			case bytes.Equal(list[:n], tag):
				return false
			}
			list = list[n:]
		}
	}
	return found
}

// restore moves the octets of a list of tags together where it leaves out a W/. A list
// that cannot be read stays as it is from there on.
func (t *Tags) restore(scope string, list []byte) []byte {
	out := list[:0]
	for len(list) > 0 {
		n, weak := nextTag(list)
		if weak {
			h := hashTag(scope, list[2:n])
			if t.slots[h%tagSlots].Load() == h {
				list, n = list[2:], n-2
			}
		}
		if n == 0 {
			n = len(list)
		}
		out = append(out, list[:n]...)
		list = list[n:]
	}
	return out
}

// nextTag returns the length of the first tag of a list, or of the white space and
// commas before it; 0 where neither is there.
func nextTag(list []byte) (n int, weak bool) {
	for n < len(list) && (list[n] == ' ' || list[n] == '\t' || list[n] == ',') {
		n++
	}
	if n > 0 {
		return n, false
	}
	weak = bytes.HasPrefix(list, []byte("W/"))
	if weak {
		n = 2
	}
	if n == len(list) || list[n] != '"' {
		return 0, false
	}
	end := bytes.IndexByte(list[n+1:], '"')
	if end < 0 {
		return 0, false
	}
	return n + 1 + end + 1, weak
}

// isStrong reports whether an ETag value is one strong tag.
func isStrong(value []byte) bool {
	return len(value) >= 2 && value[0] == '"' && bytes.IndexByte(value[1:], '"') == len(value)-2
}
