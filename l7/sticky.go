package l7

import (
	"strconv"
	"strings"

	"weir/conf"
	"weir/l7/route"
	"weir/pool/backend"
	"weir/pool/metric"
)

// pinning keeps clients on a server of a pool by a cookie: [pool.NAME.sticky].
type pinning struct {
	cookie     string
	attributes string // follow the value in a Set-Cookie field
	auto       bool   // Secure where the client's connection is

	kept, busy, moved, fresh *metric.Counter
}

func newPinning(p *conf.Pool, m *metric.Registry) *pinning {
	c := &p.Sticky
	if c.Cookie == "" {
		return nil
	}
	var b strings.Builder
	b.WriteString("; Path=" + c.Path)
	if c.Domain != "" {
		b.WriteString("; Domain=" + c.Domain)
	}
	if c.HTTPOnly {
		b.WriteString("; HttpOnly")
	}
	switch c.SameSite {
	case "strict":
		b.WriteString("; SameSite=Strict")
	case "none":
		b.WriteString("; SameSite=None")
	default:
		b.WriteString("; SameSite=Lax")
	}
	if age := c.MaxAge; age > 0 {
		b.WriteString("; Max-Age=" + strconv.Itoa(int(age.Seconds())))
	}
	if c.Secure == "always" {
		b.WriteString("; Secure")
	}
	return &pinning{
		cookie: c.Cookie, attributes: b.String(), auto: c.Secure == "auto",
		kept:  m.Counter(metric.BackendSticky, p.Name, "kept"),
		busy:  m.Counter(metric.BackendSticky, p.Name, "busy"),
		moved: m.Counter(metric.BackendSticky, p.Name, "moved"),
		fresh: m.Counter(metric.BackendSticky, p.Name, "new"),
	}
}

// pinned finds the server that the request's cookie names; nil: none that takes work.
func (x *exchange) pinned(r *routeState) (m *backend.Member, has bool) {
	if r.pinning == nil {
		return nil, false
	}
	value, has := route.Cookie(&x.lookup, r.pinning.cookie)
	if !has {
		return nil, false
	}
	return r.group.Pinned(value), true
}

// seek begins the search for a server.
func (x *exchange) seek() {
	hash, _ := x.hash(&x.route.hashKey)
	x.query.Reset(hash)
	x.pin, x.hadPin = x.pinned(x.route)
	x.query.Prefer(x.pin)
}

// appendPin appends the cookie that keeps the client on the server which has answered,
// where that is not the one that it came for. A server that is only too busy keeps
// its client.
func (x *exchange) appendPin(dst []byte) []byte {
	p := x.route.pinning
	switch {
	case p == nil, x.member == nil: // what is stored came from any
		return dst
	case x.pin == x.member:
		p.kept.Inc()
		return dst
	case x.pin != nil && !x.query.Tried(x.pin):
		p.busy.Inc()
		return dst
	case x.hadPin:
		p.moved.Inc()
	default:
		p.fresh.Inc()
	}
	value := x.member.Pin()
	if value == "" {
		return dst // a reload has just ended it
	}
	dst = append(dst, "Set-Cookie: "...)
	dst = append(dst, p.cookie...)
	dst = append(dst, '=')
	dst = append(dst, value...)
	dst = append(dst, p.attributes...)
	if p.auto && x.clientScheme() == "https" {
		dst = append(dst, "; Secure"...)
	}
	return append(dst, '\r', '\n')
}
