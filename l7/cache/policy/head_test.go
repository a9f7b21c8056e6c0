package policy

import (
	"strings"
	"testing"

	"weir/l7/message"
)

// lines writes a head with "\n" between its lines.
func (h Head) lines() string {
	return strings.TrimSuffix(strings.ReplaceAll(string(h), "\r\n", "\n"), "\n")
}

// TestStoredFields: RFC 9111 section 3.1: all fields but those of a connection, those for
// proxies, and those that no-cache and private name.
func TestStoredFields(t *testing.T) {
	f := func(cfg Config, in, want string) {
		t.Helper()
		got := Head(AppendHead(nil, &cfg, response(t, in), now)).lines()
		if got != want {
			t.Errorf("%q:\n%s\nwant\n%s", in, got, want)
		}
	}
	at := "Date: " + date(-1)
	f(Config{}, at+"\nX-A: 1\nContent-Type: text/html\nx-a: 2\nFoo: ", at+"\nX-A: 1\nContent-Type: text/html\nx-a: 2\nFoo: ")
	f(Config{}, at+"\nConnection: keep-alive, x-a\nX-A: 1\nKeep-Alive: 5\nX-B: 2", at+"\nX-B: 2")
	f(Config{}, "Proxy-Authenticate: a\nProxy-Authentication-Info: b\nProxy-Authorization: c\nProxy-Connection: d\n"+
		"TE: e\nTrailer: f\nUpgrade: g\n"+at, at)
	f(Config{}, "Transfer-Encoding: chunked\n"+at, at)
	f(Config{}, "Age: 5\nContent-Length: 0\n"+at, at)
	f(Config{}, "Warning: 199 - \"x\"\nCache-Status: a; hit\nETag: W/\"x\"\nSet-Cookie: a\n"+at,
		"Warning: 199 - \"x\"\nCache-Status: a; hit\nETag: W/\"x\"\n"+at)
	f(Config{AllowSetCookie: true}, "Set-Cookie: a\nSet-Cookie: b\n"+at, "Set-Cookie: a\nSet-Cookie: b\n"+at)
	f(Config{}, "Cache-Control: no-cache=\"X-A, x-b\", private=x-c\nX-A: 1\nX-B: 2\nX-C: 3\nX-D: 4\n"+at,
		"Cache-Control: no-cache=\"X-A, x-b\", private=x-c\nX-D: 4\n"+at)
	f(Config{}, "CDN-Cache-Control: private=\"x-a\"\nCache-Control: private=\"x-b\"\nX-A: 1\nX-B: 2\n"+at,
		"CDN-Cache-Control: private=\"x-a\"\nCache-Control: private=\"x-b\"\nX-B: 2\n"+at)
}

// TestStoredDate: RFC 9110 section 6.6.1: what has none gets one, what has one keeps it.
func TestStoredDate(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := Head(AppendHead(nil, &Config{}, response(t, in), now)).lines(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	f("", "Date: "+date(0))
	f("X: 1", "X: 1\nDate: "+date(0))
	f("Date: "+date(-100)+"\nX: 1", "Date: "+date(-100)+"\nX: 1")
	f("Date: "+date(100), "Date: "+date(100))
	f("Date: Mon Mar  2 12:00:00 2026", "Date: Mon Mar  2 12:00:00 2026")
	f("Date: x", "Date: "+date(0))
	f("Date: "+date(-1)+"\nDate: "+date(-2), "Date: "+date(-1))
}

// TestOmittedFields: RFC 9110 section 15.4.5: what a 304 tells, and what of the stored
// fields a 206 replaces.
func TestOmittedFields(t *testing.T) {
	f := func(status int, omitted string) {
		t.Helper()
		for name := range strings.FieldsSeq("Cache-Control Content-Location Date ETag Expires Vary Last-Modified X-A " +
			"Content-Type Content-Encoding Content-Language Content-Length Content-Range") {
			want := strings.Contains(" "+omitted+" ", " "+name+" ")
			if got := IsOmitted(status, []byte(name)); got != want {
				t.Errorf("%s in a %d: omitted is %v", name, status, got)
			}
		}
	}
	f(200, "")
	f(206, "Content-Range")
	f(304, "Content-Type Content-Encoding Content-Language Content-Length Content-Range")
	f(416, "Content-Type Content-Encoding Content-Language Content-Length Content-Range")
}

func TestHead(t *testing.T) {
	h := Head("A: 1\r\nETag: \"x\"\r\nEmpty: \r\na: 2\r\n")
	var names []string
	for name, value := range h.All() {
		names = append(names, string(name)+"="+string(value))
	}
	if got := strings.Join(names, " "); got != "A=1 ETag=\"x\" Empty= a=2" {
		t.Error(got)
	}
	for name := range h.All() {
		if string(name) == "A" {
			break
		}
	}
	if h.Get("a") == nil || string(h.Get("a")) != "1" || h.Get("empty") == nil || h.Get("b") != nil {
		t.Error("Get")
	}
	if f := h.AppendFields(nil); len(f) != 4 || f[1].Known != message.ETag {
		t.Error(f)
	}
	for _, broken := range []string{"A", "A\r\n", "\r\n", "\n", ":a\r\n", "A: 1"} {
		for name := range Head(broken).All() {
			t.Errorf("%q has %q", broken, name)
		}
	}
}
