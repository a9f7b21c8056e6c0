package message

import "bytes"

// HasTag reports whether the value of an If-None-Match or If-Match field lists the
// entity tag. A weak comparison does not look at the mark W/; a strong one needs both
// to be without it (RFC 9110 section 8.8.3.2). "*" alone stands for any tag. A tag
// that is not quoted, which no grammar has but some servers send, equals only itself.
func HasTag(list, tag []byte, strong bool) bool {
	if string(trimOWS(list)) == "*" {
		return true
	}
	if strong && bytes.HasPrefix(tag, weakMark) {
		return false
	}
	want := bytes.TrimPrefix(tag, weakMark)
	for len(list) > 0 {
		var item []byte
		item, list = nextTag(list)
		if strong && bytes.HasPrefix(item, weakMark) {
			continue
		}
		if item != nil && bytes.Equal(bytes.TrimPrefix(item, weakMark), want) {
			return true
		}
	}
	return false
}

// SameTag compares two entity tags (RFC 9110 section 8.8.3.2).
func SameTag(a, b []byte, strong bool) bool {
	if strong {
		return len(a) > 0 && bytes.Equal(a, b) && !bytes.HasPrefix(a, weakMark)
	}
	return bytes.Equal(bytes.TrimPrefix(a, weakMark), bytes.TrimPrefix(b, weakMark))
}

var weakMark = []byte("W/") // only read

// nextTag cuts the next entity tag off a list. The tag is nil where there is none; a
// quote without an end ends the list, since what follows could be part of it.
func nextTag(list []byte) (tag, rest []byte) {
	for len(list) > 0 && (list[0] == ' ' || list[0] == '\t' || list[0] == ',') {
		list = list[1:]
	}
	start := 0
	if bytes.HasPrefix(list, weakMark) {
		start = len(weakMark)
	}
	if start < len(list) && list[start] == '"' {
		end := bytes.IndexByte(list[start+1:], '"')
		if end < 0 {
			return nil, nil
		}
		end += start + 2
		return list[:end], list[end:]
	}
	end := bytes.IndexByte(list, ',')
	if end < 0 {
		end = len(list)
	}
	if tag = trimOWS(list[:end]); len(tag) == 0 {
		tag = nil
	}
	return tag, list[end:]
}
