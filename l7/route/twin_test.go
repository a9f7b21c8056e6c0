package route

import (
	"math/rand/v2"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weir/conf"
	"weir/l7/message"
)

// findSlowly is the order of the package comment as plainly as it can be written:
// rank every route that matches, take the best.
func findSlowly(routes []conf.L7Route, q *Request) (int, Verdict) {
	best, bestRank, verdict := -1, []int(nil), NotFound
	for i := range routes {
		for _, rank := range ranks(&routes[i], q) {
			if verdict == NotFound {
				verdict = MethodNotAllowed
			}
			methodRank, ok := rankMethod(routes[i].Method, string(q.Method))
			if !ok {
				continue
			}
			rank[methodAt] = methodRank
			if rank = append(rank, i); best < 0 || slices.Compare(rank, bestRank) < 0 {
				best, bestRank = i, rank
			}
			verdict = Found
		}
	}
	return best, verdict
}

// methodAt is where the rank by method stands in what ranks returns.
const methodAt = 5

// ranks gives the rank of each way in which a route matches a request but for its method.
func ranks(r *conf.L7Route, q *Request) (all [][]int) {
	for _, h := range orAny(r.Host) {
		for _, source := range orAny(r.Source) {
			hostRank, ok1 := rankHost(h, string(q.Host))
			pathRank, ok2 := rankPath(r.Path, string(q.Path))
			sourceRank, ok3 := rankSource(source, q.Source)
			conditionRank, ok4 := rankConditions(r, q)
			if ok1 && ok2 && ok3 && ok4 {
				all = append(all, slices.Concat(hostRank, pathRank, []int{0, sourceRank}, conditionRank))
			}
		}
	}
	return all
}

func orAny(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

func rankHost(pattern, host string) ([]int, bool) {
	switch {
	case pattern == "":
		return []int{2, 0}, true
	case pattern[0] == '*':
		suffix := pattern[1:]
		return []int{1, -len(suffix)}, len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	return []int{0, 0}, pattern == host
}

func rankPath(pattern, path string) ([]int, bool) {
	switch {
	case pattern == "":
		return []int{4, 0, 0}, true
	case pattern[0] == '~':
		return []int{3, 0, 0}, regexp.MustCompile(pattern[1:]).MatchString(path)
	case pattern[0] == '=':
		c, err := canonical(pattern[1:])
		return []int{0, 0, 0}, err == nil && c == path
	case strings.Contains(pattern, "{"):
		segments := strings.Split(pattern, "/")[1:]
		literals, binary := 0, 0 // which are parameters, the leftmost in the highest bit
		for _, s := range segments {
			binary *= 2
			if strings.HasPrefix(s, "{") {
				binary++
			} else {
				literals++
			}
		}
		return []int{2, -literals, binary}, fits(strings.Split(pattern, "/"), strings.Split(path, "/"))
	}
	c, err := canonical(pattern)
	prefix := strings.TrimSuffix(c, "/") + "/"
	return []int{1, -len(prefix), 0},
		err == nil && strings.HasPrefix(path, "/") && strings.HasPrefix(path+"/", prefix)
}

func fits(want, got []string) bool {
	if len(want) != len(got) || got[0] != "" {
		return false
	}
	for i := 1; i < len(want); i++ {
		if strings.HasPrefix(want[i], "{") {
			if got[i] == "" {
				return false
			}
			continue
		}
		c, err := canonical("/" + want[i])
		if err != nil || c != "/"+got[i] {
			return false
		}
	}
	return true
}

func rankMethod(methods []string, method string) (int, bool) {
	if len(methods) == 0 {
		return 1, true
	}
	return 0, slices.Contains(methods, method) || method == "HEAD" && slices.Contains(methods, "GET")
}

func rankSource(network string, a netip.Addr) (int, bool) {
	if network == "" {
		return 1, true
	}
	p := netip.MustParsePrefix(network)
	return -p.Bits(), p.Contains(a)
}

// rankConditions reads the parts of the request with the standard library's parsers.
func rankConditions(r *conf.L7Route, q *Request) ([]int, bool) {
	headers, cookies := map[string][]string{}, map[string][]string{}
	for _, f := range q.Fields {
		name := strings.ToLower(string(f.Name))
		identity := strings.HasPrefix(name, "x-forwarded-") || name == "x-real-ip"
		if f.Hop || identity && !q.Trusted {
			continue
		}
		headers[name] = append(headers[name], string(f.Value))
		if name == "cookie" {
			for pair := range strings.SplitSeq(string(f.Value), ";") {
				if k, v, ok := strings.Cut(pair, "="); ok {
					cookies[strings.Trim(k, " \t")] = append(cookies[strings.Trim(k, " \t")], strings.Trim(v, " \t"))
				}
			}
		}
	}
	query, _ := url.ParseQuery(string(q.Query)) // what it refuses no test sends
	rank := make([]int, 4)
	for _, part := range []struct {
		list   []conf.Condition
		values func(name string) []string
	}{
		{r.Header, func(n string) []string { return headers[strings.ToLower(n)] }},
		{r.Query, func(n string) []string { return query[n] }},
		{r.Cookie, func(n string) []string { return cookies[n] }},
	} {
		for _, c := range part.list {
			sort, ok := rankCondition(&c, part.values(c.Name))
			if !ok {
				return nil, false
			}
			rank[0]--
			if sort > 0 {
				rank[sort]--
			}
		}
	}
	return rank, true
}

// rankCondition reports whether a condition holds, and of which sort it is.
func rankCondition(c *conf.Condition, values []string) (sort int, ok bool) {
	switch {
	case c.Absent:
		return 0, len(values) == 0
	case len(c.Exact) > 0:
		return 1, slices.ContainsFunc(values, func(v string) bool { return slices.Contains(c.Exact, v) })
	case c.Prefix != "":
		return 2, slices.ContainsFunc(values, func(v string) bool { return strings.HasPrefix(v, c.Prefix) })
	case c.Regex != "":
		return 3, slices.ContainsFunc(values, regexp.MustCompile(c.Regex).MatchString)
	}
	return 0, len(values) > 0
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// randomRoutes draws a table from few names, so that routes meet often.
func randomRoutes(r *rand.Rand) []conf.L7Route {
	routes := make([]conf.L7Route, r.IntN(9))
	for i := range routes {
		c := &routes[i]
		for range r.IntN(3) {
			c.Host = append(c.Host, pick(r, "a", "b.a", "c.b.a", "*.a", "*.b.a", "x"))
		}
		c.Path = pick(
			r, "", "/", "/a", "/a/", "/a/b", "/a/b/", "=/a", "=/a/", "=/a/b", "=/",
			"/{x}", "/a/{x}", "/{x}/b", "/{x}/{y}", "~a", "~^/a/", "~b$", "/ab", "=/ab",
		)
		for range r.IntN(3) {
			c.Method = append(c.Method, pick(r, "GET", "HEAD", "POST", "PUT"))
		}
		for range max(0, r.IntN(4)-2) {
			c.Source = append(c.Source, pick(r, "10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "2001:db8::/32"))
		}
		c.Header = randomConditions(r, "X-A", "x-b", "X-Forwarded-Port", "Cookie2")
		c.Query = randomConditions(r, "a", "b c")
		c.Cookie = randomConditions(r, "a", "b")
	}
	return routes
}

func randomConditions(r *rand.Rand, names ...string) (list []conf.Condition) {
	for range max(0, r.IntN(5)-2) {
		c := conf.Condition{Name: pick(r, names...)}
		switch r.IntN(5) {
		case 0:
			c.Absent = true
		case 1:
			c.Exact = []string{pick(r, "1", "2", "3 4"), pick(r, "1", "2")}
		case 2:
			c.Prefix = pick(r, "1", "3", "3 ")
		case 3:
			c.Regex = pick(r, "1", "^2$", "[34]$")
		}
		list = append(list, c)
	}
	return list
}

func randomRequest(r *rand.Rand) *Request {
	q := &Request{
		Host: []byte(pick(r, "", "a", "b.a", "c.b.a", "d.c.b.a", "x", ".a", "y.x", "..b.a")),
		Path: []byte(pick(r, "*", "/", "//", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b", "/b/b", "/a//b",
			"/a/b/", "/x/y")),
		Method:  []byte(pick(r, "GET", "HEAD", "POST", "PATCH")),
		Query:   []byte(pick(r, "", "a", "a=1", "a=2&a=1", "b+c=3%204", "b%20c=1&&x", "=1", "a=%31&b+c=12", "a=3+4")),
		Trusted: r.IntN(2) == 0,
	}
	if r.IntN(4) > 0 {
		q.Source = netip.MustParseAddr(pick(r, "10.0.0.1", "10.1.2.3", "192.0.2.1", "2001:db8::1", "::1"))
	}
	for range r.IntN(4) {
		q.addField(pick(r, "x-a", "X-A", "X-B", "x-forwarded-port", "Cookie2"), pick(r, "", "1", "2", "12", "3 4"))
		q.Fields[len(q.Fields)-1].Hop = r.IntN(6) == 0
	}
	for range r.IntN(3) {
		q.addField("Cookie", pick(r, "", "a", "a=1", "b=2; a=12", "a= ;b=3 4", ";;a=2;a=1", "\ta = 1 ", "A=1"))
	}
	return q
}

func (q *Request) addField(name, value string) {
	q.Fields = append(q.Fields, message.Field{
		Name: []byte(name), Value: []byte(value), Known: message.Lookup([]byte(name)),
	})
}

func TestAgainstTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 4000 {
		routes := randomRoutes(r)
		tab, err := Build(routes)
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			q := randomRequest(r)
			compareWithTwin(t, tab, routes, q)
			if _, v := tab.Find(q); v == Found {
				found++
			}
		}
	}
	if found < 8000 {
		t.Errorf("only %d requests found a route", found)
	}
}

func FuzzFind(f *testing.F) {
	f.Add(uint64(1), "a.b", "/a/b", "GET", "a=1")
	f.Add(uint64(2), "", "*", "OPTIONS", "%")
	f.Add(uint64(3), "...a", "//a//", "HEAD", "&&a=%31+&=")
	f.Add(uint64(4), "b.a", "a/b", "", "a")
	f.Fuzz(func(t *testing.T, seed uint64, host, path, method, query string) {
		r := rand.New(rand.NewPCG(seed, 0))
		routes := randomRoutes(r)
		tab, err := Build(routes)
		if err != nil {
			t.Fatal(err)
		}
		q := randomRequest(r)
		q.Host, q.Path, q.Method = []byte(host), []byte(path), []byte(method)
		// The twin's parser refuses what ours reads as it stands: semicolons and bad escapes.
		if _, err := url.ParseQuery(query); err == nil {
			q.Query = []byte(query)
		}
		compareWithTwin(t, tab, routes, q)
	})
}

func FuzzBuild(f *testing.F) {
	for _, p := range []string{"", "/", "=/x", "/u/{id}", "~^/a$", "/%41%zz", "/a/../b", "/\xff", "{}", "=", "~"} {
		f.Add("a.b", p, "/a")
	}
	f.Add("*.a", "/a/", "/a/b")
	f.Fuzz(func(t *testing.T, host, path, request string) {
		routes := []conf.L7Route{{Host: []string{host}, Path: path}}
		tab, err := Build(routes)
		if err != nil {
			return
		}
		for _, q := range []Request{
			{Host: []byte(strings.Replace(host, "*", "x", 1)), Path: []byte(request), Method: []byte("GET")},
			{Host: []byte(host), Path: []byte(path), Method: []byte("GET")},
		} {
			compareWithTwin(t, tab, routes, &q)
		}
	})
}

// FuzzPairs holds the readers of queries and cookies to what they promise.
func FuzzPairs(f *testing.F) {
	for _, s := range []string{"", "a", "a=1&b=2", "&&", "=", "a=%", "%4", "%zz+", "a=1; b=2", ";;", " a = 1 ;=", "=;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		for rest := []byte(s); len(rest) > 0; n++ {
			var name, value []byte
			name, value, rest = nextParameter(rest)
			got, _ := decoded(value, nil)
			if !equalDecoded(value, string(got)) || equalDecoded(value, string(got)+"x") {
				t.Fatalf("%q does not stand for %q", value, got)
			}
			if len(name)+len(value) > len(s) {
				t.Fatalf("%q, %q out of %q", name, value, s)
			}
		}
		if want := strings.Count(s, "&") + 1; n > want {
			t.Fatalf("%d parameters in %q", n, s)
		}
		for rest := []byte(s); len(rest) > 0; {
			before := len(rest)
			if _, _, rest = nextCookie(rest); len(rest) >= before {
				t.Fatalf("nothing taken of %q", s)
			}
		}
	})
}

func compareWithTwin(t *testing.T, tab *Table, routes []conf.L7Route, q *Request) {
	t.Helper()
	got, v := tab.Find(q)
	want, wantV := findSlowly(routes, q)
	if got != want || v != wantV {
		t.Fatalf("%+v over %+v: got %d (%d), want %d (%d)", q, routes, got, v, want, wantV)
	}
	outcomes := tab.Explain(q)
	if len(outcomes) != len(routes) {
		t.Fatalf("%d outcomes of %d routes", len(outcomes), len(routes))
	}
	taken := -1
	for _, o := range outcomes {
		if o.Stage == Matches && taken < 0 {
			taken = o.Index
		}
		if (o.Why == "") != (o.Index == taken) {
			t.Fatalf("%+v over %+v: wrong reason in %+v", q, routes, o)
		}
	}
	if taken != want {
		t.Fatalf("%+v over %+v: explained %+v, want %d", q, routes, outcomes, want)
	}
}
