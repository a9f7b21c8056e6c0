package policy

import (
	"bytes"
	"iter"
	"time"

	"weir/l7/message"
)

// Head is the field lines of a stored response, each with CRLF, as AppendHead wrote
// them: "Name: value". It is only read.
type Head []byte

// All yields the names and values in order. They are slices of h.
func (h Head) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for rest := h; len(rest) > 0; {
			var name, value []byte
			if name, value, rest = rest.cut(); name == nil || !yield(name, value) {
				return
			}
		}
	}
}

// cut takes the first line off; the name is nil when there is none.
func (h Head) cut() (name, value []byte, rest Head) {
	end := bytes.IndexByte(h, '\n')
	if end < 1 {
		return nil, nil, nil
	}
	line := h[:end-1]
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return nil, nil, nil
	}
	return line[:colon:colon], trim(line[colon+1:]), h[end+1:]
}

// Get returns the value of the first field with that name, which is in lower case; nil
// if there is none.
func (h Head) Get(name string) []byte {
	for rest := h; len(rest) > 0; {
		var n, v []byte
		if n, v, rest = rest.cut(); n == nil {
			break
		}
		if message.EqualFold(n, name) {
			return v
		}
	}
	return nil
}

// AppendFields appends the lines as fields. They are slices of h, and dst is the memory
// that is used.
func (h Head) AppendFields(dst []message.Field) []message.Field {
	for name, value := range h.All() {
		dst = append(dst, message.Field{Name: name, Value: value, Known: message.Lookup(name)})
	}
	return dst
}

// AppendHead appends what is to be stored of the head of a response: its field lines as
// they came, but those that are meant for one connection or for proxies, those that
// no-cache or private name, Age, which is written anew for each use, Content-Length,
// which follows from the body, and Trailer, since trailers are not stored (RFC 9111
// section 3.1). Cookies go where the route keeps none. A Date is added
// where there is none that can be read (RFC 9110 section 6.6.1).
func AppendHead(dst []byte, cfg *Config, res *message.Response, received time.Time) []byte {
	f := gather(cfg, res.Fields, received.Unix())
	dated := false
	for i := range res.Fields {
		r := &res.Fields[i]
		if !f.stores(cfg, r) {
			continue
		}
		if r.Known == message.Date {
			if dated || !f.hasDate {
				continue
			}
			dated = true
		}
		dst = message.AppendField(dst, r.Name, r.Value)
	}
	if !dated {
		dst = appendDate(dst, received)
	}
	return dst
}

func appendDate(dst []byte, at time.Time) []byte {
	dst = append(dst, "Date: "...)
	return append(message.AppendDate(dst, at.Unix()), '\r', '\n')
}

// stores reports whether a field is stored (RFC 9111 section 3.1).
func (f *facts) stores(cfg *Config, r *message.Field) bool {
	if r.Hop || r.Known.IsHop() {
		return false
	}
	switch r.Known {
	case message.Age, message.ContentLength, message.Trailer:
		return false
	case message.SetCookie:
		if !cfg.AllowSetCookie {
			return false
		}
	case message.Unknown:
		if message.EqualFold(r.Name, "proxy-authentication-info") ||
			!cfg.AllowSetCookie && message.EqualFold(r.Name, "set-cookie2") {
			return false
		}
	default:
	}
	return !f.names(r.Name)
}

// IsOmitted reports whether a stored field is left out of an answer with that status: a
// 304 describes no content (RFC 9110 section 15.4.5), and a 206 and a 416 have a
// Content-Range of their own. A 206 of several ranges also has a Content-Type of its
// own, which is for the caller to see to.
func IsOmitted(status int, name []byte) bool {
	switch message.Lookup(name) {
	case message.ContentRange:
		return status == 206 || status == 304 || status == 416
	case message.ContentEncoding, message.ContentType, message.ContentLength:
		return status == 304 || status == 416
	case message.Unknown:
		return (status == 304 || status == 416) && message.EqualFold(name, "content-language")
	default:
	}
	return false
}
