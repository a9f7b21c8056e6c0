package policy

import (
	"weir/l7/message"
)

// facts is what the fields of a response say to a cache.
type facts struct {
	control
	targeted bool // control is of a targeted field: Cache-Control and Expires do not count

	age          int64 // seconds; 0: none that can be read
	date         int64 // Unix seconds
	expires      int64
	lastModified int64

	hasDate, hasExpires, expiresBroken, hasLastModified bool
	hasETag, setsCookie                                 bool
}

// gather reads the fields of a response that came in at a time in Unix seconds.
func gather(cfg *Config, fields []message.Field, received int64) facts {
	f := facts{control: newControl()}
	for _, name := range cfg.targets() {
		if c, ok := readTarget(fields, name); ok {
			f.control, f.targeted = c, true
			break
		}
	}
	seenAge := false
	for i := range fields {
		v := fields[i].Value // of a field for this connection only too: this is its other end
		switch fields[i].Known {
		case message.CacheControl:
			if !f.targeted {
				f.readControl(v)
			}
		case message.Age:
			if !seenAge {
				seenAge = true
				f.age = parseAge(v)
			}
		case message.Date:
			if !f.hasDate {
				f.date, f.hasDate = message.ParseDate(v, received)
			}
		case message.Expires:
			if !f.hasExpires {
				var ok bool
				f.expires, ok = message.ParseDate(v, received)
				f.hasExpires, f.expiresBroken = true, !ok
			}
		case message.LastModified:
			if !f.hasLastModified {
				f.lastModified, f.hasLastModified = message.ParseDate(v, received)
			}
		case message.ETag:
			f.hasETag = f.hasETag || len(v) > 0
		default:
		}
	}
	f.setsCookie = f.keepsCookie(fields)
	return f
}

// keepsCookie reports whether a cookie is set by a field that would be stored.
func (f *facts) keepsCookie(fields []message.Field) bool {
	for i := range fields {
		if isSetCookie(&fields[i]) && !fields[i].Hop && !f.names(fields[i].Name) {
			return true
		}
	}
	return false
}

func isSetCookie(f *message.Field) bool {
	return f.Known == message.SetCookie || f.Known == message.Unknown && message.EqualFold(f.Name, "set-cookie2")
}

// parseAge reads the value of an Age field: the first member of what may be a list by
// mistake; 0 for what is no number of seconds (RFC 9111 section 5.1).
func parseAge(v []byte) int64 {
	first, _, _ := cut(v, ',')
	return max(parseDelta(trim(first)), 0)
}

// usedDate is the Date of the response, or when it came in (RFC 9110 section 6.6.1).
func (f *facts) usedDate(received int64) int64 {
	if f.hasDate {
		return f.date
	}
	return received
}

// explicit returns the lifetime in seconds that the response itself says, in the order
// of RFC 9111 section 4.2.1. What cannot be read is none at all: it is stale.
func (f *facts) explicit(received int64) (seconds int64, ok bool) {
	switch {
	case f.sMaxAge != absent:
		return max(f.sMaxAge, 0), true
	case f.maxAge != absent:
		return max(f.maxAge, 0), true
	case f.targeted || !f.hasExpires:
		return 0, false
	case f.expiresBroken:
		return 0, true
	}
	return min(max(f.expires-f.usedDate(received), 0), maxDelta), true
}

// isHeuristic reports whether responses of a status may live without saying how long
// (RFC 9110 section 15.1).
func isHeuristic(status int) bool {
	switch status {
	case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// isUnderstood reports whether what a status asks of caches is known here: those of RFC
// 9110 section 15.
func isUnderstood(status int) bool {
	switch {
	case 200 <= status && status <= 205, 300 <= status && status <= 303, status == 307, status == 308,
		400 <= status && status <= 417, 500 <= status && status <= 505:
		return true
	}
	return status == 421 || status == 422 || status == 426
}

// isForbidden reports whether no response of a status may be stored: RFC 6585 says so
// of the four that it defines, RFC 9111 section 3 of those that are not final. A 304 is
// about another response, a 407 about a proxy, and 412 and 416 answer conditions and
// ranges, which the key does not have.
func isForbidden(status int) bool {
	switch status {
	case 304, 407, 412, 416, 428, 429, 431, 511:
		return true
	}
	return status < 200
}
