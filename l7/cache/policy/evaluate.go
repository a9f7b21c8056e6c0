package policy

import (
	"time"

	"weir/l7/message"
)

// Outcome is what of a stored response answers a request.
type Outcome uint8

// The outcomes.
const (
	Whole       Outcome = iota // all of it, with its own status
	Partial                    // 206: the ranges
	NotModified                // 304
	BadRange                   // 416: no range lies within it
)

// Evaluate evaluates the conditions and ranges of a GET or HEAD against a stored
// response of size octets, -1 while that is not known (RFC 9111 section 4.3.2, RFC 9110
// sections 13.2.2 and 14.2). ranges is memory to be used; those of Partial are returned
// in it. What only a 200 has to do with is not evaluated for others.
func Evaluate(req *message.Request, m *Meta, h Head, size int64, ranges []message.Span) (Outcome, []message.Span) {
	if m.Status < 200 || m.Status > 299 {
		return Whole, nil
	}
	if m.isNotModified(req, h) {
		return NotModified, nil
	}
	if !req.Has(message.Range) || m.Status != 200 || size < 0 || string(req.Method) != "GET" {
		return Whole, nil
	}
	value := only(req, message.Range)
	if value == nil || req.Has(message.IfRange) && !m.rangeHolds(only(req, message.IfRange), h) {
		return Whole, nil
	}
	ranges, ok := message.ParseRanges(value, size, ranges[:0])
	switch {
	case !ok:
		return Whole, nil
	case len(ranges) == 0:
		return BadRange, nil
	}
	return Partial, ranges
}

// isNotModified evaluates If-None-Match, and If-Modified-Since only without it.
func (m *Meta) isNotModified(req *message.Request, h Head) bool {
	if req.Has(message.IfNoneMatch) {
		tag := h.Get("etag")
		for i := range req.Fields {
			f := &req.Fields[i]
			if f.Known != message.IfNoneMatch {
				continue
			}
			if string(f.Value) == "*" || len(tag) > 0 && message.HasTag(f.Value, tag, false) {
				return true
			}
		}
		return false
	}
	if !req.Has(message.IfModifiedSince) {
		return false
	}
	received := m.Received / int64(time.Second)
	since, ok := message.ParseDate(only(req, message.IfModifiedSince), received)
	if !ok {
		return false
	}
	if m.Has(HasLastModified) {
		return m.LastModified <= since
	}
	return m.Date <= since // when it came in, where the backend sent none
}

// rangeHolds evaluates If-Range (RFC 9110 section 13.1.5): a strong tag, or the exact
// time of change where that is a strong validator.
func (m *Meta) rangeHolds(value []byte, h Head) bool {
	if len(value) == 0 {
		return false
	}
	if value[0] == '"' || len(value) > 1 && value[1] == '/' {
		return m.Has(HasETag) && message.SameTag(value, h.Get("etag"), true)
	}
	at, ok := message.ParseDate(value, m.Received/int64(time.Second))
	return ok && m.Has(HasLastModified|StrongDate) && at == m.LastModified
}

// only returns the value of a field that is there once, nil for none and for more.
func only(req *message.Request, id message.ID) []byte {
	var value []byte
	for i := range req.Fields {
		if req.Fields[i].Known != id {
			continue
		}
		if value != nil {
			return nil
		}
		value = req.Fields[i].Value
	}
	return value
}
