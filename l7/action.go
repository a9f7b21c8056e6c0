package l7

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"weir/conf"
	"weir/l7/compress"
	"weir/l7/h1"
	"weir/l7/message"
	"weir/l7/rewrite"
	"weir/l7/static"
	"weir/pool/backend"
)

// action is what a route does beside sending requests to its pool as they came. It
// is immutable. A route that does nothing else has none, and pays nothing for it.
type action struct {
	vars *rewrite.Path // source of the captures

	path     *rewrite.Template // nil: not rewritten
	hasQuery bool              // path makes the query too
	host     *rewrite.Template // nil: not rewritten, or without a variable
	request  fieldChanges
	response fieldChanges

	// Where no pool answers: one of these.
	redirect *redirect
	fixed    *fixed
	files    *static.Site
	prefix   string // that the route's path is, canonical and without its final slash; "": another kind, or all

	mirror  *mirror
	fault   *conf.Fault
	options *h1.Options // nil: those of the listener
}

// fieldChanges are the fields that a route sets, adds and takes away.
type fieldChanges struct {
	put  []field  // set and added
	drop []string // set and removed: lower case
}

type field struct {
	name  []byte
	known message.ID
	value *rewrite.Template
}

// drops reports whether a field is not to be sent on.
func (c *fieldChanges) drops(name []byte) bool {
	for _, d := range c.drop {
		if message.EqualFold(name, d) {
			return true
		}
	}
	return false
}

// variesBy reports whether a Vary field that is put names a field, in lower case.
func (c *fieldChanges) variesBy(name string, v *rewrite.Values) bool {
	for i := range c.put {
		f := &c.put[i]
		if f.known != message.Vary {
			continue
		}
		if list := f.value.AppendText(nil, v); message.HasToken(list, name) || message.HasToken(list, "*") {
			return true
		}
	}
	return false
}

// append appends the fields that are put.
func (c *fieldChanges) append(dst []byte, v *rewrite.Values) []byte {
	for i := range c.put {
		f := &c.put[i]
		dst = append(dst, f.name...)
		dst = append(dst, ':', ' ')
		dst = f.value.AppendText(dst, v)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// buildAction makes the action of a route, nil where it has none.
func (s *Server) buildAction(
	l *listener, c *conf.L7Route, pools []conf.Pool, groups func(string) *backend.Group,
) (a *action, err error) {
	a = &action{fault: c.Fault}
	if a.vars, err = rewrite.NewPath(c.Path); err != nil {
		return nil, err
	}
	if err = a.templates(c); err != nil {
		return nil, err
	}
	if c.Respond != nil {
		a.fixed = newFixed(c.Respond)
		if c.Compress != nil {
			a.fixed.encode(compress.New(c.Compress))
		}
	}
	if c.Files != nil {
		if a.files, err = static.New(c.Files, s.lookAside); err != nil {
			return nil, err
		}
		a.prefix = prefixOf(c.Path)
	}
	if c.Mirror != nil {
		if a.mirror, err = s.newMirror(c.Mirror, pools, groups); err != nil {
			return nil, err
		}
	}
	if c.BodyGrace != 0 || c.BodyMinRate != 0 {
		a.options = l.options()
		if c.BodyGrace != 0 {
			a.options.BodyGrace = c.BodyGrace
		}
		if c.BodyMinRate != 0 {
			a.options.BodyMinRate = int64(c.BodyMinRate)
		}
	}
	if a.isNothing() {
		return nil, nil
	}
	return a, nil
}

// prefixOf returns the prefix that a route's path is, canonical and without its final
// slash, "" where it is another kind of path or stands for all.
func prefixOf(path string) string {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "{}") {
		return ""
	}
	canonical, err := message.AppendPath(nil, []byte(path), true)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(canonical), "/")
}

func (a *action) isNothing() bool {
	return a.path == nil && a.host == nil && a.redirect == nil && a.fixed == nil && a.files == nil &&
		a.mirror == nil && a.fault == nil && a.options == nil &&
		len(a.request.put)+len(a.request.drop)+len(a.response.put)+len(a.response.drop) == 0
}

// templates compiles all that has variables.
func (a *action) templates(c *conf.L7Route) (err error) {
	if !c.RewritePath.IsZero() {
		if a.path, err = rewrite.Compile(&c.RewritePath, a.vars); err != nil {
			return err
		}
		a.hasQuery = a.path.HasQuery()
	}
	if c.RewriteHost.HasVariables() {
		if a.host, err = rewrite.Compile(&c.RewriteHost, a.vars); err != nil {
			return err
		}
	}
	if a.request, err = a.changes(&c.RequestHeaders); err != nil {
		return err
	}
	if a.response, err = a.changes(&c.ResponseHeaders); err != nil {
		return err
	}
	if c.Redirect == nil {
		return nil
	}
	a.redirect = &redirect{status: c.Redirect.Status, scheme: c.Redirect.Scheme, host: c.Redirect.Host}
	if !c.Redirect.Path.IsZero() {
		a.redirect.path, err = rewrite.Compile(&c.Redirect.Path, a.vars)
		if err != nil {
			return err
		}
		a.redirect.hasQuery = a.redirect.path.HasQuery()
	}
	return nil
}

func (a *action) changes(c *conf.FieldChanges) (out fieldChanges, err error) {
	for _, v := range slices.Concat(c.Set, c.Add) {
		t, err := rewrite.Compile(&v.Value, a.vars)
		if err != nil {
			return out, fmt.Errorf("cannot use field %q: %w", v.Name, err)
		}
		out.put = append(out.put, field{[]byte(v.Name), message.Lookup([]byte(v.Name)), t})
	}
	for _, v := range c.Set {
		out.drop = append(out.drop, strings.ToLower(v.Name))
	}
	for _, name := range c.Remove {
		out.drop = append(out.drop, strings.ToLower(name))
	}
	return out, nil
}

// fixed is an answer that is the same for all requests, but for its fields.
type fixed struct {
	status int
	typ    []byte // nil: no Content-Type
	body   []byte
	coded  [compress.NumCodings][]byte // body as each coding has it; nil: not encoded
}

func newFixed(c *conf.Respond) *fixed {
	f := &fixed{status: c.Status, body: []byte(c.Body)}
	if c.ContentType != "" {
		f.typ = []byte(c.ContentType)
	}
	return f
}

// encode encodes the body once for all clients, in each coding of the route.
func (f *fixed) encode(p *compress.Policy) {
	for _, c := range p.Codings() {
		f.coded[c] = compress.Encode(c, p.Level(c, 0), f.body)
	}
}

// redirectBody is for the few clients that do not follow a redirect.
func redirectBody(status int) []byte {
	return append(strconv.AppendInt(nil, int64(status), 10), " The answer is elsewhere: see Location.\n"...)
}
