package l7

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSlicesPurgedWhileFilled: a purge hits the slice that is being fetched, whose octets
// were made before it, and the resource is still answered from slices.
func TestSlicesPurgedWhileFilled(t *testing.T) {
	f := newFilm(3 * sliceSize)
	var purge atomic.Pointer[func()]
	f.before = func(string) {
		if p := purge.Swap(nil); p != nil {
			(*p)()
		}
	}
	r := newRig(t, slicedRig, newHTTPOrigin(t, f.ServeHTTP).addr)
	for _, p := range []Purge{{URL: "http://www.example.com/film"}, {Tag: "films"}, {All: true}} {
		once := func() {
			if _, err := r.server.PurgeCache(p); err != nil {
				t.Error(err)
			}
		}
		r.server.PurgeCache(Purge{All: true})
		purge.Store(&once)
		f.fetched()
		for range 2 {
			if res, body, err := r.dial().seek("/film", "bytes=0-9"); err != nil || res.StatusCode != 206 ||
				body != string(f.body[:10]) {
				t.Errorf("%+v: %d, %d octets, %v", p, res.StatusCode, len(body), err)
			}
		}
		if list := f.fetched(); !slices.Equal(list, []string{"bytes=0-65535", "bytes=0-65535"}) {
			t.Errorf("%+v: asked for %q, want the slice before and after the purge", p, list)
		}
	}
}

// TestSlicesAreNotTurnedOff: what one request causes does not take the slices from others.
func TestSlicesAreNotTurnedOff(t *testing.T) {
	f := newFilm(3 * sliceSize)
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Fail") != "" {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		f.ServeHTTP(w, req)
	})
	r := newRig(t, slicedRig, o.addr)
	for _, field := range []string{
		"Authorization: Basic YTpi\r\n", "Cache-Control: no-store\r\n", "X-Fail: 1\r\n",
		"If-Range: \"other\"\r\n", "Cache-Control: no-cache\r\n",
	} {
		r.server.PurgeCache(Purge{All: true})
		r.dial().seek("/film", "bytes=70000-70009", field)
		r.server.PurgeCache(Purge{All: true})
		f.fetched()
		if _, body, err := r.dial().seek("/film", "bytes=70000-70009"); err != nil || body != string(f.body[70000:70010]) {
			t.Errorf("%q: %d octets, %v", field, len(body), err)
		}
		if list := f.fetched(); !slices.Equal(list, []string{"bytes=65536-131071"}) {
			t.Errorf("after a request with %q asked for %q", field, list)
		}
	}
}

// TestSlicesBeyondTheEnd asks for what no resource has, at sizes that no sum must exceed.
func TestSlicesBeyondTheEnd(t *testing.T) {
	f := newFilm(3 * sliceSize)
	for _, size := range []string{"64KiB", "100001B"} {
		r := newRig(t, storing+"slice = \""+size+"\"\n", newHTTPOrigin(t, f.ServeHTTP).addr)
		for _, value := range []string{
			"bytes=9223372036854775807-", "bytes=9223372036854775800-9223372036854775807", "bytes=999999999999999999-",
			"bytes=99999999999999999999999-", "bytes=200000-", "bytes=9223372036854700000-",
		} {
			res, _, err := r.dial().seek("/film", value)
			if err != nil || res.StatusCode != 416 {
				t.Errorf("%s: %d, %v", value, res.StatusCode, err)
			}
			for _, asked := range f.fetched() {
				if strings.Contains(asked, "--") {
					t.Errorf("%s: asked the server for %q", value, asked)
				}
			}
		}
		if res, body, err := r.dial().seek("/film", "bytes=0-9223372036854775807"); err != nil || body != string(f.body) {
			t.Errorf("all of it: %d, %d octets, %v", res.StatusCode, len(body), err)
		}
	}
}

// TestSlicesOfAnotherVersionInFront: the slice that tells the length is of the old
// version, the one that is asked for of the new one. The client gets the new one, and so
// does the next.
func TestSlicesOfAnotherVersionInFront(t *testing.T) {
	f := newFilm(6 * sliceSize)
	r := newRig(t, slicedRig, newHTTPOrigin(t, f.ServeHTTP).addr)
	r.dial().seek("/film", "bytes=0-9")
	f.change()
	for range 3 {
		f.fetched()
		res, body, err := r.dial().seek("/film", "bytes=-100")
		if err != nil || res.StatusCode != 206 || body != strings.Repeat("2", 100) {
			t.Errorf("got %d, %d octets, %v", res.StatusCode, len(body), err)
		}
	}
	if list := f.fetched(); len(list) != 0 {
		t.Errorf("asked for %q at the end, want nothing", list)
	}
}

// TestSlicesOfServersThatDisagree: servers that have different tags for the same file cost
// two responses; from then on clients get it as it comes.
func TestSlicesOfServersThatDisagree(t *testing.T) {
	f := newFilm(8 * sliceSize)
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		from := 0
		fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", fmt.Sprintf("\"of server %d\"", from/sliceSize%2))
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(f.body))
	})
	r := newRig(t, longRig, o.addr)
	for i := range 6 {
		c := r.dial()
		fields, want := "", string(f.body)
		if i%2 == 1 {
			fields, want = "Range: bytes=70000-\r\n", want[70000:]
		}
		c.send("GET /film HTTP/1.1\r\nHost: www.example.com\r\n%s\r\n", fields)
		_, body, err := c.response("GET")
		if i >= 2 && (err != nil || body != want) || !strings.HasPrefix(want, body) {
			t.Errorf("request %d: %d octets, %v", i, len(body), err)
		}
	}
	if !strings.Contains(r.log.String(), "servers do not agree on the ETag") {
		t.Error("the log does not tell of it")
	}
}

// TestSlicesPrefetchFails: that a slice could not be fetched ahead does not break the
// response off when it can be fetched then.
func TestSlicesPrefetchFails(t *testing.T) {
	f := newFilm(4 * sliceSize)
	var failed atomic.Int32
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.Header.Get("Range"), "bytes=131072-") && failed.Add(1) == 1 {
			http.Error(w, "not now", 500)
			return
		}
		f.ServeHTTP(w, req)
	})
	r := newRig(t, slicedRig, o.addr)
	if res, body, err := r.dial().seek("/film", "bytes=0-"); err != nil || body != string(f.body) {
		t.Errorf("got %d, %d octets, %v", res.StatusCode, len(body), err)
	}
}

// TestSlicesNoCache: who wants nothing that is not new has each slice fetched once.
func TestSlicesNoCache(t *testing.T) {
	f := newFilm(4 * sliceSize)
	r := newRig(t, slicedRig, newHTTPOrigin(t, f.ServeHTTP).addr)
	for range 2 {
		f.fetched()
		_, body, err := r.dial().seek("/film", "bytes=0-", "Cache-Control: no-cache\r\n")
		if err != nil || body != string(f.body) {
			t.Errorf("got %d octets, %v", len(body), err)
		}
		if list := f.fetched(); len(list) != 4 {
			t.Errorf("asked for %q, want each slice once", list)
		}
	}
}

// TestSlicesOnceForOverlappingRanges: many clients with ranges all over a cold resource,
// some of which leave in the middle, cause one request for each slice.
func TestSlicesOnceForOverlappingRanges(t *testing.T) {
	const parts, clients = 40, 60
	f := newFilm(parts*sliceSize - 77)
	r := newRig(t, slicedRig, newHTTPOrigin(t, f.ServeHTTP).addr)
	var wg sync.WaitGroup
	for i := range clients {
		c, rnd := r.dial(), rand.New(rand.NewPCG(1, uint64(i)))
		wg.Go(func() {
			for range 5 {
				from := rnd.IntN(len(f.body))
				to := min(from+rnd.IntN(5*sliceSize), len(f.body)-1)
				if i%4 == 0 {
					c.send("GET /film HTTP/1.1\r\nHost: www.example.com\r\nRange: bytes=%d-%d\r\n\r\n", from, to)
					time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond) // any time will do
					c.SetLinger(0)
					c.Close()
					return
				}
				res, body, err := c.seek("/film", fmt.Sprintf("bytes=%d-%d", from, to))
				if err != nil || res.StatusCode != 206 || body != string(f.body[from:to+1]) {
					t.Errorf("%d-%d: %d, %d octets, %v", from, to, res.StatusCode, len(body), err)
				}
			}
		})
	}
	wg.Wait()
	list := f.fetched()
	slices.Sort(list)
	if n := len(list); len(slices.Compact(list)) != n {
		t.Errorf("asked %d times for slices, some of them twice", n)
	}
}

// TestSlicesInLittleMemory: clients that hold more slices than the cache has memory for,
// each far from the others, get their part, and memory stays what it is.
func TestSlicesInLittleMemory(t *testing.T) {
	const clients, part = 16, 128 * sliceSize
	f := newFilm(1_000_003) // no divisor of anything
	f.body = bytes.Repeat(f.body, clients*part/len(f.body)+1)
	r := newRig(t, "[cache]\nmemory = \"4MiB\"\nmax_object = \"512KiB\"\n"+storing+"slice = \"512KiB\"\n",
		newHTTPOrigin(t, f.ServeHTTP).addr)
	var begun, done sync.WaitGroup
	begun.Add(clients)
	for i := range clients {
		c := r.dial()
		c.SetReadBuffer(64 << 10)
		done.Go(func() {
			from := i * part
			c.send("GET /film HTTP/1.1\r\nHost: www.example.com\r\nRange: bytes=%d-%d\r\n\r\n", from, from+part-1)
			if _, err := c.br.Peek(1); err != nil {
				t.Error(err)
			}
			begun.Done()
			begun.Wait()
			time.Sleep(100 * time.Millisecond) // until each is as far as it gets; earlier would do as well
			res, body, err := c.response("GET")
			if err != nil || res.StatusCode != 206 || body != string(f.body[from:from+part]) {
				t.Errorf("client %d: %d, %d octets, %v", i, res.StatusCode, len(body), err)
			}
		})
	}
	done.Wait()
	if n := len(f.fetched()); n > 2*clients*part/(8*sliceSize) {
		t.Errorf("asked the server %d times for %d slices", n, clients*part/(8*sliceSize))
	}
	if st := r.stats(); st.Bytes > 2*st.Budget {
		t.Errorf("%d octets of memory are in use, more than the %d allowed", st.Bytes, st.Budget)
	}
}

// TestSlicesVary: what is put together is of one variant.
func TestSlicesVary(t *testing.T) {
	const size = 3 * sliceSize
	bodies := map[string][]byte{"en": bytes.Repeat([]byte("e"), size), "de": bytes.Repeat([]byte("d"), size)}
	var asked atomic.Int32
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		lang := req.Header.Get("Accept-Language")
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"`+lang+`"`)
		w.Header().Set("Vary", "Accept-Language")
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(bodies[lang]))
	})
	r := newRig(t, slicedRig, o.addr)
	for range 2 {
		for lang, want := range bodies {
			_, body, err := r.dial().seek("/film", "bytes=1-", "Accept-Language: "+lang+"\r\n")
			if err != nil || body != string(want[1:]) {
				t.Errorf("%s: %d octets, %v", lang, len(body), err)
			}
		}
	}
	if n := asked.Load(); n != 6 {
		t.Errorf("asked %d times, want once for each slice of each variant", n)
	}
}

// TestSlicesOnlyIfCached: a client that wants nothing from a server gets what is wholly
// there, or 504.
func TestSlicesOnlyIfCached(t *testing.T) {
	f := newFilm(4 * sliceSize)
	r := newRig(t, slicedRig, newHTTPOrigin(t, f.ServeHTTP).addr)
	check := func(value string, status int) {
		t.Helper()
		f.fetched()
		res, _, err := r.dial().seek("/film", value, "Cache-Control: only-if-cached\r\n")
		if err != nil || res.StatusCode != status {
			t.Errorf("%s: %d, %v, want %d", value, res.StatusCode, err, status)
		}
		if list := f.fetched(); len(list) > 0 {
			t.Errorf("%s: asked for %q", value, list)
		}
	}
	check("bytes=0-9", 504)
	r.dial().seek("/film", fmt.Sprintf("bytes=%d-%d", sliceSize, 3*sliceSize-1))
	check("bytes=0-9", 504)
	check("bytes=70000-70009", 206)
	check(fmt.Sprintf("bytes=%d-%d", sliceSize, 3*sliceSize-1), 206)
	check(fmt.Sprintf("bytes=%d-%d", sliceSize, 3*sliceSize), 504)
	check("bytes=70000-", 504)
	check("bytes=-10", 504)
	r.dial().seek("/film", "bytes=0-")
	check("bytes=0-", 206)
	check("bytes=-10", 206)
	check("bytes=999999-", 504)
}

// TestSlicesWithTwoContentRanges: a response that contradicts itself is not stored.
func TestSlicesWithTwoContentRanges(t *testing.T) {
	f := newFilm(3 * sliceSize)
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header()["Content-Range"] = []string{
			fmt.Sprintf("bytes 0-%d/%d", sliceSize-1, 3*sliceSize), fmt.Sprintf("bytes 1-%d/%d", sliceSize, 3*sliceSize),
		}
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"one"`)
		w.Header().Set("Content-Length", fmt.Sprint(sliceSize))
		w.WriteHeader(206)
		w.Write(f.body[:sliceSize])
	})
	r := newRig(t, slicedRig, o.addr)
	r.dial().seek("/film", "bytes=0-9")
	if n := r.stats().Objects; n != 0 {
		t.Errorf("%d objects are stored", n)
	}
}

// TestSlicesAfterTheWhole: that the whole of a long resource is too long to be stored does
// not keep ranges of it from being stored.
func TestSlicesAfterTheWhole(t *testing.T) {
	f := newFilm(20 * sliceSize)
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Range") != "" {
			f.ServeHTTP(w, req)
			return
		}
		w.Header().Set("Cache-Control", "max-age=60") // nothing tells that there are ranges
		w.Header().Set("Content-Length", fmt.Sprint(len(f.body)))
		w.Write(f.body)
	})
	r := newRig(t, longRig, o.addr)
	if _, body := r.dial().get("/film"); body != string(f.body) {
		t.Errorf("the whole has %d octets", len(body))
	}
	f.fetched()
	for range 2 {
		if _, body, err := r.dial().seek("/film", "bytes=0-9"); err != nil || body != string(f.body[:10]) {
			t.Errorf("got %d octets, %v", len(body), err)
		}
	}
	if list := f.fetched(); !slices.Equal(list, []string{"bytes=0-65535"}) {
		t.Errorf("asked for %q", list)
	}
}
