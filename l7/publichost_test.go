package l7

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"weir/conf"
)

func testNames() *privateNames {
	return newPrivateNames([]conf.Server{
		{Addr: conf.Addr{Network: "tcp", Host: "app.internal", Port: 8080}},
		{Addr: conf.Addr{Network: "tcp", Host: "10.0.0.1", Port: 80}},
		{Addr: conf.Addr{Network: "unix", Path: "/run/app"}},
	}, "Origin.Example:8443")
}

func TestPublicURL(t *testing.T) {
	from := answerer{addr: netip.MustParseAddrPort("192.0.2.7:8080"), host: []byte("t1.internal")}
	f := func(value, want string) {
		t.Helper()
		got, ok := testNames().appendPublicURL(nil, []byte(value), from, "https", []byte("www.example.com"))
		if !ok {
			got = []byte(value)
		}
		if string(got) != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
	f("http://app.internal:8080/x?y#z", "https://www.example.com/x?y#z")
	f("HTTP://APP.internal:8080", "https://www.example.com")
	f("http://app.internal/x", "https://www.example.com/x")
	f("http://app.internal:8081/x", "http://app.internal:8081/x")
	f("//app.internal:8080/x", "//www.example.com/x")
	f("http://10.0.0.1/", "https://www.example.com/")
	f("http://origin.example/", "https://www.example.com/")
	f("http://origin.example:1/", "https://www.example.com/")
	f("http://192.0.2.7:8080/", "https://www.example.com/")
	f("http://192.0.2.7:81/", "http://192.0.2.7:81/")
	f("http://app.internal.:8080/x", "https://www.example.com/x")
	f("http://T1.internal/x", "https://www.example.com/x")
	f("http://t1.internal:9/x", "https://www.example.com/x")
	f("http://t2.internal/", "http://t2.internal/")

	f("/x", "/x")
	f("", "")
	f("http://", "http://")
	f("http:///x", "http:///x")
	f("http://user@app.internal:8080/", "http://user@app.internal:8080/")
	f("http://other.example/http://app.internal", "http://other.example/http://app.internal")
	f("ftp://app.internal/", "ftp://app.internal/")
	f("http://app.internal.evil.example/", "http://app.internal.evil.example/")
}

func TestPublicRefresh(t *testing.T) {
	f := func(value, want string) {
		t.Helper()
		got, ok := testNames().appendPublicRefresh(nil, []byte(value), answerer{}, "http", []byte("p:81"))
		if !ok {
			got = []byte(value)
		}
		if string(got) != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
	f("5; url=http://app.internal:8080/next", "5; url=http://p:81/next")
	f("0;URL='http://app.internal/'", "0;URL='http://p:81/'")
	f("5", "5")
	f("5; url=/next", "5; url=/next")
	f("5; url=", "5; url=")
}

func TestPublicCookie(t *testing.T) {
	f := func(value, want string) {
		t.Helper()
		got, ok := testNames().appendPublicCookie(nil, []byte(value), answerer{}, []byte("www.example.com"))
		if !ok {
			got = []byte(value)
		}
		if string(got) != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
	f("a=b; Domain=app.internal; Path=/", "a=b; Domain=www.example.com; Path=/")
	f("a=b; path=/; domain=.APP.internal", "a=b; path=/; domain=www.example.com")
	f("a=b; Domain=example.org", "a=b; Domain=example.org")
	f("a=b", "a=b")
	f("a=b;", "a=b;")
	f("domain=app.internal", "domain=app.internal")
	f("a=domain=app.internal; Secure", "a=domain=app.internal; Secure")
}

// A host that is made for each request is as private as one that is written out.
func TestMadeHostIsPrivate(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://"+r.Host+"/x?y")
		w.Header().Set("Set-Cookie", "a=b; Domain="+strings.Split(r.Host, ":")[0])
		w.Header().Set("Refresh", "1; url=http://other.internal/")
	})
	f := func(keys, target, wantLocation, wantCookie string) {
		t.Helper()
		res, _ := newRig(t, oneRoute(`pool = "app"`+"\n"+keys), o.addr).dial().get(target)
		if got := res.Header.Get("Location"); got != wantLocation {
			t.Errorf("%s: got Location %q, want %q", keys, got, wantLocation)
		}
		if got := res.Header.Get("Set-Cookie"); got != wantCookie {
			t.Errorf("%s: got Set-Cookie %q, want %q", keys, got, wantCookie)
		}
		if got := res.Header.Get("Refresh"); got != "1; url=http://other.internal/" {
			t.Errorf("%s: got Refresh %q", keys, got)
		}
	}
	const public, cookie = "http://www.example.com/x?y", "a=b; Domain=www.example.com"
	f(`rewrite_host = "app.internal"`, "/", public, cookie)
	f(`path = "/u/{id}"`+"\n"+`rewrite_host = "{id}.internal"`, "/u/T1", public, cookie)
	f(`path = "/u/{id}"`+"\n"+`rewrite_host = "{id}.internal:8080"`, "/u/t1", public, cookie)
	f(`path = "/u/{id}"`+"\n"+`rewrite_host = "{id}.internal."`, "/u/t1", public, cookie)
}

// Behind a proxy that ends TLS and is trusted to say so, the client's scheme is https: in
// what names a server, and for what goes over TLS only.
func TestSchemeBehindProxy(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://app.internal/x")
	})
	f := func(trusted, proto, wantLocation string, wantSecure bool) {
		t.Helper()
		r := newRig(t, fmt.Sprintf(`
			pool.app = { servers = [%q], sticky = { cookie = "lb" } }
			pool.none = { servers = ["127.0.0.1:1"] }
			[[l7]]
			name = "web"
			listen = ["127.0.0.1:0"]
			trusted_proxies = [%q]
			[[l7.route]]
			split = [{ pool = "app" }, { pool = "none", weight = 0 }]
			sticky = { cookie = "side" }
			rewrite_host = "app.internal"
		`, o.addr, trusted))
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-Proto: %s\r\n\r\n", proto)
		res, _, err := c.response("GET")
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Header.Get("Location"); got != wantLocation {
			t.Errorf("%s says %s: got Location %q, want %q", trusted, proto, got, wantLocation)
		}
		cookies := res.Cookies()
		if len(cookies) != 2 || cookies[0].Secure != wantSecure || cookies[1].Secure != wantSecure {
			t.Errorf("%s says %s: got %q, want Secure %v", trusted, proto, res.Header["Set-Cookie"], wantSecure)
		}
	}
	f("127.0.0.0/8", "https", "https://www.example.com/x", true)
	f("127.0.0.0/8", "http", "http://www.example.com/x", false)
	f("10.0.0.0/8", "https", "http://www.example.com/x", false)
}
