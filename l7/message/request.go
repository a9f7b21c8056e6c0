package message

// Request is the canonical request: what router, guard, cache key, log and
// upstream writer all look at, so that what is sent on is what was matched.
//
// Its slices point into the buffer given to Parse, or into memory that the Request
// owns; both live until Reset. A Request is reused by Reset, must not be copied,
// and belongs to one goroutine. The zero value is ready.
type Request struct {
	head // Fields, Get, Has

	Method    []byte // as received; case matters
	Target    []byte // as received
	Authority []byte // host and port as received; empty only in HTTP/1.0
	Host      []byte // Authority for matching: lower case, without port and final dot; IPv6 in brackets
	Path      []byte // as received, to be sent on octet by octet; "*" for the asterisk form; Target for CONNECT
	Match     []byte // Path for matching: unreserved octets decoded, other escapes in upper case
	Query     []byte // after the question mark, as received
	HasQuery  bool   // tells "/?" from "/"
	Secure    bool   // Target is in absolute form and asks for https
	Minor     int    // HTTP/1.Minor: 0 or 1

	Framing       Framing // None, Length or Chunked
	ContentLength int64   // octets; 0 with None, -1 with Chunked

	KeepAlive bool // the client lets the connection live on
	Expect100 bool // the client waits for 100 Continue before it sends the body
	WebSocket bool // a WebSocket handshake; the Upgrade and Connection fields are hop-by-hop all the same
	Connect   bool // the client asks for a tunnel to Authority, which has a port

	scratch []byte // holds Host and Match where they differ from what was received
}

// maxMethod is the longest method taken; the longest registered one has 17 octets.
const maxMethod = 32

// Reset makes r ready for the next request. It keeps its memory.
func (r *Request) Reset() {
	r.reset()
	*r = Request{head: r.head, scratch: r.scratch[:0]}
}

// Parse reads the head of a request from b, which must start with the same octets
// in every call after a Reset but may have moved and grown. It returns the length
// of the head; 0 and nil when more octets are needed; else an *Error of the side
// Client with the status to answer. b must stay as it is for as long as r is used.
//
// Names with anything but letters, digits and hyphens are dropped, as nginx does:
// many applications see X_Forwarded_For and X-Forwarded-For as one.
func (r *Request) Parse(b []byte, limits *Limits) (n int, err error) {
	lim := limits.orDefault()
	n, why := r.scan(b, &lim, maxMethod+lim.MaxURI+len("  HTTP/1.1\r\n"), true)
	if why == ok && n > 0 {
		why = r.parse(b, &lim)
	}
	if why != ok {
		return 0, why.from(Client)
	}
	return n, nil
}

func (r *Request) parse(b []byte, lim *Limits) reason {
	authority, why := r.parseRequestLine(r.startLine(b), lim)
	if why != ok {
		return why
	}
	if why = r.parseFields(b, true); why != ok {
		return why
	}
	if why = r.parseHost(authority); why != ok {
		return why
	}
	if why = r.parseBody(); why != ok {
		return why
	}
	if r.Connect && (r.HasBody() || r.Has(TransferEncoding)) {
		return connectBody // RFC 9110 section 9.3.6; what follows belongs to the tunnel
	}
	o, why := r.options()
	if why != ok {
		return why
	}
	r.KeepAlive = !o.close && (r.Minor == 1 || o.keepAlive)
	// An upgrade is offered in HTTP/1.1 only and by a GET without body; anything else
	// is served as if it had not been asked for (RFC 9110 section 7.8).
	r.WebSocket = o.upgrade && r.Minor == 1 && !r.HasBody() && string(r.Method) == "GET" && r.wantsWebSocket()
	return ok
}

// HasBody reports whether there are octets of a body to be read.
func (r *Request) HasBody() bool { return r.Framing == Chunked || r.ContentLength > 0 }

// parseRequestLine reads method, target and version, which are parted by one space
// each (RFC 9112 section 3). It returns the authority of an absolute target.
func (r *Request) parseRequestLine(line []byte, lim *Limits) (authority []byte, why reason) {
	i := 0
	for i < len(line) && octets[line[i]]&isToken != 0 {
		i++
	}
	if i == 0 || i > maxMethod || i == len(line) || line[i] != ' ' {
		return nil, badMethod
	}
	r.Method, line = line[:i], line[i+1:]
	i = 0
	for i < len(line) && line[i] != ' ' {
		i++
	}
	if i > lim.MaxURI {
		return nil, targetTooLong
	}
	if i == 0 || i == len(line) {
		return nil, badStart
	}
	r.Target = line[:i]
	minor, why := parseVersion(line[i+1:])
	if why != ok {
		return nil, why
	}
	r.Minor = minor
	switch string(r.Method) {
	case "CONNECT":
		if !lim.AllowConnect || minor == 0 {
			return nil, methodRefused
		}
		return r.parseConnect()
	case "TRACE":
		return nil, methodRefused
	}
	return r.parseTarget(lim)
}

func parseVersion(b []byte) (minor int, why reason) {
	switch string(b) {
	case "HTTP/1.1":
		return 1, ok
	case "HTTP/1.0":
		return 0, ok
	}
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	if len(b) == 8 && string(b[:5]) == "HTTP/" && digit(b[5]) && b[6] == '.' && digit(b[7]) {
		return 0, wrongVersion
	}
	return 0, badVersion
}

// parseHost finds the one host of the request (RFC 9112 sections 3.2 and 3.3).
func (r *Request) parseHost(authority []byte) reason {
	var host []byte
	for i := range r.Fields {
		if r.Fields[i].Known != Host {
			continue
		}
		if host != nil {
			return manyHosts
		}
		host = r.Fields[i].Value
	}
	if host == nil && r.Minor == 1 {
		return noHost
	}
	if host == nil {
		host = authority
	}
	if host == nil {
		return ok // HTTP/1.0 without a host: only a route without host can match
	}
	if authority != nil && !equalFoldBytes(authority, host) {
		return hostMismatch
	}
	r.Authority = host
	name, v6, why := splitHost(host)
	if why != ok {
		return why
	}
	r.Host = r.canonicalHost(name, v6)
	return ok
}

func (r *Request) parseBody() reason {
	f, why := r.framing(r.Minor)
	if why != ok {
		return why
	}
	switch {
	case f.chunked:
		r.Framing, r.ContentLength = Chunked, -1
	case f.length >= 0:
		r.Framing, r.ContentLength = Length, f.length
	}
	return r.parseExpect()
}

// parseExpect takes 100-continue, once, and nothing else (RFC 9110 section 10.1.1).
func (r *Request) parseExpect() reason {
	if !r.Has(Expect) {
		return ok
	}
	seen := false
	for i := range r.Fields {
		if r.Fields[i].Known != Expect {
			continue
		}
		if seen || !EqualFold(r.Fields[i].Value, "100-continue") {
			return badExpect
		}
		seen = true
	}
	// A client of HTTP/1.0 cannot understand 100, and without a body none is waited for.
	r.Expect100 = r.Minor == 1 && r.HasBody()
	return ok
}
