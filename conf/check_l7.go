package conf

import (
	"slices"
	"strings"
)

// listener7 checks one [[l7]].
func (ck *checker) listener7(l *L7) {
	if !ck.has(&l.Listen) && l.Name != "" && !ck.handedOver(l.Name) {
		ck.add(ck.at(l), "", "[[l7]] %q has no listen, and no [[l4.route]] hands connections over to it", l.Name)
	}
	order(ck, &l.MaxURI, &l.MaxHeaderBytes, Size.String, "max_uri", "max_header_bytes", l)
	seen, regexes := first{}, 0
	for i := range l.Routes {
		r := &l.Routes[i]
		ck.refPool(&r.Pool)
		ck.l7Route(r, seen)
		if strings.HasPrefix(r.Path, "~") {
			if regexes++; regexes == maxRegexes+1 {
				ck.add(ck.at(&r.Path), "", "path: a listener may have at most %d regular expressions", maxRegexes)
			}
		}
	}
}

// handedOver reports whether a route of an [[l4]] names this [[l7]], or most
// likely means it: a mistyped name is reported where it stands.
func (ck *checker) handedOver(name string) bool {
	for i := range ck.c.L4 {
		for j := range ck.c.L4[i].Routes {
			to := ck.c.L4[i].Routes[j].L7
			if to == name || to != "" && ck.l7[to] == nil && near(to, ck.l7Names) == name {
				return true
			}
		}
	}
	return false
}

// l7Route checks that no earlier route matches the same requests in the same
// way: this one would never be reached by them.
func (ck *checker) l7Route(r *L7Route, seen first) {
	if r.Path == "" && ck.has(&r.Path) || ck.failed(&r.Host, r.Host) || ck.failed(&r.Method, r.Method) {
		return // what it was meant to match is not known
	}
	hosts, methods := orAny(r.Host), orAny(r.Method)
	for _, host := range hosts {
		for _, method := range methods {
			id := host + " " + method + " " + samePath(r.Path)
			at := ck.at(&r.Path, r)
			if before, ok := seen[id]; ok {
				ck.add(at, "", "the route on line %d already matches the same requests%s",
					ck.src.line(before.pos), described(host, method))
				return
			}
		}
	}
	for _, host := range hosts {
		for _, method := range methods {
			seen[host+" "+method+" "+samePath(r.Path)] = ck.at(&r.Path, r)
		}
	}
}

// failed reports whether an array was given and not all of it could be bound.
func (ck *checker) failed(field any, values []string) bool {
	if !ck.has(field) {
		return false
	}
	return len(values) == 0 || slices.Contains(values, "")
}

// orAny gives a list that was left out its one meaning.
func orAny(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

// described says which host and method two routes share.
func described(host, method string) string {
	s := ""
	if host != "" {
		s += " for host " + host
	}
	if method != "" {
		s += " with method " + method
	}
	return s
}
