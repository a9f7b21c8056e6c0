package message

import (
	"bytes"
	"strings"
	"testing"
)

func TestAppendPath(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		got, err := AppendPath(nil, []byte(path), false)
		if err != nil {
			got = []byte(errorText(err))
		}
		if string(got) != want {
			t.Errorf("%q\ngot  %q\nwant %q", path, got, want)
		}
	}
	// What is forwarded as it is, and matched in its one form.
	f("/", "/")
	f("//", "//")
	f("/a//b/", "/a//b/")
	f("/a;x=1/b", "/a;x=1/b")
	f("/.well-known/a", "/.well-known/a")
	f("/a/...", "/a/...")
	f("/a/..b/.c", "/a/..b/.c")
	f("/a./b..", "/a./b..")
	f("/a.;x", "/a.;x")
	f("/%61%5A%30%2D%2e%5f%7E", "/aZ0-._~")
	f("/%2ea", "/.a")
	f("/%3d%c3%a9%20%25%2C", "/%3D%C3%A9%20%25%2C")
	f("/%252e%252e/", "/%252e%252e/")
	f("/%25252f", "/%25252f")
	f("/{a}|[b]^\"`<>", "/{a}|[b]^\"`<>")
	f("/a%26b+c", "/a%26b+c")
	f("/%0d%0a", "/%0D%0A")
	f("*", "*")
	// Escapes that are none.
	for _, p := range []string{
		"/%", "/%a", "/%g0", "/%0g", "/%%", "/%%32e", "/%2%65", "/a%", "/% 0", "/%u002e",
		"/%x2e", "/%-1",
	} {
		f(p, "client 400 bad_escape")
	}
	for _, p := range []string{
		"/%2f", "/%2F", "/a%2fb", "/%5c", "/%5C..", "/%00", "/a%00", "/%3b", "/a%3Bb",
		"/..%2f", "/%2e%2e%2f",
	} {
		f(p, "client 400 encoded_octet")
	}
	for _, p := range []string{`/\`, `\`, `/a\..\b`, `/..\`} {
		f(p, "client 400 backslash")
	}
}

// dots are spellings of the segments "." and "..".
var dots = []string{
	".", "..", "%2e", "%2E", ".%2e", "%2e.", "%2E%2e", "%2e%2E", "..;", ".;", "..;a=b", "%2e%2e;", ".;/..", "..;;",
}

// TestPathBypass spells dot segments in every place of a path: none may pass.
func TestPathBypass(t *testing.T) {
	n := 0
	for _, before := range []string{"/", "/a/", "//", "/a;b/", "/.a/", "/%61/"} {
		for _, after := range []string{"", "/", "/admin", "//", "/%2e"} {
			for _, dot := range dots {
				for _, allow := range []bool{false, true} {
					n++
					if got, err := AppendPath(nil, []byte(before+dot+after), allow); err == nil {
						t.Errorf("%q passes as %q", before+dot+after, got)
					}
				}
			}
		}
	}
	for _, p := range []string{
		"/a%2f..", "/a%2F%2e%2e", "/a/..%2f", "/a/..%2fb", "/..%3b", "/..%3Ba/b", "/.%2f", "/%2f.%2f", "/%2f..",
		"/a%2f.;x",
		"/a%5c..", `/a%2f..\`, "/%00", "/a%2f%00",
	} {
		n++
		if got, err := AppendPath(nil, []byte(p), true); err == nil {
			t.Errorf("%q passes as %q", p, got)
		}
	}
	if n < 200 {
		t.Errorf("only %d spellings", n)
	}
}

func TestAllowEncodedSlash(t *testing.T) {
	f := func(path, want string) {
		t.Helper()
		got, err := AppendPath([]byte("x"), []byte(path), true)
		if err != nil || string(got) != "x"+want {
			t.Errorf("%q gives %q, %v, want %q", path, got, err, want)
		}
	}
	f("/a%2fb", "/a%2Fb")
	f("/%2f%2F", "/%2F%2F")
	f("/a%3bb", "/a%3Bb")
	f("/%252e%252f..a", "/%252e%252f..a")
	f("/%252F.a", "/%252F.a")
	f("/%252F.", "/%252F.")
	var r Request
	if _, err := r.Parse([]byte("GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n"),
		&Limits{AllowEncodedSlash: true}); err != nil {
		t.Error(err)
	}
	if string(r.Path) != "/a%2fb" || string(r.Match) != "/a%2Fb" {
		t.Errorf("path %q, match %q", r.Path, r.Match)
	}
}

// TestMatchIsPath checks that a canonical path is not copied.
func TestMatchIsPath(t *testing.T) {
	for _, p := range []string{"/", "/a/b.c", "/a%20b%C3"} {
		var r Request
		if _, err := r.Parse([]byte("GET "+p+" HTTP/1.1\r\nHost: a\r\n\r\n"), nil); err != nil {
			t.Fatal(err)
		}
		if &r.Match[0] != &r.Path[0] {
			t.Errorf("%q was copied", p)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range append(dots, "/%61%2f", "/a%5cb", "/%3b", "/a/b;c/%7e", "/%25%32%65", "//x%") {
		f.Add("/"+s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, path string, allow bool) {
		once, err := AppendPath(nil, []byte(path), allow)
		if err != nil {
			return
		}
		twice, err := AppendPath(nil, once, allow)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%q gives %q, which gives %q, %v", path, once, twice, err)
		}
		for seg := range strings.SplitSeq(strings.ReplaceAll(unescape(path), "\\", "/"), "/") {
			if seg, _, _ = strings.Cut(seg, ";"); seg == "." || seg == ".." {
				t.Errorf("%q has a dot segment and passes as %q", path, once)
			}
		}
	})
}

// unescape decodes every escape, as a careless server does.
func unescape(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			b = append(b, unhex(upper(s[i+1]))<<4|unhex(upper(s[i+2])))
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}

func TestAppendHost(t *testing.T) {
	f := func(authority, want string) {
		t.Helper()
		got, err := AppendHost(nil, []byte(authority))
		if err != nil {
			got = []byte(errorText(err))
		}
		if string(got) != want {
			t.Errorf("%q gives %q, want %q", authority, got, want)
		}
	}
	f("WWW.Example.COM:8443", "www.example.com")
	f("a.", "a")
	f("a.:1", "a")
	f("10.0.0.1:80", "10.0.0.1")
	f("[2001:DB8:0:0::1]:80", "[2001:db8::1]")
	f("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]")
	f("a:b", "client 400 bad_host")
	f("[::1]:99999", "client 400 bad_host")
}
