package l7

import (
	"net/netip"
	"strconv"

	"weir/l7/message"
)

// transform builds the head that the client gets from the backend's: end-to-end
// fields in order, case and number as received, without what the configuration
// hides, names of servers replaced by the public host, with a Date, framed for this client.
func (x *exchange) transform() verdict {
	x.judge()
	if x.req.Connect {
		return x.acceptConnect()
	}
	x.frame()
	x.chooseCoding()
	r := &x.res
	x.status = r.Status
	head := x.h.AvailableBuffer()
	head = message.AppendStatusLine(head, r.Status, r.Reason)
	head, dated := x.appendFields(head)
	if !dated {
		head = x.appendDate(head)
	}
	if x.coder.judged {
		head = x.appendCodingFields(head)
	}
	head = x.appendPin(x.appendSticky(head))
	switch {
	case x.framing == message.Chunked:
		head = append(head, "Transfer-Encoding: chunked\r\n"...)
	case r.WebSocket:
		head = append(head, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	}
	if act := x.route.act; act != nil {
		head = act.response.append(head, &x.acted.values)
	}
	if !r.WebSocket {
		head = x.appendConnection(head, x.mayKeepAlive() && x.framing != message.Close)
	}
	x.head = append(head, '\r', '\n')
	return next
}

// appendFields appends the backend's fields as this client gets them, and reports
// whether there is a Date, or is to be none.
func (x *exchange) appendFields(head []byte) (_ []byte, dated bool) {
	hides, dated := len(x.route.hidden) > 0, x.route.undated
	for i := range x.res.Fields {
		f := &x.res.Fields[i]
		dated = dated || f.Known == message.Date && !f.Hop
		if f.Hop || hides && x.route.hides(f.Name) {
			continue
		}
		done := false
		if f.Known != message.Unknown {
			head, done = x.appendPublic(head, f)
		}
		if !done && x.coder.judged {
			head, done = x.appendCoded(head, f)
		}
		if !done {
			head = message.AppendField(head, f.Name, f.Value)
		}
	}
	return head, dated
}

// frame decides how the client finds the end of the body (RFC 9112 section 6.3).
func (x *exchange) frame() {
	x.framing, x.length = x.res.Framing, x.res.ContentLength
	if x.framing == message.Length || x.framing == message.None {
		return
	}
	// A body without a length is chunked where the client knows chunks, whatever
	// the backend used: the end of a connection cannot tell whole from cut.
	x.framing = message.Chunked
	if x.req.Minor == 0 {
		x.framing = message.Close
	}
}

// appendPublic appends fields that may name a server of the pool; others are left
// to the caller.
func (x *exchange) appendPublic(dst []byte, f *message.Field) ([]byte, bool) {
	switch f.Known {
	case message.Location, message.ContentLocation, message.Refresh, message.SetCookie:
	default:
		return dst, false
	}
	start := len(dst)
	dst = append(dst, f.Name...)
	dst = append(dst, ':', ' ')
	var ok bool
	names := x.route.names
	by := answerer{host: x.acted.asked}
	by.addr, _ = netip.ParseAddrPort(x.server())
	switch f.Known {
	case message.Refresh:
		dst, ok = names.appendPublicRefresh(dst, f.Value, by, x.clientScheme(), x.req.Authority)
	case message.SetCookie:
		dst, ok = names.appendPublicCookie(dst, f.Value, by, unbracket(x.req.Host))
	default:
		dst, ok = names.appendPublicURL(dst, f.Value, by, x.clientScheme(), x.req.Authority)
	}
	if !ok {
		return dst[:start], false
	}
	return append(dst, '\r', '\n'), true
}

// server names the server that the response is from, and once was where it is stored.
func (x *exchange) server() string {
	if s := &x.cached.serving; s.on {
		return string(s.server)
	}
	return x.backend
}

// appendInterim appends the head of an interim response (RFC 9110 section 15.2).
func (x *exchange) appendInterim(dst []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(x.res.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, x.res.Reason...)
	dst = append(dst, '\r', '\n')
	for i := range x.res.Fields {
		if f := &x.res.Fields[i]; !f.Hop && !x.route.hides(f.Name) {
			dst = message.AppendField(dst, f.Name, f.Value)
		}
	}
	return append(dst, '\r', '\n')
}
