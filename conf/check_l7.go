package conf

import "slices"

// listener7 checks one [[l7]].
func (ck *checker) listener7(l *L7) {
	if !ck.has(&l.Listen) && l.Name != "" && !ck.handedOver(l.Name) {
		ck.add(ck.at(l), "", "[[l7]] %q has no listen, and no [[l4.route]] hands connections over to it", l.Name)
	}
	order(ck, &l.MaxURI, &l.MaxHeaderBytes, Size.String, "max_uri", "max_header_bytes", l)
	seen, regexes := first{}, 0
	for i := range l.Routes {
		r := &l.Routes[i]
		ck.l7Split(r)
		ck.l7Match(r)
		ck.retry(r)
		ck.l7Route(r, seen)
		ck.l7Actions(l, r)
		before := regexes
		if regexes += r.numRegexes(); before <= maxRegexes && regexes > maxRegexes {
			ck.add(ck.at(&r.Path, r), "", "a listener may have at most %d regular expressions", maxRegexes)
		}
	}
	ck.l7RouteNames(l)
	ck.l7Connects(l)
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
	if r.Path == "" && ck.has(&r.Path) || ck.failed(&r.Host, r.Host) || ck.failed(&r.Method, r.Method) ||
		ck.failed(&r.Source, r.Source) || unknownConditions(slices.Concat(r.Header, r.Query, r.Cookie)) {
		return // what it was meant to match is not known
	}
	rest := "\n" + samePath(r.Path) + "\n" + r.sameConditions()
	at := ck.at(&r.Path, r)
	var ids []string
	for _, host := range orAny(r.Host) {
		for _, method := range orAny(r.Method) {
			for _, source := range orAny(r.Source) {
				id := host + " " + method + " " + source + rest
				if before, ok := seen[id]; ok {
					ck.add(at, "", "the route on line %d already matches the same requests%s",
						ck.src.line(before.pos), described(host, method, source))
					return
				}
				ids = append(ids, id)
			}
		}
	}
	for _, id := range ids {
		seen[id] = at
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

// described says which host, method and network two routes share.
func described(host, method, source string) string {
	s := ""
	if host != "" {
		s += " for host " + host
	}
	if method != "" {
		s += " with method " + method
	}
	if source != "" {
		s += " from " + source
	}
	return s
}
