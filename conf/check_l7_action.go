package conf

import (
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// l7Actions checks what a route does: exactly one thing, and only with keys that
// mean something beside it.
func (ck *checker) l7Actions(l *L7, r *L7Route) {
	ck.oneTarget(r)
	ck.routeCache(r)
	if r.Redirect != nil {
		ck.redirect(l, r)
	}
	if a := r.Respond; a != nil {
		ck.respond(a)
	}
	if m := r.Mirror; m != nil {
		ck.refPool(&m.Pool)
		if !ck.has(&r.Pool) && !ck.has(&r.Split) && ck.targets(r) == 1 {
			ck.add(ck.at(&r.Mirror), "", "mirror: only requests that go to a pool can be mirrored")
		}
	}
	if f := r.Fault; f != nil && !ck.has(&f.Delay) && !ck.has(&f.Abort) {
		ck.add(ck.at(&r.Fault), "", "[l7.route.fault] needs delay or abort")
	}
	if c := r.Compress; c != nil {
		ck.compress(c)
		ck.codedFields(&r.ResponseHeaders)
	}
	ck.fieldChanges("request_headers", &r.RequestHeaders)
	ck.fieldChanges("response_headers", &r.ResponseHeaders)
	ck.templates(r)
}

// targets counts what the route says about where its requests end.
func (ck *checker) targets(r *L7Route) int {
	n := 0
	for _, field := range []any{&r.Pool, &r.Split, &r.Redirect, &r.Respond, &r.Files} {
		if ck.has(field) {
			n++
		}
	}
	return n
}

// oneTarget checks that it is one, and that no key is there that needs another.
func (ck *checker) oneTarget(r *L7Route) {
	switch n := ck.targets(r); {
	case n == 0:
		ck.add(ck.at(r), "", "[[l7.route]] needs pool, split, redirect, respond or files")
		return
	case n > 1:
		ck.add(ck.at(&r.Files, &r.Respond, &r.Redirect, &r.Split, r), "",
			"[[l7.route]] has more than one of pool, split, redirect, respond and files; it needs exactly one")
		return
	case ck.has(&r.Pool), ck.has(&r.Split):
		return
	}
	unused := func(field any, name string) {
		if ck.has(field) {
			ck.add(ck.at(field), "", "%s: it does nothing on a route without a pool", name)
		}
	}
	unused(&r.RewriteHost, "rewrite_host")
	unused(&r.ResponseHeaderTimeout, "response_header_timeout")
	unused(&r.ReadTimeout, "read_timeout")
	unused(&r.Timeout, "timeout")
	unused(&r.RequestBuffer, "request_buffer")
	unused(&r.Retry, "retry")
	switch c := r.Compress; {
	case ck.has(&r.Redirect):
		unused(&r.Compress, "compress")
	case c != nil:
		unused(&c.AcceptEncoding, "accept_encoding")
		unused(&c.Dictionary, "dictionary")
	}
	unused(&r.RequestHeaders, "request_headers")
	if r.Files == nil {
		unused(&r.RewritePath, "rewrite_path")
	}
}

// redirect checks that a redirect leads away from where it is.
func (ck *checker) redirect(l *L7, r *L7Route) {
	d := r.Redirect
	if ck.has(&d.Scheme) || ck.has(&d.Host) || ck.has(&d.Path) {
		if d.Scheme == "https" && l.TLS != nil && !ck.has(&d.Host) && !ck.has(&d.Path) {
			ck.add(ck.at(&d.Scheme), "", "scheme: the listener has [l7.tls], so every request here has come by https "+
				"and would be sent in a circle; redirect of [l7.tls] sends plain HTTP to https")
		}
		return
	}
	ck.add(ck.at(&r.Redirect), "", "[l7.route.redirect] needs scheme, host or path, or it leads to where the client is")
}

// respond checks that a body can be sent with the status.
func (ck *checker) respond(a *Respond) {
	if !ck.has(&a.Body) {
		if ck.has(&a.ContentType) {
			ck.add(ck.at(&a.ContentType), "", "content_type: there is no body")
		}
		return
	}
	if slices.Contains([]int{204, 205, 304}, a.Status) && a.Body != "" {
		ck.add(ck.at(&a.Body), "", "body: a response with status %d has none (RFC 9110 section 15)", a.Status)
	}
	if a.Body != "" && a.ContentType == "" && !ck.has(&a.ContentType) {
		a.ContentType = "text/plain; charset=utf-8"
	}
}

// fieldChanges checks that no field is changed in two ways.
func (ck *checker) fieldChanges(key string, c *FieldChanges) {
	for _, list := range [][]FieldValue{c.Set, c.Add} {
		seen := first{}
		for i := range list {
			v := &list[i]
			if v.Name == "" {
				continue
			}
			if line := ck.again(seen, strings.ToLower(v.Name), ck.at(&v.Name)); line > 0 {
				ck.add(ck.at(&v.Name), "", "%s: %q is already there on line %d; case does not matter",
					key, v.Name, line)
			}
		}
	}
	for i := range c.Remove {
		name := &c.Remove[i]
		for j := range c.Set {
			if *name != "" && strings.EqualFold(*name, c.Set[j].Name) {
				ck.add(ck.at(name), "", "%s: %q is set too, which removes what was there", key, *name)
			}
		}
	}
}

// templates checks that each variable of the route's templates has a value.
func (ck *checker) templates(r *L7Route) {
	own := pathVariables(r.Path)
	check := func(key string, t *Template) {
		for _, p := range t.Parts {
			if p.Variable != "" {
				ck.variable(key, t, p.Variable, r.Path, own)
			}
		}
	}
	check("rewrite_path", &r.RewritePath)
	check("rewrite_host", &r.RewriteHost)
	if r.Redirect != nil {
		check("path", &r.Redirect.Path)
	}
	for _, c := range []*FieldChanges{&r.RequestHeaders, &r.ResponseHeaders} {
		for _, list := range [][]FieldValue{c.Set, c.Add} {
			for i := range list {
				check(list[i].Name, &list[i].Value)
			}
		}
	}
}

func (ck *checker) variable(key string, t *Template, name, path string, own []string) {
	fixed, mine := slices.Contains(Variables(), name), slices.Contains(own, name)
	at := ck.at(t)
	switch {
	case fixed && mine:
		ck.add(at, "", "%s: {%s} is a variable of the path %q and of every request; "+
			"give the one of the path another name", key, name, path)
	case !fixed && !mine:
		suggestion := near(name, slices.Concat(own, Variables()))
		if suggestion != "" {
			suggestion = "{" + suggestion + "}"
		}
		ck.add(at, suggestion, "%s: there is no variable {%s}: the path %s, and every request has %s",
			key, name, variablesOf(path, own), strings.Join(Variables(), ", "))
	}
}

// variablesOf says which variables a path has.
func variablesOf(path string, own []string) string {
	if len(own) == 0 {
		return strconv.Quote(path) + " has none"
	}
	return strconv.Quote(path) + " has " + strings.Join(own, ", ")
}

// pathVariables are the variables that a route's path has.
func pathVariables(path string) []string {
	if re, ok := strings.CutPrefix(path, "~"); ok {
		return groups(re)
	}
	if path == "" || path[0] == '=' {
		return nil
	}
	if !strings.ContainsAny(path, "{}") {
		return []string{PathRest}
	}
	var names []string
	for segment := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(segment, "{") {
			names = append(names, strings.Trim(segment, "{}"))
		}
	}
	return names
}

// groups are the numbers and names of a regular expression's groups.
func groups(re string) []string {
	parsed, err := syntax.Parse(re, syntax.Perl)
	if err != nil {
		return nil // reported where it stands
	}
	var all []string
	for i, name := range parsed.CapNames() {
		if i == 0 {
			continue
		}
		all = append(all, strconv.Itoa(i))
		if name != "" {
			all = append(all, name)
		}
	}
	return all
}
