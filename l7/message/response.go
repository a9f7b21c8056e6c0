package message

// Response is the head of a response, interim (1xx) or final.
//
// Its slices point into the buffer given to Parse and live until Reset. A Response
// is reused by Reset, must not be copied, and belongs to one goroutine. The zero
// value is ready.
type Response struct {
	head // Fields, Get, Has

	Minor  int    // HTTP/1.Minor: 0 or 1
	Status int    // 100 to 599
	Reason []byte // the reason phrase, often empty

	Framing       Framing
	ContentLength int64 // as announced, also by a response to HEAD; -1 when it is not

	KeepAlive bool // the server lets the connection live on after the body
	WebSocket bool // 101 that switches to websocket
}

// Reset makes r ready for the next response. It keeps its memory.
func (r *Response) Reset() {
	r.reset()
	*r = Response{head: r.head}
}

// IsInterim reports whether another response to the same request follows: 1xx, but not 101.
func (r *Response) IsInterim() bool { return r.Status < 200 && r.Status != 101 }

// Parse reads the head of a response to a request with the given method. It is used
// like Request.Parse; its errors are of the side Upstream. Field names are passed
// as they are, with underscores too. How many interim responses are taken in a row
// is the caller's decision.
func (r *Response) Parse(b, method []byte, limits *Limits) (n int, err error) {
	lim := limits.orDefault()
	n, why := r.scan(b, &lim, lim.MaxHead, false)
	if why == ok && n > 0 {
		why = r.parse(b, method)
	}
	if why != ok {
		return 0, why.from(Upstream)
	}
	return n, nil
}

func (r *Response) parse(b, method []byte) reason {
	if why := r.parseStatusLine(r.startLine(b)); why != ok {
		return why
	}
	if why := r.parseFields(b, false); why != ok {
		return why
	}
	if why := r.parseBody(method); why != ok {
		return why
	}
	o, why := r.options()
	if why != ok {
		return why
	}
	r.KeepAlive = !o.close && (r.Minor == 1 || o.keepAlive) && r.Framing != Close && r.Status != 101 &&
		(r.Status != 204 || !r.announcesBody())
	r.WebSocket = r.Status == 101 && o.upgrade && r.wantsWebSocket()
	return ok
}

// announcesBody reports whether the head frames a body. With a 204 that is a mistake,
// and octets that come all the same would be taken for the next response.
func (r *Response) announcesBody() bool {
	return r.Has(TransferEncoding) || r.Has(ContentLength) && string(r.Get(ContentLength)) != "0"
}

// parseStatusLine takes "HTTP/1.1 200 OK", and "HTTP/1.1 200" without the space
// before an empty reason phrase, which many servers send (RFC 9112 section 4).
func (r *Response) parseStatusLine(line []byte) reason {
	if len(line) < len("HTTP/1.1 200") || line[8] != ' ' {
		return badStatus
	}
	minor, why := parseVersion(line[:8])
	if why != ok {
		return why
	}
	r.Minor = minor
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return badStatus
		}
		r.Status = r.Status*10 + int(c-'0')
	}
	if r.Status < 100 || r.Status > 599 {
		return badStatus
	}
	if rest := line[12:]; len(rest) > 0 {
		if rest[0] != ' ' || !validValue(rest) {
			return badStatus
		}
		r.Reason = rest[1:]
	}
	return ok
}

// parseBody decides how the end of the body is found (RFC 9112 section 6.3).
func (r *Response) parseBody(method []byte) reason {
	f, why := r.framing(r.Minor)
	if why != ok {
		return why
	}
	r.ContentLength = f.length
	switch {
	case r.Status < 200 || r.Status == 204:
		// RFC 9110 section 8.6: no Content-Length here; it could only mislead the client.
		r.ContentLength = -1
		if r.Has(ContentLength) {
			r.markHop([]byte("content-length"))
		}
	case r.Status == 304 || string(method) == "HEAD":
	case f.chunked:
		r.Framing = Chunked
	case f.length >= 0:
		r.Framing = Length
	default:
		r.Framing = Close
	}
	return ok
}
