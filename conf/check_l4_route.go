package conf

import (
	"slices"
	"strconv"
	"strings"
)

// DefaultRoute is the name under which the pool of an [[l4]] with routes is shown.
const DefaultRoute = "default"

// DerivedName is the name of a route that has none in the file: the first of each
// of its conditions, as in "db.example.com+alpn:h2+source:10.0.0.0/8". No two routes
// of a checked listener have the same.
func (r *L4Route) DerivedName() string {
	var parts []string
	add := func(prefix string, list []string) {
		if len(list) > 0 {
			parts = append(parts, prefix+list[0])
		}
	}
	add("", r.SNI)
	add("alpn:", r.ALPN)
	add("protocol:", r.Protocol)
	add("source:", r.Source)
	return strings.Join(parts, "+")
}

// bySourceAlone reports whether r needs no first bytes.
func (r *L4Route) bySourceAlone() bool {
	return len(r.Source) > 0 && len(r.SNI) == 0 && len(r.ALPN) == 0 && len(r.Protocol) == 0
}

// forTLS reports whether r asks for TLS.
func (r *L4Route) forTLS() bool {
	return len(r.SNI) > 0 || len(r.ALPN) > 0 || slices.Contains(r.Protocol, "tls")
}

// l4Routes checks the routes of one [[l4]] and names those that have no name.
func (ck *checker) l4Routes(l *L4) {
	for i := range l.Routes {
		ck.l4Route(l, &l.Routes[i])
	}
	ck.sameConditions(l)
	ck.routeNames(l)
}

func (ck *checker) l4Route(l *L4, r *L4Route) {
	ck.refPool(&r.Pool)
	switch pool, l7 := ck.has(&r.Pool), ck.has(&r.L7); {
	case pool && l7:
		ck.add(ck.at(&r.L7), "", "[[l4.route]] has both pool and l7; it needs exactly one")
	case !pool && !l7:
		ck.add(ck.at(r), "", "[[l4.route]] needs pool or l7")
	}
	if !ck.has(&r.SNI) && !ck.has(&r.ALPN) && !ck.has(&r.Protocol) && !ck.has(&r.Source) {
		ck.add(ck.at(r), "", "[[l4.route]] needs at least one of sni, alpn, protocol and source; "+
			"what no route matches goes to the pool of the [[l4]]")
	}
	switch {
	case !ck.has(&r.Protocol):
	case l.UDP():
		ck.add(ck.at(&r.Protocol), "", "protocol: these are protocols over TCP; "+
			"on UDP a route can have sni, alpn and source")
	case l.Protocol != "auto":
		ck.add(ck.at(&r.Protocol), "", "protocol: the [[l4]] has protocol = %q, and routes can only tell "+
			"protocols apart with \"auto\"", l.Protocol)
	}
	if ck.has(&r.SNI) || ck.has(&r.ALPN) {
		for i := range r.Protocol {
			if p := &r.Protocol[i]; *p != "tls" && *p != "" {
				ck.add(ck.at(p), "", "protocol: %q has no TLS hello, which sni and alpn are in", *p)
			}
		}
	}
	ck.repeated("sni", r.SNI)
	ck.repeated("alpn", r.ALPN)
	ck.repeated("protocol", r.Protocol)
	ck.repeated("source", r.Source)
	if r.L7 != "" {
		ck.handOver(l, r)
	}
	ck.l4RouteTLS(l, r)
}

// repeated reports what a list has twice.
func (ck *checker) repeated(key string, list []string) {
	seen := first{}
	for i := range list {
		v := &list[i]
		if *v != "" && ck.again(seen, *v, ck.at(v)) > 0 {
			ck.add(ck.at(v), "", "%s: %q is already in this list", key, *v)
		}
	}
}

// sameConditions reports routes that no connection tells apart: they have the same
// conditions, and of each list one value in common.
func (ck *checker) sameConditions(l *L4) {
	var names []string
	byName := map[string][]*L4Route{}
	for i := range l.Routes {
		r := &l.Routes[i]
		if ck.failed(&r.SNI, r.SNI) || ck.failed(&r.ALPN, r.ALPN) ||
			ck.failed(&r.Protocol, r.Protocol) || ck.failed(&r.Source, r.Source) || r.DerivedName() == "" {
			continue // what it was meant to match is not known
		}
		for _, name := range orAny(r.SNI) {
			if byName[name] == nil {
				names = append(names, name)
			}
			byName[name] = append(byName[name], r)
		}
	}
	for _, name := range names {
		if same := byName[name]; len(same) > 1 {
			ck.sameByName(name, same)
		}
	}
}

func (ck *checker) sameByName(name string, routes []*L4Route) {
	bySource := map[string][]*L4Route{}
next:
	for _, r := range routes {
		for _, source := range orAny(r.Source) {
			for _, before := range bySource[source] {
				alpn, a := common(before.ALPN, r.ALPN)
				protocol, p := common(before.Protocol, r.Protocol)
				if a && p && before != r {
					both := L4Route{SNI: given(name), ALPN: given(alpn), Source: given(source)}
					both.Protocol = given(protocol)
					ck.add(ck.place(r, &both), "", "the route on line %d has the same conditions: %s",
						ck.src.line(ck.at(before).pos), both.conditions())
					continue next
				}
			}
			bySource[source] = append(bySource[source], r)
		}
	}
}

// common returns a value that both lists have. Two empty lists have in common that
// they ask for nothing.
func common(a, b []string) (string, bool) {
	if len(a) == 0 && len(b) == 0 {
		return "", true
	}
	for _, v := range b {
		if slices.Contains(a, v) {
			return v, true
		}
	}
	return "", false
}

func given(v string) []string {
	if v == "" {
		return nil
	}
	return []string{v}
}

// conditions says in words what r asks for.
func (r *L4Route) conditions() string {
	var parts []string
	for _, c := range []struct {
		key  string
		list []string
	}{{"sni", r.SNI}, {"alpn", r.ALPN}, {"protocol", r.Protocol}, {"source", r.Source}} {
		if len(c.list) > 0 {
			parts = append(parts, c.key+" "+strconv.Quote(c.list[0]))
		}
	}
	return strings.Join(parts, ", ")
}

// place finds where r says the first of what it has in common with another.
func (ck *checker) place(r, both *L4Route) span {
	for _, c := range [][2][]string{
		{both.SNI, r.SNI}, {both.ALPN, r.ALPN}, {both.Protocol, r.Protocol}, {both.Source, r.Source},
	} {
		if len(c[0]) > 0 {
			return ck.at(&c[1][slices.Index(c[1], c[0][0])], r)
		}
	}
	return ck.at(r)
}

// routeNames gives every route a name and reports those that two have.
func (ck *checker) routeNames(l *L4) {
	seen := map[string]*L4Route{}
	for i := range l.Routes {
		r := &l.Routes[i]
		own := ck.has(&r.Name)
		if !own {
			r.Name = r.DerivedName()
		}
		if r.Name == "" {
			continue
		}
		if own && r.Name == DefaultRoute {
			ck.add(ck.at(&r.Name), "", "name: %q stands for the pool of the [[l4]]", r.Name)
		}
		before := seen[r.Name]
		switch {
		case before == nil:
			seen[r.Name] = r
		case own || ck.has(&before.Name): // else their conditions are the same, which was said
			ck.add(ck.at(&r.Name, r), "", "name: the route on line %d has the name %q too",
				ck.src.line(ck.at(&before.Name, before).pos), r.Name)
		}
	}
}

// handOver checks that the [[l7]] that gets connections can serve them.
func (ck *checker) handOver(l *L4, r *L4Route) {
	target := ck.l7[r.L7]
	at := ck.at(&r.L7)
	has := func(protocol string) bool { return slices.Contains(r.Protocol, protocol) }
	switch {
	case target == nil:
		ck.dangling(&r.L7, "l7", "[[l7]] with the name "+strconv.Quote(r.L7), ck.l7Names)
	case l.Protocol == "postgres", has("postgres"):
		ck.add(at, "", "l7: a connection that speaks PostgreSQL cannot be served as HTTP")
	case l.Protocol == "mysql":
		ck.add(at, "", "l7: a connection that speaks MySQL cannot be served as HTTP")
	case has("http2"):
		ck.add(at, "", "l7: HTTP/2 without TLS can only be passed through to a pool")
	case has("http1") && target.TLS != nil:
		ck.add(at, "", "l7: %q has [l7.tls], but \"http1\" is HTTP without TLS", r.L7)
	case target.TLS != nil:
	case ck.has(&r.SNI):
		ck.add(at, "", "l7: %q has no [l7.tls], but connections with a server name are TLS", r.L7)
	case ck.has(&r.ALPN):
		ck.add(at, "", "l7: %q has no [l7.tls], but connections with ALPN are TLS", r.L7)
	case has("tls"), l.Protocol == "tls":
		ck.add(at, "", "l7: %q has no [l7.tls], but this route is for TLS", r.L7)
	}
}
