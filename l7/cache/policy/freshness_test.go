package policy

import (
	"strconv"
	"testing"
	"time"
)

// lifetime judges a response that came in now and writes its lifetime in seconds, with
// "?" where it is a guess.
func lifetime(t *testing.T, cfg *Config, lines string) string {
	t.Helper()
	res := response(t, lines)
	m, _ := Judge(cfg, request(t, ""), res, now, now)
	s := strconv.FormatFloat(m.Lifetime.Seconds(), 'f', -1, 64)
	if m.Has(Heuristic) {
		s += "?"
	}
	return s
}

// TestFreshnessLifetime: RFC 9111 section 4.2.1.
func TestFreshnessLifetime(t *testing.T) {
	f := func(lines, want string) {
		t.Helper()
		if got := lifetime(t, &Config{}, lines); got != want {
			t.Errorf("%q: %s, want %s", lines, got, want)
		}
	}
	const cc = "Cache-Control: "
	f(cc+"max-age=60", "60")
	f(cc+"max-age=60, s-maxage=30", "30")
	f(cc+"s-maxage=30\n"+cc+"max-age=60", "30")
	f(cc+"max-age=60\nExpires: "+date(10), "60")
	f(cc+"s-maxage=60\nExpires: "+date(10), "60")
	f(cc+"max-age=0\nExpires: "+date(10), "0")
	f("Expires: "+date(10), "10")
	f("Expires: "+date(10)+"\nDate: "+date(-50), "60")
	f("Expires: "+date(10)+"\nDate: "+date(50), "0")
	f("Expires: "+date(-10), "0")
	f("Expires: "+date(0), "0")

	// What cannot be read is stale; the heuristic does not step in.
	const old = "\nLast-Modified: Mon, 02 Mar 2020 12:00:00 GMT"
	f(cc+"max-age=x"+old, "0")
	f(cc+"s-maxage=x, max-age=60", "0")
	f(cc+"max-age=1.5\nExpires: "+date(10), "0")
	f("Expires: 0"+old, "0")
	f("Expires:"+old, "0")
	f(cc+"max-age=99999999999", "2147483648")
	f(cc+"max-age=2147483647", "2147483647")
	f("Expires: Fri, 31 Dec 9999 23:59:59 GMT", "2147483648")

	// The first of two.
	f(cc+"max-age=1, max-age=2", "1")
	f("Expires: "+date(10)+"\nExpires: "+date(20), "10")

	// Targeted fields come before all others, valid ones.
	const cdn = "CDN-Cache-Control: "
	f(cdn+"max-age=5\n"+cc+"max-age=60, s-maxage=70\nExpires: "+date(9), "5")
	f(cdn+"s-maxage=5, max-age=6", "5")
	f(cdn+"none\n"+cc+"max-age=60\nExpires: "+date(9), "0?")
	f(cdn+"none\n"+cc+"max-age=60\nLast-Modified: "+date(-1000), "100?")
	f(cdn+"max-age=5,\n"+cc+"max-age=60", "60")
	f(cdn+"\n"+cc+"max-age=60", "60")
	f("Other-Cache-Control: max-age=5\n"+cc+"max-age=60", "60")
	f("Surrogate-Control: max-age=5\n"+cc+"max-age=60", "60")
}

// TestTargetList: RFC 9213 section 2.2. The order is that of the route.
func TestTargetList(t *testing.T) {
	f := func(targets []string, lines, want string) {
		t.Helper()
		if got := lifetime(t, &Config{Targets: targets}, lines); got != want {
			t.Errorf("%q %q: %s, want %s", targets, lines, got, want)
		}
	}
	const both = "A-Cache-Control: max-age=1\nB-Cache-Control: max-age=2\nCDN-Cache-Control: max-age=3\n" +
		"Cache-Control: max-age=4"
	f(nil, both, "3")
	f([]string{}, both, "4")
	f([]string{"b-cache-control", "a-cache-control"}, both, "2")
	f([]string{"c-cache-control", "a-cache-control"}, both, "1")
	f([]string{"b-cache-control", "a-cache-control"}, "A-Cache-Control: max-age=1\nB-Cache-Control: ?", "1")
}

// TestExpires: RFC 9111 section 4.2: dates in the three forms and in any case, GMT or
// UTC; everything else is in the past.
func TestExpires(t *testing.T) {
	f := func(value, want string) {
		t.Helper()
		if got := lifetime(t, &Config{}, "Expires: "+value); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	f("Mon, 02 Mar 2026 12:01:00 GMT", "60")
	f("mon, 02 mAr 2026 12:01:00 gmt", "60")
	f("MON, 02 MAR 2026 12:01:00 UTC", "60")
	f("Monday, 02-Mar-26 12:01:00 GMT", "60")
	f("monday, 02-mar-26 12:01:00 gmt", "60")
	f("Mon Mar  2 12:01:00 2026", "60")
	f("Mon Mar 02 12:01:00 2026", "60")

	f("Mon, 2 Mar 2026 12:01:00 GMT", "0")
	f("Mon, 02 Mar 26 12:01:00 GMT", "0")
	f("Mon, 02-Mar-2026 12:01:00 GMT", "0")
	f("Mon, 02 Mar 2026  12:01:00 GMT", "0")
	f("Mon,  02 Mar 2026 12:01:00 GMT", "0")
	f("Mon 02 Mar 2026 12:01:00 GMT", "0")
	f("Mon, 02 Mar 2026 2:01:00 GMT", "0")
	f("Mon, 02 Mar 2026 12:01 GMT", "0")
	f("Mon, 02 Mar 2026 12.01.00 GMT", "0")
	f("Mon, 02 Mar 2026 12:01:00 EST", "0")
	f("Mon, 02 Mar 2026 12:01:00 +0000", "0")
	f("Mon, 02 Mar 2026 12:01:00", "0")
	f("Mon, 02 Mar 2026 12:01:00 GMTx", "0")
	f("Mon, 02 Foo 2026 12:01:00 GMT", "0")
	f("Foo, 02 Mar 2026 12:01:00 GMT", "0")
	f("Mon, 31 Feb 2027 12:01:00 GMT", "0")
	f("Mon, 02 Mar 2026 24:01:00 GMT", "0")
	f("02 Mar 2027 12:01:00 GMT", "0")
	f("2027-03-02T12:01:00Z", "0")
	f("1893456000", "0")
	f("-1", "0")
	f("Thu, 01 Jan 1970 00:00:00 GMT", "0")
	f("\"Mon, 02 Mar 2026 12:01:00 GMT\"", "0")
}

// TestHeuristic: RFC 9111 section 4.2.2.
func TestHeuristic(t *testing.T) {
	f := func(cfg Config, lines, want string) {
		t.Helper()
		if got := lifetime(t, &cfg, lines); got != want {
			t.Errorf("%+v %q: %s, want %s", cfg, lines, got, want)
		}
	}
	changed := "Last-Modified: " + date(-1000)
	f(Config{}, changed, "100?")
	f(Config{}, changed+"\nDate: "+date(-500), "50?")
	f(Config{}, "Last-Modified: "+date(1000), "0?")
	f(Config{}, "Last-Modified: x", "0?")
	f(Config{}, "", "0?")
	f(Config{}, "Last-Modified: Mon, 02 Mar 2020 12:00:00 GMT", "86400?") // a day at most
	f(Config{HeuristicMax: time.Minute}, changed, "60?")
	f(Config{HeuristicPercent: 20}, changed, "200?")
	f(Config{HeuristicPercent: -1}, changed, "0?")
	for _, status := range []string{"200", "203", "204", "300", "301", "308", "404", "405", "410", "414", "501"} {
		f(Config{}, "status: "+status+"\n"+changed, "100?")
	}
	for _, status := range []string{"201", "202", "302", "303", "307", "400", "403", "500", "502", "503", "504", "599"} {
		f(Config{}, "status: "+status+"\n"+changed, "0?")
		f(Config{}, "status: "+status+"\nCache-Control: public\n"+changed, "100?")
	}
}

// TestRouteLifetime: what a route says, in the order of its documentation.
func TestRouteLifetime(t *testing.T) {
	f := func(cfg Config, lines, want string) {
		t.Helper()
		if got := lifetime(t, &cfg, lines); got != want {
			t.Errorf("%+v %q: %s, want %s", cfg, lines, got, want)
		}
	}
	const s = time.Second
	const cc = "Cache-Control: max-age=60"
	negative := []StatusTTL{{404, 5 * s}, {502, 1 * s}, {404, 9 * s}}
	f(Config{TTL: 10 * s}, cc, "10")
	f(Config{TTL: 10 * s}, "", "10")
	f(Config{TTL: 10 * s}, cc+"\nAge: 30", "40") // ten seconds from now
	f(Config{TTL: 10 * s}, "status: 302", "0?")
	f(Config{TTL: 10 * s}, "status: 302\n"+cc, "10")
	f(Config{TTL: 10 * s, StatusTTL: negative}, "status: 404", "5")
	f(Config{TTL: 10 * s, StatusTTL: negative}, "status: 404\n"+cc, "60")
	f(Config{StatusTTL: negative}, "status: 502", "1")
	f(Config{StatusTTL: negative}, "status: 503", "0?")
	f(Config{StatusTTL: negative, DefaultTTL: 7 * s}, "status: 404", "5")
	f(Config{DefaultTTL: 7 * s}, "Last-Modified: "+date(-1000), "7")
	f(Config{DefaultTTL: 7 * s}, "status: 302", "0?")
	f(Config{DefaultTTL: 7 * s}, "Expires: 0", "0")
	f(Config{MinTTL: 90 * s}, cc, "90")
	f(Config{MinTTL: 90 * s}, cc+"\nAge: 30", "120")
	f(Config{MaxTTL: 20 * s}, cc, "20")
	f(Config{MaxTTL: 20 * s}, cc+"\nAge: 30", "50")
	f(Config{MaxTTL: 20 * s}, "", "0?")
}
