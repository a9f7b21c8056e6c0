package policy

import (
	"testing"
	"time"
)

// TestPasses: requests that the cache has no part in.
func TestPasses(t *testing.T) {
	f := func(req string, want Reason) {
		t.Helper()
		if got := Passes(request(t, req)); got != want {
			t.Errorf("%q: %s, want %s", req, got, want)
		}
	}
	f("", OK)
	f("HEAD /a HTTP/1.1", OK)
	f("POST /a HTTP/1.1", Method)
	f("OPTIONS /a HTTP/1.1", Method)
	f("FOO /a HTTP/1.1", Method)
	f("get /a HTTP/1.1", Method)
	f("Content-Length: 5", RequestBody)
	f("Content-Length: 0", OK)
	f("Transfer-Encoding: chunked", RequestBody)
	f("Connection: upgrade\nUpgrade: websocket", Upgrade)
	f("If-Match: \"a\"", Precondition) // RFC 9111 section 4.3.2
	f("If-Unmodified-Since: "+date(0), Precondition)
	f("If-None-Match: \"a\"\nRange: bytes=0-1", OK)
}

// used writes what becomes of a stored response when a request comes some seconds later.
func used(t *testing.T, cfg *Config, res string, seconds float64, req string) string {
	t.Helper()
	s := store(t, cfg, res)
	w := ReadWish(cfg, request(t, req))
	d := Reuse(cfg, &s.meta, &w, after(seconds))
	out := d.Use.String() + " " + d.Why.String()
	if d.OnError {
		out += " on_error"
	}
	return out
}

// TestFreshOrStale: RFC 9111 sections 4.2 and 4.2.4.
func TestFreshOrStale(t *testing.T) {
	f := func(res string, seconds float64, want string) {
		t.Helper()
		if got := used(t, &Config{}, res, seconds, ""); got != want {
			t.Errorf("%q after %v s: %s, want %s", res, seconds, got, want)
		}
	}
	f("Cache-Control: max-age=60", 0, "fresh fresh")
	f("Cache-Control: max-age=60", 59.9, "fresh fresh")
	f("Cache-Control: max-age=60", 60, "revalidate stale") // fresh only as long as the lifetime is greater
	f("Cache-Control: max-age=60\nAge: 50", 9.9, "fresh fresh")
	f("Cache-Control: max-age=60\nAge: 50", 10, "revalidate stale")
	f("Cache-Control: max-age=60\nDate: "+date(-50), 10, "revalidate stale")
	f("Cache-Control: max-age=60, s-maxage=5", 6, "revalidate stale")
	f("Expires: "+date(10), 9.5, "fresh fresh")
	f("Expires: "+date(10), 10, "revalidate stale")
	f("Cache-Control: max-age=60, no-cache\nETag: \"a\"", 0, "revalidate no_cache")
	f("Cache-Control: max-age=60, no-cache=\"x\"", 0, "fresh fresh")
	f("Cache-Control: max-age=60, must-revalidate", 0, "fresh fresh")
	f("Cache-Control: max-age=60, must-revalidate", 61, "revalidate stale")
	f("CDN-Cache-Control: no-cache\nCache-Control: max-age=60\nETag: \"a\"", 0, "revalidate no_cache")
	f("ETag: \"a\"", 0, "revalidate stale")
}

// TestRequestDirectives: section 5.2.1.
func TestRequestDirectives(t *testing.T) {
	f := func(req string, seconds float64, want string) {
		t.Helper()
		if got := used(t, &Config{}, "Cache-Control: max-age=60", seconds, req); got != want {
			t.Errorf("%q after %v s: %s, want %s", req, seconds, got, want)
		}
	}
	const cc = "Cache-Control: "
	const hit = "fresh fresh"
	f(cc+"no-cache", 0, "revalidate request_no_cache on_error")
	f(cc+"No-Cache", 0, "revalidate request_no_cache on_error")
	f(cc+"foo, no-cache=\"x\"", 0, "revalidate request_no_cache on_error")
	f(cc+"foo\n"+cc+"no-cache", 0, "revalidate request_no_cache on_error")
	f("Pragma: no-cache", 0, "revalidate request_no_cache on_error")
	f("Pragma: foo, NO-CACHE", 0, "revalidate request_no_cache on_error")
	f("Pragma: foo", 0, hit)
	f("Pragma: no-cache\n"+cc+"max-age=100", 0, hit) // section 5.4
	f("Pragma: no-cache\n"+cc, 0, hit)
	f(cc+"no-store", 0, hit) // it is about what comes, not about what is there
	f(cc+"x=\"no-cache\"", 0, hit)

	f(cc+"max-age=0", 0.5, "revalidate request_max_age on_error")
	f(cc+"max-age=10", 10, hit)
	f(cc+"max-age=10", 11, "revalidate request_max_age on_error")
	f(cc+"max-age=\"10\"", 11, "revalidate request_max_age on_error")
	f(cc+"max-age=x", 11, hit)
	f(cc+"max-age=-1", 11, hit)
	f(cc+"max-age=100", 60, "revalidate stale")
	f(cc+"max-age=99999999999999999999", 1, hit)

	f(cc+"min-fresh=10", 50, hit)
	f(cc+"min-fresh=10", 51, "revalidate request_min_fresh on_error")
	f(cc+"min-fresh=61", 0, "revalidate request_min_fresh on_error")
	f(cc+"min-fresh=0", 60, "revalidate stale")
	f(cc+"min-fresh=x", 51, hit)

	f(cc+"max-stale", 1000, "stale max_stale")
	f(cc+"max-stale=10", 70, "stale max_stale")
	f(cc+"max-stale=10", 71, "revalidate stale")
	f(cc+"max-stale=x", 61, "revalidate stale")
	f(cc+"max-stale=", 61, "revalidate stale")
	f(cc+"max-stale, max-age=50", 61, "revalidate request_max_age")
	f(cc+"max-stale=5, min-fresh=1", 61, "revalidate request_min_fresh")

	f(cc+"only-if-cached", 0, hit)
	f(cc+"only-if-cached", 60, "unsatisfiable only_if_cached")
	f(cc+"only-if-cached, no-cache", 0, "unsatisfiable only_if_cached")
	f(cc+"only-if-cached, max-stale", 70, "stale max_stale")

	for _, req := range []string{"no-cache", "max-age=0", "min-fresh=100"} {
		if got := used(t, &Config{IgnoreRequest: true}, "Cache-Control: max-age=60", 1, cc+req); got != hit {
			t.Errorf("ignored %s: %s", req, got)
		}
	}
	ignore := Config{IgnoreRequest: true}
	if w := ReadWish(&ignore, request(t, cc+"only-if-cached, no-store")); !w.OnlyIfCached || w.NoStore {
		t.Errorf("ignored: %+v", w)
	}
}

// TestStaleIsForbidden: section 4.2.4: no-cache, must-revalidate, proxy-revalidate and
// s-maxage, whatever the client and the route allow.
func TestStaleIsForbidden(t *testing.T) {
	route := Config{StaleIfError: time.Hour, StaleWhileRevalidate: time.Hour}
	f := func(cc, req, want string) {
		t.Helper()
		if got := used(t, &route, "ETag: \"a\"\nCache-Control: "+cc, 61, req); got != want {
			t.Errorf("%q to %q: %s, want %s", cc, req, got, want)
		}
	}
	const maxStale = "Cache-Control: max-stale"
	f("max-age=60", maxStale, "stale max_stale")
	f("max-age=60", "", "stale_while_revalidate stale_while_revalidate")
	for _, cc := range []string{"max-age=60, must-revalidate", "max-age=60, proxy-revalidate", "s-maxage=60"} {
		f(cc, maxStale, "revalidate stale")
		f(cc, "", "revalidate stale")
		f(cc, "Cache-Control: stale-if-error=1000", "revalidate stale")
	}
	f("max-age=60, no-cache", maxStale, "revalidate no_cache")
	f("max-age=60, no-cache, stale-if-error=100, stale-while-revalidate=100", "", "revalidate no_cache")
	f("max-age=60, must-revalidate, stale-if-error=100, stale-while-revalidate=100", "", "revalidate stale")
}

// TestStaleWindows: RFC 5861.
func TestStaleWindows(t *testing.T) {
	f := func(cfg Config, cc string, seconds float64, req, want string) {
		t.Helper()
		if got := used(t, &cfg, "Cache-Control: "+cc, seconds, req); got != want {
			t.Errorf("%q after %v s, %q: %s, want %s", cc, seconds, req, got, want)
		}
	}
	const behind = "stale_while_revalidate stale_while_revalidate"
	none, route := Config{}, Config{StaleIfError: 20 * time.Second, StaleWhileRevalidate: 10 * time.Second}
	f(none, "max-age=60, stale-while-revalidate=10", 59, "", "fresh fresh")
	f(none, "max-age=60, stale-while-revalidate=10", 60, "", behind)
	f(none, "max-age=60, stale-while-revalidate=10", 70, "", behind)
	f(none, "max-age=60, stale-while-revalidate=10", 71, "", "revalidate stale")
	f(none, "max-age=60, stale-while-revalidate=x", 61, "", "revalidate stale")
	f(none, "max-age=60, stale-while-revalidate=10", 61, "Cache-Control: no-cache", "revalidate request_no_cache")
	f(none, "max-age=60, stale-while-revalidate=10", 61, "Cache-Control: max-age=60", "revalidate request_max_age")
	f(none, "s-maxage=60, stale-while-revalidate=10", 61, "", behind)

	f(none, "max-age=60, stale-if-error=10", 60, "", "revalidate stale on_error")
	f(none, "max-age=60, stale-if-error=10", 70, "", "revalidate stale on_error")
	f(none, "max-age=60, stale-if-error=10", 71, "", "revalidate stale")
	f(none, "max-age=60", 61, "", "revalidate stale")
	f(none, "max-age=60", 61, "Cache-Control: stale-if-error=10", "revalidate stale on_error")
	f(none, "max-age=60", 71, "Cache-Control: stale-if-error=10", "revalidate stale")
	f(none, "s-maxage=60, stale-if-error=10", 61, "", "revalidate stale on_error")

	f(route, "max-age=60", 65, "", behind)
	f(route, "max-age=60", 75, "", "revalidate stale on_error")
	f(route, "max-age=60", 81, "", "revalidate stale")
	f(route, "max-age=60, stale-while-revalidate=0, stale-if-error=0", 65, "", "revalidate stale")
}

// TestImmutable: RFC 8246: as long as it is fresh, asking again tells nothing new.
func TestImmutable(t *testing.T) {
	f := func(seconds float64, req, want string) {
		t.Helper()
		got := used(t, &Config{}, "Cache-Control: max-age=60, immutable\nETag: \"a\"", seconds, req)
		if got != want {
			t.Errorf("after %v s, %q: %s, want %s", seconds, req, got, want)
		}
	}
	f(1, "Cache-Control: max-age=0", "fresh fresh")
	f(1, "Cache-Control: no-cache", "revalidate request_no_cache on_error") // the user insists
	f(61, "Cache-Control: max-age=0", "revalidate request_max_age")
	f(61, "", "revalidate stale")
}

// TestDecisionForward: RFC 9211 section 2.2.
func TestDecisionForward(t *testing.T) {
	f := func(seconds float64, req string, want Forward) {
		t.Helper()
		s := store(t, &Config{}, "Cache-Control: max-age=60")
		w := ReadWish(&Config{}, request(t, req))
		d := Reuse(&Config{}, &s.meta, &w, after(seconds))
		if got := d.Forward(); got != want {
			t.Errorf("after %v s, %q: %s, want %s", seconds, req, got, want)
		}
	}
	f(1, "", Hit)
	f(1, "Cache-Control: no-cache", ForwardRequest)
	f(1, "Cache-Control: max-age=0", ForwardRequest)
	f(61, "", ForwardStale)
	f(61, "Cache-Control: no-cache", ForwardStale)
	for why, want := range map[Reason]Forward{
		Method: ForwardMethod, Precondition: ForwardBypass, RequestBody: ForwardBypass, Upgrade: ForwardBypass,
		RequestNoCache: ForwardRequest, RequestMaxAge: ForwardRequest, RequestMinFresh: ForwardRequest,
		LifetimeOver: ForwardStale, ResponseNoCache: ForwardStale, OK: ForwardMiss,
	} {
		if got := why.Forward(); got != want {
			t.Errorf("%s: %s, want %s", why, got, want)
		}
	}
}
