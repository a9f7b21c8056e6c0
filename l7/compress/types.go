package compress

import (
	"bytes"
	"strings"
)

// types is a list of media types: whole ones, "text/*", and "+json" for every type
// with that suffix.
type types struct {
	whole    map[string]struct{}
	main     map[string]struct{} // "text"
	suffixes map[string]struct{} // "json"
	all      bool                // "*/*"
}

// maxType is the longest media type that is looked at; RFC 6838 allows 127 and 127.
const maxType = 255

func newTypes(list []string) types {
	t := types{whole: map[string]struct{}{}, main: map[string]struct{}{}, suffixes: map[string]struct{}{}}
	for _, name := range list {
		name = strings.ToLower(name)
		switch main, sub, _ := strings.Cut(name, "/"); {
		case name == "*/*":
			t.all = true
		case sub == "*":
			t.main[main] = struct{}{}
		case name[0] == '+':
			t.suffixes[name[1:]] = struct{}{}
		default:
			t.whole[name] = struct{}{}
		}
	}
	return t
}

// has reports whether the media type of a Content-Type value is in the list.
//
// gRPC never is, whatever the list says: its messages have lengths and a coding of
// their own, and its clients take no other.
func (t *types) has(value []byte) bool {
	name, _, _ := bytes.Cut(value, []byte{';'})
	name = bytes.TrimRight(name, " \t")
	if len(name) == 0 || len(name) > maxType {
		return false
	}
	var buf [maxType]byte
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	name = buf[:len(name)]
	if bytes.HasPrefix(name, []byte("application/grpc")) {
		return false
	}
	if _, ok := t.whole[string(name)]; ok || t.all {
		return true
	}
	main, sub, ok := bytes.Cut(name, []byte{'/'})
	if !ok {
		return false
	}
	if _, ok = t.main[string(main)]; ok {
		return true
	}
	plus := bytes.LastIndexByte(sub, '+')
	if plus < 0 {
		return false
	}
	_, ok = t.suffixes[string(sub[plus+1:])]
	return ok
}
