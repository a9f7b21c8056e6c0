package policy

import (
	"strconv"
	"testing"
	"time"
)

const fresh = "Cache-Control: max-age=60"

func judge(t *testing.T, cfg *Config, req, res string, want Reason) {
	t.Helper()
	if _, got := Judge(cfg, request(t, req), response(t, res), now, now); got != want {
		t.Errorf("%q to %q: %s, want %s", res, req, got, want)
	}
}

// TestMethodsStored: only answers to GET are stored.
func TestMethodsStored(t *testing.T) {
	f := func(method string, want Reason) {
		t.Helper()
		judge(t, &Config{}, method+" /a HTTP/1.1", fresh, want)
	}
	f("GET", OK)
	f("HEAD", NotGet)
	f("POST", NotGet)
	f("PUT", NotGet)
	f("get", NotGet) // methods have a case
	f("FOO", NotGet)
}

// TestStatusesStored: RFC 9111 section 3: any final status with an explicit lifetime,
// known or not, but 206, 304 and those that are about something that no key has.
func TestStatusesStored(t *testing.T) {
	for status := 200; status <= 599; status++ {
		want := OK
		switch status {
		case 206:
			want = PartialContent
		case 304, 407, 412, 416, 428, 429, 431, 511:
			want = StatusNotStored
		}
		judge(t, &Config{}, "", "status: "+strconv.Itoa(status)+"\n"+fresh, want)
	}
	judge(t, &Config{}, "", "status: 100\n"+fresh, StatusNotStored)
	judge(t, &Config{}, "", "status: 103\n"+fresh, StatusNotStored)
	judge(t, &Config{}, "", "status: 299", NoFreshness)
	judge(t, &Config{}, "", "status: 302\nETag: \"a\"", NoFreshness)
	judge(t, &Config{}, "", "status: 599\nCache-Control: public\nLast-Modified: "+date(-1000), OK)
	judge(t, &Config{}, "", "status: 503\nExpires: "+date(10), OK)
}

// TestNoStore: sections 5.2.1.5 and 5.2.2.5.
func TestNoStore(t *testing.T) {
	judge(t, &Config{}, "", "Cache-Control: no-store, max-age=60", NoStore)
	judge(t, &Config{}, "", "Cache-Control: max-age=60\nCache-Control: No-Store", NoStore)
	judge(t, &Config{}, "", "Cache-Control: no-store=\"x\", max-age=60", NoStore)
	judge(t, &Config{}, "", "Connection: cache-control\nCache-Control: no-store\nExpires: "+date(9), NoStore)
	judge(t, &Config{}, "", "CDN-Cache-Control: no-store\n"+fresh, NoStore)
	judge(t, &Config{}, "", "CDN-Cache-Control: max-age=60\nCache-Control: no-store", OK)
	judge(t, &Config{}, "Cache-Control: no-store", fresh, RequestNoStore)
	judge(t, &Config{}, "Cache-Control: foo, NO-STORE", fresh, RequestNoStore)
	judge(t, &Config{IgnoreRequest: true}, "Cache-Control: no-store", fresh, OK)
	judge(t, &Config{TTL: time.Hour}, "", "Cache-Control: no-store", NoStore)
}

// TestMustUnderstand: section 5.2.2.3.
func TestMustUnderstand(t *testing.T) {
	const cc = "Cache-Control: must-understand, no-store, max-age=60"
	judge(t, &Config{}, "", cc, OK)
	judge(t, &Config{}, "", "status: 404\n"+cc, OK)
	judge(t, &Config{}, "", "status: 599\n"+cc, NotUnderstood)
	judge(t, &Config{}, "", "status: 299\nCache-Control: must-understand, max-age=60", NotUnderstood)
	judge(t, &Config{}, "", "status: 429\n"+cc, StatusNotStored)
}

// TestPrivate: section 5.2.2.7.
func TestPrivate(t *testing.T) {
	judge(t, &Config{}, "", "Cache-Control: private, max-age=60", Private)
	judge(t, &Config{}, "", "Cache-Control: PRIVATE, s-maxage=60", Private)
	judge(t, &Config{}, "", "Cache-Control: private=\"\", max-age=60", Private)
	judge(t, &Config{}, "", "Cache-Control: private=\"a b\", max-age=60", Private)
	judge(t, &Config{}, "", "Cache-Control: private=\"x-a\", max-age=60\nX-A: 1", OK)
	judge(t, &Config{}, "", "Cache-Control: private=x-a, max-age=60\nX-A: 1", OK)
	judge(t, &Config{}, "", "CDN-Cache-Control: private, max-age=60", Private)
	judge(t, &Config{TTL: time.Hour}, "", "Cache-Control: private", Private)
}

// TestAuthorization: section 3.5.
func TestAuthorization(t *testing.T) {
	f := func(cc string, want Reason) {
		t.Helper()
		judge(t, &Config{}, "Authorization: Basic eDp5", "Cache-Control: "+cc, want)
	}
	f("max-age=60", Authorization)
	f("max-age=60, public", OK)
	f("max-age=60, must-revalidate", OK)
	f("s-maxage=60", OK)
	f("max-age=60, proxy-revalidate", Authorization)
	f("max-age=60, immutable", Authorization)
	f("max-age=60, private, public", Private)
	f("max-age=60, no-cache=\"authorization\"", Authorization)
	judge(t, &Config{AllowAuthorization: true}, "Authorization: x", fresh, OK)
	judge(t, &Config{TTL: time.Hour}, "Authorization: x", fresh, Authorization)
	judge(t, &Config{}, "Authorization: x", "CDN-Cache-Control: max-age=9\nCache-Control: public", Authorization)
}

// TestSetCookie: a cookie is for one client, unless the route says otherwise. One that is
// not stored, because private or no-cache names it, is in nobody's way.
func TestSetCookie(t *testing.T) {
	judge(t, &Config{}, "", fresh+"\nSet-Cookie: a=b", SetCookie)
	judge(t, &Config{}, "", fresh+"\nset-cookie2: a=b", SetCookie)
	judge(t, &Config{}, "", fresh+", public\nSet-Cookie: a=b", SetCookie)
	judge(t, &Config{}, "", fresh+", private=\"set-cookie\"\nSet-Cookie: a=b", OK)
	judge(t, &Config{}, "", fresh+", no-cache=\"X, Set-Cookie\"\nSet-Cookie: a=b", OK)
	judge(t, &Config{AllowSetCookie: true}, "", fresh+"\nSet-Cookie: a=b", OK)
}

// TestUselessResponses: what could never answer a request is not stored.
func TestUselessResponses(t *testing.T) {
	f := func(cfg Config, res string, want Reason) {
		t.Helper()
		judge(t, &cfg, "", res, want)
	}
	f(Config{}, "", NoFreshness)
	f(Config{}, "ETag: \"a\"", OK)
	f(Config{}, "ETag:", NoFreshness)
	f(Config{}, "Last-Modified: "+date(-1000), OK)
	f(Config{}, "Last-Modified: x", NoFreshness)
	f(Config{}, "Cache-Control: no-cache, max-age=60", NoValidator)
	f(Config{}, "Cache-Control: no-cache\nETag: \"a\"", OK)
	f(Config{}, "Cache-Control: max-age=60\nAge: 60", StaleOnArrival)
	f(Config{}, "Cache-Control: max-age=60\nAge: 59", OK)
	f(Config{}, "Cache-Control: max-age=60\nAge: 60\nETag: \"a\"", OK)
	f(Config{}, "Cache-Control: max-age=0, stale-while-revalidate=60", OK)
	f(Config{}, "Cache-Control: max-age=0, stale-if-error=60", OK)
	f(Config{}, "Cache-Control: max-age=0, must-revalidate, stale-if-error=60", StaleOnArrival)
	f(Config{StaleIfError: time.Minute}, "Cache-Control: max-age=0", OK)
	f(Config{StaleIfError: time.Minute}, "Cache-Control: s-maxage=0", StaleOnArrival)
	f(Config{}, "Expires: 0", StaleOnArrival)
	f(Config{}, "Pragma: no-cache\n"+fresh, OK) // it means nothing in a response
	f(Config{StatusTTL: []StatusTTL{{502, time.Second}}}, "status: 502", OK)
	f(Config{DefaultTTL: time.Second}, "", OK)
}

// TestVaryIsStored: section 4.1: what can match no request is not stored.
func TestVaryIsStored(t *testing.T) {
	f := func(vary string, want Reason) {
		t.Helper()
		judge(t, &Config{}, "", fresh+"\n"+vary, want)
	}
	f("Vary: a", OK)
	f("Vary:", OK)
	f("Vary: *", VaryStar)
	f("Vary: a, *", VaryStar)
	f("Vary: *, a", VaryStar)
	f("Vary: a\nVary: *", VaryStar)
	f("Vary: , *", VaryStar)
	f("Vary:\nVary: *", VaryStar)
	f("Vary: a b", VaryStar)
	f("Vary: \"a\"", VaryStar)

	// What Weir writes for each request is not among the fields of the client.
	f("Vary: X-Forwarded-For", VaryStar)
	f("Vary: a, forwarded", VaryStar)
	f("Vary: X-Request-Id", VaryStar)
	f("Vary: X-Forwarded-Proto, X-Forwarded-Host", OK) // the key has them
	route := Config{PerClient: []string{"x-user", "x-ip"}}
	judge(t, &route, "", fresh+"\nVary: a, X-IP", VaryStar)
	judge(t, &route, "", fresh+"\nVary: a, X-I", OK)
	judge(t, &route, "", fresh, OK)
}
