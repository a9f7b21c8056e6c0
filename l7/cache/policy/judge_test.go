package policy

import "testing"

// TestWhatIsStored: RFC 9111 section 3.
func TestWhatIsStored(t *testing.T) {
	f := func(req, res string, want Reason) {
		t.Helper()
		if _, got := Judge(&Config{}, request(t, req), response(t, res), now, now); got != want {
			t.Errorf("%q to %q: %s, want %s", res, req, got, want)
		}
	}
	const fresh = "Cache-Control: max-age=60"
	f("", fresh, OK)
	f("", "status: 599\n"+fresh, OK)
	f("", "Cache-Control: max-age=60, no-store", NoStore)
	f("", "Cache-Control: max-age=60, private", Private)
	f("", "Cache-Control: max-age=60, private=\"x-a\"", OK)
	f("", fresh+"\nVary: a, *", VaryStar)
	f("", fresh+"\nSet-Cookie: a=b", SetCookie)
	f("Authorization: x", fresh, Authorization)
	f("Authorization: x", fresh+", public", OK)
	f("POST /a HTTP/1.1\nContent-Length: 0", fresh, NotGet)
	f("", "", NoFreshness)
	f("", "Cache-Control: no-cache", NoValidator)
	f("", "Cache-Control: no-cache\nETag: \"a\"", OK)
}
