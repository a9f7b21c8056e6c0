package l7

import (
	"io"
	"net/http"
	"sync/atomic"
	"testing"
)

// TestPurgeDuringFetch purges while a response is under way that nobody else waits for:
// it was made before the purge, and is not stored.
func TestPurgeDuringFetch(t *testing.T) {
	for name, prepare := range map[string]string{
		"of a flight": "", "of a client that wants no stored one": "max-age=60", "after one that was not stored": "no-store",
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			var purge func()
			fetch := int32(1)
			if prepare != "" {
				fetch = 2
			}
			o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
				control := "max-age=60"
				switch n := asked.Add(1); {
				case n == fetch:
					purge()
				case n < fetch:
					control = prepare
				}
				w.Header().Set("Cache-Control", control)
				io.WriteString(w, "body")
			})
			r := newRig(t, storing, o.addr)
			purge = func() {
				if _, err := r.server.PurgeCache(Purge{URL: "http://www.example.com/a"}); err != nil {
					t.Error(err)
				}
			}
			c := r.dial()
			for range fetch {
				c.send("GET /a HTTP/1.1\r\nHost: www.example.com\r\nCache-Control: no-cache\r\n\r\n")
				if _, _, err := c.response("GET"); err != nil {
					t.Fatal(err)
				}
			}
			c.get("/a")
			if got, want := asked.Load(), fetch+1; got != want {
				t.Errorf("the backend was asked %d times, want %d", got, want)
			}
		})
	}
}
