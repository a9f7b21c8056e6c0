package policy

import (
	"testing"
	"time"

	"weir/l7/message"
)

// TestConditions: RFC 9111 section 4.3.1: the validators that are stored, as they are.
func TestConditions(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		s := store(t, &Config{}, in)
		if got := Head(AppendConditions(nil, &s.meta, s.head)).lines(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	changed := date(-1000)
	f("", "")
	f("ETag: \"a\"", "If-None-Match: \"a\"")
	f("ETag: W/\"a\"", "If-None-Match: W/\"a\"")
	f("ETag: a", "If-None-Match: a")
	f("ETag: \"a\\\"", "If-None-Match: \"a\\\"")
	f("ETag:", "")
	f("Last-Modified: "+changed, "If-Modified-Since: "+changed)
	f("Last-Modified: x", "")
	f("Last-Modified: "+changed+"\nETag: \"a\"", "If-None-Match: \"a\"\nIf-Modified-Since: "+changed)

	for _, id := range []message.ID{
		message.IfMatch, message.IfNoneMatch, message.IfModifiedSince,
		message.IfUnmodifiedSince, message.IfRange, message.Range,
	} {
		if !IsReplacedByConditions(id) {
			t.Errorf("%s stays in a revalidation", id)
		}
	}
	if IsReplacedByConditions(message.Accept) || IsReplacedByConditions(message.Unknown) {
		t.Error("other fields do not stay")
	}
}

// TestConfirms: section 4.3.4: a 304 with another validator is about something else.
func TestConfirms(t *testing.T) {
	f := func(in, notModified string, want bool) {
		t.Helper()
		s := store(t, &Config{}, in)
		if got := Confirms(&s.meta, s.head, response(t, "status: 304\n"+notModified).Fields); got != want {
			t.Errorf("%q, 304 with %q: %v", in, notModified, got)
		}
	}
	f("ETag: \"a\"", "", true)
	f("ETag: \"a\"", "ETag: \"a\"", true)
	f("ETag: \"a\"", "ETag: \"b\"", false)
	f("ETag: \"a\"", "ETag: W/\"a\"", true)
	f("ETag: W/\"a\"", "ETag: \"a\"", true) // compressed by nginx
	f("ETag: W/\"a\"", "ETag: W/\"b\"", false)
	f("ETag: \"a\"\nLast-Modified: "+date(-9), "ETag: \"a\"\nLast-Modified: "+date(-8), true)
	f("Last-Modified: "+date(-9), "Last-Modified: "+date(-9), true)
	f("Last-Modified: "+date(-9), "Last-Modified: "+date(-8), false)
	f("Last-Modified: "+date(-9), "ETag: \"b\"", true)
	f("Last-Modified: "+date(-9), "", true)
}

// TestMerge: section 3.2: what a 304 has replaces what is stored, but what says what the
// stored octets are.
func TestMerge(t *testing.T) {
	f := func(cfg Config, in, notModified, want string) {
		t.Helper()
		s := store(t, &cfg, in)
		res := response(t, "status: 304\n"+notModified)
		if got := Head(AppendMerged(nil, &cfg, s.head, res.Fields, after(100))).lines(); got != want {
			t.Errorf("%q and %q:\n%s\nwant\n%s", in, notModified, got, want)
		}
	}
	later := "Date: " + date(100)
	f(Config{}, "A: 1\nB: 2", "", "A: 1\nB: 2\n"+later)
	f(Config{}, "A: 1\nB: 2", "B: 3\nC: 4", "A: 1\nB: 3\nC: 4\n"+later)
	f(Config{}, "A: 1\nA: 2", "a: 3", "a: 3\n"+later)
	f(Config{}, "A: 1", "A: 2\nA: 3", "A: 2\nA: 3\n"+later)
	f(Config{}, "Date: "+date(-9), "", later)
	f(Config{}, "Date: "+date(-9), "Date: "+date(90), "Date: "+date(90))
	f(Config{}, "Date: "+date(-9), "Date: x", later)
	f(Config{}, "Content-Type: a\nCache-Control: max-age=1", "Content-Type: b\nCache-Control: max-age=2\nExpires: 0",
		"Content-Type: b\nCache-Control: max-age=2\nExpires: 0\n"+later)
	f(Config{}, "Content-Encoding: gzip", "Content-Encoding: br\nContent-Length: 9\nContent-Range: bytes 1-2/3",
		"Content-Encoding: gzip\n"+later)
	f(Config{}, "A: 1", "Connection: a, x\nA: 2\nX: 1\nTransfer-Encoding: chunked\nAge: 5", "A: 1\n"+later)
	f(Config{}, "A: 1", "Set-Cookie: a\nProxy-Authenticate: x", "A: 1\n"+later)
	f(Config{AllowSetCookie: true}, "Set-Cookie: a\nA: 1", "Set-Cookie: b", "A: 1\nSet-Cookie: b\n"+later)
	f(Config{}, "A: 1\nB: 2", "Cache-Control: private=\"a\", no-cache=\"c\"\nC: 1",
		"B: 2\nCache-Control: private=\"a\", no-cache=\"c\"\n"+later)
	f(Config{}, "ETag: \"a\"", "ETag: \"a\"", "ETag: \"a\"\n"+later)
	f(Config{}, "ETag: W/\"a\"", "ETag: \"a\"", "ETag: W/\"a\"\n"+later)
	f(Config{}, "ETag: \"a\"", "ETag: W/\"a\"", "ETag: W/\"a\"\n"+later)
	f(Config{}, "Vary: a", "Vary: b", "Vary: b\n"+later)
}

// TestRenew: section 4.3.4: freshness begins anew, from the merged fields.
func TestRenew(t *testing.T) {
	f := func(cfg Config, in, notModified string, want Reason, life, age time.Duration) {
		t.Helper()
		s := store(t, &cfg, in)
		res := response(t, "status: 304\n"+notModified)
		merged := Head(AppendMerged(nil, &cfg, s.head, res.Fields, after(100)))
		m, why := Renew(&cfg, &s.meta, request(t, ""), merged, res.Fields, after(98), after(100))
		if why != want || m.Lifetime != life || m.InitialAge != age || m.Status != s.meta.Status {
			t.Errorf("%q and %q: %s, lifetime %v, age %v, status %d", in, notModified, why, m.Lifetime, m.InitialAge, m.Status)
		}
	}
	const s = time.Second
	const in = "ETag: \"a\"\nCache-Control: max-age=60"
	f(Config{}, in, "", OK, 60*s, 2*s)
	f(Config{}, in+"\nAge: 50", "", OK, 60*s, 2*s)
	f(Config{}, in, "Age: 5", OK, 60*s, 7*s)
	f(Config{}, in, "Cache-Control: max-age=10", OK, 10*s, 2*s)
	f(Config{}, in, "Date: "+date(80), OK, 60*s, 20*s)
	f(Config{}, in+"\nDate: "+date(-90), "", OK, 60*s, 2*s)
	f(Config{}, in, "Cache-Control: no-store", NoStore, 0, 2*s)
	f(Config{}, in, "Cache-Control: private", Private, 0, 2*s)
	f(Config{}, in, "Vary: *", VaryStar, 60*s, 2*s)
	f(Config{}, in, "Set-Cookie: a=b", OK, 60*s, 2*s) // it is for that client and is not stored
	f(Config{}, "status: 404\n"+in, "", OK, 60*s, 2*s)
	f(Config{}, "ETag: \"a\"\nExpires: "+date(60), "", OK, 0, 2*s)
	f(Config{}, "ETag: \"a\"\nExpires: "+date(60), "Expires: "+date(130), OK, 30*s, 2*s)
}

// TestHeadUpdates: section 4.3.5.
func TestHeadUpdates(t *testing.T) {
	f := func(in, head string, want HeadCheck) {
		t.Helper()
		s := store(t, &Config{}, in)
		if got := CompareHead(&s.meta, s.head, 5, response(t, head)); got != want {
			t.Errorf("%q, HEAD with %q: %d, want %d", in, head, got, want)
		}
	}
	const tag, changed = "ETag: \"a\"\n", "Last-Modified: Mon, 02 Mar 2020 12:00:00 GMT\n"
	f(tag, tag, Confirmed)
	f(tag, "", Confirmed)
	f(tag, tag+"Content-Length: 5", Confirmed)
	f(tag, tag+"Content-Length: 6", Outdated)
	f("", "Content-Length: 6", Outdated)
	f(tag, "ETag: \"b\"", Outdated)
	f(tag, "ETag: W/\"a\"", Outdated)
	f("", tag, Outdated)
	f(tag+changed, tag+changed, Confirmed)
	f(tag+changed, tag+"Last-Modified: "+date(0), Outdated)
	f(tag, "status: 404\n", Unrelated)
	f("status: 404\n"+tag, tag, Unrelated)
}
