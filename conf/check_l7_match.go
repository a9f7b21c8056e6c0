package conf

import (
	"slices"
	"strconv"
	"strings"
)

// DerivedName is the name of a route that has none in the file: its methods, the
// first host, the path, and the first of each of the other conditions, as in
// "GET www.example.com/api/+header:X-Version=2+source:10.0.0.0/8". "*" is the route
// that matches everything.
func (r *L7Route) DerivedName() string {
	var b strings.Builder
	if len(r.Method) > 0 {
		b.WriteString(strings.Join(r.Method, ",") + " ")
	}
	if len(r.Host) > 0 {
		b.WriteString(r.Host[0])
	}
	b.WriteString(r.Path)
	for _, c := range r.conditions() {
		b.WriteString("+" + c)
	}
	if len(r.Source) > 0 {
		b.WriteString("+source:" + r.Source[0])
	}
	if b.Len() == 0 {
		return "*"
	}
	return b.String()
}

// conditions gives those on fields, parameters and cookies in words.
func (r *L7Route) conditions() []string {
	var all []string
	add := func(kind string, list []Condition) {
		for i := range list {
			all = append(all, kind+":"+list[i].String())
		}
	}
	add("header", r.Header)
	add("query", r.Query)
	add("cookie", r.Cookie)
	return all
}

// String gives the condition in short: "name", "!name", "name=value", "name=prefix*"
// or "name~regex". Of several values it has all, with "|" between them.
func (c *Condition) String() string {
	switch {
	case c.Absent:
		return "!" + c.Name
	case len(c.Exact) > 0:
		return c.Name + "=" + strings.Join(c.Exact, "|")
	case c.Prefix != "":
		return c.Name + "=" + c.Prefix + "*"
	case c.Regex != "":
		return c.Name + "~" + c.Regex
	}
	return c.Name
}

// l7Match checks the conditions of one route.
func (ck *checker) l7Match(r *L7Route) {
	for _, list := range [...]struct {
		key        string
		conditions []Condition
	}{{"header", r.Header}, {"query", r.Query}, {"cookie", r.Cookie}} {
		if n := len(list.conditions); n > maxConditions {
			ck.add(ck.at(&list.conditions[maxConditions]), "", "%s: %d conditions are more than the allowed %d",
				list.key, n, maxConditions)
		}
		seen := first{}
		for i := range list.conditions {
			c := &list.conditions[i]
			ck.condition(list.key, c)
			id := c.same(list.key)
			if c.Name != "" && ck.again(seen, id, ck.at(c, &c.Name)) > 0 {
				ck.add(ck.at(c, &c.Name), "", "%s: the same condition is already in this list", list.key)
			}
		}
	}
	ck.repeated("source", r.Source)
}

// maxConditions bounds the conditions of one kind of one route.
const maxConditions = 16

func (ck *checker) condition(key string, c *Condition) {
	var given []string
	for _, k := range []struct {
		name  string
		field any
	}{{"exact", &c.Exact}, {"prefix", &c.Prefix}, {"regex", &c.Regex}} {
		if ck.has(k.field) {
			given = append(given, k.name)
		}
	}
	if c.Absent {
		given = append(given, "absent")
	}
	if len(given) > 1 {
		ck.add(ck.at(c), "", "%s: the condition on %q has %s; it can have one of them",
			key, c.Name, strings.Join(given, " and "))
	}
	ck.repeated("exact", c.Exact)
}

// same gives conditions that hold for the same requests the same form.
func (c *Condition) same(key string) string {
	d := *c
	if key == "header" {
		d.Name = strings.ToLower(d.Name)
	}
	d.Exact = slices.Sorted(slices.Values(d.Exact))
	for i := range d.Exact {
		d.Exact[i] = strconv.Quote(d.Exact[i])
	}
	return key + ":" + d.String()
}

// sameConditions gives routes whose conditions on fields, parameters and cookies are
// the same the same form.
func (r *L7Route) sameConditions() string {
	var all []string
	for _, list := range [...]struct {
		key        string
		conditions []Condition
	}{{"header", r.Header}, {"query", r.Query}, {"cookie", r.Cookie}} {
		for i := range list.conditions {
			all = append(all, list.conditions[i].same(list.key))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// unknownConditions reports whether one of them could not be bound.
func unknownConditions(list []Condition) bool {
	return slices.ContainsFunc(list, func(c Condition) bool { return c.Name == "" })
}

// numRegexes counts the regular expressions of a route.
func (r *L7Route) numRegexes() int {
	n := 0
	if strings.HasPrefix(r.Path, "~") {
		n++
	}
	for _, list := range [][]Condition{r.Header, r.Query, r.Cookie} {
		for i := range list {
			if list[i].Regex != "" {
				n++
			}
		}
	}
	return n
}

// l7Split checks where a route leads: to one pool, or to several by weight.
func (ck *checker) l7Split(r *L7Route) {
	ck.refPool(&r.Pool)
	seen, sum, known := first{}, 0, true
	for i := range r.Split {
		s := &r.Split[i]
		ck.refPool(&s.Pool)
		sum += s.Weight
		known = known && s.Pool != ""
		if s.Pool != "" && ck.again(seen, s.Pool, ck.at(&s.Pool)) > 0 {
			ck.add(ck.at(&s.Pool), "", "pool: %q is already in this split; give it one weight", s.Pool)
		}
	}
	if len(r.Split) > 0 && sum == 0 && known {
		ck.add(ck.at(&r.Split), "", "split: all weights are 0")
	}
	switch cookie, header := ck.has(&r.Sticky.Cookie), ck.has(&r.Sticky.Header); {
	case cookie && header:
		ck.add(ck.at(&r.Sticky.Header), "", "[l7.route.sticky] has both cookie and header; it needs exactly one")
	case !cookie && !header && ck.has(&r.Sticky):
		ck.add(ck.at(&r.Sticky), "", "[l7.route.sticky] needs cookie or header")
	case ck.has(&r.Sticky) && !ck.has(&r.Split):
		ck.add(ck.at(&r.Sticky), "", "[l7.route.sticky] does nothing without split")
	case header && ck.has(&r.Sticky.MaxAge):
		ck.add(ck.at(&r.Sticky.MaxAge), "", "max_age: it is that of a cookie, and this [l7.route.sticky] has none")
	case cookie:
		ck.oneCookie(r)
	}
}

// oneCookie refuses a cookie that is to keep a client on a side and on a server as well:
// each answer would set it twice, and neither would find its own value again.
func (ck *checker) oneCookie(r *L7Route) {
	for i := range r.Split {
		at := slices.IndexFunc(ck.c.Pools, func(p Pool) bool { return p.Name == r.Split[i].Pool })
		if at < 0 {
			continue
		}
		if s := &ck.c.Pools[at].Sticky; s.Cookie != "" && s.Cookie == r.Sticky.Cookie {
			ck.add(ck.at(&r.Sticky.Cookie), "", "cookie: [pool.%s.sticky] on line %d has the cookie %q too; "+
				"give one of them another name", ck.c.Pools[at].Name, ck.src.line(ck.at(&s.Cookie).pos), s.Cookie)
			return
		}
	}
}

// l7RouteNames gives every route a name and reports names of the file that two have.
func (ck *checker) l7RouteNames(l *L7) {
	taken := map[string]*L7Route{}
	for i := range l.Routes {
		r := &l.Routes[i]
		if !ck.has(&r.Name) || r.Name == "" {
			continue
		}
		if before := taken[r.Name]; before != nil {
			ck.add(ck.at(&r.Name), "", "name: the route on line %d has the name %q too",
				ck.src.line(ck.at(&before.Name).pos), r.Name)
			continue
		}
		taken[r.Name] = r
	}
	for i := range l.Routes {
		r := &l.Routes[i]
		if ck.has(&r.Name) {
			continue
		}
		// Routes may differ only in what a derived name leaves out, as in their second host.
		r.Name = r.DerivedName()
		if taken[r.Name] != nil {
			r.Name += "#" + strconv.Itoa(i+1)
		}
		taken[r.Name] = r
	}
}
