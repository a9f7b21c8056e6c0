package policy

import (
	"fmt"
	"testing"

	"weir/l7/message"
)

// evaluate writes what of a stored response of ten octets answers a request.
func evaluate(t *testing.T, res, req string) string {
	t.Helper()
	s := store(t, &Config{}, res)
	var buf [4]message.Span
	outcome, spans := Evaluate(request(t, req), &s.meta, s.head, 10, buf[:0])
	switch outcome {
	case Whole:
		return "whole"
	case NotModified:
		return "304"
	case BadRange:
		return "416"
	case Partial:
	}
	return fmt.Sprint(spans)
}

// TestIfNoneMatch: RFC 9111 section 4.3.2 and RFC 9110 section 13.1.2: the comparison is
// weak, and tags have no escapes.
func TestIfNoneMatch(t *testing.T) {
	f := func(stored, value, want string) {
		t.Helper()
		if got := evaluate(t, "ETag: "+stored, "If-None-Match: "+value); got != want {
			t.Errorf("%s, stored %s: %s, want %s", value, stored, got, want)
		}
	}
	f(`"a"`, `"a"`, "304")
	f(`"a"`, `"b"`, "whole")
	f(`"a"`, `W/"a"`, "304")
	f(`W/"a"`, `"a"`, "304")
	f(`W/"a"`, `W/"a"`, "304")
	f(`W/"a"`, `w/"a"`, "whole") // the mark has a case
	f(`W/"a"`, `W"a"`, "whole")
	f(`"a"`, `"A"`, "whole")
	f(`"a"`, `"b", "a"`, "304")
	f(`"a"`, `"b","c" , W/"a"`, "304")
	f(`"a"`, `, ,"a",`, "304")
	f(`"a"`, `*`, "304")
	f(`"a"`, `"*"`, "whole")
	f(`"*"`, `"*"`, "304")
	f(`"a"`, `"b", *`, "whole")
	f(`"a"`, "\"b\"\nIf-None-Match: \"a\"", "304")
	f(`"a,b"`, `"a,b"`, "304")
	f(`"a,b"`, `"a", "b"`, "whole")
	f(`""`, `""`, "304")
	f(`"a\"`, `"a\"`, "304")
	f("\"\xc3\xa4\"", "\"\xc3\xa4\"", "304")
	f(`"a"`, `"a`, "whole")
	f(`"a"`, `a`, "whole")
	f(`a`, `"a"`, "whole")
	f(`a`, `a`, "304") // no tag by the grammar, yet the same
	f(`a`, `b, a`, "304")
	f(`"a"`, ``, "whole")
	f(``, `""`, "whole")
	f(``, `*`, "304")
}

// TestIfModifiedSince: RFC 9111 section 4.3.2: against Last-Modified, else Date, which
// is when the response came in where it had none.
func TestIfModifiedSince(t *testing.T) {
	f := func(res, req, want string) {
		t.Helper()
		if got := evaluate(t, res, req); got != want {
			t.Errorf("%q to %q: %s, want %s", res, req, got, want)
		}
	}
	const since = "If-Modified-Since: "
	changed := "Last-Modified: Mon, 02 Mar 2026 11:00:00 GMT"
	f(changed, since+"Mon, 02 Mar 2026 11:00:00 GMT", "304")
	f(changed, since+"Monday, 02-Mar-26 11:00:00 GMT", "304")
	f(changed, since+"Mon Mar  2 11:00:00 2026", "304")
	f(changed, since+"Mon, 02 Mar 2026 11:00:01 GMT", "304")
	f(changed, since+"Mon, 02 Mar 2026 10:59:59 GMT", "whole")
	f(changed, since+"Mon, 02 Mar 2026 11:00:00", "whole")
	f(changed, since+"x", "whole")
	f(changed, since+date(0)+"\n"+since+date(0), "whole")
	f("Date: "+date(-10), since+date(-10), "304")
	f("Date: "+date(-10), since+date(-11), "whole")
	f("", since+date(0), "304")
	f("", since+date(-1), "whole")
	f("Last-Modified: x\nDate: "+date(-10), since+date(-10), "304")

	// If-None-Match goes before it.
	f(changed+"\nETag: \"a\"", "If-None-Match: \"b\"\n"+since+date(0), "whole")
	f(changed+"\nETag: \"a\"", "If-None-Match: \"a\"\n"+since+date(-9999), "304")
	f(changed, "If-None-Match: \"b\"\n"+since+date(0), "whole")

	// To HEAD too; and of what is no success nothing is evaluated (RFC 9110 section 13.2.1).
	f(changed, "HEAD /a HTTP/1.1\n"+since+date(0), "304")
	f("status: 404\n"+changed+"\nETag: \"a\"", since+date(0), "whole")
	f("status: 404\nETag: \"a\"", "If-None-Match: \"a\"", "whole")
	f("status: 301\nETag: \"a\"", "If-None-Match: \"a\"", "whole")
	f("status: 203\nETag: \"a\"", "If-None-Match: \"a\"", "304")
}

// TestRanges: RFC 9110 section 14.
func TestRanges(t *testing.T) {
	f := func(res, req, want string) {
		t.Helper()
		if got := evaluate(t, res, req); got != want {
			t.Errorf("%q to %q: %s, want %s", res, req, got, want)
		}
	}
	f("", "Range: bytes=0-4", "[{0 5}]")
	f("", "Range: bytes=5-", "[{5 5}]")
	f("", "Range: bytes=-3", "[{7 3}]")
	f("", "Range: bytes=-100", "[{0 10}]")
	f("", "Range: bytes=8-100", "[{8 2}]")
	f("", "Range: bytes=0-0, -1", "[{0 1} {9 1}]")
	f("", "Range: bytes=10-", "416")
	f("", "Range: bytes=10-20, 30-40", "416")
	f("", "Range: bytes=0-1, 30-40", "[{0 2}]")
	f("", "Range: bytes=-0", "416")
	f("", "Range: bytes=5-2", "whole")
	f("", "Range: bytes=x", "whole")
	f("", "Range: lines=0-1", "whole")
	f("", "Range: bytes=0-9, 0-9", "whole") // more than there is
	f("", "Range: bytes=0-1\nRange: bytes=2-3", "whole")
	f("", "HEAD /a HTTP/1.1\nRange: bytes=0-4", "whole")
	f("status: 404", "Range: bytes=0-4", "whole")
	f("status: 203", "Range: bytes=0-4", "whole")
	f("ETag: \"a\"", "If-None-Match: \"a\"\nRange: bytes=0-4", "304")
	f("ETag: \"a\"", "If-None-Match: \"b\"\nRange: bytes=0-4", "[{0 5}]")

	s := store(t, &Config{}, "")
	if outcome, _ := Evaluate(request(t, "Range: bytes=0-4"), &s.meta, s.head, -1, nil); outcome != Whole {
		t.Errorf("while the size is not known: %d", outcome)
	}
}

// TestIfRange: RFC 9110 section 13.1.5: a strong validator, compared strongly.
func TestIfRange(t *testing.T) {
	f := func(res, value, want string) {
		t.Helper()
		if got := evaluate(t, res, "Range: bytes=0-4\nIf-Range: "+value); got != want {
			t.Errorf("%q, If-Range: %s: %s, want %s", res, value, got, want)
		}
	}
	const part = "[{0 5}]"
	f("ETag: \"a\"", "\"a\"", part)
	f("ETag: \"a\"", "\"b\"", "whole")
	f("ETag: W/\"a\"", "W/\"a\"", "whole")
	f("ETag: \"a\"", "W/\"a\"", "whole")
	f("ETag: W/\"a\"", "\"a\"", "whole")
	f("", "\"a\"", "whole")
	f("ETag: \"a\"", "\"a\"\nIf-Range: \"a\"", "whole")
	f("ETag: \"a\"", "", "whole")
	changed := "Last-Modified: " + date(-100) + "\nDate: "
	f(changed+date(0), date(-100), part)
	f(changed+date(0), date(-99), "whole") // it must be the very date
	f(changed+date(0), date(-101), "whole")
	f(changed+date(-99), date(-100), part)
	f(changed+date(-100), date(-100), "whole") // it may have changed again in that second
	f("Last-Modified: "+date(-100), date(-100), "whole")
	f("Date: "+date(0), date(0), "whole")
	f(changed+date(0), "x", "whole")
}

// TestContentRange: RFC 9110 section 14.4, and what two parts must have in common
// (section 15.3.7.3).
func TestContentRange(t *testing.T) {
	f := func(value, want string) {
		t.Helper()
		got := "no"
		if p, ok := ParseContentRange([]byte(value)); ok {
			got = fmt.Sprint(p)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	f("bytes 0-4/10", "{{0 5} 10}")
	f("BYTES 9-9/10", "{{9 1} 10}")
	f("bytes 0-10/10", "no")
	f("bytes 5-4/10", "no")
	f("bytes 0-4/*", "no")
	f("bytes */10", "no")
	f("bytes 0-4", "no")
	f("bytes=0-4/10", "no")
	f("bytes -4/10", "no")
	f("bytes +0-4/10", "no")
	f("bytes 0-4/ 10", "no")
	f("lines 0-4/10", "no")
	f("bytes 0-4/9999999999999999999", "no")
	f("", "no")

	if !SamePart(Head("ETag: \"a\"\r\n"), Head("ETag: \"a\"\r\n")) || SamePart(nil, nil) ||
		SamePart(Head("ETag: W/\"a\"\r\n"), Head("ETag: W/\"a\"\r\n")) {
		t.Error("SamePart")
	}
}

// TestJudgePart: section 3.3: a part is stored as one, and never as the whole.
func TestJudgePart(t *testing.T) {
	f := func(res string, want Reason) {
		t.Helper()
		if _, _, got := JudgePart(&Config{}, request(t, "Range: bytes=0-4"), response(t, res), now, now); got != want {
			t.Errorf("%q: %s, want %s", res, got, want)
		}
		if _, got := Judge(&Config{}, request(t, "Range: bytes=0-4"), response(t, res), now, now); got == OK {
			t.Errorf("%q is stored as a whole response", res)
		}
	}
	const part = "status: 206\nContent-Range: bytes 0-4/10\n"
	f(part+fresh, OK)
	f(part+fresh+"\nContent-Length: 5", OK)
	f(part+fresh+"\nContent-Length: 6", PartialContent)
	f(part+"Cache-Control: no-store", NoStore)
	f("status: 206\n"+fresh, PartialContent)
	if _, _, got := JudgePart(&Config{}, request(t, "HEAD /a HTTP/1.1"), response(t, part+fresh), now, now); got != NotGet {
		t.Errorf("to HEAD: %s", got)
	}
	f("status: 206\nContent-Type: multipart/byteranges; boundary=a\n"+fresh, PartialContent)
}
