package policy

import (
	"testing"

	"weir/l7/message"
)

// TestHitAllocatesNothing: what is called for each hit.
func TestHitAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations differ under the race detector")
	}
	cfg := &Config{}
	req := request(t, "GET /a/b?y=1&x=2&utm=3 HTTP/1.1\nHost: Example.com:8080\nAccept-Encoding: gzip, deflate, br, zstd\n"+
		"Accept-Language: en-GB,en;q=0.9\nCookie: a=b; lang=de\nX: a , b\nCache-Control: max-age=100, min-fresh=1\n"+
		"If-None-Match: \"x\", \"y\"\nIf-Modified-Since: "+date(-5000)+"\nRange: bytes=0-1,5-6\nIf-Range: "+date(-1000))
	s := store(t, cfg, "Cache-Control: max-age=60, stale-if-error=100\nETag: \"a\"\nLast-Modified: "+date(-1000)+
		"\nVary: Accept-Encoding, Accept-Language, X")
	parts := []KeyParts{
		{},
		{Sort: true},
		{Space: "r", Query: WithoutParams, Params: []string{"utm"}, Sort: true},
		{Query: OnlyParams, Params: []string{"x"}, Headers: []string{"X"}, Cookies: []string{"lang"}},
	}
	names, _ := AppendVary(nil, response(t, "Vary: Accept-Encoding, Accept-Language, X, User-Agent").Fields)
	out := make([]byte, 0, 1024)
	spans := make([]message.Span, 0, 8)
	f := func(name string, run func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	for _, p := range parts {
		k := NewKeyPolicy(p)
		f("AppendKey", func() { out = AppendKey(out[:0], k, "http", req) })
	}
	f("AppendVariant", func() { out = AppendVariant(out[:0], names, req.Fields) })
	f("Reuse", func() {
		w := ReadWish(cfg, req)
		if d := Reuse(cfg, &s.meta, &w, after(1)); Passes(req) != OK || d.Use != Fresh {
			t.Error(d)
		}
	})
	f("Evaluate", func() {
		if outcome, _ := Evaluate(req, &s.meta, s.head, 100, spans); outcome != Partial && outcome != Whole {
			t.Error(outcome)
		}
	})
	f("Head", func() {
		for name := range s.head.All() {
			if IsOmitted(206, name) {
				t.Error("omitted")
			}
		}
	})
	status := Status{Cache: "weir", Key: []byte("k"), HasTTL: true, TTL: 5, Detail: LifetimeOver}
	f("AppendStatus", func() { out = status.Append(AppendAge(out[:0], 5)) })
	f("AppendConditions", func() { out = AppendConditions(out[:0], &s.meta, s.head) })
	f("Meta", func() {
		out = s.meta.Append(out[:0])
		if _, ok := ParseMeta(out); !ok {
			t.Error("not read")
		}
	})
	res := response(t, "Cache-Control: max-age=60, public\nCDN-Cache-Control: max-age=60;a, no-cache=\"x\"\nVary: a, b\nExpires: "+
		date(5)+"\nLast-Modified: "+date(-1000))
	f("Judge", func() {
		if _, why := Judge(cfg, req, res, now, now); why != OK {
			t.Error(why)
		}
	})
}
