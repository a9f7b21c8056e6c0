package static

import (
	"bytes"
	"time"

	"weir/l7/message"
)

// Outcome is what is to be sent of a file.
type Outcome uint8

// The outcomes.
const (
	Whole         Outcome = iota // 200
	Partial                      // 206: the ranges
	NotModified                  // 304
	Failed                       // 412: a precondition does not hold
	Unsatisfiable                // 416: no range lies within the file
)

// Decide evaluates the conditions of a GET or HEAD in the order of RFC 9110 section
// 13.2.2, and then its ranges. ranges is memory to be used; those of Partial are
// returned in it.
func (f *File) Decide(fields []message.Field, get bool, ranges []Range) (Outcome, []Range) {
	var buf [64]byte
	tag := f.AppendETag(buf[:0])
	modified := f.ModTime.Truncate(time.Second)
	if has(fields, "if-match") {
		if !anyTag(fields, "if-match", tag, true) {
			return Failed, nil
		}
	} else if t, ok := timeOf(fields, "if-unmodified-since"); ok && modified.After(t) {
		return Failed, nil
	}
	if has(fields, "if-none-match") {
		if anyTag(fields, "if-none-match", tag, false) {
			return NotModified, nil
		}
	} else if t, ok := timeOf(fields, "if-modified-since"); ok && !modified.After(t) {
		return NotModified, nil
	}
	value := one(fields, "range")
	if value == nil || !get || !f.rangeHolds(fields, tag, modified) {
		return Whole, nil
	}
	ranges, ok := parseRanges(value, f.Size, ranges[:0])
	switch {
	case !ok:
		return Whole, nil
	case len(ranges) == 0:
		return Unsatisfiable, nil
	}
	return Partial, ranges
}

// rangeHolds evaluates If-Range (RFC 9110 section 13.1.5): a strong tag, or the
// exact time of the last change.
func (f *File) rangeHolds(fields []message.Field, tag []byte, modified time.Time) bool {
	if !has(fields, "if-range") {
		return true
	}
	value := one(fields, "if-range")
	if bytes.HasPrefix(value, []byte(`"`)) {
		return bytes.Equal(value, tag)
	}
	t, ok := parseTime(value)
	return ok && t.Equal(modified)
}

func has(fields []message.Field, name string) bool {
	for i := range fields {
		if message.EqualFold(fields[i].Name, name) {
			return true
		}
	}
	return false
}

// one returns the value of a field that is there once, nil for none and for more.
func one(fields []message.Field, name string) []byte {
	var value []byte
	for i := range fields {
		if !message.EqualFold(fields[i].Name, name) {
			continue
		}
		if value != nil {
			return nil
		}
		value = fields[i].Value
	}
	return value
}

func timeOf(fields []message.Field, name string) (time.Time, bool) {
	value := one(fields, name)
	if value == nil {
		return time.Time{}, false
	}
	return parseTime(value)
}

// anyTag reports whether a list of entity tags has tag, or is "*". A weak tag in the
// list never matches strongly (RFC 9110 section 8.8.3.2); ours is strong.
func anyTag(fields []message.Field, name string, tag []byte, strong bool) bool {
	for i := range fields {
		if !message.EqualFold(fields[i].Name, name) {
			continue
		}
		for rest := fields[i].Value; len(rest) > 0; {
			rest = bytes.TrimLeft(rest, " \t,")
			if string(rest) == "*" {
				return true
			}
			weak := bytes.HasPrefix(rest, []byte("W/"))
			if weak {
				rest = rest[2:]
			}
			if len(rest) == 0 || rest[0] != '"' {
				break // not a list of tags
			}
			end := bytes.IndexByte(rest[1:], '"')
			if end < 0 {
				break
			}
			if bytes.Equal(rest[:end+2], tag) && (!weak || !strong) {
				return true
			}
			rest = rest[end+2:]
		}
	}
	return false
}
