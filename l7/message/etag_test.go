package message

import "testing"

// TestHasTag: RFC 9110 section 8.8.3.2; the comparison of static files, conditions of
// stored responses have a test of their own.
func TestHasTag(t *testing.T) {
	f := func(list, tag string, weak, strong bool) {
		t.Helper()
		if got := HasTag([]byte(list), []byte(tag), false); got != weak {
			t.Errorf("%s in %s, weakly: %v", tag, list, got)
		}
		if got := HasTag([]byte(list), []byte(tag), true); got != strong {
			t.Errorf("%s in %s, strongly: %v", tag, list, got)
		}
	}
	f(`"a"`, `"a"`, true, true)
	f(`W/"a"`, `"a"`, true, false)
	f(`"a"`, `W/"a"`, true, false)
	f(`W/"a"`, `W/"a"`, true, false)
	f(`"b", "a"`, `"a"`, true, true)
	f(`"b" "a"`, `"a"`, true, true)
	f(`"b`, `"b"`, false, false)
	f(`"b, "a"`, `"a"`, false, false)
	f(` * `, `"a"`, true, true)
	f(`*, "b"`, `"a"`, false, false)
	f(``, `"a"`, false, false)
	f(`,,`, ``, false, false)
}

func TestSameTag(t *testing.T) {
	f := func(a, b string, weak, strong bool) {
		t.Helper()
		if got := SameTag([]byte(a), []byte(b), false); got != weak {
			t.Errorf("%s and %s, weakly: %v", a, b, got)
		}
		if got := SameTag([]byte(a), []byte(b), true); got != strong {
			t.Errorf("%s and %s, strongly: %v", a, b, got)
		}
	}
	f(`"a"`, `"a"`, true, true)
	f(`W/"a"`, `"a"`, true, false)
	f(`W/"a"`, `W/"a"`, true, false)
	f(`"a"`, `"b"`, false, false)
}
