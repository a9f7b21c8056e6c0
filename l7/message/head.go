package message

import "bytes"

// head is the part that requests and responses have in common: the lines of the
// head, found as the octets come in, and the table of fields.
type head struct {
	Fields []Field

	ends    []int32 // where the CR of each line is, the start line first
	first   int     // where the start line starts: 2 after a leading CRLF
	line    int     // where the line that is being read starts
	at      int     // everything before was scanned
	present uint64  // bit per ID
}

func (h *head) reset() {
	// The slices point into a buffer that others may own by now: let go of them.
	clear(h.Fields)
	*h = head{Fields: h.Fields[:0], ends: h.ends[:0]}
}

// scan looks for the end of the head from where it stopped last time. It returns
// the length of the head, or 0 when more octets are needed. Only the lines are
// found here; what is in them is judged when all are there, so that the outcome
// does not depend on how the octets were split.
func (h *head) scan(b []byte, lim *Limits, maxStart int, request bool) (int, reason) {
	w := b[:min(len(b), lim.MaxHead)]
	for h.at < len(w) {
		if request && len(h.ends) == 0 && !startsRequest(w[h.line]) {
			return 0, badStart
		}
		i := bytes.IndexByte(w[h.at:], '\n')
		if i < 0 {
			h.at = len(w)
			break
		}
		if end, r := h.endLine(w, h.at+i, lim, maxStart, request); end || r != ok {
			return h.at, r
		}
	}
	if len(h.ends) == 0 && len(w)-h.line > maxStart {
		return 0, targetTooLong
	}
	if len(w) >= lim.MaxHead {
		return 0, headTooLarge
	}
	return 0, ok
}

// endLine takes the line that ends with the LF at lf, and reports whether it is the
// empty line after the head.
func (h *head) endLine(w []byte, lf int, lim *Limits, maxStart int, request bool) (end bool, r reason) {
	switch {
	case len(h.ends) == 0 && lf-h.line > maxStart:
		return false, targetTooLong
	case lf == h.line || w[lf-1] != '\r':
		return false, bareLF
	}
	start := h.line
	h.line, h.at = lf+1, lf+1
	switch {
	case lf-1 > start && len(h.ends) > lim.MaxFields:
		return false, tooManyFields
	case lf-1 > start:
		h.ends = append(h.ends, int32(lf-1))
		return false, ok
	case len(h.ends) > 0:
		return true, ok
	case !request || start > 0:
		return false, badStart
	}
	h.first = h.at // RFC 9112 section 2.2: a server ignores an empty line before the request line
	return false, ok
}

// startsRequest reports whether a request line can start with c. A TLS hello on a
// plain port need not wait for an LF. Line ends are judged elsewhere.
func startsRequest(c byte) bool { return octets[c]&isToken != 0 || c == '\r' || c == '\n' }

// startLine returns the first line of a head that scan found complete.
func (h *head) startLine(b []byte) []byte { return b[h.first:h.ends[0]] }

// parseFields fills the table from the lines after the start line. With plainOnly,
// fields whose name has anything but letters, digits and hyphens are left out.
func (h *head) parseFields(b []byte, plainOnly bool) reason {
	start := int(h.ends[0]) + 2
	for _, end := range h.ends[1:] {
		name, value, class, r := parseField(b[start:end])
		if r != ok {
			return r
		}
		start = int(end) + 2
		if plainOnly && class&isPlain == 0 {
			continue
		}
		id := Lookup(name)
		h.present |= 1 << id
		h.Fields = append(h.Fields, Field{Name: name, Value: value, Known: id, Hop: known[id].bits&hop != 0})
	}
	return ok
}

// Has reports whether there is a field of that name.
func (h *head) Has(id ID) bool { return h.present&(1<<id) != 0 }

// Get returns the value of the first field of that name, nil if there is none. An
// empty value is not nil.
func (h *head) Get(id ID) []byte {
	if !h.Has(id) {
		return nil
	}
	for i := range h.Fields {
		if h.Fields[i].Known == id {
			return h.Fields[i].Value
		}
	}
	return nil
}

// framing is what the framing fields of a head say.
type framing struct {
	length  int64 // -1: no Content-Length
	chunked bool
}

// framing reads Content-Length and Transfer-Encoding. Everything that a second
// reader could take in another way is refused (RFC 9112 section 6).
func (h *head) framing(minor int) (f framing, r reason) {
	f.length = -1
	if h.Has(TransferEncoding) {
		switch {
		case minor == 0:
			return f, codingInOld
		case h.Has(ContentLength):
			return f, lengthAndCoding
		}
		f.chunked = true
		if r = h.codings(); r == ok {
			r = h.announced()
		}
		return f, r
	}
	if !h.Has(ContentLength) {
		return f, ok
	}
	for i := range h.Fields {
		if h.Fields[i].Known != ContentLength {
			continue
		}
		if f.length >= 0 {
			return f, manyLengths
		}
		if f.length = parseLength(h.Fields[i].Value); f.length < 0 {
			return f, badLength
		}
	}
	return f, ok
}

// codings reads the Transfer-Encoding fields as one list. Only chunked and nothing
// else is served. Other codings before it are answered with 501 (RFC 9112 section
// 6.1); where it is not last, or not alone, the end of the body is not known
// (section 6.3).
func (h *head) codings() reason {
	chunked, others := false, false
	for i := range h.Fields {
		if h.Fields[i].Known != TransferEncoding {
			continue
		}
		// Not nextToken: the empty elements that it skips are read in more than one way.
		for rest, more := h.Fields[i].Value, true; more; {
			var token []byte
			token, rest, more = bytes.Cut(rest, comma)
			token = trimOWS(token)
			switch isChunked := EqualFold(token, "chunked"); {
			case len(token) == 0 || !all(token, isToken) || isChunked && chunked:
				return manyCodings
			case chunked:
				return lastCoding
			case isChunked:
				chunked = true
			default:
				others = true
			}
		}
	}
	switch {
	case !chunked:
		return lastCoding
	case others:
		return badCoding
	}
	return ok
}

// announced refuses a Trailer field that names framing: it would have a careless
// reader take the end of a body from behind it (RFC 9110 section 6.5.1).
func (h *head) announced() reason {
	if !h.Has(Trailer) {
		return ok
	}
	for i := range h.Fields {
		if h.Fields[i].Known != Trailer {
			continue
		}
		for token, rest := nextToken(h.Fields[i].Value); token != nil; token, rest = nextToken(rest) {
			switch Lookup(token) {
			case ContentLength, TransferEncoding, Trailer:
				return badTrailer
			}
		}
	}
	return ok
}

var comma = []byte{','} // only read

// parseLength reads a Content-Length: digits only, no sign, no list, no leading
// zero, at most 18 digits. It returns -1 for anything else.
func parseLength(b []byte) int64 {
	if len(b) == 0 || len(b) > 18 || b[0] == '0' && len(b) > 1 {
		return -1
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// options is what the Connection fields of a head say.
type options struct {
	close, keepAlive, upgrade bool
}

// maxOptions bounds the options of a Connection field: each is compared with each field.
const maxOptions = 32

// options reads the Connection fields and marks the fields they name as hop-by-hop.
func (h *head) options() (o options, r reason) {
	if !h.Has(Connection) {
		return o, ok
	}
	count := 0
	for i := range h.Fields {
		if h.Fields[i].Known != Connection {
			continue
		}
		for token, rest := nextToken(h.Fields[i].Value); token != nil; token, rest = nextToken(rest) {
			if count++; count > maxOptions || !all(token, isToken) {
				return o, badConnection
			}
			switch {
			case EqualFold(token, "close"):
				o.close = true
			case EqualFold(token, "keep-alive"):
				o.keepAlive = true
			case EqualFold(token, "upgrade"):
				o.upgrade = true
			case isProtected(Lookup(token), token):
				return o, protectedOption
			default:
				h.markHop(token)
			}
		}
	}
	return o, ok
}

func (h *head) markHop(name []byte) {
	for i := range h.Fields {
		if equalFoldBytes(h.Fields[i].Name, name) {
			h.Fields[i].Hop = true
		}
	}
}

// wantsWebSocket reports whether an Upgrade field lists websocket (RFC 6455 section 4).
func (h *head) wantsWebSocket() bool {
	if !h.Has(Upgrade) {
		return false
	}
	for i := range h.Fields {
		if h.Fields[i].Known != Upgrade {
			continue
		}
		for token, rest := nextToken(h.Fields[i].Value); token != nil; token, rest = nextToken(rest) {
			if EqualFold(token, "websocket") {
				return true
			}
		}
	}
	return false
}
