package policy

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// TestInvalidates: RFC 9111 section 4.4: unsafe methods, known or not, unless the
// response is an error.
func TestInvalidates(t *testing.T) {
	f := func(method string, status int, want bool) {
		t.Helper()
		if got := Invalidates([]byte(method), status); got != want {
			t.Errorf("%s %d: %v", method, status, got)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "FOO", "get"} {
		f(method, 200, true)
		f(method, 204, true)
		f(method, 303, true)
		f(method, 399, true)
		f(method, 400, false)
		f(method, 500, false)
		f(method, 100, false)
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE"} {
		f(method, 200, false)
	}
}

// TestReferences: section 4.4: Location and Content-Location of the same origin, in any
// form that a reference may have.
func TestReferences(t *testing.T) {
	k := NewKeyPolicy(KeyParts{})
	f := func(ref, want string) {
		t.Helper()
		req := request(t, "POST /d/e/f?q=1 HTTP/1.1\nContent-Length: 0\nHost: example.com:8080")
		got, ok := AppendReferenceKey(nil, k, "http", req, []byte(ref))
		if ok != (want != "") {
			t.Errorf("%q: %v", ref, ok)
		} else if ok && !bytes.Equal(got, AppendKey(nil, k, "http", request(t, "GET "+want+" HTTP/1.1\nHost: example.com:8080"))) {
			t.Errorf("%q is not %q", ref, want)
		}
	}
	f("/a", "/a")
	f("/a?b", "/a?b")
	f("/a?b#c", "/a?b")
	f("/a?", "/a?")
	f(" /a ", "/a")
	f("http://example.com:8080/a", "/a")
	f("HTTP://EXAMPLE.com.:8080/a", "/a")
	f("//example.com:8080/a", "/a")
	f("http://example.com:8080", "/")
	f("http://example.com:8080?x", "/?x")
	f("g", "/d/e/g")
	f("./g", "/d/e/g")
	f("../g", "/d/g")
	f("../../../g", "/g")
	f("g/../h", "/d/e/h")
	f("..", "/d/")
	f(".", "/d/e/")
	f("/a/./b/../c", "/a/c")
	f("/a/..", "/")
	f("/a/.", "/a/")
	f("/..a/...", "/..a/...")
	f("g:h", "") // a scheme
	f("./g:h", "/d/e/g:h")
	f("?x", "/d/e/f?x")
	f("", "/d/e/f?q=1")
	f("#x", "/d/e/f?q=1")
	f("/%61", "/a")

	f("http://example.com/a", "") // another port
	f("https://example.com:8080/a", "")
	f("http://example.org:8080/a", "")
	f("//example.org/a", "")
	f("http://u@example.com:8080/a", "")
	f("http:/a", "")
	f("http:a", "")
	f("mailto:x", "")
	f(":a", "")
	f("/a%", "")
	f("/%2e%2e/a", "")
	f("/a\\b", "")
}

// TestReferenceKeepsFields: fields that belong to the key are those of the request.
func TestReferenceKeepsFields(t *testing.T) {
	k := NewKeyPolicy(KeyParts{Headers: []string{"x"}})
	got, ok := AppendReferenceKey([]byte("k"), k, "https", request(t, "POST /b HTTP/1.1\nX: 1"), []byte("/a"))
	if want := AppendKey([]byte("k"), k, "https", request(t, "X: 1")); !ok || !bytes.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func tags(lines string, t *testing.T) []string {
	t.Helper()
	var got []string
	for tag := range Tags(response(t, lines).Fields) {
		kind := "tag:"
		if tag.Group {
			kind = "group:"
		}
		got = append(got, kind+string(tag.Value))
	}
	return got
}

// TestTags: RFC 9875 section 2 (a list of strings or nothing), and the two older fields.
func TestTags(t *testing.T) {
	f := func(lines string, want ...string) {
		t.Helper()
		if got := tags(lines, t); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
	f("")
	f("Cache-Groups: \"a\"", "group:a")
	f("cache-groups: \"a\", \"b c\"\nCache-Groups: \"d\"", "group:a", "group:b c", "group:d")
	f("Cache-Groups: \"a\";x=\"b\";y, \"c\"", "group:a", "group:c")
	f("Cache-Groups: \"a\\\"b\\\\\"", "group:a\"b\\")
	f("Cache-Groups: \"A\", \"a\"", "group:A", "group:a")
	f("Cache-Groups: \"\", \"a\"", "group:a")
	f("Cache-Groups: a")
	f("Cache-Groups: \"a\", b")
	f("Cache-Groups: \"a\",")
	f("Cache-Groups: \"a\" \"b\"")
	f("Cache-Groups: \"a")
	f("Cache-Groups: (\"a\")")
	f("Cache-Groups: \"a\"\nCache-Groups: 1")
	f("Cache-Groups:")
	f("Surrogate-Key: a  b\tc", "tag:a", "tag:b\tc")
	f("Cache-Tag: a b, c ,,d", "tag:a b", "tag:c", "tag:d")
	f("Surrogate-Key: a\nCache-Tag: b\nCache-Groups: \"c\"", "group:c", "tag:a", "tag:b")

	many := "Cache-Tag: "
	for i := range maxTags + 10 {
		many += fmt.Sprintf("t%d,", i)
	}
	if got := tags(many+"\nSurrogate-Key: x", t); len(got) != maxTags {
		t.Errorf("%d tags", len(got))
	}
	for range Tags(response(t, "Cache-Groups: \"a\", \"b\"").Fields) {
		break
	}
	for _, lines := range []string{"Cache-Groups: \"a\", \"b\"", "Surrogate-Key: a b", "Cache-Tag: a, b\nSurrogate-Key: c"} {
		for range Tags(response(t, lines).Fields) {
			break
		}
	}
}

// TestInvalidatedGroups: RFC 9875 section 3: only unsafe methods, only their success.
func TestInvalidatedGroups(t *testing.T) {
	f := func(method, res string, want ...string) {
		t.Helper()
		var got []string
		for tag := range InvalidatedGroups([]byte(method), response(t, res)) {
			got = append(got, string(tag.Value))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s %q: %q, want %q", method, res, got, want)
		}
	}
	const groups = "Cache-Group-Invalidation: \"a\", \"b\""
	f("POST", groups, "a", "b")
	f("POST", "status: 303\n"+groups, "a", "b")
	f("POST", "status: 403\n"+groups)
	f("GET", groups)
	f("HEAD", groups)
	f("OPTIONS", groups)
	f("POST", "Cache-Group-Invalidation: a")
	f("POST", "Cache-Groups: \"a\"")
}
