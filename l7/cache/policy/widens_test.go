package policy

import "testing"

// TestWidens: RFC 9111 sections 3.2 and 4.1, RFC 9875 section 2.
func TestWidens(t *testing.T) {
	f := func(stored, merged string, want bool) {
		t.Helper()
		if got := Widens(Head(stored), Head(merged)); got != want {
			t.Errorf("%q, %q: %t", stored, merged, got)
		}
	}
	f("", "", false)
	f("Vary: A, B\r\n", "Vary: b\r\nvary: a\r\n", false)
	f("Vary: A, B\r\n", "Vary: A\r\n", false)
	f("Vary: A\r\n", "Vary: A, B\r\n", true)
	f("", "Vary: A\r\n", true)
	f("", "Vary: *\r\n", true)
	f("Cache-Groups: \"a\", \"b\"\r\n", "Cache-Groups: \"b\"\r\n", false)
	f("Cache-Groups: \"a\"\r\n", "Cache-Groups: \"b\"\r\n", true)
	f("Surrogate-Key: a b\r\n", "Surrogate-Key: b a\r\n", false)
	f("Surrogate-Key: a\r\n", "Cache-Groups: \"a\"\r\n", true)
}
