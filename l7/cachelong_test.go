package l7

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// longRig stores nothing that is longer than four slices as a whole.
const longRig = "[cache]\nmax_object = \"256KiB\"\n" + slicedRig

// TestLong: all of a resource that is longer than may be stored comes from slices, the
// first time and later, and each is fetched once.
func TestLong(t *testing.T) {
	const parts = 20
	f := newFilm(parts*sliceSize - 1)
	r := newRig(t, longRig, newHTTPOrigin(t, f.ServeHTTP).addr)
	check := func(fetches int, fields, status string) {
		t.Helper()
		c := r.dial()
		f.fetched()
		c.send("GET /film HTTP/1.1\r\nHost: www.example.com\r\n%s\r\n", fields)
		res, body, err := c.response("GET")
		if err != nil || res.StatusCode != 200 || body != string(f.body) || res.ContentLength != int64(len(f.body)) ||
			res.Header.Get("Content-Range") != "" || res.Header.Get("Etag") != f.tag {
			t.Fatalf("%d, %d octets, %v, %v", res.StatusCode, len(body), res.Header, err)
		}
		if list := f.fetched(); len(list) != fetches {
			t.Errorf("asked for %q, want %d requests", list, fetches)
		}
		if got := res.Header.Get("Cache-Status"); !strings.HasPrefix(got, status) {
			t.Errorf("Cache-Status: %q, want %q", got, status)
		}
	}
	check(1+parts, "", "weir; fwd=uri-miss")
	check(0, "", "weir; hit")
	check(0, "Cache-Control: only-if-cached\r\n", "weir; hit")
	r.server.PurgeCache(Purge{URL: "http://www.example.com/film", Soft: true})
	check(parts, "", "weir; fwd=stale; fwd-status=304")
	r.server.PurgeCache(Purge{URL: "http://www.example.com/film"})
	check(parts, "", "weir; fwd=uri-miss")
	f.change()
	r.server.PurgeCache(Purge{URL: "http://www.example.com/film", Soft: true})
	check(parts, "", "weir; fwd=stale")

	c := r.dial()
	c.send("GET /film HTTP/1.1\r\nHost: www.example.com\r\nIf-None-Match: %s\r\n\r\n", f.tag)
	if res, _, err := c.response("GET"); err != nil || res.StatusCode != 304 {
		t.Errorf("If-None-Match: %d, %v", res.StatusCode, err)
	}
	c.send("HEAD /film HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
	if res, _, err := c.response("HEAD"); err != nil || res.StatusCode != 200 || res.ContentLength != int64(len(f.body)) {
		t.Errorf("HEAD: %d, %d, %v", res.StatusCode, res.ContentLength, err)
	}
}

// TestLongOnceForAll: many who ask for all of it at once cause one request for the whole,
// which is given up, and one for each slice.
func TestLongOnceForAll(t *testing.T) {
	const clients, parts = 30, 8
	f := newFilm(parts * sliceSize)
	var r *rig
	f.before = func(value string) {
		if value == "" {
			eventually(t, "all to wait", func() bool { return r.waiting() >= clients-1 })
		}
	}
	r = newRig(t, longRig+"lock_timeout = \"1m\"\n", newHTTPOrigin(t, f.ServeHTTP).addr)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			if _, body, err := r.askAlone("/film"); err != nil || body != string(f.body) {
				t.Errorf("got %d octets, %v", len(body), err)
			}
		})
	}
	wg.Wait()
	list := f.fetched()
	slices.Sort(list)
	if n := len(list); n != parts+1 || len(slices.Compact(list)) != n {
		t.Errorf("asked %d times", n)
	}
}

// TestLongNotInSlices: where servers do not play along, the client gets all of it from them
// as it gets anything that is too long.
func TestLongNotInSlices(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 8*sliceSize/16)
	for name, f := range map[string]struct {
		asked int32 // in two GETs
		serve http.HandlerFunc
	}{
		"lies": {4, func(w http.ResponseWriter, _ *http.Request) { // whole, slice, whole; then the whole
			w.Header().Set("Accept-Ranges", "bytes")
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", `"a"`)
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			io.WriteString(w, body)
		}},
		"no ranges": {2, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", `"a"`)
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			io.WriteString(w, body)
		}},
		"weak tag": {2, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", `W/"a"`)
			http.ServeContent(w, req, "", time.Time{}, strings.NewReader(body))
		}},
		"no-store": {2, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Etag", `"a"`)
			http.ServeContent(w, req, "", time.Time{}, strings.NewReader(body))
		}},
	} {
		var asked atomic.Int32
		r := newRig(t, longRig, newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
			asked.Add(1)
			f.serve(w, req)
		}).addr)
		for range 2 {
			if status, got, err := r.askAlone("/"); err != nil || status != 200 || got != body {
				t.Errorf("%s: %d, %d octets, %v", name, status, len(got), err)
			}
		}
		if n := asked.Load(); n != f.asked {
			t.Errorf("%s: %d requests, want %d", name, n, f.asked)
		}
	}
}

// TestLongBecomesShort: what fits into memory by now is stored as a whole.
func TestLongBecomesShort(t *testing.T) {
	f := newFilm(8 * sliceSize)
	r := newRig(t, longRig, newHTTPOrigin(t, f.ServeHTTP).addr)
	r.askAlone("/film")
	f.mu.Lock()
	f.tag, f.body = `"short"`, bytes.Repeat([]byte("s"), 2*sliceSize)
	f.mu.Unlock()
	r.server.PurgeCache(Purge{All: true})
	for range 2 {
		f.fetched()
		if _, body, err := r.askAlone("/film"); err != nil || body != string(f.body) {
			t.Errorf("got %d octets, %v", len(body), err)
		}
	}
	if list := f.fetched(); len(list) > 0 {
		t.Errorf("asked for %q", list)
	}
}

// TestLongIsEncoded: what Weir encodes of it is all of it, and is not stored.
func TestLongIsEncoded(t *testing.T) {
	body := strings.Repeat("All of it, please. ", 8*sliceSize/19)
	r := newRig(t, longRig+"[l7.route.compress]\nalgorithms = [\"gzip\"]\n", newHTTPOrigin(t,
		func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", `"a"`)
			w.Header().Set("Content-Type", "text/plain")
			http.ServeContent(w, req, "", time.Time{}, strings.NewReader(body))
		}).addr)
	for range 2 {
		for _, coding := range []string{"gzip", "identity"} {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.addr+"/", nil)
			req.Header.Set("Accept-Encoding", coding)
			res, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(res.Header.Get("Content-Encoding"), res.Body)
			res.Body.Close()
			if err != nil || string(got) != body || res.Header.Get("Content-Encoding") != strings.TrimPrefix(coding, "identity") {
				t.Errorf("%s: %d octets, %v, %v", coding, len(got), res.Header, err)
			}
		}
	}
}
