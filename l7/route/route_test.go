package route

import (
	"fmt"
	"strings"
	"testing"

	"weir/conf"
)

// table builds a table from lines "host,host path METHOD,METHOD"; "-" stands for
// what is not given.
func table(t testing.TB, lines ...string) *Table {
	t.Helper()
	var routes []conf.L7Route
	for _, l := range lines {
		f := strings.Fields(l)
		var r conf.L7Route
		if f[0] != "-" {
			r.Host = strings.Split(f[0], ",")
		}
		if f[1] != "-" {
			r.Path = f[1]
		}
		if f[2] != "-" {
			r.Method = strings.Split(f[2], ",")
		}
		routes = append(routes, r)
	}
	tab, err := Build(routes)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// finder returns an f-test: "METHOD host path" gives the index, or 404, or 405.
func finder(t *testing.T, tab *Table) func(request string, want int) {
	return func(request string, want int) {
		t.Helper()
		f := strings.Fields(request)
		host := strings.TrimPrefix(f[1], "-")
		got, v := tab.Find(&Request{Host: []byte(host), Path: []byte(f[2]), Method: []byte(f[0])})
		switch v {
		case NotFound:
			got = 404
		case MethodNotAllowed:
			got = 405
		}
		if got != want {
			t.Errorf("%s: got %d, want %d", request, got, want)
		}
	}
}

func TestHostOrder(t *testing.T) {
	f := finder(t, table(t,
		"- - -",                             // 0
		"*.com - -",                         // 1
		"*.example.com - -",                 // 2
		"www.example.com - -",               // 3
		"*.a.example.com,a.example.com - -", // 4
		"only.net /x -",                     // 5
	))
	f("GET www.example.com /", 3)
	f("GET other.example.com /", 2)
	f("GET a.b.example.com /", 2)
	f("GET x.a.example.com /", 4)
	f("GET a.example.com /", 4)
	f("GET example.com /", 1)
	f("GET .example.com /", 1)
	f("GET .com /", 0)
	f("GET com /", 0)
	f("GET www.example.org /", 0)
	f("GET wwwxexample.com /", 1)
	f("GET - /", 0)
	f("GET ..... /", 0)

	f("GET only.net /x", 5)
	f("GET only.net /y", 0) // a host without the path hides nothing
}

func TestPathOrder(t *testing.T) {
	f := finder(t, table(t,
		`- - -`,             // 0
		`- ~\.php$ -`,       // 1
		`- /u/{id} -`,       // 2
		`- /u/{id}/{tab} -`, // 3
		`- /u/static/ -`,    // 4
		`- /u/static/css -`, // 5
		`- =/u/static -`,    // 6
		`- =/exact -`,       // 7
		`- /caf%c3%a9/ -`,   // 8
		`- =/%7eme%2fx -`,   // 9
	))
	f("GET h /u/static", 6)
	f("GET h /u/static/", 4)
	f("GET h /u/static/x.php", 4)
	f("GET h /u/static/css", 5)
	f("GET h /u/static/css/", 5)
	f("GET h /u/static/css/a", 5)
	f("GET h /u/static/cssx", 4)
	f("GET h /u/static//css", 4)
	f("GET h /u/staticx", 2)
	f("GET h /u/1", 2)
	f("GET h /u/1.php", 2)
	f("GET h /u/1/", 0)
	f("GET h /u/", 0)
	f("GET h /u//", 0)
	f("GET h /u//x", 0)
	f("GET h /u/1/2", 3)
	f("GET h /u/1/2/3.php", 1)
	f("GET h /exact", 7)
	f("GET h /exact/", 0)
	f("GET h /Exact", 0)
	f("GET h /caf%C3%A9/x", 8)
	f("GET h /~me%2Fx", 9)
	f("GET h /x.php/", 0)
	f("OPTIONS h *", 0)
}

func TestPrefixSpellingsAreOne(t *testing.T) {
	for _, p := range []string{"/static", "/static/"} {
		f := finder(t, table(t, "- "+p+" -"))
		f("GET h /static", 0)
		f("GET h /static/", 0)
		f("GET h /static/a/b", 0)
		f("GET h /statics", 404)
		f("GET h /", 404)
		f("GET h static", 404)
	}
	f := finder(t, table(t, "- / -"))
	f("GET h /", 0)
	f("GET h //", 0)
	f("GET h /a", 0)
	f("OPTIONS h *", 404)
}

func TestMethods(t *testing.T) {
	tab := table(t,
		"- /a -",            // 0
		"- /a GET",          // 1
		"- /a POST,DELETE",  // 2
		"- /a DELETE",       // 3
		"- =/a/b GET",       // 4
		"only /b PUT",       // 5
		"*.x,only /b/c GET", // 6
		"- /d/{x} GET",      // 7
		"- ~^/d PATCH",      // 8
	)
	f := finder(t, tab)
	f("GET h /a", 1)
	f("HEAD h /a", 1)
	f("POST h /a", 2)
	f("DELETE h /a", 2)
	f("PUT h /a", 0)
	f("get h /a", 0)
	f("GET h /a/b", 4)
	f("POST h /a/b", 2) // a path without the method hides nothing
	f("PUT only /b", 5)
	f("GET only /b", 405)
	f("GET other /b", 404)
	f("DELETE only /b/c", 405)
	f("GET h /d/1", 7)
	f("POST h /d/1", 405)
	f("PATCH h /d/1", 8)

	allow := func(host, path, want string) {
		t.Helper()
		if got := string(tab.AppendAllow(nil, &Request{Host: []byte(host), Path: []byte(path)})); got != want {
			t.Errorf("Allow of %s%s: got %q, want %q", host, path, got, want)
		}
	}
	allow("only", "/b", "PUT")
	allow("only", "/b/c", "GET, HEAD, PUT")
	allow("h", "/d/1", "GET, HEAD, PATCH")
	allow("h", "/none", "")
}

func TestFileOrderIsLast(t *testing.T) {
	f := finder(t, table(t,
		"a,b,a /x -",
		"b /x -",
		"b =/x -",
		"b =/x -",
		"- /{p} -",
		"- /{q} -",
		"- ~x -",
		"- ~y -",
	))
	f("GET a /x", 0)
	f("GET b /x/y", 0)
	f("GET b /x", 2)
	f("GET c /y", 4)
	f("GET c /x/y", 6)
}

func TestZeroTable(t *testing.T) {
	f := finder(t, &Table{})
	f("GET h /", 404)
	f = finder(t, table(t))
	f("GET h /", 404)
}

func TestBuildRefuses(t *testing.T) {
	f := func(host, path, want string) {
		t.Helper()
		r := conf.L7Route{Path: path}
		if host != "" {
			r.Host = []string{host}
		}
		_, err := Build([]conf.L7Route{{}, r})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q %q: got error %v, want one with %q", host, path, err, want)
		}
	}
	f("", "static", "must start with")
	f("", "=static", "must start with")
	f("", "/a/../b", "dot segment")
	f("", "/a/%2E/b", "dot segment")
	f("", "/a?b", "does not belong")
	f("", "/a#b", "does not belong")
	f("", `/a\b`, "backslash")
	f("", "/a%2", "two hex digits")
	f("", "/a%zz", "two hex digits")
	f("", "/u/{id}.json", "whole segment")
	f("", "/u/{}", "needs a name")
	f("", "/u/{a}{b}", "whole segment")
	f("", "/u/{id}/", "empty segment")
	f("", "/u/}", "whole segment")
	f("", "~(", "missing closing )")
	f("", "~"+strings.Repeat("a", maxRegexpLength+1), "at most 1024")
	f("", "~(a{30}){20}(b{30}){20}", "instructions")
	f("*", "", "expected a name")
	f("*x.com", "", "expected a name")
	f("a.*.com", "", "expected a name")
	f("", "=/a/..", "cannot use path \"=/a/..\" of route 2")

	many := make([]conf.L7Route, maxRegexps+1)
	for i := range many {
		many[i].Path = fmt.Sprintf("~a%d", i)
	}
	if _, err := Build(many); err == nil {
		t.Error("too many regular expressions were accepted")
	}
	if _, err := Build(many[1:]); err != nil {
		t.Error(err)
	}
}

func TestFindAllocatesNothing(t *testing.T) {
	tab := table(t,
		"- ~^/never -",
		"- /u/{id} -",
		"*.example.com /static/ GET",
		"www.example.com =/x -",
	)
	f := func(host, path string) {
		t.Helper()
		r := &Request{Host: []byte(host), Path: []byte(path), Method: []byte("GET")}
		if n := testing.AllocsPerRun(100, func() { tab.Find(r) }); n != 0 && !raceEnabled {
			t.Errorf("%s%s: %v allocations", host, path, n)
		}
	}
	f("www.example.com", "/x")
	f("a.example.com", "/static/app.js")
	f("other", "/u/17")
	f("other", "/nothing/here")
}

func BenchmarkFind(b *testing.B) {
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("h%d.example.com /p%d/ -", i%20, i))
	}
	tab := table(b, append(lines, "*.example.com /api/ GET", "- /u/{id} -", "- - -")...)
	run := func(name, host, path string) {
		r := &Request{Host: []byte(host), Path: []byte(path), Method: []byte("GET")}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tab.Find(r)
			}
		})
	}
	run("exact", "h3.example.com", "/p43/index.html")
	run("wildcard", "x.y.example.com", "/api/v1/things")
	run("rest", "other", "/nothing/in/particular")
	run("hostile", strings.Repeat("a.", 120)+"com", strings.Repeat("/", 8000))
}
