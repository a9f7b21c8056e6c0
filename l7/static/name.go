package static

import (
	"bytes"
	"strings"
)

// fileName turns a canonical path into a name below the root, decoded; dir says that
// the path ends with a slash. It is not ok for what no file can be: an empty segment,
// a decoded slash or NUL, a dot segment, and names that begin with a dot unless
// dotfiles says so.
func fileName(path []byte, dotfiles bool) (name string, dir, ok bool) {
	if len(path) == 0 || path[0] != '/' {
		return "", false, false
	}
	path = path[1:]
	if len(path) == 0 {
		return ".", true, true
	}
	if path[len(path)-1] == '/' {
		dir, path = true, path[:len(path)-1]
	}
	var b strings.Builder
	b.Grow(len(path))
	for more := true; more; {
		var segment []byte
		segment, path, more = bytes.Cut(path, []byte("/"))
		start := b.Len()
		if !decode(&b, segment) {
			return "", false, false
		}
		s := b.String()[start:]
		if s == "" || s == "." || s == ".." || s[0] == '.' && !dotfiles {
			return "", false, false
		}
		if more {
			b.WriteByte('/')
		}
	}
	return b.String(), dir, true
}

// decode appends a segment with its escapes decoded; false when it is not whole, or
// holds what no name of a file has.
func decode(b *strings.Builder, segment []byte) bool {
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		if c == '%' {
			if i+2 >= len(segment) {
				return false
			}
			hi, lo := unhex(segment[i+1]), unhex(segment[i+2])
			if hi < 0 || lo < 0 {
				return false
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		if c == 0 || c == '/' {
			return false
		}
		b.WriteByte(c)
	}
	return true
}

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
