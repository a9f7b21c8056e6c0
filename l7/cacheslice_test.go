package l7

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/l7/message"
)

const (
	sliceSize = 64 << 10
	slicedRig = storing + "slice = \"64KiB\"\n"
)

// film is a server's long resource, which knows ranges.
type film struct {
	mu     sync.Mutex
	body   []byte       // guarded by mu
	tag    string       // guarded by mu
	asked  []string     // guarded by mu; the ranges, in order of requests
	before func(string) // called before an answer to a range; nil: nothing
}

func newFilm(octets int) *film {
	f := &film{tag: `"one"`}
	f.body = make([]byte, octets)
	src := rand.NewChaCha8([32]byte{1})
	src.Read(f.body)
	return f
}

func (f *film) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if f.before != nil {
		f.before(req.Header.Get("Range"))
	}
	f.mu.Lock()
	f.asked = append(f.asked, req.Header.Get("Range"))
	body, tag := f.body, f.tag
	f.mu.Unlock()
	w.Header().Set("Cache-Control", "max-age=60")
	w.Header().Set("Etag", tag)
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Surrogate-Key", "films")
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(body))
}

// change makes it another film of the same length.
func (f *film) change() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tag, f.body = `"two"`, bytes.Repeat([]byte("2"), len(f.body))
}

// fetched returns the ranges that were asked for since it was called last.
func (f *film) fetched() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.asked
	f.asked = nil
	return list
}

// seek asks for a range and returns what came.
func (c *client) seek(path, value string, more ...string) (*http.Response, string, error) {
	c.t.Helper()
	c.send("GET %s HTTP/1.1\r\nHost: www.example.com\r\nRange: %s\r\n%s\r\n", path, value, strings.Join(more, ""))
	return c.response("GET")
}

// TestSlices seeks in a long resource, cold and warm: each slice is fetched once, and none
// that is not needed.
func TestSlices(t *testing.T) {
	const size = 20*sliceSize + 1000
	f := newFilm(size)
	r := newRig(t, slicedRig, newHTTPOrigin(t, f.ServeHTTP).addr)
	c := r.dial()
	check := func(value string, from, to int, fetches int) {
		t.Helper()
		f.fetched()
		res, body, err := c.seek("/film", value)
		want := fmt.Sprintf("bytes %d-%d/%d", from, to-1, size)
		if err != nil || res.StatusCode != 206 || res.Header.Get("Content-Range") != want ||
			len(res.Header["Content-Range"]) != 1 || body != string(f.body[from:to]) {
			t.Fatalf("%s: %d %q, %d octets, %v", value, res.StatusCode, res.Header["Content-Range"], len(body), err)
		}
		if list := f.fetched(); len(list) != fetches {
			t.Errorf("%s: asked the server for %q, want %d requests", value, list, fetches)
		}
	}
	check("bytes=700000-700099", 700000, 700100, 1)
	check("bytes=700000-700099", 700000, 700100, 0)
	check("bytes=655360-720895", 655360, 720896, 0) // the slice to the octet
	check("bytes=720890-720899", 720890, 720900, 1) // over an edge
	check("bytes=0-199999", 0, 200000, 4)
	check("Bytes=100000-180000", 100000, 180001, 0)
	check("bytes=-500", size-500, size, 1) // the first slice was there and told the length
	check(fmt.Sprintf("bytes=%d-", size-2000), size-2000, size, 1)
	check("bytes=0-", 0, size, 13)
	check("bytes=5-99999999", 5, size, 0)

	res, body, err := c.seek("/film", fmt.Sprintf("bytes=%d-", size))
	if err != nil || res.StatusCode != 416 || body != "" ||
		res.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", size) {
		t.Errorf("beyond the end: %d %q %v", res.StatusCode, res.Header["Content-Range"], err)
	}
	if res, _, _ := c.seek("/film", "bytes=0-9", "If-None-Match: \"one\"\r\n"); res.StatusCode != 304 {
		t.Errorf("If-None-Match: %d", res.StatusCode)
	}
	if list := f.fetched(); len(list) != 0 {
		t.Errorf("asked for %q", list)
	}
	res, body, err = c.seek("/film", "bytes=0-9", "If-Range: \"other\"\r\n")
	if err != nil || res.StatusCode != 200 || body != string(f.body) {
		t.Errorf("If-Range of another version: %d, %d octets, %v", res.StatusCode, len(body), err)
	}
}

// TestHeadOfSlices: a HEAD is answered from the first slice if that is there and fresh, as
// one of the whole, and fetches nothing for itself.
func TestHeadOfSlices(t *testing.T) {
	t.Parallel()
	const size = 20*sliceSize + 1000
	f := newFilm(size)
	r := newRig(t, slicedRig, newHTTPOrigin(t, f.ServeHTTP).addr)
	c := r.dial()
	head := func(status int, asked bool, fields ...string) *http.Response {
		t.Helper()
		f.fetched()
		c.send("HEAD /film HTTP/1.1\r\nHost: www.example.com\r\n%s\r\n", strings.Join(fields, ""))
		res, body, err := c.response("HEAD")
		if err != nil || res.StatusCode != status || body != "" {
			t.Fatalf("%q: got %d, %d octets, %v", fields, res.StatusCode, len(body), err)
		}
		if list := f.fetched(); len(list) > 0 != asked {
			t.Errorf("%q: the server was asked for %q", fields, list)
		}
		return res
	}
	const ifCached = "Cache-Control: only-if-cached\r\n"
	head(504, false, ifCached)
	head(200, true)
	c.seek("/film", fmt.Sprintf("bytes=%d-%d", 3*sliceSize, 3*sliceSize+9))
	head(504, false, ifCached) // not the first
	head(200, true)
	c.seek("/film", "bytes=0-9")
	for _, fields := range []string{"", "Range: bytes=5-9\r\n", ifCached, "Accept-Encoding: gzip\r\n"} {
		res := head(200, false, fields)
		if res.ContentLength != size || res.Header.Get("Content-Range") != "" || res.Header.Get("Age") == "" ||
			res.Header.Get("Etag") != `"one"` || res.Header.Get("Content-Type") != "video/mp4" {
			t.Errorf("%q: got %d octets, %q", fields, res.ContentLength, res.Header)
		}
	}
	head(304, false, "If-None-Match: \"one\"\r\n")
	head(200, false, "If-None-Match: \"two\"\r\n")
	head(200, true, "Cache-Control: no-cache\r\n")
	head(200, true, "Cache-Control: no-store\r\n")
	if res, body, err := c.seek("/film", "bytes=0-99"); err != nil || res.StatusCode != 206 || body != string(f.body[:100]) {
		t.Errorf("a range behind a HEAD: got %d, %d octets, %v", res.StatusCode, len(body), err)
	}
}

// TestSlicesOnceForTwo: two clients that ask for the same at the same time cause one
// request for each slice.
func TestSlicesOnceForTwo(t *testing.T) {
	const clients = 8
	f := newFilm(6 * sliceSize)
	var r *rig
	f.before = func(value string) {
		if strings.HasPrefix(value, "bytes=0-") {
			eventually(t, "all to wait", func() bool { return r.waiting() >= clients })
		}
	}
	r = newRig(t, slicedRig, newHTTPOrigin(t, f.ServeHTTP).addr)
	var wg sync.WaitGroup
	for range clients {
		c := r.dial()
		wg.Go(func() {
			if res, body, err := c.seek("/film", "bytes=0-"); err != nil || res.StatusCode != 206 || body != string(f.body) {
				t.Errorf("got %d, %d octets, %v", res.StatusCode, len(body), err)
			}
		})
	}
	wg.Wait()
	if list := f.fetched(); len(list) != 6 {
		t.Errorf("asked for %q", list)
	}
}

// TestSlicesOfTwoVersions are never put together: the response breaks off, and the next one
// is of the new version.
func TestSlicesOfTwoVersions(t *testing.T) {
	f := newFilm(6 * sliceSize)
	r := newRig(t, slicedRig, newHTTPOrigin(t, f.ServeHTTP).addr)
	if _, body, err := r.dial().seek("/film", "bytes=0-99"); err != nil || body != string(f.body[:100]) {
		t.Fatal(len(body), err)
	}
	old := f.body
	f.change()
	_, body, err := r.dial().seek("/film", "bytes=0-")
	if err == nil || !strings.HasPrefix(string(old), body) {
		t.Errorf("got %d octets, %v; want less than a slice of the old version", len(body), err)
	}
	if _, body, err := r.dial().seek("/film", "bytes=0-"); err != nil || body != string(f.body) {
		t.Errorf("then got %d octets, %v", len(body), err)
	}
}

// TestSlicesNotToBeHad: servers that know no ranges, have no strong tag or do not allow it
// are asked as without slices, and the answer is right.
func TestSlicesNotToBeHad(t *testing.T) {
	const size = 3 * sliceSize
	body := strings.Repeat("0123456789abcdef", size/16)
	for name, serve := range map[string]func(w http.ResponseWriter, req *http.Request){
		"no ranges": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", `"a"`)
			w.Header().Set("Content-Length", fmt.Sprint(size))
			io.WriteString(w, body)
		},
		"weak tag": func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", `W/"a"`)
			http.ServeContent(w, req, "", time.Time{}, strings.NewReader(body))
		},
		"no-store": func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Etag", `"a"`)
			http.ServeContent(w, req, "", time.Time{}, strings.NewReader(body))
		},
		"another range": func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", `"a"`)
			if req.Header.Get("Range") == "bytes=65536-131071" {
				req.Header.Set("Range", "bytes=65536-131070")
			}
			http.ServeContent(w, req, "", time.Time{}, strings.NewReader(body))
		},
	} {
		r := newRig(t, slicedRig, newHTTPOrigin(t, serve).addr)
		for range 3 {
			res, got, err := r.dial().seek("/", "bytes=70000-70099")
			if err != nil || res.StatusCode != 206 || got != body[70000:70100] {
				t.Errorf("%s: %d, %d octets, %v", name, res.StatusCode, len(got), err)
			}
		}
	}
	r := newRig(t, slicedRig, newHTTPOrigin(t, http.NotFound).addr)
	if res, _, err := r.dial().seek("/", "bytes=70000-70099"); err != nil || res.StatusCode != 404 {
		t.Errorf("nothing there: %d, %v", res.StatusCode, err)
	}
}

// TestSliceCutShort: a slice that breaks off is not stored, and the client sees that its
// response is not whole.
func TestSliceCutShort(t *testing.T) {
	f := newFilm(3 * sliceSize)
	var cut atomic.Bool
	cut.Store(true)
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		if !cut.Load() {
			f.ServeHTTP(w, req)
			return
		}
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"one"`)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", sliceSize-1, 3*sliceSize))
		w.Header().Set("Content-Length", fmt.Sprint(sliceSize))
		w.WriteHeader(206)
		w.Write(f.body[:sliceSize/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	r := newRig(t, slicedRig, o.addr)
	if _, body, err := r.dial().seek("/", "bytes=0-50000"); err == nil {
		t.Errorf("got %d octets and no error", len(body))
	}
	eventually(t, "nothing to be stored", func() bool { return r.stats().Objects == 0 })
	cut.Store(false)
	if _, body, err := r.dial().seek("/", "bytes=0-50000"); err != nil || body != string(f.body[:50001]) {
		t.Errorf("then got %d octets, %v", len(body), err)
	}
}

// TestSlicesArePurged by all that names the resource.
func TestSlicesArePurged(t *testing.T) {
	f := newFilm(3 * sliceSize)
	disk := func() string { return fmt.Sprintf("[cache.disk]\npath = %q\nsize = \"32MiB\"\n", t.TempDir()) }
	const byField = "key = { headers = [\"X-Lang\"] }\n"
	for _, config := range []string{slicedRig, slicedRig + byField, disk() + slicedRig, disk() + slicedRig + byField} {
		r := newRig(t, config, newHTTPOrigin(t, f.ServeHTTP).addr)
		if strings.HasPrefix(config, "[cache.disk]") {
			eventually(t, "the disk", r.server.store.Disk().Ready)
		}
		fill := func(c *client, path string) {
			d, before := r.server.store.Disk(), uint64(0)
			if d != nil {
				before = d.Stats().Stored
			}
			c.seek(path, "bytes=0-9")
			if d != nil {
				eventually(t, "the slice on disk", func() bool { return d.Stats().Stored > before })
			}
			f.fetched()
		}
		for i, p := range []Purge{
			{URL: "http://www.example.com/film0"},
			{URL: "http://www.example.com/film1", Soft: true},
			{Prefix: "http://www.example.com/film2"},
			{Host: "www.example.com"},
			{Tag: "films"},
			{All: true},
		} {
			c, path := r.dial(), fmt.Sprintf("/film%d", i)
			fill(c, path)
			if n, err := r.server.PurgeCache(p); n == 0 || err != nil { // those before may still be there
				t.Errorf("%+v dropped %d, %v", p, n, err)
			}
			c.seek(path, "bytes=0-9")
			if list := f.fetched(); len(list) != 1 {
				t.Errorf("%+v: asked for %q afterwards", p, list)
			}
		}
		c := r.dial()
		fill(c, "/old")
		c.send("DELETE /old HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
		c.response("DELETE")
		f.fetched()
		c.seek("/old", "bytes=0-9")
		if list := f.fetched(); len(list) != 1 {
			t.Errorf("after DELETE asked for %q", list)
		}
	}
}

// TestFirstOctet reads where ranges begin.
func TestFirstOctet(t *testing.T) {
	f := func(value string, want int64, ok bool) {
		t.Helper()
		var req message.Request
		head := "GET / HTTP/1.1\r\nHost: a\r\nRange: " + value + "\r\n\r\n"
		if _, err := req.Parse([]byte(head), &message.Limits{}); err != nil {
			t.Fatal(err)
		}
		if at, got := firstOctet(&req); got != ok || ok && at != want {
			t.Errorf("%q: got %d, %v", value, at, got)
		}
	}
	f("bytes=0-", 0, true)
	f("bytes=17-20", 17, true)
	f("BYTES=17-20", 17, true)
	f("bytes=-20", 0, true)
	f("bytes=1-2,4-5", 0, false)
	f("bytes=", 0, false)
	f("bytes=x-", 0, false)
	f("bytes=99999999999999999999-", farthest, true)
	f("bytes=+1-2", 0, false)
	f("items=1-2", 0, false)
	f("bytes=12", 0, false)
	f("bytes=0-\r\nRange: bytes=5-", 0, false)
}

// FuzzFirstOctet: the slice that is asked for first is the one in which the range begins,
// by the parser that knows the length.
func FuzzFirstOctet(f *testing.F) {
	for _, value := range []string{
		"bytes=0-", "bytes=17-20", "BYTES=5-4", "bytes=-20", "bytes=1-2,4-5", "bytes= 7-8 ", "bytes=9223372036854775808-",
		"bytes=+1-2", "bytes=1-2,", "bytes=,1-2", "items=0-1", "bytes=00000000000000000000000001-", "bytes=-", "bytes=1 -2",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		const size = 1 << 40
		var req message.Request
		req.Fields = []message.Field{{Known: message.Range, Name: []byte("Range"), Value: []byte(value)}}
		at, ok := firstOctet(&req)
		if at < 0 || at > farthest {
			t.Fatalf("%q: begins at %d", value, at)
		}
		spans, good := message.ParseRanges([]byte(value), size, nil)
		if ok && good && len(spans) == 1 && !strings.HasPrefix(value[len("bytes="):], "-") && spans[0].Start != at {
			t.Errorf("%q: begins at %d, want %d", value, at, spans[0].Start)
		}
	})
}
