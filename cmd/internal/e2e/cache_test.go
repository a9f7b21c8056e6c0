package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestCacheByHand uses a cache as an operator does: with curl and with weir cache.
func TestCacheByHand(t *testing.T) {
	var asked atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Surrogate-Key", "page")
		w.Header().Set("Etag", `"a"`)
		w.Write(patternBytes(100_000))
	}))
	t.Cleanup(origin.Close)
	addr := freeAddr(t)
	w := startWeir(t, pool("app", strings.TrimPrefix(origin.URL, "http://"))+fmt.Sprintf(`[[l7]]
name = "web"
listen = [%q]
[[l7.route]]
pool = "app"
[l7.route.cache]
purge = ["127.0.0.1"]
`, addr))
	url := "http://" + addr + "/page"
	fetch := func(wantAsked int64, wantStatus int, want string, args ...string) {
		t.Helper()
		c := curl(t, nil, append(args, url)...)
		if c.code != 0 || c.status != wantStatus || !strings.Contains(c.errs, want) || asked.Load() != wantAsked {
			t.Errorf("curl %v: exit code %d, status %d, %d requests to the server, want %q in\n%s",
				args, c.code, c.status, asked.Load(), want, c.errs)
		}
	}
	weir := func(want string, args ...string) {
		t.Helper()
		if code, out, errs := run(t, append([]string{"cache"}, args...)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("weir cache %v: exit code %d, want %q in\n%s%s", args, code, want, out, errs)
		}
	}
	fetch(1, 200, "fwd=uri-miss")
	fetch(1, 200, "Cache-Status: weir; hit")
	fetch(1, 206, "Content-Range: bytes 10-19/100000", "-r", "10-19")
	fetch(1, 304, "Cache-Status: weir; hit", "-H", `If-None-Match: "a"`)
	fetch(1, 200, "Content-Length: 100000", "-I")
	weir("objects  1", "stats", "-c", w.file)
	weir("purged: 1", "purge", "-c", w.file, "--tag", "page")
	fetch(2, 200, "fwd=uri-miss")
	weir("purged: 1", "purge", "-c", w.file, url)
	fetch(3, 200, "fwd=uri-miss")
	fetch(3, 200, "200 OK", "-X", "PURGE")
	fetch(4, 200, "fwd=uri-miss")
	weir(`"misses": 4`, "stats", "-c", w.file, "--json")
	if n := w.metric(t, `weir_cache_requests_total{listener="web",route="*",result="hit",reason="fresh"}`); n != 4 {
		t.Errorf("%v hits are counted, want 4", n)
	}
}
