package l7

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
)

// TestPurgeCache drops by everything that a purge can name.
func TestPurgeCache(t *testing.T) {
	var asked atomic.Int32
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"a"`)
		w.Header().Set("Surrogate-Key", "all k"+req.URL.Query().Get("k"))
		w.Header().Set("Cache-Tag", "news, more")
		w.Header().Set("Cache-Groups", `"g"`)
		io.WriteString(w, req.URL.Path)
	})
	r := newRig(t, storing+"key = { query = \"sorted\", cookies = [\"c\"] }\n", o.addr)
	f := func(p Purge, path string, want int) {
		t.Helper()
		c := r.dial()
		c.get(path)
		before := asked.Load()
		n, err := r.server.PurgeCache(p)
		if err != nil || n != want {
			t.Errorf("%+v dropped %d, %v, want %d", p, n, err, want)
		}
		c.get(path)
		if got := int(asked.Load() - before); got != want {
			t.Errorf("%+v: %d requests to the backend afterwards, want %d", p, got, want)
		}
	}
	f(Purge{URL: "http://www.example.com/a?b=1&a=2"}, "/a?a=2&b=1", 1)
	f(Purge{URL: "http://WWW.example.com:80/%61"}, "/a", 1)
	f(Purge{URL: "https://www.example.com/a"}, "/a", 0)
	f(Purge{Host: "www.example.org"}, "/h", 0)
	f(Purge{Tag: "k7"}, "/t?k=7", 1)
	f(Purge{Tag: "k88"}, "/t?k=8", 0)
	if n, err := r.server.PurgeCache(Purge{Prefix: "http://www.example.com/t"}); n == 0 || err != nil {
		t.Errorf("a prefix dropped %d, %v", n, err)
	}
	f(Purge{Tag: "k9", Soft: true}, "/s?k=9", 1)
	if n, err := r.server.PurgeCache(Purge{Tag: "news"}); n == 0 || err != nil {
		t.Errorf("a tag dropped %d, %v", n, err)
	}
	f(Purge{Host: "www.example.com"}, "/h", 1)
	r.dial().get("/z")
	if n, err := r.server.PurgeCache(Purge{All: true}); n == 0 || err != nil {
		t.Errorf("all dropped %d, %v", n, err)
	}
	eventually(t, "the store to be empty", func() bool { return r.stats().Objects == 0 })
	for _, bad := range []Purge{
		{},
		{URL: "x"},
		{URL: "ftp://a/"},
		{URL: "http:///"},
		{URL: "http://a/ b"},
		{URL: "http://a/\r\nX: y"},
		{Prefix: "http://a/?b"},
		{Host: "a b"},
		{Host: "a", All: true},
	} {
		if n, err := r.server.PurgeCache(bad); err == nil {
			t.Errorf("%+v dropped %d", bad, n)
		}
	}
}

// TestCacheStatus counts the results of a route, across a reload.
func TestCacheStatus(t *testing.T) {
	o := cannedOrigin(t, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\nx")
	r := newRig(t, storing, o.addr)
	c := r.dial()
	for range 4 {
		c.get("/")
	}
	r.apply(fmt.Sprintf("[cache]\nmemory = \"8MiB\"\n"+storing, o.addr))
	c.get("/")
	c.send("DELETE / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
	c.response("DELETE")
	want := RouteCacheStatus{
		Listener: "web", Route: "*", Requests: 6, HitRatio: 0.8, Hits: 4, Misses: 1, Bypassed: 1,
	}
	// An exchange is counted when it is over, which its client may see a moment before.
	var st CacheStatus
	eventually(t, "the exchanges to be counted", func() bool {
		st = r.server.CacheStatus()
		return len(st.Routes) == 1 && st.Routes[0].Requests >= want.Requests
	})
	if st.Objects != 0 || st.MemoryLimit != 8<<20 {
		t.Errorf("got %+v", st)
	}
	if st.Routes[0] != want {
		t.Errorf("got %+v, want %+v", st.Routes[0], want)
	}
}
