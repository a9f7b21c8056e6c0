package policy

import (
	"strings"
	"testing"
)

// TestVaryNames: RFC 9111 section 4.1: one set of names, however it is written.
func TestVaryNames(t *testing.T) {
	f := func(lines, want string) {
		t.Helper()
		got, ok := AppendVary([]byte("x"), response(t, lines).Fields)
		if !ok {
			got = []byte("x*")
		}
		if string(got) != "x"+want {
			t.Errorf("%q: %q, want %q", lines, got[1:], want)
		}
	}
	f("", "")
	f("Vary:", "")
	f("Vary: ,,", "")
	f("Vary: A", "a")
	f("Vary: b, A", "a,b")
	f("Vary: b,A , b,B", "a,b")
	f("Vary: b\nVary: a", "a,b")
	f("Vary: ab, a, abc", "a,ab,abc")
	f("Vary: *", "*")
	f("Vary: a, *, b", "*")
	f("Vary: a\nVary: *", "*")
	f("Vary: **", "**")
	f("Vary: a b", "*")
	f("Vary: a;b", "*")
	f("Vary: \"a\"", "*")
	names := make([]string, 33)
	for i := range names {
		names[i] = "x" + strings.Repeat("y", i)
	}
	f("Vary: "+strings.Join(names[:32], ", "), strings.Join(names[:32], ","))
	f("Vary: "+strings.Join(names, ", "), "*")
}

// same tells whether two requests are one variant for stored responses with a Vary.
func same(t *testing.T, vary, a, b string) bool {
	t.Helper()
	names, ok := AppendVary(nil, response(t, "Vary: "+vary).Fields)
	if !ok {
		t.Fatalf("%q matches nothing", vary)
	}
	one := AppendVariant(nil, names, request(t, a).Fields)
	return string(one) == string(AppendVariant(nil, names, request(t, b).Fields))
}

// TestVariants: section 4.1: fields match if they are the same after what their own
// definition allows: joining lines, white space around commas, case and order where
// they do not count.
func TestVariants(t *testing.T) {
	f := func(vary, a, b string, want bool) {
		t.Helper()
		if got := same(t, vary, a, b); got != want {
			t.Errorf("Vary: %s: %q and %q: %v", vary, a, b, got)
		}
	}
	f("", "A: 1", "A: 2", true)
	f("A", "A: 1", "A: 1", true)
	f("A", "A: 1", "A: 2", false)
	f("a", "A: 1", "a: 1", true)
	f("A", "A: x", "A: X", false)
	f("A", "A: 1\nB: 1", "A: 1\nB: 2", true)
	f("A, B", "A: 1\nB: 1", "B: 1\nA: 1", true)
	f("A, B", "A: 1\nB: 2", "A: 1\nB: 3", false)
	f("A, B", "A: 1\nB: 2", "A: 2\nB: 1", false)
	f("A, B, C", "A: 1", "A: 1", true)
	f("A, B", "A: 1", "B: 1", false)

	// Absent is not empty, and matches only absent.
	f("A", "", "", true)
	f("A", "", "A:", false)
	f("A", "A:", "A:", true)
	f("A", "", "A: 1", false)
	f("A, B", "A:", "B:", false)

	// Lines and white space.
	f("A", "A: 1, 2", "A: 1\nA: 2", true)
	f("A", "A: 1, 2", "A: 1,2", true)
	f("A", "A: 1,2", "A: 1 \t,\t 2", true)
	f("A", "A: 1,2", "A: 2,1", false)
	f("A", "A: 1\nA: 2", "A: 2\nA: 1", false)
	f("A", "A: 12", "A: 1 2", false)
	f("A", "A: a b", "A: a  b", false)
	f("A", "A: \"1, 2\"", "A: \"1,2\"", false)
	f("A", "A: \"1, 2", "A: \"1,2", false)
	f("A", "A: \"1\" , 2", "A: \"1\",2", true)
	f("User-Agent", "User-Agent: a, b", "User-Agent: a,b", false)
	f("Cookie", "Cookie: a=1; b=2", "Cookie: b=2; a=1", false)
	f("Referer", "Referer: a, b", "Referer: a,b", false)
	f("Origin", "Origin: a", "Origin: b", false)
	f("Host", "Host: a", "Host: b", false)

	// A field for this connection only is not seen by the backend.
	f("A", "Connection: a\nA: 1", "", true)
	f("TE", "TE: trailers\nConnection: te", "", true)
}

// TestVaryAcceptEncoding: what counts is the set of codings that a client takes.
func TestVaryAcceptEncoding(t *testing.T) {
	f := func(a, b string, want bool) {
		t.Helper()
		if got := same(t, "Accept-Encoding", "Accept-Encoding: "+a, "Accept-Encoding: "+b); got != want {
			t.Errorf("%q and %q: %v", a, b, got)
		}
	}
	f("gzip, br", "br,gzip", true)
	f("gzip, br", "GZIP ;q=0.5, br;q=1.0", true)
	f("gzip, x-gzip", "gzip", true)
	f("gzip", "gzip, identity", true)
	f("gzip", "gzip, gzip", true)
	f("gzip", "gzip, identity;q=0", false)
	f("gzip, br", "gzip, br;q=0", false)
	f("gzip, br", "gzip", false)
	f("gzip", "*", false)
	f("*", "*;q=0", false)
	f("*, gzip;q=0", "*", false)
	f("identity, *;q=0", "*;q=0", false)
	f("gzip, dcb", "gzip, DCB", true)
	f("compress", "x-compress", true)
	f("", "identity", true)
	f("", "gzip", false)
	f("gzip;q=2", "gzip;q=3", false) // malformed: as they are
	f("gzip;q=2, br", "gzip;q=2,br", true)
	if same(t, "Accept-Encoding", "", "Accept-Encoding:") {
		t.Error("no Accept-Encoding takes anything, an empty one nothing")
	}
	many := "gzip" + strings.Repeat(", x", 40)
	f(many, many, true)
	f(many, many+", br", false)
}

// TestVaryAcceptLanguage: tags have no case, and weights, not places, say what comes
// first (RFC 9110 sections 12.4.2 and 12.5.4).
func TestVaryAcceptLanguage(t *testing.T) {
	f := func(a, b string, want bool) {
		t.Helper()
		for _, name := range []string{"Accept-Language", "Accept-Charset"} {
			if got := same(t, name, name+": "+a, name+": "+b); got != want {
				t.Errorf("%q and %q: %v", a, b, got)
			}
		}
	}
	f("en, de", "EN,de", true)
	f("en, de", "de, en", true)
	f("en, de;q=0.5", "de;q=0.5, en", true)
	f("en, de;q=0.5", "en;q=1.0, de;q=0.50", true)
	f("en, de;q=0.5", "en, de;q=0.8", false)
	f("en, de;q=0.5", "de, en;q=0.5", false)
	f("en", "en, de", false)
	f("en, de;q=0", "en", false)
	f("en-GB", "en", false)
	f("*", "en", false)
	if !same(t, "Accept-Language", "Accept-Language: en\nAccept-Language: de", "Accept-Language: de, en") {
		t.Error("two lines are not one")
	}
}

func TestWeights(t *testing.T) {
	f := func(in string, want int) {
		t.Helper()
		if got := parseWeight([]byte(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
	f("q=1", 1000)
	f("Q=0", 0)
	f("q=0.5", 500)
	f("q=0.05", 50)
	f("q=0.999", 999)
	f("q=1.000", 1000)
	f("q=1.", 1000)
	f("q=1.1", -1)
	f("q=2", -1)
	f("q=0.1234", -1)
	f("q=.5", -1)
	f("q=0x5", -1)
	f("q=0.x", -1)
	f("q=-1", -1)
	f("q=0,5", -1)
	f("q = 1", -1)
	f("level=1", -1)
	f("", -1)
}
