package message

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNodeAddr(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		got, ok := NodeAddr([]byte(in))
		if ok != (want != "") || ok && got != netip.MustParseAddr(want) {
			t.Errorf("%q: got %v, %v, want %q", in, got, ok, want)
		}
	}
	f("192.0.2.7", "192.0.2.7")
	f("192.0.2.7:80", "192.0.2.7")
	f("192.0.2.7:", "192.0.2.7")
	f("2001:db8::7", "2001:db8::7")
	f("[2001:db8::7]", "2001:db8::7")
	f("[2001:db8::7]:65535", "2001:db8::7")
	f("::ffff:192.0.2.7", "192.0.2.7")
	f("[::ffff:192.0.2.7]", "192.0.2.7")

	for _, bad := range []string{
		"", ":", ":80", "unknown", "_hidden", "192.0.2", "192.0.2.7 ", "192.0.2.7:x", "192.0.2.7:65536", "a.example",
		"[", "[]", "[]:80", "[192.0.2.7]", "[2001:db8::7", "[2001:db8::7]x", "fe80::1%eth0", "[fe80::1%eth0]", "%", "1%",
		strings.Repeat("1", 99),
	} {
		f(bad, "")
	}
}

func TestNextForwarded(t *testing.T) {
	f := func(in string, want ...string) {
		t.Helper()
		var got []string
		for list := []byte(in); len(list) > 0; {
			node, rest, ok := NextForwarded(list)
			if !ok {
				got = append(got, "!")
				break
			}
			got, list = append(got, string(node)), rest
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	f("for=192.0.2.7", "192.0.2.7")
	f(`For="[2001:db8::7]:4711"`, "[2001:db8::7]:4711")
	f(`for=192.0.2.7;proto=http;by=203.0.113.43, for=198.51.100.17`, "192.0.2.7", "198.51.100.17")
	f(`by=a , for=b;host="x,y;z" ; proto=https`, "", "b")
	f(",, for=a, ,for=b", "a", "b")
	f("for=a, ,", "a")
	f("for=unknown", "unknown")

	f("192.0.2.7", "!")
	f("for=", "!")
	f("for =a", "!")
	f("for=a;for=b", "!")
	f("for=a b", "!")
	f(`for="a`, "!")
	f(`for="a\"b"`, "!")
	f("for=a;", "!")
	f("for=a, x", "a", "!")
}

// Nothing that a peer sends makes the parsers panic, stand still or allocate.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{
		"for=192.0.2.7;proto=http, for=b", `for="[2001:db8::7]:80"`, ",;=\"", "[::]:1", "1.2.3.4:5",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		if addr, ok := NodeAddr(list); ok && (!addr.IsValid() || addr.Zone() != "" || addr.Is4In6()) {
			t.Errorf("%q: %v, %v", list, addr, ok)
		}
		for rest := list; len(rest) > 0; {
			_, after, ok := NextForwarded(rest)
			if !ok {
				break
			}
			if len(after) >= len(rest) {
				t.Fatalf("%q: %q follows %q", list, after, rest)
			}
			rest = after
		}
	})
}
