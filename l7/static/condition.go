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
func (f *File) Decide(fields []message.Field, get bool, ranges []message.Span) (Outcome, []message.Span) {
	var buf [64]byte
	tag := f.AppendETag(buf[:0])
	modified := f.ModTime.Unix()
	if has(fields, "if-match") {
		if !anyTag(fields, "if-match", tag, true) {
			return Failed, nil
		}
	} else if t, ok := timeOf(fields, "if-unmodified-since"); ok && modified > t {
		return Failed, nil
	}
	if has(fields, "if-none-match") {
		if anyTag(fields, "if-none-match", tag, false) {
			return NotModified, nil
		}
	} else if t, ok := timeOf(fields, "if-modified-since"); ok && modified <= t {
		return NotModified, nil
	}
	value := one(fields, "range")
	if value == nil || !get || !f.rangeHolds(fields, tag, modified) {
		return Whole, nil
	}
	ranges, ok := message.ParseRanges(value, f.Size, ranges[:0])
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
func (f *File) rangeHolds(fields []message.Field, tag []byte, modified int64) bool {
	if !has(fields, "if-range") {
		return true
	}
	value := one(fields, "if-range")
	if bytes.HasPrefix(value, []byte(`"`)) {
		return bytes.Equal(value, tag)
	}
	t, ok := message.ParseDate(value, time.Now().Unix())
	return ok && t == modified
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

// timeOf returns the date in a field that is there once, in Unix seconds.
func timeOf(fields []message.Field, name string) (int64, bool) {
	value := one(fields, name)
	if value == nil {
		return 0, false
	}
	return message.ParseDate(value, time.Now().Unix())
}

// anyTag reports whether one of the fields lists the tag, or is "*".
func anyTag(fields []message.Field, name string, tag []byte, strong bool) bool {
	for i := range fields {
		if message.EqualFold(fields[i].Name, name) && message.HasTag(fields[i].Value, tag, strong) {
			return true
		}
	}
	return false
}
