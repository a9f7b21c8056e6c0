package policy

import (
	"bytes"
	"time"

	"weir/l7/message"
)

// Part is what a 206 holds of a representation: Span of Total octets.
type Part struct {
	message.Span
	Total int64
}

// ParseContentRange reads the value of the Content-Range field of a 206 (RFC 9110
// section 14.4). Another unit, an unknown total length and numbers that contradict each
// other are not ok: such a part cannot be put to use.
func ParseContentRange(value []byte) (p Part, ok bool) {
	const unit = "bytes "
	if len(value) < len(unit) || !bytes.EqualFold(value[:len(unit)], []byte(unit)) {
		return Part{}, false
	}
	span, total, found := cut(value[len(unit):], '/')
	first, last, dash := cut(span, '-')
	if !found || !dash {
		return Part{}, false
	}
	a, okA := position(first)
	b, okB := position(last)
	n, okN := position(total)
	if !okA || !okB || !okN || a > b || b >= n {
		return Part{}, false
	}
	return Part{message.Span{Start: a, Length: b - a + 1}, n}, true
}

// position reads up to 18 digits.
func position(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// JudgePart is Judge for a 206 with one part, where the caller keeps parts: as a response
// of its own, told from the whole and from other parts. Parts of one representation may
// be put together, or the part used beside others, only where SamePart says so. A 206 of
// several parts is not stored.
func JudgePart(cfg *Config, req *message.Request, res *message.Response,
	requested, received time.Time,
) (Meta, Part, Reason) {
	f := gather(cfg, res.Fields, received.Unix())
	m := f.meta(cfg, res.Status, requested, received)
	part, ok := ParseContentRange(res.Get(message.ContentRange))
	switch {
	case string(req.Method) != "GET":
		return m, part, NotGet
	case res.Status != 206, !ok, !isSingle(res.Fields, message.ContentRange),
		res.ContentLength >= 0 && res.ContentLength != part.Length:
		return m, part, PartialContent
	}
	return m, part, f.mayStore(cfg, req, res.Fields, &m)
}

// isSingle reports whether a field is there once.
func isSingle(fields []message.Field, id message.ID) bool {
	n := 0
	for i := range fields {
		if fields[i].Known == id {
			n++
		}
	}
	return n == 1
}

// SamePart reports whether two responses are of the same representation, octet by octet,
// so that parts of them may be combined: they have the same strong entity tag (RFC 9110
// section 15.3.7.3).
func SamePart(a, b Head) bool { return message.SameTag(a.Get("etag"), b.Get("etag"), true) }
