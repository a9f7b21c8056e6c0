package l7

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/l7/cache"
)

// storing is a configuration with one pool of one server and a cache; lines of
// [l7.route.cache] follow it.
const storing = plain + "[l7.route.cache]\n"

// waiting is how many requests wait for another's fetch.
func (r *rig) waiting() int64 { return r.stats().Waiting }

func (r *rig) stats() cache.Stats {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	return r.server.store.Stats()
}

// askAlone sends a GET on a connection of its own and returns status and body.
func (r *rig) askAlone(path string) (status int, body string, err error) {
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(playPatience))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n", path)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, "", err
	}
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// herd sends n requests for path at once, and returns how many got which status and body.
func (r *rig) herd(n int, path string) map[string]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[string]int{}
	for range n {
		wg.Go(func() {
			status, body, err := r.askAlone(path)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				got[err.Error()]++
				return
			}
			got[fmt.Sprintf("%d %d", status, len(body))]++
		})
	}
	wg.Wait()
	return got
}

// TestRow42_OneFetchForAThousand: a thousand clients ask for one cold key, and its
// backend is asked once.
func TestRow42_OneFetchForAThousand(t *testing.T) {
	t.Parallel()
	const clients = 1000
	var asked atomic.Int32
	var r *rig
	body := strings.Repeat("x", 200_000)
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		eventually(t, "the others to wait", func() bool { return r.waiting() == clients-1 })
		w.Header().Set("Cache-Control", "max-age=60")
		for i := 0; i < len(body); i += 50_000 {
			io.WriteString(w, body[i:i+50_000])
			w.(http.Flusher).Flush()
		}
	})
	r = newRig(t, storing+"lock_timeout = \"1m\"\n", o.addr)
	got := r.herd(clients, "/")
	if got["200 200000"] != clients || asked.Load() != 1 {
		t.Errorf("%d requests to the backend, answers: %v", asked.Load(), got)
	}
}

// TestRow42_FetchFails: a fetch that fails wakes who waits for it, and does not make them
// all ask the backend.
func TestRow42_FetchFails(t *testing.T) {
	const clients = 50
	var asked atomic.Int32
	var r *rig
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		eventually(t, "the others to wait", func() bool { return r.waiting() == clients-1 })
		panic(http.ErrAbortHandler)
	})
	r = newRig(t, storing+"lock_timeout = \"1m\"\n", o.addr)
	got := r.herd(clients, "/")
	if n := asked.Load(); n > 2 { // the retry is the second one
		t.Errorf("%d requests to the backend", n)
	}
	for answer, n := range got {
		if !strings.HasPrefix(answer, "502 ") && !strings.HasPrefix(answer, "503 ") {
			t.Errorf("%d times %q", n, answer)
		}
	}
}

// TestRow42_NoConvoy: where a response turns out not to be stored, those who waited for it
// ask the backend at once, not one after the other, and so do those who come later.
func TestRow42_NoConvoy(t *testing.T) {
	const clients = 20
	var asked, inside atomic.Int32
	var r *rig
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if asked.Add(1) == 1 {
			eventually(t, "the others to wait", func() bool { return r.waiting() == clients-1 })
			return
		}
		inside.Add(1)
		eventually(t, "all others to be here", func() bool { return inside.Load() >= clients-1 })
	})
	r = newRig(t, storing+"lock_timeout = \"1m\"\n", o.addr)
	if got := r.herd(clients, "/"); got["200 0"] != clients {
		t.Errorf("answers: %v", got)
	}
	inside.Store(0)
	if got := r.herd(clients-1, "/"); got["200 0"] != clients-1 {
		t.Errorf("later answers: %v", got)
	}
}

// TestRow42_LateWaitersAskAtABoundedRate: who waited as long as lock_timeout says goes to
// the backend, one request in each such time.
func TestRow42_LateWaitersAskAtABoundedRate(t *testing.T) {
	t.Parallel()
	const clients = 20
	var asked atomic.Int32
	release := make(chan struct{})
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			<-release // the first one hangs
		}
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "late")
	})
	t.Cleanup(func() { close(release) })
	r := newRig(t, storing+"lock_timeout = \"200ms\"\n", o.addr)
	go r.askAlone("/")
	eventually(t, "the first request", func() bool { return asked.Load() == 1 })
	if got := r.herd(clients, "/"); got["200 4"] != clients {
		t.Errorf("answers: %v", got)
	}
	if n := asked.Load(); n > clients/2 {
		t.Errorf("%d requests to the backend", n)
	}
}

// TestFetchOutlivesItsClient: the client that caused a fetch leaves, and those who wait
// for it get the response all the same.
func TestFetchOutlivesItsClient(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	var r *rig
	release := make(chan struct{})
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		select {
		case <-release:
		case <-req.Context().Done():
		}
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "whole")
	})
	r = newRig(t, storing+"lock_timeout = \"1m\"\n", o.addr)
	first := r.dial()
	first.send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
	eventually(t, "the first request", func() bool { return asked.Load() == 1 })
	done := make(chan map[string]int)
	go func() { done <- r.herd(5, "/") }()
	eventually(t, "the others to wait", func() bool { return r.waiting() == 5 })
	first.SetLinger(0)
	first.Close()
	time.Sleep(400 * time.Millisecond) // until the sweeper has seen it; later would be as well
	close(release)
	if got := <-done; got["200 5"] != 5 || asked.Load() != 1 {
		t.Errorf("%d requests to the backend, answers: %v", asked.Load(), got)
	}
}

// slowBody is an origin whose body stops in its middle until it is told to go on.
type slowBody struct {
	*origin
	goOn  chan struct{}
	ended chan struct{} // the request was broken off
	asked atomic.Int32
}

func newSlowBody(t *testing.T) *slowBody {
	s := &slowBody{goOn: make(chan struct{}), ended: make(chan struct{}, 16)}
	s.origin = newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		s.asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, strings.Repeat("#", 500))
		w.(http.Flusher).Flush()
		select {
		case <-s.goOn:
		case <-req.Context().Done():
			s.ended <- struct{}{}
		}
		io.WriteString(w, strings.Repeat("b", 500))
	})
	return s
}

// TestFetchNobodyWants: a fetch whose only client leaves is broken off, or goes on where
// the route says so.
func TestFetchNobodyWants(t *testing.T) {
	t.Parallel()
	leave := func(config string) (*rig, *slowBody) {
		o := newSlowBody(t)
		r := newRig(t, storing+config, o.addr)
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
		if _, err := io.ReadFull(c.br, make([]byte, 300)); err != nil {
			t.Fatal(err)
		}
		c.SetLinger(0)
		c.Close()
		return r, o
	}
	_, o := leave("")
	select {
	case <-o.ended:
	case <-time.After(playPatience):
		t.Error("the fetch goes on for nobody")
	}
	r, o := leave("on_client_gone = \"finish\"\n")
	time.Sleep(400 * time.Millisecond) // it would have been broken off by now
	close(o.goOn)
	eventually(t, "the response to be stored", func() bool { return r.stats().Stored == 1 })
	if _, body, err := r.askAlone("/"); err != nil || len(body) != 1000 || o.asked.Load() != 1 {
		t.Errorf("got %d octets, %v, %d requests", len(body), err, o.asked.Load())
	}
}

// TestRangeLeavesTheRest: a client that is content with a range leaves the rest to be
// stored.
func TestRangeLeavesTheRest(t *testing.T) {
	o := newSlowBody(t)
	r := newRig(t, storing, o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nRange: bytes=10-19\r\n\r\n")
	if res, body, err := c.response("GET"); err != nil || res.StatusCode != 206 || body != "##########" {
		t.Fatalf("got %v, %q, %v", res.Status, body, err)
	}
	c.Close()
	close(o.goOn)
	eventually(t, "the response to be stored", func() bool { return r.stats().Stored == 1 })
}

// TestGrowingIsRead: who comes while a body is on its way gets what is there at once.
func TestGrowingIsRead(t *testing.T) {
	o := newSlowBody(t)
	r := newRig(t, storing, o.addr)
	read := func() *client {
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
		for got := []byte{}; bytes.Count(got, []byte("#")) < 500; {
			b, err := c.br.ReadByte()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b)
		}
		return c
	}
	one, two := read(), read()
	close(o.goOn)
	for _, c := range []*client{one, two} {
		b := make([]byte, 500)
		if _, err := io.ReadFull(c.br, b); err != nil || b[0] != 'b' {
			t.Errorf("the rest is %.10q, %v", b, err)
		}
	}
	if o.asked.Load() != 1 {
		t.Errorf("%d requests to the backend", o.asked.Load())
	}
}

// TestSlowClientHoldsUpNobody: a client that does not read its response, for which it is
// fetched, keeps it from no other.
func TestSlowClientHoldsUpNobody(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Write(make([]byte, size))
	})
	r := newRig(t, storing, o.addr)
	slow := r.dial()
	slow.send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
	if _, err := slow.br.Peek(1); err != nil {
		t.Fatal(err)
	}
	if status, body, err := r.askAlone("/"); status != 200 || len(body) != size || err != nil {
		t.Errorf("got %d, %d octets, %v", status, len(body), err)
	}
	if res, body, err := slow.response("GET"); err != nil || len(body) != size {
		t.Errorf("the slow one got %v, %d octets, %v", res.Status, len(body), err)
	}
}

// TestTooLargeIsPassedOn: a body that turns out to be too large is delivered and not
// stored, to those as well who joined its fetch.
func TestTooLargeIsPassedOn(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	var asked atomic.Int32
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		if req.URL.Path == "/known" {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		for range size / 4096 {
			w.Write(make([]byte, 4096))
		}
	})
	r := newRig(t, "[cache]\nmax_object = \"1MiB\"\n"+storing, o.addr)
	for _, path := range []string{"/known", "/unknown"} {
		asked.Store(0)
		for range 2 {
			if status, body, err := r.askAlone(path); status != 200 || len(body) != size || err != nil {
				t.Errorf("%s: got %d, %d octets, %v", path, status, len(body), err)
			}
		}
		if asked.Load() != 2 {
			t.Errorf("%s: %d requests", path, asked.Load())
		}
	}
	eventually(t, "nothing to be stored", func() bool { return r.stats().Objects == 0 })
}

// TestRow44_VaryExplosion: a response that varies with what clients make up takes no more
// than 32 places.
func TestRow44_VaryExplosion(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "X-A")
		io.WriteString(w, req.Header.Get("X-A"))
	})
	r := newRig(t, storing, o.addr)
	c := r.dial()
	for i := range 500 {
		want := fmt.Sprint(i)
		c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nX-A: %s\r\n\r\n", want)
		if _, body, err := c.response("GET"); err != nil || body != want {
			t.Fatalf("got %q, %v, want %q", body, err, want)
		}
	}
	if n := r.stats().Objects; n > cache.MaxVariants {
		t.Errorf("%d variants are stored", n)
	}
}

// TestRow45_ManyRanges: a thousand overlapping ranges never make more than the whole.
func TestRow45_ManyRanges(t *testing.T) {
	const size = 10_000
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Write(make([]byte, size))
	})
	r := newRig(t, storing, o.addr)
	c := r.dial()
	c.get("/")
	c.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nRange: bytes=0-%s\r\n\r\n", strings.Repeat(",0-", 1000))
	if res, body, err := c.response("GET"); err != nil || len(body) > size {
		t.Errorf("got %v, %d octets, %v", res.Status, len(body), err)
	}
}

// TestStaleWhileRevalidate: a stale response is served at once, and one request behind it
// fetches a new one.
func TestStaleWhileRevalidate(t *testing.T) {
	var asked atomic.Int32
	release := make(chan struct{})
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Etag", `"a"`)
		if asked.Add(1) == 1 {
			w.Header().Set("Cache-Control", "max-age=1, stale-while-revalidate=600")
			w.Header().Set("Age", "10")
			io.WriteString(w, "old")
			return
		}
		if req.Header.Get("If-None-Match") != `"a"` {
			t.Errorf("asked with If-None-Match: %q", req.Header.Get("If-None-Match"))
		}
		<-release
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"b"`)
		io.WriteString(w, "new")
	})
	r := newRig(t, storing, o.addr)
	c := r.dial()
	c.get("/")
	for range 20 {
		if res, body := c.get("/"); body != "old" {
			t.Errorf("got %q, %v", body, res.Header)
		}
	}
	eventually(t, "the request behind", func() bool { return asked.Load() == 2 })
	close(release)
	eventually(t, "the new response", func() bool {
		_, body := c.get("/")
		return body == "new"
	})
	if n := asked.Load(); n != 2 {
		t.Errorf("%d requests to the backend", n)
	}
}

// TestCacheHitAllocatesNothing counts over the whole process, as
// TestExchangeAllocatesNothing does.
func TestCacheHitAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const answer = "HTTP/1.1 200 OK\r\nServer: origin\r\nCache-Control: max-age=3600\r\nETag: \"a\"\r\nVary: Accept-Encoding\r\n" +
		"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
	o := cannedOrigin(t, answer)
	f := func(name, request string) {
		t.Helper()
		r := newRig(t, storing, o.addr)
		c := r.dial()
		c.send(benchRequest)
		if _, body, err := c.response("GET"); err != nil || body != "hello" {
			t.Fatal(body, err)
		}
		octets, buf := []byte(request), make([]byte, 4096)
		run := func(n int) {
			for range n {
				if _, err := c.Write(octets); err != nil {
					t.Fatal(err)
				}
				for n := 0; !bytes.HasSuffix(buf[:n], []byte("\r\n\r\nhello")) && !bytes.HasSuffix(buf[:n], []byte("\r\n\r\nel")) &&
					!bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 304")); {
					m, err := c.Read(buf[n:])
					if err != nil {
						t.Fatal(err)
					}
					n += m
				}
			}
		}
		run(200)
		const exchanges = 2000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		run(exchanges)
		runtime.ReadMemStats(&after)
		if n := after.Mallocs - before.Mallocs; n > exchanges/20 {
			t.Errorf("%s: %d allocations in %d hits", name, n, exchanges)
		}
	}
	f("whole", benchRequest)
	f("range", strings.Replace(benchRequest, "\r\n\r\n", "\r\nRange: bytes=1-2\r\n\r\n", 1))
	f("not modified", strings.Replace(benchRequest, "\r\n\r\n", "\r\nIf-None-Match: \"a\"\r\n\r\n", 1))
}
