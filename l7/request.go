package l7

import (
	"bytes"
	"time"

	"weir/l7/message"
	"weir/l7/route"
)

// canonicalise finds out who asks and by which name. The request itself is
// canonical already: message accepts nothing else.
func (x *exchange) canonicalise() verdict {
	x.trusted = len(x.l.trusted) > 0 && x.l.isTrusted(x.client.Addr())
	if x.l.redirect != nil {
		return x.redirect()
	}
	// A name that the client's TLS handshake did not ask for must be one that the
	// certificates stand for, or the wrong virtual host would answer.
	// A CONNECT names somebody else.
	if sni := x.c.from.SNI; x.l.certs != nil && sni != "" && !x.req.Connect && string(x.req.Host) != sni &&
		!x.l.certs.Covers(string(unbracket(x.req.Host))) {
		return x.refuse(421, message.Client, "misdirected", nil)
	}
	// RFC 9110 section 7.4: what asks for https must have come over TLS, here or at
	// a proxy in front that is trusted to say so.
	if x.req.Secure && x.scheme != "https" && !x.trusted {
		return x.refuse(421, message.Client, "misdirected", nil)
	}
	return next
}

func unbracket(host []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimPrefix(host, []byte("[")), []byte("]"))
}

// redirect answers a plain request with the place where the same is served by
// TLS. It only leads to hosts that a certificate of the listener stands for, so
// that it cannot be made to point elsewhere.
func (x *exchange) redirect() verdict {
	to := x.l.redirect
	if !to.certs.Covers(string(unbracket(x.req.Host))) || x.req.Path[0] != '/' {
		return x.refuse(404, message.Client, "no_route", nil)
	}
	location := append([]byte("https://"), x.req.Host...)
	location = append(location, to.port...)
	location = append(location, x.req.Path...)
	if x.req.HasQuery {
		location = append(location, '?')
		location = append(location, x.req.Query...)
	}
	x.reply = reply{status: 308, location: location}
	return respond
}

// findRoute finds the route of the canonical request.
func (x *exchange) findRoute() verdict {
	var began time.Time
	if x.timed {
		began = time.Now()
	}
	if x.req.Connect {
		return x.findConnect()
	}
	x.fillLookup()
	i, v := x.l.table.Find(&x.lookup)
	if x.timed {
		x.stages.Route = time.Since(began)
	}
	switch v {
	case route.Found:
		x.route = x.l.routes[i]
		x.takeSide()
		x.restoreTags()
		x.c.finCancels.Store(x.route.conf.OnClientFin == "cancel")
		return next
	case route.MethodNotAllowed:
		x.fail(message.Client, "method_not_allowed", nil)
		x.reply = reply{status: 405, allow: x.l.table.AppendAllow(nil, &x.lookup)}
		return respond
	}
	return x.refuse(404, message.Client, "no_route", nil)
}

// fillLookup tells the router about the canonical request.
func (x *exchange) fillLookup() {
	q, r := &x.lookup, &x.req
	q.Host, q.Path, q.Method, q.Query, q.Fields = r.Host, r.Match, r.Method, r.Query, r.Fields
	q.Trusted, q.Source = x.trusted, x.client.Addr().Unmap().WithZone("")
}

// guard refuses what the route does not take. A body without a length is
// counted while it is sent on.
func (x *exchange) guard() verdict {
	if x.ride.desk != nil && !x.route.rides {
		return leave
	}
	if limit := x.route.body; limit > 0 && x.req.ContentLength > limit {
		return x.refuse(413, message.Client, "body_too_large", nil)
	}
	if x.req.Has(message.MaxForwards) && string(x.req.Method) == "OPTIONS" {
		return x.countForward()
	}
	return next
}
