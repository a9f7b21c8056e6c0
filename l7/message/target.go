package message

import "bytes"

// root stands for the empty path of "http://host" (RFC 9110 section 4.2.3); it is only read.
var (
	root     = []byte("/")
	asterisk = []byte("*")
)

// parseTarget takes the target apart: origin form, absolute form, or "*" for
// OPTIONS (RFC 9112 section 3.2). It returns the authority of the absolute form.
func (r *Request) parseTarget(lim *Limits) (authority []byte, why reason) {
	t := r.Target
	for _, c := range t {
		if octets[c]&isVisible == 0 {
			return nil, badTarget
		}
		if c == '#' {
			return nil, fragment
		}
	}
	options := string(r.Method) == "OPTIONS"
	if t[0] != '/' {
		if len(t) == 1 && t[0] == '*' && options {
			r.Path, r.Match = t, t
			return nil, ok
		}
		if authority, t = splitAbsolute(t); authority == nil {
			return nil, badTarget
		}
		r.Secure = r.Target[len("http")] != ':'
		switch {
		case len(t) == 0 && options:
			r.Path, r.Match = asterisk, asterisk // RFC 9112 section 3.2.4
			return authority, ok
		case len(t) == 0:
			t = root
		}
	}
	r.Path = t
	if i := bytes.IndexByte(t, '?'); i >= 0 {
		r.Path, r.Query, r.HasQuery = t[:i], t[i+1:], true
	}
	if len(r.Path) == 0 {
		r.Path = root
	}
	return authority, r.canonicalPath(lim.AllowEncodedSlash)
}

// parseConnect takes the authority form, host and port, which only CONNECT has
// (RFC 9112 section 3.2.3). The host is checked with the Host field, which must be the same.
func (r *Request) parseConnect() (authority []byte, why reason) {
	if Port(r.Target) == 0 {
		return nil, badConnect
	}
	r.Connect = true
	r.Path, r.Match = r.Target, r.Target
	return r.Target, ok
}

// splitAbsolute splits "http://authority/path" after the authority, which is nil
// when t is not of that form and may be empty.
func splitAbsolute(t []byte) (authority, rest []byte) {
	i := bytes.IndexByte(t, ':')
	if i < 0 || !EqualFold(t[:i], "http") && !EqualFold(t[:i], "https") || !bytes.HasPrefix(t[i:], []byte("://")) {
		return nil, nil
	}
	t = t[i+3:]
	if i = bytes.IndexAny(t, "/?"); i < 0 {
		i = len(t)
	}
	return t[:i:i], t[i:]
}

// canonicalPath checks Path and sets Match, which is Path itself where nothing changes.
func (r *Request) canonicalPath(allowSlash bool) reason {
	r.Match = r.Path
	if bytes.IndexByte(r.Path, '%') < 0 {
		return checkSegments(r.Path)
	}
	start := len(r.scratch)
	scratch, why := appendPath(r.scratch, r.Path, allowSlash)
	r.scratch = scratch
	if why != ok {
		return why
	}
	if match := scratch[start:len(scratch):len(scratch)]; !bytes.Equal(match, r.Path) {
		r.Match = match
	}
	return ok
}

// AppendPath appends the form of a path that is used for matching: escapes of
// unreserved octets decoded, all other escapes in upper case. Bad escapes, dot
// segments, a backslash, and encoded slashes, backslashes, semicolons and NULs are
// an *Error; allowEncodedSlash lets the slash and the semicolon through.
//
// Applied to its own result it changes nothing.
func AppendPath(dst, path []byte, allowEncodedSlash bool) ([]byte, error) {
	dst, why := appendPath(dst, path, allowEncodedSlash)
	return dst, why.from(Client)
}

func appendPath(dst, path []byte, allowSlash bool) ([]byte, reason) {
	start := len(dst)
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c != '%' {
			dst = append(dst, c)
			continue
		}
		if i+2 >= len(path) || octets[path[i+1]]&octets[path[i+2]]&isHex == 0 {
			return dst, badEscape
		}
		hi, lo := upper(path[i+1]), upper(path[i+2])
		i += 2
		switch c = unhex(hi)<<4 | unhex(lo); {
		case octets[c]&isUnreserved != 0:
			dst = append(dst, c)
		case c == 0 || c == '\\' || !allowSlash && (c == '/' || c == ';'):
			return dst, encodedByte
		default:
			dst = append(dst, '%', hi, lo)
		}
	}
	return dst, checkSegments(dst[start:])
}

// checkSegments looks for backslashes and dot segments in a path whose unreserved
// octets are decoded. "..;x" counts as "..": some servers cut parameters off
// before they resolve dots. An encoded slash that was let through parts segments.
func checkSegments(path []byte) reason {
	if bytes.IndexByte(path, '\\') >= 0 {
		return backslash
	}
	for i, c := range path {
		if c == '.' && isSegmentStart(path, i) && isDots(path[i:]) {
			return dotSegment
		}
	}
	return ok
}

func isSegmentStart(path []byte, i int) bool {
	return i == 0 || path[i-1] == '/' || i >= 3 && isSlashEscape(path[i-3:])
}

// isDots reports whether b, which begins a segment with a dot, begins with a dot segment.
func isDots(b []byte) bool {
	b = b[1:]
	if len(b) > 0 && b[0] == '.' {
		b = b[1:]
	}
	return len(b) == 0 || b[0] == '/' || b[0] == ';' || isSlashEscape(b) ||
		len(b) >= 3 && b[0] == '%' && b[1] == '3' && b[2] == 'B'
}

func isSlashEscape(b []byte) bool { return len(b) >= 3 && b[0] == '%' && b[1] == '2' && b[2] == 'F' }

func upper(c byte) byte {
	if 'a' <= c && c <= 'f' {
		return c &^ 0x20
	}
	return c
}

// unhex returns the value of a hex digit in upper case.
func unhex(c byte) byte {
	if c >= 'A' {
		return c - 'A' + 10
	}
	return c - '0'
}
