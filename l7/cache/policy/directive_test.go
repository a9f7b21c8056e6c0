package policy

import (
	"fmt"
	"strings"
	"testing"
)

// show writes what a control says, in the order of its fields.
func (c *control) show() string {
	var b strings.Builder
	for _, f := range []struct {
		on   bool
		name string
	}{
		{c.noStore, "no-store"},
		{c.noCache, "no-cache"},
		{c.private, "private"},
		{c.public, "public"},
		{c.mustRevalidate, "must-revalidate"},
		{c.proxyRevalidate, "proxy-revalidate"},
		{c.mustUnderstand, "must-understand"},
		{c.immutable, "immutable"},
	} {
		if f.on {
			b.WriteString(f.name + " ")
		}
	}
	for _, f := range []struct {
		n    int64
		name string
	}{
		{c.maxAge, "max-age"}, {c.sMaxAge, "s-maxage"}, {c.staleWhileRevalidate, "swr"}, {c.staleIfError, "sie"},
	} {
		switch f.n {
		case absent:
		case invalid:
			b.WriteString(f.name + "=? ")
		default:
			fmt.Fprintf(&b, "%s=%d ", f.name, f.n)
		}
	}
	for _, list := range c.named[:c.nNamed] {
		fmt.Fprintf(&b, "[%s] ", list)
	}
	return strings.TrimSuffix(b.String(), " ")
}

// TestDirectives: RFC 9111 section 5.2; names in any case, arguments in both forms,
// what is not known is skipped, and what is inside of quotes is no directive.
func TestDirectives(t *testing.T) {
	f := func(lines, want string) {
		t.Helper()
		c := newControl()
		for line := range strings.SplitSeq(lines, "\n") {
			c.readControl([]byte(line))
		}
		if got := c.show(); got != want {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
	f("", "")
	f(" , ,,", "")
	f("no-store", "no-store")
	f("No-StOrE,PRIVATE", "no-store private")
	f("max-age=60", "max-age=60")
	f("MaX-aGe=60, PuBlIc", "public max-age=60")
	f("\tmax-age=60\t ,no-cache ", "no-cache max-age=60")
	f("public,max-age=1,s-maxage=2,stale-while-revalidate=3,stale-if-error=4,immutable",
		"public immutable max-age=1 s-maxage=2 swr=3 sie=4")
	f("must-revalidate, proxy-revalidate, must-understand", "must-revalidate proxy-revalidate must-understand")

	// Both forms of an argument.
	f("max-age=\"60\"", "max-age=60")
	f("max-age='60'", "max-age=?")
	f("no-cache=x-a", "[x-a]")
	f("no-cache=\"x-a, x-b\", private=\"x-c\"", "[x-a, x-b] [x-c]")
	f("no-cache=\"\"", "no-cache")
	f("no-cache=\" , \"", "no-cache")
	f("no-cache=", "no-cache")
	f("private=\"x a\"", "private")
	f("private, private=\"a\"", "private [a]")
	f("private=\"a\", private", "private [a]")
	f("no-store=1", "no-store")
	f("no-store=\"a", "no-store")
	f("private=a,private=b,private=c,private=d,private=e", "private [a] [b] [c] [d]")

	// What is no number of seconds.
	f("max-age", "max-age=?")
	f("max-age=", "max-age=?")
	f("max-age=-1", "max-age=?")
	f("max-age=+1", "max-age=?")
	f("max-age=1.5", "max-age=?")
	f("max-age=1e3", "max-age=?")
	f("max-age=0x10", "max-age=?")
	f("max-age=60s", "max-age=?")
	f("max-age=a60", "max-age=?")
	f("max-age=60 60", "max-age=?")
	f("max-age=60;q=1", "max-age=?")
	f("max-age =60", "max-age=?")
	f("max-age= 60", "max-age=?")
	f("max-age=\"60", "max-age=?")
	f("max-age=\"60\"0", "max-age=?")
	f("max-age=\"\"", "max-age=?")
	f("max-age=007", "max-age=7")
	f("max-age=0", "max-age=0")

	// The first counts, on one line or on several.
	f("max-age=1, max-age=2", "max-age=1")
	f("max-age=2\nmax-age=1", "max-age=2")
	f("max-age=x, max-age=2", "max-age=?")
	f("max-age=1\nno-store\n\npublic", "no-store public max-age=1")

	// What is not known, and names within other names and within quotes.
	f("foo, bar=baz, max-age=1, qux=\"max-age=2, no-store\"", "max-age=1")
	f("x-max-age=5, max-age-x=5, max_age=5, xno-store", "")
	f("foo=\"a\\\", no-store\", public", "public")
	f("foo=\"no-store, max-age=5", "")
	f("foo=bar \"no-store\", public", "public")
	f("max-age=5, =no-store, public", "public max-age=5")
	f("(no-store), public", "public")
	f("\xff\xfe, public", "public")
}

// TestDeltaSeconds: RFC 9111 section 1.2.2.
func TestDeltaSeconds(t *testing.T) {
	f := func(in string, want int64) {
		t.Helper()
		if got := parseDelta([]byte(in)); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
	f("0", 0)
	f("60", 60)
	f("2147483647", 2147483647)
	f("2147483648", maxDelta)
	f("2147483649", maxDelta)
	f("99999999999999999999999999999999999999", maxDelta)
	f("", invalid)
	f(" 1", invalid)
	f("-0", invalid)
}

// TestTargetedFields: RFC 9213. A field that breaks the syntax anywhere, or is empty, is
// as good as absent.
func TestTargetedFields(t *testing.T) {
	f := func(lines, want string) {
		t.Helper()
		res := response(t, lines)
		got := "ignored"
		if c, ok := readTarget(res.Fields, "cdn-cache-control"); ok {
			got = c.show()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
	const name = "CDN-Cache-Control: "
	f("", "ignored")
	f(name, "ignored")
	f(name+"\n"+name, "ignored")
	f(name+"max-age=60", "max-age=60")
	f("cdn-cache-control: no-store", "no-store")
	f(name+"max-age=60, no-cache , private", "no-cache private max-age=60")
	f(name+"max-age=60\n"+name+"must-revalidate", "must-revalidate max-age=60")
	f(name+"none", "")

	f(name+"max-age=1, max-age=2", "max-age=2") // the last one, as for any dictionary
	f(name+"no-store, no-store=?0", "")
	f(name+"no-store=?1", "no-store")
	f(name+"max-age=60;foo=bar;baz, public;a", "public max-age=60")
	f(name+"no-cache=\"x-a\"", "[x-a]")
	f(name+"foo=(1 \"a\" b;c);d, bar=:YWJj:, baz=1.5, qux=*a/b:c, public", "public")
	f(name+"max-age=1.5", "max-age=?")
	f(name+"max-age=\"60\"", "max-age=?")
	f(name+"max-age", "max-age=?")
	f(name+"max-age=-1", "max-age=?")
	f(name+"max-age=999999999999999", "max-age=2147483648")

	f(name+"max-age=60,", "ignored")
	f(name+"max-age=60,,public", "ignored")
	f(name+",max-age=60", "ignored")
	f(name+"Max-Age=60", "ignored")
	f(name+"max-age=60 public", "ignored")
	f(name+"max-age =60", "ignored")
	f(name+"max-age= 60", "ignored")
	f(name+"max-age=", "ignored")
	f(name+"max-age=60s", "ignored")
	f(name+"max-age=60, foo=\"a", "ignored")
	f(name+"max-age=60, foo=\"a\\b\"", "ignored")
	f(name+"max-age=60, foo=?2", "ignored")
	f(name+"max-age=60, foo=1.2345", "ignored")
	f(name+"max-age=60, foo=1.", "ignored")
	f(name+"max-age=60, foo=1234567890123456", "ignored")
	f(name+"max-age=60, foo=1234567890123.1", "ignored")
	f(name+"max-age=60, foo=:a b:", "ignored")
	f(name+"max-age=60, foo=(a", "ignored")
	f(name+"max-age=60, foo=(a\"b\")", "ignored")
	f(name+"max-age=60, foo=(a;B)", "ignored")
	f(name+"max-age=60, foo=(=)", "ignored")
	f(name+"max-age=60, foo=:YQ", "ignored")
	f(name+"max-age=60;a=", "ignored")
	f(name+"max-age=60, foo=?", "ignored")
	f(name+"max-age=60, foo=\"a\\", "ignored")
	f(name+"max-age=60, foo=-", "ignored")
	f(name+"public, private, must-revalidate, proxy-revalidate, must-understand, immutable, no-cache, "+
		"public=?0, private=?0, must-revalidate=?0, proxy-revalidate=?0, must-understand=?0, immutable=?0, no-cache=?0", "")
	f(name+"max-age=60, foo='a'", "ignored")
	f(name+"max-age=60, foo=\"\xc3\xa4\"", "ignored")
	f(name+"max-age=60;", "ignored")
	f(name+"max-age=60;A=1", "ignored")
	f(name+"max-age=60, 1a", "ignored")
	f(name+"&", "ignored")
	f(name+"max-age=60\n"+name+"&", "ignored")
	f(name+"max-age=60\n"+name, "ignored")
}
