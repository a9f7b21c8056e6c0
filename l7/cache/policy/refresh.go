package policy

import (
	"time"

	"weir/l7/message"
)

// AppendConditions appends the field lines that validate a stored response: its entity
// tag and its time of change, as they are (RFC 9111 section 4.3.1). Nothing is appended
// where it has neither: the request is then for the whole.
func AppendConditions(dst []byte, m *Meta, h Head) []byte {
	if m.Has(HasETag) {
		if tag := h.Get("etag"); len(tag) > 0 {
			dst = message.AppendField(dst, fieldIfNoneMatch, tag)
		}
	}
	if m.Has(HasLastModified) {
		if at := h.Get("last-modified"); len(at) > 0 {
			dst = message.AppendField(dst, fieldIfModifiedSince, at)
		}
	}
	return dst
}

var (
	fieldIfNoneMatch     = []byte("If-None-Match")
	fieldIfModifiedSince = []byte("If-Modified-Since")
)

// IsReplacedByConditions reports whether a field of the client's request has no place in
// a request that revalidates for the cache, which wants to know about all of its own
// response: the conditions and the ranges.
func IsReplacedByConditions(id message.ID) bool {
	switch id {
	case message.IfMatch, message.IfModifiedSince, message.IfNoneMatch, message.IfRange,
		message.IfUnmodifiedSince, message.Range:
		return true
	default:
		return false
	}
}

// Confirms reports whether a 304 to a request with AppendConditions is about the stored
// response (RFC 9111 section 4.3.4): what validators it has are those that are stored.
// Entity tags are compared weakly, since servers that compress weaken the tag of a 200
// and not that of a 304.
func Confirms(m *Meta, h Head, fields []message.Field) bool {
	if tag := one(fields, message.ETag); len(tag) > 0 && m.Has(HasETag) {
		return message.SameTag(tag, h.Get("etag"), false)
	}
	if at := one(fields, message.LastModified); len(at) > 0 && m.Has(HasLastModified) {
		sec, ok := message.ParseDate(at, m.Received/int64(time.Second))
		return ok && sec == m.LastModified
	}
	return true
}

func one(fields []message.Field, id message.ID) []byte {
	for i := range fields {
		if fields[i].Known == id {
			return fields[i].Value
		}
	}
	return nil
}

// AppendMerged appends the stored head with the fields of a 304 in it (RFC 9111 section
// 3.2): each one that it has replaces those of the same name. Never replaced are fields
// that are not stored, and those that say what the stored octets are: Content-Length,
// Content-Encoding and Content-Range. A weak entity tag does not become strong.
func AppendMerged(dst []byte, cfg *Config, h Head, fields []message.Field, received time.Time) []byte {
	f := gather(cfg, fields, received.Unix())
	for name, value := range h.All() {
		if !f.replaces(cfg, fields, name, value) && !f.names(name) {
			dst = message.AppendField(dst, name, value)
		}
	}
	dated := false
	for i := range fields {
		r := &fields[i]
		if !f.updates(cfg, r, h) || r.Known == message.Date && (dated || !f.hasDate) {
			continue
		}
		dated = dated || r.Known == message.Date
		dst = message.AppendField(dst, r.Name, r.Value)
	}
	if !dated {
		dst = appendDate(dst, received)
	}
	return dst
}

// replaces reports whether a stored line gives way to what a 304 says.
func (f *facts) replaces(cfg *Config, fields []message.Field, name, value []byte) bool {
	if message.EqualFold(name, "date") {
		return true // the 304's, or the time it came in
	}
	for i := range fields {
		if equalFold(fields[i].Name, name) && f.updates(cfg, &fields[i], nil) &&
			(fields[i].Known != message.ETag || !strengthens(fields[i].Value, value)) {
			return true
		}
	}
	return false
}

// updates reports whether a field of a 304 goes into the stored head h.
func (f *facts) updates(cfg *Config, r *message.Field, h Head) bool {
	switch r.Known {
	case message.ContentEncoding, message.ContentRange:
		return false
	case message.ETag:
		if h != nil && strengthens(r.Value, h.Get("etag")) {
			return false
		}
	default:
	}
	return f.stores(cfg, r)
}

// strengthens reports whether tag is the strong form of a stored weak one.
func strengthens(tag, stored []byte) bool {
	return len(stored) > 2 && stored[0] == 'W' && len(tag) > 0 && tag[0] == '"' &&
		message.SameTag(tag, stored, false)
}

// Renew makes the Meta of a stored response that a 304 has confirmed, from the merged
// head and the fields of the 304 (RFC 9111 section 4.3.4). req is the request that was
// answered by it. With a reason other than OK the response must not be stored any
// longer; it may still answer the request that revalidated it.
func Renew(cfg *Config, m *Meta, req *message.Request, merged Head, fields []message.Field,
	requested, received time.Time,
) (Meta, Reason) {
	all := merged.AppendFields(make([]message.Field, 0, 32))
	f := gather(cfg, all, received.Unix())
	if v := one(fields, message.Age); v != nil {
		f.age = parseAge(v) // it is not stored
	}
	fresh := f.meta(cfg, int(m.Status), requested, received)
	return fresh, f.mayStore(cfg, req, all, &fresh)
}

// HeadCheck is what a response to HEAD says about a stored response to GET.
type HeadCheck uint8

// The outcomes of CompareHead.
const (
	Unrelated HeadCheck = iota // nothing: it is not a 200
	Confirmed                  // it is the same: refresh it with AppendMerged and Renew
	Outdated                   // it is another one: make it stale
)

// CompareHead compares a response to HEAD with the stored response to GET of the same
// key and variant, of which size octets of content are stored (RFC 9111 section 4.3.5).
func CompareHead(m *Meta, h Head, size int64, res *message.Response) HeadCheck {
	if res.Status != 200 || m.Status != 200 {
		return Unrelated
	}
	if res.ContentLength >= 0 && res.ContentLength != size {
		return Outdated
	}
	if tag := res.Get(message.ETag); tag != nil && string(tag) != string(h.Get("etag")) {
		return Outdated
	}
	if at := res.Get(message.LastModified); at != nil && string(at) != string(h.Get("last-modified")) {
		return Outdated
	}
	return Confirmed
}
