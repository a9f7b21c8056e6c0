package rewrite

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"weir/conf"
	"weir/l7/message"
)

// parse gives the template that a configuration has under rewrite_path.
func parse(t testing.TB, path, text string) (*Path, *Template) {
	t.Helper()
	c, err := conf.Parse("x", []byte(`
		pool.a = { servers = ["127.0.0.1:1"] }
		[[l7]]
		name = "w"
		listen = [":1"]
		[[l7.route]]
		path = '`+path+`'
		pool = "a"
		rewrite_path = "`+text+`"
	`))
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPath(path)
	if err != nil {
		t.Fatal(err)
	}
	tp, err := Compile(&c.L7[0].Routes[0].RewritePath, p)
	if err != nil {
		t.Fatal(err)
	}
	return p, tp
}

func values(t testing.TB, p *Path, target string) *Values {
	t.Helper()
	path, query, _ := strings.Cut(target, "?")
	match, err := message.AppendPath(nil, []byte(path), true)
	if err != nil {
		t.Fatal(err)
	}
	v := &Values{
		Client: netip.MustParseAddr("::1"), Scheme: "https", Host: []byte("www.example.com"), Method: []byte("G%T"),
		Path: []byte(path), Query: []byte(query), RequestID: []byte("id"),
	}
	v.Begin(p, match)
	return v
}

func TestAppendPath(t *testing.T) {
	f := func(path, template, target, want string) {
		t.Helper()
		p, tp := parse(t, path, template)
		if got := string(tp.AppendPath(nil, values(t, p, target))); got != want {
			t.Errorf("%s with %s for %s: got %q, want %q", path, template, target, got, want)
		}
	}
	f("/a/", "/{rest}", "/a/b/c", "/b/c")
	f("/a/", "/{rest}", "/a", "/")
	f("/a/", "/{rest}", "/a/", "/")
	f("/a", "/b/{rest}", "/a/%7euser/x%2fy", "/b/~user/x%2Fy")
	f("/", "/b/{rest}", "/c", "/b/c")
	f("/", "/b{path}", "/%7e", "/b/%7e")
	f("/%61b", "/{rest}", "/ab/c", "/c")

	f("/u/{id}/o/{order}", "/{order}/{id}", "/u/7/o/8", "/8/7")
	f("/u/{id}", "/x/{{id}}", "/u/7", "/x/{id}")
	f("/u/{id}", "/{id}", "/u/{id}", "/{id}") // client data is no template
	f("/u/{id}", "/{id}{id}", "/u/{{id}}", "/{{id}}{{id}}")

	f("~^/blog/([0-9]+)-(?P<slug>.*)$", "/{slug}/{1}", "/blog/12-hello/x", "/hello/x/12")
	f("~^/(a)?(b)$", "/[{1}]", "/b", "/[]")
	f("~b", "/x", "/abc", "/x")

	// No value adds a parameter, or a path.
	f("/u/{id}", "/x?user={id}&a=1", "/u/7&admin=1;b+c=%26", "/x?user=7%26admin%3D1%3Bb%2Bc%3D%26&a=1")
	f("/u/{id}", "/x?{query}", "/u/7?a=b&c", "/x?a=b&c")
	f("/u/{id}", "/x?p={path}", "/u/7%2f", "/x?p=%2Fu%2F7%2f")
	f("/u/{id}", "/{client_ip}/{method}/{host}/{scheme}/{request_id}", "/u/7", "/%3A%3A1/G%25T/www.example.com/https/id")
}

func TestAppendText(t *testing.T) {
	p, tp := parse(t, "/u/{id}", "/{id} {client_ip}"[:5])
	if got := string(tp.AppendText(nil, values(t, p, "/u/a%20b"))); got != "/a%20b" {
		t.Errorf("got %q", got)
	}
}

func TestValidPath(t *testing.T) {
	f := func(b string, want bool) {
		t.Helper()
		if got, _ := ValidPath([]byte(b), nil, false); got != want {
			t.Errorf("%q: got %v, want %v", b, got, want)
		}
	}
	f("/", true)
	f("/a/b?c=/../d", true)
	f("//a", true) // a path of empty segments; redirects see to it themselves
	f("", false)
	f("*", false)
	f("?a", false)
	f("/a/..", false)
	f("/a/%2e%2e/b", false)
	f("/a/%2fb", false)
	f(`/a\b`, false)
}

// FuzzTemplate: whatever the request, no octet comes out that cannot stand in a
// head, literals stay where they are, and a query gains no parameter.
func FuzzTemplate(f *testing.F) {
	f.Add("/u/7/o/8", "a=b")
	f.Add("/u/{id}/o/%0d%0aX:y", "%0d%0a")
	f.Add("/u/%7e&a=b/o/a+b;c", "")
	p, tp := parse(f, "/u/{id}/o/{order}", "/x/{order}/{id}?id={id}&order={order}&path={path}&ip={client_ip}")
	f.Fuzz(func(t *testing.T, path, query string) {
		var r message.Request
		head := "GET " + path + "?" + query + " HTTP/1.1\r\nHost: a\r\n\r\n"
		if n, err := r.Parse([]byte(head), nil); err != nil || n != len(head) || len(r.Path) == 0 || r.Path[0] != '/' {
			return
		}
		v := &Values{Path: r.Path, Query: r.Query, Host: r.Host, Method: r.Method}
		v.Begin(p, r.Match)
		out := tp.AppendPath(nil, v)
		if !message.ValidValue(out) || bytes.ContainsAny(out, " \t\"") && !bytes.ContainsAny(r.Path, "\"") {
			t.Fatalf("%q came out of %q", out, path)
		}
		_, params, _ := bytes.Cut(out, []byte("?id="))
		if n := bytes.Count(params, []byte("&")); n != 3 {
			t.Fatalf("%q has %d ampersands in its query, want 3", out, n)
		}
		if n := bytes.Count(params, []byte("=")); n != 3 {
			t.Fatalf("%q has %d more equals signs in its query, want 3", out, n)
		}
	})
}
