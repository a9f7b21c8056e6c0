package admin

import (
	"strings"
	"testing"

	"weir/l7"
)

func TestCacheAPI(t *testing.T) {
	s, p := startServer(t, loopback+"token = \"a-secret-of-the-file\"\n")
	f := func(method, path, body string, status int, want ...string) {
		t.Helper()
		resp, answer := request(t, s, method, "/api/v1/cache"+path, body, "Authorization: Bearer a-secret-of-the-file")
		if resp.StatusCode != status {
			t.Fatalf("got %d %s, want %d", resp.StatusCode, answer, status)
		}
		for _, w := range want {
			if !strings.Contains(answer, w) {
				t.Fatalf("%q is not in %s", w, answer)
			}
		}
	}
	f("GET", "", "", 200, `"objects": 1`, `"hit_ratio": 0.75`)
	f("POST", "/purge", `{"url": "http://www.example.com/"}`, 200, `"purged": 1`)
	f("POST", "/purge", `{"tag": "a", "soft": true}`, 200, `"purged": 1`)
	if want := (l7.Purge{Tag: "a", Soft: true}); p.purged != want {
		t.Errorf("purged %+v, want %+v", p.purged, want)
	}
	f("POST", "/purge", `{"all": true}`, 200)
	f("POST", "/purge", `{}`, 400, "exactly one of")
	f("POST", "/purge", `{"url": "http://a/", "all": true}`, 400, "exactly one of")
	f("POST", "/purge", `{"urls": []}`, 400, "urls")
	f("GET", "/purge", "", 405)
	if resp, _ := request(t, s, "GET", "/api/v1/cache", ""); resp.StatusCode != 401 {
		t.Errorf("without the token: %d", resp.StatusCode)
	}
}

func TestCacheClient(t *testing.T) {
	_, p := startServer(t, "")
	c, err := Dial(p.config)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := c.CacheStatus(t.Context()); err != nil || st.Objects != 1 || st.Routes[0].Hits != 3 {
		t.Errorf("got %+v, %v", st, err)
	}
	if n, err := c.PurgeCache(t.Context(), l7.Purge{Host: "www.example.com"}); err != nil || n != 1 {
		t.Errorf("got %d, %v", n, err)
	}
}
