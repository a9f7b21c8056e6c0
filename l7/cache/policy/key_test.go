package policy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// key makes the key of a request for http, or for https where the target begins so.
func key(t testing.TB, parts KeyParts, target, fields string) string {
	t.Helper()
	return string(AppendKey(nil, NewKeyPolicy(parts), "http", request(t, "GET "+target+" HTTP/1.1\n"+fields)))
}

// TestKey: RFC 9111 section 2: the method class and the URL; and what of the URL means
// the same is the same.
func TestKey(t *testing.T) {
	f := func(a, b string, want bool) {
		t.Helper()
		make := func(s string) string {
			target, host, _ := strings.Cut(s, " ")
			if host == "" {
				host = "example.com"
			}
			return key(t, KeyParts{}, target, "Host: "+host)
		}
		if got := make(a) == make(b); got != want {
			t.Errorf("%q and %q: %v", a, b, got)
		}
	}
	f("/a", "/a", true)
	f("/a", "/A", false)
	f("/a", "/a/", false)
	f("/a", "/b", false)
	f("/%61", "/a", true)
	f("/%2a", "/%2A", true)
	f("/a", "/a?", false)
	f("/a?b", "/a?b", true)
	f("/a?b", "/a?b=", false)
	f("/a?b&c", "/a?c&b", false)
	f("/a?%61", "/a?a", false)
	f("/a//b", "/a/b", false)
	f("/a example.com", "/a EXAMPLE.com", true)
	f("/a example.com", "/a example.com.", true)
	f("/a example.com", "/a example.com:80", true)
	f("/a example.com", "/a example.com:", true)
	f("/a example.com", "/a example.com:0080", true)
	f("/a example.com", "/a example.com:0", false)
	f("/a example.com", "/a example.com:8080", false)
	f("/a example.com", "/a example.com:443", false)
	f("/a example.com", "/a example.org", false)
	f("/a [::1]", "/a [0:0::1]:80", true)
	f("/a [::1]", "/a [::1]:81", false)
	f("http://example.com/a", "/a", true)

	req := request(t, "Host: example.com:443")
	k := NewKeyPolicy(KeyParts{})
	plain, secure := AppendKey(nil, k, "http", req), AppendKey(nil, k, "https", req)
	if bytes.Equal(plain, secure) {
		t.Error("http and https have one key")
	}
	if !bytes.Equal(secure, AppendKey(nil, k, "https", request(t, ""))) {
		t.Error("443 is not the port of https")
	}
	if !bytes.Equal(AppendKey(nil, k, "http", request(t, "HEAD /a HTTP/1.1")),
		AppendKey(nil, k, "http", request(t, "POST /a HTTP/1.1\nContent-Length: 0"))) {
		t.Error("the key of a POST is not that of what it invalidates")
	}
	if got := AppendKey([]byte("x"), k, "http", req); got[0] != 'x' || !bytes.Equal(got[1:], plain) {
		t.Error("it does not append")
	}
}

// TestQueryParts: what the route says of the query.
func TestQueryParts(t *testing.T) {
	f := func(parts KeyParts, a, b string, want bool) {
		t.Helper()
		if got := key(t, parts, a, "") == key(t, parts, b, ""); got != want {
			t.Errorf("%+v: %q and %q: %v", parts, a, b, got)
		}
	}
	sorted := KeyParts{Sort: true}
	f(sorted, "/?a=1&b=2", "/?b=2&a=1", true)
	f(sorted, "/?a=1&a=2", "/?a=2&a=1", false) // values of one name have an order
	f(sorted, "/?b=1&a=1&b=2", "/?a=1&b=1&b=2", true)
	f(sorted, "/?a", "/?a=", false)
	f(sorted, "/?a=1", "/?a=2", false)
	many := strings.Repeat("x=1&", 100)
	f(sorted, "/?"+many+"a=1", "/?"+many+"a=1", true)
	f(sorted, "/?"+many+"a=1", "/?"+many+"a=2", false)

	f(KeyParts{Query: NoParams}, "/?a", "/", true)
	f(KeyParts{Query: NoParams}, "/a", "/b", false)

	only := KeyParts{Query: OnlyParams, Params: []string{"id", "page"}}
	f(only, "/?id=1&utm=2", "/?id=1", true)
	f(only, "/?utm=2", "/", true)
	f(only, "/?id=1", "/?id=2", false)
	f(only, "/?id=1&page=2", "/?page=2&id=1", false)
	f(KeyParts{Query: OnlyParams, Params: only.Params, Sort: true}, "/?id=1&x=9&page=2", "/?page=2&id=1", true)
	// Other spellings of a wanted name that a backend may take for it are kept.
	for _, spelling := range []string{
		"%69d=1", "i%64=1", "ID=1", "id[]=1", "id%5b%5d=1", "+id=1", "%20id=1", "id%00x=1",
		"x=1;id=1", "%zz=1", "%6",
	} {
		f(only, "/?"+spelling, "/", false)
	}
	f(only, "/?idx=1", "/", true)
	f(only, "/?i=1", "/", true)
	f(KeyParts{Query: OnlyParams, Params: []string{"a_b"}}, "/?a.b=1", "/", false)
	f(KeyParts{Query: OnlyParams, Params: []string{"a_b"}}, "/?a%20b=1", "/", false)

	without := KeyParts{Query: WithoutParams, Params: []string{"utm"}}
	f(without, "/?id=1&utm=2", "/?id=1", true)
	f(without, "/?utm=2", "/", true)
	f(without, "/?utm", "/", true)
	f(without, "/?UTM=2", "/", false) // only the very spelling is dropped
	f(without, "/?%75tm=2", "/", false)
	f(without, "/?utm=2;id=1", "/", false)
	f(without, "/?utmx=2", "/", false)
}

// TestKeyFields: chosen fields and cookies.
func TestKeyFields(t *testing.T) {
	f := func(parts KeyParts, a, b string, want bool) {
		t.Helper()
		if got := key(t, parts, "/", a) == key(t, parts, "/", b); got != want {
			t.Errorf("%+v: %q and %q: %v", parts, a, b, got)
		}
	}
	headers := KeyParts{Headers: []string{"X-A", "x-b"}}
	f(headers, "X-A: 1", "x-a: 1", true)
	f(headers, "X-A: 1", "X-A: 2", false)
	f(headers, "X-A: 1", "X-B: 1", false)
	f(headers, "X-A:", "", false)
	f(headers, "X-C: 1", "", true)
	cookies := KeyParts{Cookies: []string{"lang", "ab"}}
	f(cookies, "Cookie: lang=de; x=1", "Cookie: y=2;lang=de", true)
	f(cookies, "Cookie: lang=de", "Cookie: lang=en", false)
	f(cookies, "Cookie: lang=", "", false)
	f(cookies, "Cookie: Lang=de", "", true)
	f(cookies, "Cookie: lang=1; ab=2", "Cookie: ab=2; lang=1", true)
	f(cookies, "Cookie: lang=1; lang=2", "Cookie: lang=2; lang=1", false)
	f(cookies, "Cookie: lang=1\nCookie: ab=2", "Cookie: lang=1; ab=2", true)
	f(cookies, "Cookie: lang=1", "Cookie: ab=1", false)
}

// TestKeyPolicies: keys of different policies are never the same.
func TestKeyPolicies(t *testing.T) {
	all := []KeyParts{
		{},
		{Space: "a"},
		{Space: "ab"},
		{Sort: true},
		{Query: NoParams},
		{Query: OnlyParams},
		{Query: WithoutParams},
		{Query: OnlyParams, Params: []string{"a"}},
		{Query: OnlyParams, Params: []string{"a", "b"}},
		{Query: OnlyParams, Params: []string{"ab"}},
		{Headers: []string{"a"}},
		{Cookies: []string{"a"}},
		{Headers: []string{"a"}, Cookies: []string{"a"}},
		{Space: "a", Sort: true},
	}
	seen := make(map[string]int)
	for i, parts := range all {
		k := key(t, parts, "/", "")
		if j, ok := seen[k]; ok {
			t.Errorf("%+v and %+v make one key", all[j], parts)
		}
		seen[k] = i
	}
	if key(t, KeyParts{Headers: []string{"X-A"}}, "/", "") != key(t, KeyParts{Headers: []string{"x-a"}}, "/", "") {
		t.Error("names of fields have no case")
	}
}

// slowKey is what a key must tell apart, written so that it can be compared and read.
func slowKey(p *KeyParts, target, fields string) string {
	path, query, has := strings.Cut(target, "?")
	path, _ = url.PathUnescape(path) // the test has unreserved octets only
	switch {
	case p.Query == NoParams:
		query, has = "", false
	case p.Query != AllParams || p.Sort:
		pairs := strings.Split(query, "&")
		if !has {
			pairs = nil
		}
		pairs = slices.DeleteFunc(pairs, func(pair string) bool {
			name, _, _ := strings.Cut(pair, "=")
			named := slices.Contains(p.Params, name)
			return pair == "" || p.Query == OnlyParams && !named || p.Query == WithoutParams && named
		})
		if p.Sort {
			slices.SortStableFunc(pairs, func(a, b string) int {
				a, _, _ = strings.Cut(a, "=")
				b, _, _ = strings.Cut(b, "=")
				return strings.Compare(a, b)
			})
		}
		query, has = strings.Join(pairs, "&"), false
	}
	var picked []string
	for line := range strings.SplitSeq(fields, "\n") {
		name, value, _ := strings.Cut(line, ": ")
		if slices.Contains(p.Headers, name) {
			picked = append(picked, line)
		}
		if name != "Cookie" {
			continue
		}
		for cookie := range strings.SplitSeq(value, "; ") {
			if c, _, _ := strings.Cut(cookie, "="); slices.Contains(p.Cookies, c) {
				picked = append(picked, cookie)
			}
		}
	}
	slices.SortStableFunc(picked, func(a, b string) int { // by name; values of one name stay in order
		a, _, _ = strings.Cut(a, "=")
		b, _, _ = strings.Cut(b, "=")
		return strings.Compare(a, b)
	})
	return fmt.Sprintf("%q %q %v %q", path, query, has, picked)
}

// TestKeyProperty: two different requests never share a key, and one request never has
// two: random requests against a slow twin that is easy to read.
func TestKeyProperty(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	for _, parts := range []KeyParts{
		{},
		{Sort: true},
		{Query: NoParams},
		{Query: OnlyParams, Params: []string{"a", "b"}},
		{Query: WithoutParams, Params: []string{"a"}, Sort: true},
		{Headers: []string{"x", "y"}, Cookies: []string{"s", "t"}},
	} {
		keys, twins := make(map[string]string), make(map[string]string)
		for range 4000 {
			target := pick("/", "/a", "/%61", "/b", "/a/b", "/ab")
			if rng.IntN(3) > 0 {
				target += "?"
				for i := range rng.IntN(4) {
					target += pick("", "&")[min(i, 0):] + pick("a", "b", "c", "") + pick("", "=", "=1", "=2") + pick("", "&")
				}
			}
			fields := ""
			for range rng.IntN(3) {
				fields += pick("x: 1", "x: 2", "y: 1", "z: 1", "Cookie: s=1; t=2", "Cookie: t=2; s=1", "Cookie: s=2", "Cookie: u=1") + "\n"
			}
			fields = dedupe(fields)
			k, twin := key(t, parts, target, fields), slowKey(&parts, target, fields)
			if other, ok := keys[k]; ok && other != twin {
				t.Fatalf("%+v: one key for %s and %s", parts, other, twin)
			}
			if other, ok := twins[twin]; ok && other != k {
				t.Fatalf("%+v: two keys for %s", parts, twin)
			}
			keys[k], twins[twin] = twin, k
		}
	}
}

// dedupe keeps the first line of each name.
func dedupe(fields string) string {
	var out []string
	for line := range strings.SplitSeq(strings.TrimSuffix(fields, "\n"), "\n") {
		name, _, _ := strings.Cut(line, ":")
		if !slices.ContainsFunc(out, func(s string) bool { return strings.HasPrefix(s, name+":") }) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}
