package policy

import (
	"math"
	"testing"
)

func TestMetaEncoding(t *testing.T) {
	for _, lines := range []string{
		fresh, "status: 599\nCache-Control: max-age=99999999999\nAge: 99999999999",
		"ETag: \"a\"\nLast-Modified: " + date(-9) + "\nCache-Control: no-cache, must-revalidate, s-maxage=1, immutable",
		"Cache-Control: stale-while-revalidate=99999999999, stale-if-error=99999999999",
		"Last-Modified: Mon, 02 Mar 1900 12:00:00 GMT\nDate: Fri, 31 Dec 9999 23:59:59 GMT",
	} {
		m, _ := Judge(&Config{}, request(t, ""), response(t, lines), now, now)
		b := m.Append([]byte("x"))
		if len(b) != 1+MetaSize {
			t.Errorf("%d octets", len(b))
		}
		if got, ok := ParseMeta(append(b[1:], "more"...)); !ok || got != m {
			t.Errorf("%q: %+v, want %+v", lines, got, m)
		}
	}
	m, _ := Judge(&Config{}, request(t, ""), response(t, fresh), now, now)
	f := func(name string, change func(*Meta)) {
		t.Helper()
		c := m
		change(&c)
		if _, ok := ParseMeta(c.Append(nil)); ok {
			t.Errorf("%s is taken", name)
		}
	}
	f("a status of 0", func(m *Meta) { m.Status = 0 })
	f("a status of 600", func(m *Meta) { m.Status = 600 })
	f("an unknown flag", func(m *Meta) { m.Flags |= 1 << 15 })
	f("a negative age", func(m *Meta) { m.InitialAge = -1 })
	f("an endless lifetime", func(m *Meta) { m.Lifetime = math.MaxInt64 })
	f("a negative window", func(m *Meta) { m.OnError = -1 })
	f("a response before its request", func(m *Meta) { m.Received = m.Requested - 1 })
	f("a time before 1970", func(m *Meta) { m.Received, m.Requested = -1, -2 })
	b := m.Append(nil)
	if _, ok := ParseMeta(b[:MetaSize-1]); ok {
		t.Error("a short one is taken")
	}
	b[0]++
	if _, ok := ParseMeta(b); ok {
		t.Error("another version is taken")
	}
}
