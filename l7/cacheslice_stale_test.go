package l7

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// answered notes how a film answers requests.
type answered struct {
	http.ResponseWriter
	note func(status int)
}

func (a answered) WriteHeader(status int) {
	a.note(status)
	a.ResponseWriter.WriteHeader(status)
}

// staleRig is a film of four slices, of which all are stored and stale, and what its server
// answers from then on.
func staleRig(t *testing.T, config string, serve func(f *film, w http.ResponseWriter, req *http.Request)) (
	r *rig, f *film, answers func() []int,
) {
	f = newFilm(4 * sliceSize)
	var mu sync.Mutex
	var list []int
	filled := false
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		a := answered{w, func(status int) {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, status)
		}}
		mu.Lock()
		was := filled
		mu.Unlock()
		if was {
			if req.Header.Get("If-None-Match") != "\"one\"" && req.Header.Get("If-None-Match") != "" ||
				req.Header.Get("Range") == "" {
				t.Errorf("the server is asked with %v", req.Header)
			}
			serve(f, a, req)
		} else {
			f.ServeHTTP(a, req)
		}
	})
	answers = func() []int {
		mu.Lock()
		defer mu.Unlock()
		got := list
		list = nil
		return got
	}
	r = newRig(t, slicedRig+config, o.addr)
	if _, body, err := r.dial().seek("/film", "bytes=0-"); err != nil || body != string(f.body) {
		t.Fatal(len(body), err)
	}
	eventually(t, "the slices", func() bool { return r.stats().Objects == 4 })
	if n, err := r.server.PurgeCache(Purge{URL: "http://www.example.com/film", Soft: true}); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	answers()
	mu.Lock()
	filled = true
	mu.Unlock()
	return r, f, answers
}

// TestStaleSlices: a slice that is stale is validated, and used again if it still holds.
func TestStaleSlices(t *testing.T) {
	r, f, answers := staleRig(t, "", (*film).ServeHTTP)
	for _, want := range []struct {
		answers []int
		status  string
	}{
		{[]int{304, 304, 304, 304}, "weir; fwd=stale; fwd-status=304; ttl=60; stored"},
		{nil, "weir; hit; ttl=60"},
	} {
		res, body, err := r.dial().seek("/film", "bytes=0-")
		if err != nil || res.StatusCode != 206 || body != string(f.body) {
			t.Errorf("got %d, %d octets, %v", res.StatusCode, len(body), err)
		}
		if got := strings.Replace(res.Header.Get("Cache-Status"), "=59", "=60", 1); got != want.status {
			t.Errorf("Cache-Status: %q, want %q", got, want.status)
		}
		if list := answers(); !slices.Equal(list, want.answers) {
			t.Errorf("the server answered %v, want %v", list, want.answers)
		}
	}
}

// TestStaleSlicesOfAnOldVersion are dropped all together when one of them turns out not to
// hold any more: the client gets the new version, without a break.
func TestStaleSlicesOfAnOldVersion(t *testing.T) {
	r, f, answers := staleRig(t, "", (*film).ServeHTTP)
	f.change()
	for _, want := range [][]int{{206, 206, 206, 206}, nil} {
		res, body, err := r.dial().seek("/film", "bytes=0-")
		if err != nil || res.StatusCode != 206 || body != string(f.body) {
			t.Errorf("got %d, %d octets, %v", res.StatusCode, len(body), err)
		}
		if list := answers(); !slices.Equal(list, want) {
			t.Errorf("the server answered %v, want %v", list, want)
		}
	}
	if n := r.stats().Objects; n != 4 {
		t.Errorf("%d objects are stored, want the 4 new slices", n)
	}
}

// TestStaleSlicesWithoutConditions: a server that pays no heed to conditions sends the slice
// again, which takes the place of the old one.
func TestStaleSlicesWithoutConditions(t *testing.T) {
	r, f, answers := staleRig(t, "", func(f *film, w http.ResponseWriter, req *http.Request) {
		req.Header.Del("If-None-Match")
		req.Header.Del("If-Modified-Since")
		f.ServeHTTP(w, req)
	})
	for _, want := range [][]int{{206, 206, 206, 206}, nil} {
		if _, body, err := r.dial().seek("/film", "bytes=0-"); err != nil || body != string(f.body) {
			t.Errorf("got %d octets, %v", len(body), err)
		}
		if list := answers(); !slices.Equal(list, want) {
			t.Errorf("the server answered %v, want %v", list, want)
		}
	}
}

// TestStaleSlicesOfAnother304: a 304 that is about something else than what is stored is not
// taken for it.
func TestStaleSlicesOfAnother304(t *testing.T) {
	r, f, _ := staleRig(t, "", func(f *film, w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("If-None-Match") != "" {
			w.Header().Set("Etag", "\"three\"")
			w.WriteHeader(304)
			return
		}
		f.ServeHTTP(w, req)
	})
	f.change()
	if _, body, err := r.dial().seek("/film", "bytes=0-9"); err != nil || body != string(bytes.Repeat([]byte("2"), 10)) {
		t.Errorf("got %q, %v", body, err)
	}
}

// TestStaleSlicesWhenServersFail are served for as long as the route says.
func TestStaleSlicesWhenServersFail(t *testing.T) {
	fail := func(_ *film, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusServiceUnavailable)
	}
	for config, status := range map[string]int{
		"": 503, "stale_if_error = \"1h\"\n": 206,
	} {
		r, f, _ := staleRig(t, config, fail)
		res, body, err := r.dial().seek("/film", "bytes=70000-")
		if err != nil || res.StatusCode != status || status == 206 && body != string(f.body[70000:]) {
			t.Errorf("%q: %d, %d octets, %v", config, res.StatusCode, len(body), err)
		}
	}
}

// TestStaleSlicesWithoutServers are served for grace.
func TestStaleSlicesWithoutServers(t *testing.T) {
	hangUp := func(_ *film, _ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	for config, status := range map[string]int{"": 206, "grace = \"0s\"\n": 502} {
		r, f, _ := staleRig(t, config, hangUp)
		res, body, err := r.dial().seek("/film", "bytes=70000-")
		if err != nil || res.StatusCode != status || status == 206 && body != string(f.body[70000:]) {
			t.Errorf("%q: %d, %d octets, %v", config, res.StatusCode, len(body), err)
		}
	}
}

// TestSlicesUsedAlthoughStale: a client may say that it takes what is stale.
func TestSlicesUsedAlthoughStale(t *testing.T) {
	r, f, answers := staleRig(t, "", (*film).ServeHTTP)
	_, body, err := r.dial().seek("/film", "bytes=0-", "Cache-Control: max-stale=600\r\n")
	if list := answers(); err != nil || body != string(f.body) || list != nil {
		t.Errorf("got %d octets, %v; the server answered %v", len(body), err, list)
	}
}
