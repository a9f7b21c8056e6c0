package l7

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"

	"weir/l7/cache/policy"
	"weir/l7/message"
)

// appendRequestHead appends the head that goes to the backend: the canonical
// request with its end-to-end fields in order, case and number as received,
// without what was meant for this connection (RFC 9110 section 7.6.1), and with
// what tells the backend about the client. Identity fields of a client that is
// not a trusted proxy are replaced, never added to.
func (x *exchange) appendRequestHead(dst []byte) []byte {
	r := &x.req
	dst = append(dst, r.Method...)
	dst = append(dst, ' ')
	switch {
	case x.acted.target != nil:
		dst = append(dst, x.acted.target...)
	case r.HasQuery:
		dst = append(dst, r.Path...)
		dst = append(dst, '?')
		dst = append(dst, r.Query...)
	default:
		dst = append(dst, r.Path...)
	}
	dst = append(dst, " HTTP/1.1\r\n"...)
	if !r.Has(message.Host) {
		dst = message.AppendField(dst, fieldHost, x.upstreamHost())
	}
	act := x.route.act
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case f.Hop, act != nil && act.request.drops(f.Name):
			continue
		case f.Known == message.Host:
			dst = message.AppendField(dst, f.Name, x.upstreamHost())
			continue
		case f.Known == message.Expect && !r.Expect100, f.Known == message.AcceptEncoding && x.asksIdentity():
			continue
		case f.Known == message.MaxForwards && x.forwards > 0:
			dst = appendForwards(dst, f, x.forwards)
			continue
		case f.IsIdentity() && !x.keepsIdentity(f):
			continue
		case x.cached.asks && policy.IsReplacedByConditions(f.Known):
			continue
		}
		dst = message.AppendField(dst, f.Name, f.Value)
	}
	dst = x.appendForwarding(dst)
	if c := &x.cached; c.asks && c.ref.Held() {
		_, head := cutServer(c.ref.Head())
		dst = policy.AppendConditions(dst, c.ref.Meta(), head)
	}
	if c := &x.cached; c.slices.span.Length > 0 {
		dst = appendRange(dst, c.slices.span)
	}
	if x.asksIdentity() {
		dst = append(dst, "Accept-Encoding: identity\r\n"...)
	}
	if act != nil {
		dst = act.request.append(dst, &x.acted.values)
	}
	switch {
	case r.WebSocket:
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	case r.Framing == message.Chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(dst, '\r', '\n')
}

// asksIdentity reports whether servers are asked not to encode, so that Weir does.
func (x *exchange) asksIdentity() bool {
	c := x.route.conf.Compress
	return c != nil && c.AcceptEncoding == "identity"
}

var fieldHost = []byte("Host")

// upstreamHost is the Host that the backend sees.
func (x *exchange) upstreamHost() []byte {
	switch {
	case x.acted.host != nil:
		return x.acted.host
	case !x.route.conf.RewriteHost.IsZero():
		return append(x.hostBuf[:0], x.route.conf.RewriteHost.Text...)
	case x.req.Authority != nil:
		return x.req.Authority
	}
	// HTTP/1.0 without Host: HTTP/1.1 needs one (RFC 9112 section 3.2).
	return append(x.hostBuf[:0], x.member.Name()...)
}

// keepsIdentity reports whether an identity field goes on as it is; X-Forwarded-For
// and X-Request-Id are always written anew.
func (x *exchange) keepsIdentity(f *message.Field) bool {
	return x.trusted && f.Known != message.XForwardedFor && f.Known != message.XRequestID
}

// appendForwarding appends what tells the backend about the client.
func (x *exchange) appendForwarding(dst []byte) []byte {
	r := &x.req
	dst = append(dst, "X-Forwarded-For: "...)
	if x.trusted {
		for i := range r.Fields {
			if f := &r.Fields[i]; f.Known == message.XForwardedFor && len(f.Value) > 0 {
				dst = append(dst, f.Value...)
				dst = append(dst, ", "...)
			}
		}
	}
	dst = appendClient(dst, x.client)
	dst = append(dst, "\r\n"...)
	if !x.trusted || !r.Has(message.XForwardedProto) {
		dst = append(dst, "X-Forwarded-Proto: "...)
		dst = append(dst, x.scheme...)
		dst = append(dst, "\r\n"...)
	}
	if r.Authority != nil && (!x.trusted || !r.Has(message.XForwardedHost)) {
		dst = append(dst, "X-Forwarded-Host: "...)
		dst = append(dst, r.Authority...)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "X-Request-Id: "...)
	dst = append(dst, x.requestID()...)
	dst = append(dst, "\r\n"...)
	if x.l.conf.Forwarded {
		dst = x.appendForwarded(dst)
	}
	if x.l.conf.Via {
		dst = append(dst, "Via: 1."...)
		dst = append(dst, '0'+byte(r.Minor))
		dst = append(dst, " weir\r\n"...)
	}
	return dst
}

// appendForwarded appends the field of RFC 7239. A further field line continues
// the list of one that a trusted proxy sent.
func (x *exchange) appendForwarded(dst []byte) []byte {
	dst = append(dst, "Forwarded: for="...)
	addr := x.client.Addr().Unmap()
	switch {
	case !addr.IsValid():
		dst = append(dst, "unknown"...)
	case addr.Is6():
		dst = append(dst, `"[`...)
		dst = addr.WithZone("").AppendTo(dst)
		dst = append(dst, `]"`...)
	default:
		dst = addr.AppendTo(dst)
	}
	dst = append(dst, ";proto="...)
	dst = append(dst, x.scheme...)
	if x.req.Authority != nil {
		// Valid hosts have neither quotes nor backslashes: nothing to escape.
		dst = append(dst, `;host="`...)
		dst = append(dst, x.req.Authority...)
		dst = append(dst, '"')
	}
	return append(dst, "\r\n"...)
}

// appendClient appends the address of a client; one on a unix socket has none.
func appendClient(dst []byte, client netip.AddrPort) []byte {
	if !client.IsValid() {
		return append(dst, "unknown"...)
	}
	return client.Addr().Unmap().WithZone("").AppendTo(dst)
}

// maxRequestID bounds an id that is taken over from a trusted proxy.
const maxRequestID = 128

// requestID returns the id of the exchange: that of a trusted proxy where it is a
// plain token, else 128 random bits in hex. It lives as long as the exchange.
func (x *exchange) requestID() []byte {
	if len(x.id) > 0 {
		return x.id
	}
	if x.trusted {
		if id := x.req.Get(message.XRequestID); len(id) <= maxRequestID && message.ValidName(id) {
			x.id = append(x.id, id...)
			return x.id
		}
	}
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	x.id = hex.AppendEncode(x.id, raw[:])
	return x.id
}
