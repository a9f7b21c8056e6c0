package policy

import (
	"testing"
	"time"

	"weir/l7/message"
)

// TestCacheStatus: RFC 9211.
func TestCacheStatus(t *testing.T) {
	f := func(s Status, want string) {
		t.Helper()
		if got := string(s.Append([]byte("Cache-Status: "))); got != "Cache-Status: "+want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
	f(Status{Cache: "weir"}, "weir; hit")
	f(Status{Cache: "weir", HasTTL: true, TTL: 376 * time.Second}, "weir; hit; ttl=376")
	f(Status{Cache: "weir", HasTTL: true, TTL: -1500 * time.Millisecond}, "weir; hit; ttl=-2")
	f(Status{Cache: "weir", HasTTL: true, TTL: 1500 * time.Millisecond}, "weir; hit; ttl=1")
	f(Status{Cache: "weir", Forward: ForwardURI, Stored: true}, "weir; fwd=uri-miss; stored")
	f(Status{Cache: "weir", Forward: ForwardURI, Collapsed: true}, "weir; fwd=uri-miss; collapsed")
	f(Status{Cache: "weir", Forward: ForwardStale, FwdStatus: 304, HasTTL: true, TTL: time.Minute, Stored: true},
		"weir; fwd=stale; fwd-status=304; ttl=60; stored")
	f(Status{Cache: "weir", Forward: ForwardRequest, Detail: RequestNoCache}, "weir; fwd=request; detail=request_no_cache")
	f(Status{Cache: "weir", Forward: ForwardMethod, Key: []byte("a \"b\"\x00")}, `weir; fwd=method; key="a \"b\"?"`)
	f(Status{Cache: "Weir at a.b", Forward: ForwardBypass}, `"Weir at a.b"; fwd=bypass`)
	f(Status{Cache: "a.example:80/x"}, `"a.example:80/x"; hit`)
	f(Status{Cache: "1"}, `"1"; hit`)
	f(Status{Cache: ""}, `""; hit`)
	for _, c := range []struct {
		f    Forward
		want string
	}{
		{ForwardMiss, "miss"},
		{ForwardVary, "vary-miss"},
		{ForwardPartial, "partial"},
		{ForwardStale, "stale"},
		{Forward(99), "forward_99"},
	} {
		if got := c.f.String(); got != c.want {
			t.Errorf("%d is %q", c.f, got)
		}
	}
}

// TestReasons: each has a name of its own that can stand in a log, a metric and a field.
func TestReasons(t *testing.T) {
	seen := make(map[string]bool)
	for r := range numReasons {
		name := r.String()
		if name == "" || seen[name] || !message.ValidName([]byte(name)) || !isSFToken(name) {
			t.Errorf("reason %d is called %q", r, name)
		}
		seen[name] = true
	}
	if got := Reason(200).String(); got != "reason_200" {
		t.Error(got)
	}
	if got := Use(200).String(); got != "use_200" {
		t.Error(got)
	}
}
