package policy

import (
	"bytes"

	"weir/l7/message"
)

// Invalidates reports whether a response with that status to a request with that method
// makes what is stored for its target useless: an unsafe method, or one that nobody
// knows, was not refused (RFC 9111 section 4.4).
func Invalidates(method []byte, status int) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return false
	}
	return status >= 200 && status <= 399
}

// AppendReferenceKey appends the key of the URL that a Location or Content-Location
// field refers to, relative to the target of req; fields and cookies that belong to keys
// are those of req. It is not ok, and nothing may be invalidated, where that URL has
// another origin than the target, or cannot be a target here.
func AppendReferenceKey(dst []byte, k *KeyPolicy, scheme string, req *message.Request, ref []byte) ([]byte, bool) {
	ref, _, _ = cut(trim(ref), '#')
	rest, ok := sameOrigin(ref, scheme, req)
	if !ok {
		return dst, false
	}
	path, query, has := cut(rest, '?')
	var buf [256]byte
	full := buf[:0]
	switch {
	case len(path) == 0 && len(rest) == len(ref): // "" or "?query": the path of the target
		full = append(full, req.Match...)
		if !has {
			query, has = req.Query, req.HasQuery
		}
	case len(path) == 0:
		full = append(full, '/')
	case path[0] == '/':
		full = appendPath(full, path)
	default:
		dir := req.Match[:bytes.LastIndexByte(req.Match, '/')+1]
		full = appendPath(full, append(append(make([]byte, 0, len(dir)+len(path)), dir...), path...))
	}
	match, err := message.AppendPath(make([]byte, 0, len(full)), full, true)
	if err != nil || len(match) == 0 || match[0] != '/' {
		return dst, false
	}
	return k.appendKey(dst, scheme, req, match, query, has), true
}

var slashes = []byte("//") // only read

// sameOrigin takes scheme and authority off a reference, and reports whether they are
// those of the target (RFC 9110 section 4.3.1). Where there are none they are.
func sameOrigin(ref []byte, scheme string, req *message.Request) (rest []byte, ok bool) {
	if colon := bytes.IndexByte(ref, ':'); colon >= 0 && !bytes.ContainsAny(ref[:colon], "/?") {
		if !message.EqualFold(ref[:colon], scheme) || !bytes.HasPrefix(ref[colon+1:], slashes) {
			return nil, false
		}
		ref = ref[colon+1:]
	}
	if !bytes.HasPrefix(ref, slashes) {
		return ref, true
	}
	ref = ref[2:]
	end := bytes.IndexAny(ref, "/?")
	if end < 0 {
		end = len(ref)
	}
	authority := ref[:end]
	var buf [256]byte
	host, err := message.AppendHost(buf[:0], authority)
	if err != nil || !bytes.Equal(host, req.Host) ||
		!bytes.Equal(portOf(authority, scheme), portOf(req.Authority, scheme)) {
		return nil, false
	}
	return ref[end:], true
}

// appendPath appends a path without its dot segments (RFC 3986 section 5.2.4).
func appendPath(dst, path []byte) []byte {
	start := len(dst)
	for len(path) > 0 {
		end := bytes.IndexByte(path[1:], '/') + 1
		if end == 0 {
			end = len(path)
		}
		last := end == len(path)
		switch string(path[:end]) {
		case "/..":
			dst = dst[:start+max(bytes.LastIndexByte(dst[start:], '/'), 0)]
			fallthrough
		case "/.":
			if last {
				dst = append(dst, '/')
			}
		default:
			dst = append(dst, path[:end]...)
		}
		path = path[end:]
	}
	return dst
}
