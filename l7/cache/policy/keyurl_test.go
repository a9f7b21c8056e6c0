package policy

import (
	"fmt"
	"testing"

	"weir/l7/message"
)

func TestKeyURL(t *testing.T) {
	f := func(parts KeyParts, scheme, target, host, wantHost, wantPath string) {
		t.Helper()
		req := new(message.Request)
		text := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nX: y\r\n\r\n", target, host)
		if _, err := req.Parse([]byte(text), &message.Limits{}); err != nil {
			t.Fatal(err)
		}
		key := AppendKey(nil, NewKeyPolicy(parts), scheme, req)
		s, h, p, ok := KeyURL(key)
		if !ok || string(s) != scheme || string(h) != wantHost || string(p) != wantPath {
			t.Errorf("%s %s: got %q %q %q, %v", host, target, s, h, p, ok)
		}
		for n := range len(key) { // no prefix of a key is taken for something else
			if _, h, p, ok := KeyURL(key[:n]); ok && (string(h) != wantHost || string(p) != wantPath) {
				t.Errorf("%q: got %q %q", key[:n], h, p)
			}
		}
	}
	f(KeyParts{}, "http", "/", "a.example", "a.example", "/")
	f(KeyParts{}, "https", "/a/b?c", "A.example:8443", "a.example:8443", "/a/b")
	f(KeyParts{Space: "route"}, "http", "/a", "a.example:80", "a.example", "/a")
	f(KeyParts{Space: "r", Headers: []string{"X"}, Sort: true}, "http", "/a?x", "[::1]:81", "[::1]:81", "/a")
	if _, _, _, ok := KeyURL(nil); ok {
		t.Error("nothing is a key")
	}
}
