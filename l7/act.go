package l7

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"weir/l7/message"
	"weir/l7/rewrite"
)

// acted is what the action of a route made of one request.
type acted struct {
	values rewrite.Values
	target []byte // path and query for the server; nil: as received
	host   []byte // for the server; nil: see upstreamHost
	asked  []byte // host in its form for matching, without brackets
	buf    []byte // holds target and host, and is kept for the next request
	check  []byte // scratch of path checks, kept too

	rendered []byte // values of response fields, for judgeOwn; kept too

	answer   func(*exchange) verdict // delivers an answer of the route's own; nil: another one
	location []byte
	file     fileAnswer
	opening  bool    // a goroutine goes on with openFile; nothing else of the action is to be done again
	mirrored *copied // what is kept of the request for a mirror; nil: nothing
	slowed   bool    // the limits of the connection are those of the route
}

// reset makes it ready for the next request and keeps its memory.
func (a *acted) reset() {
	a.opening, a.file.opened, a.file.weak = false, false, false
	a.target, a.host, a.asked, a.answer, a.location, a.mirrored, a.slowed = nil, nil, nil, nil, nil, nil, false
	a.buf = a.buf[:0]
}

// act does what the route says beside its pool. Nothing that it makes of the
// request is looked at by a later step that decides: the route is found, and what is
// logged is what the client asked for.
func (x *exchange) act() verdict {
	a := x.route.act
	if a == nil {
		return next
	}
	if x.acted.opening {
		return x.openFile(a)
	}
	if a.options != nil {
		x.h.SetOptions(a.options)
		x.acted.slowed = true
	}
	x.beginValues(a)
	if a.fault != nil {
		if v := x.injectFault(); v != next {
			return v
		}
	}
	switch {
	case a.redirect != nil:
		return x.redirectTo(a.redirect)
	case a.fixed != nil:
		x.acted.answer = (*exchange).deliverFixed
		return respond
	}
	if v := x.rewrite(a); v != next {
		return v
	}
	if a.files != nil {
		return x.openFile(a)
	}
	if a.mirror != nil {
		x.beginMirror(a.mirror)
	}
	return next
}

// beginValues takes what templates may ask for from the request.
func (x *exchange) beginValues(a *action) {
	v, r := &x.acted.values, &x.req
	v.Client, v.Scheme, v.Host = x.client.Addr(), x.clientScheme(), r.Host
	v.Method, v.Path, v.Query, v.RequestID = r.Method, r.Path, r.Query, x.requestID()
	v.Begin(a.vars, r.Match)
}

// clientScheme is the scheme that the client used, as a trusted proxy says where
// there is one.
func (x *exchange) clientScheme() string {
	if x.trusted {
		switch proto := x.req.Get(message.XForwardedProto); {
		case message.EqualFold(proto, "https"):
			return "https"
		case message.EqualFold(proto, "http"):
			return "http"
		}
	}
	return x.scheme
}

// rewrite makes the path and the host that the server gets. A value may make
// something of them that no request has, such as a dot segment: that is the
// client's doing and answered with 400.
func (x *exchange) rewrite(a *action) verdict {
	t := &x.acted
	if a.path != nil && x.req.Path[0] == '/' { // "*" of OPTIONS stays
		ok := false
		t.target = x.appendTarget(t.buf, a.path, a.hasQuery)
		if ok, t.check = rewrite.ValidPath(t.target, t.check, x.l.limits.AllowEncodedSlash); !ok {
			return x.refuse(400, message.Client, "bad_rewrite", nil)
		}
		t.buf = t.target
	}
	if a.host != nil {
		n := len(t.buf)
		t.buf = a.host.AppendText(t.buf, &t.values)
		t.host = t.buf[n:len(t.buf):len(t.buf)]
		var err error
		if t.check, err = message.AppendHost(t.check[:0], t.host); err != nil {
			return x.refuse(400, message.Client, "bad_rewrite", nil)
		}
		t.asked = unbracket(t.check)
	}
	return next
}

// appendTarget appends what a path template makes, with the client's query unless
// the template has one of its own.
func (x *exchange) appendTarget(dst []byte, t *rewrite.Template, hasQuery bool) []byte {
	dst = t.AppendPath(dst, &x.acted.values)
	if hasQuery {
		if dst[len(dst)-1] == '?' {
			dst = dst[:len(dst)-1] // how a template says that there is none
		}
		return dst
	}
	if x.req.HasQuery {
		dst = append(dst, '?')
		dst = append(dst, x.req.Query...)
	}
	return dst
}

// faultStep is how often a delay looks whether its client is still there.
const faultStep = 100 * time.Millisecond

// injectFault holds the request back, or fails it, or neither.
func (x *exchange) injectFault() verdict {
	f := x.route.act.fault
	if f.Delay > 0 && drawn(f.DelayPercent) {
		x.c.await()
		gone := x.sleep(f.Delay)
		x.c.awaited()
		if gone {
			x.fail(message.Client, "client_gone", nil)
			return end
		}
	}
	if f.Abort == 0 || !drawn(f.AbortPercent) {
		return next
	}
	v := x.refuse(f.Abort, message.Internal, "fault_injected", nil)
	x.reply.text = "This failure was asked for by the configuration."
	return v
}

// drawn is true for that many of a hundred calls.
func drawn(percent int) bool { return percent >= 100 || rand.IntN(100) < percent }

// sleep waits, and reports whether the client went away meanwhile.
func (x *exchange) sleep(d time.Duration) (gone bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for until := time.Now().Add(d); ; {
		<-timer.C
		left := time.Until(until)
		switch {
		case x.c.isGone():
			return true
		case left <= 0:
			return false
		}
		timer.Reset(min(left, faultStep))
	}
}

// redirect is a compiled [l7.route.redirect].
type redirect struct {
	status   int
	scheme   string // "": the client's
	host     string // "": as asked for
	path     *rewrite.Template
	hasQuery bool
}

// errCircle is the cause when a redirect would lead to where it is.
var errCircle = errors.New("the redirect leads to the very request that it answers")

// redirectTo answers with the place where the client should ask. It is either a path
// alone, which never begins with two slashes, or begins with a scheme and a host
// that the file names or the client asked for, followed by a path: nothing else that
// the client sent can become a host.
func (x *exchange) redirectTo(d *redirect) verdict {
	r, t := &x.req, &x.acted
	if r.Path[0] != '/' {
		return x.refuse(400, message.Client, "bad_redirect", nil) // "*" of OPTIONS
	}
	target := t.buf
	if d.path != nil {
		target = x.appendTarget(target, d.path, d.hasQuery)
	} else {
		target = append(target, r.Path...)
		if r.HasQuery {
			target = append(target, '?')
			target = append(target, r.Query...)
		}
	}
	t.buf = target
	valid := false
	if valid, t.check = rewrite.ValidPath(target, t.check, x.l.limits.AllowEncodedSlash); !valid {
		return x.refuse(400, message.Client, "bad_redirect", nil)
	}
	location, v := x.appendLocation(nil, d, target)
	if v != next {
		return v
	}
	t.location = location
	t.answer = (*exchange).deliverFixed
	return respond
}

// appendLocation appends the Location of a redirect to target.
func (x *exchange) appendLocation(dst []byte, d *redirect, target []byte) ([]byte, verdict) {
	r, scheme := &x.req, x.acted.values.Scheme
	to, host := d.scheme, []byte(d.host)
	if to == "" {
		to = scheme
	}
	if d.scheme == "" && d.host == "" {
		// "//host" is the address of another host (RFC 3986 section 4.2).
		for len(target) > 1 && target[1] == '/' {
			target = target[1:]
		}
	} else {
		switch {
		case d.host == "" && to == scheme:
			host = r.Authority
		case d.host == "":
			host = r.Host // the port of the other scheme is another one
		}
		if len(host) == 0 {
			return dst, x.refuse(400, message.Client, "no_host", nil)
		}
		dst = append(dst, to...)
		dst = append(dst, "://"...)
		dst = append(dst, host...)
	}
	if to == scheme && (d.host == "" || message.EqualFold(r.Authority, d.host)) && x.isSelf(target) {
		return dst, x.refuse(500, message.Internal, "redirect_circle",
			fmt.Errorf("cannot redirect on route %q: %w", x.route.name, errCircle))
	}
	return append(dst, target...), next
}

// isSelf reports whether target is what the client asked for.
func (x *exchange) isSelf(target []byte) bool {
	r := &x.req
	n := len(r.Path)
	if !r.HasQuery {
		return string(target) == string(r.Path)
	}
	return len(target) == n+1+len(r.Query) && string(target[:n]) == string(r.Path) && target[n] == '?' &&
		string(target[n+1:]) == string(r.Query)
}

// endAct ends what the action began, after the client has its answer.
func (x *exchange) endAct() {
	x.mirror()
	if x.acted.slowed {
		x.acted.slowed = false
		x.h.SetOptions(x.l.options())
	}
	if f := &x.acted.file; f.File != nil { // it was found and not delivered
		_ = f.Close()
		f.File = nil
	}
}
