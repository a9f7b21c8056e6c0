package l7

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const guarded = `
[pool.app]
servers = ["%s"]
ejection = { enabled = false }
breaker = { failure_percent = 50, window = "1h", min_requests = 4, open_time = "1s", trials = 2, max_requests = 3 }
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
`

// TestBreaker: a pool that fails is left alone, tried after a while, and used again when
// the trials went well.
func TestBreaker(t *testing.T) {
	t.Parallel()
	var status, asked atomic.Int32
	status.Store(503)
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(int(status.Load()))
	})
	r := newRig(t, guarded, o.addr)
	c := r.dial()
	get := func() *http.Response {
		t.Helper()
		c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
		res, _, err := c.response("GET")
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	state := func() string { return r.reg.Status()[0].Breaker.State }
	for range 4 {
		get()
	}
	// A request counts when it is over, which its client may see a moment before.
	eventually(t, "the breaker to open after four failures", func() bool { return state() == "open" })
	if res := get(); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || asked.Load() != 4 {
		t.Errorf("open: got %v, and the server was asked %d times", res, asked.Load())
	}
	status.Store(501) // speaks of the request, not of the server
	eventually(t, "a trial", func() bool { return get().StatusCode == 501 })
	eventually(t, "a second trial", func() bool { return get().StatusCode == 501 })
	eventually(t, "the breaker to close after two good trials", func() bool { return state() == "closed" })
	var text strings.Builder
	r.metrics.WritePrometheus(&text)
	for _, want := range []string{
		`weir_backend_breaker_state{pool="app"} 0`, `weir_backend_breaker_opened_total{pool="app"} 1`,
		`weir_backend_refused_requests_total{pool="app",reason="breaker_open"}`,
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// Failures that never reached a server's word count as well; clients that leave do not.
func TestBreakerCountsFailures(t *testing.T) {
	t.Parallel()
	f := func(want, more string, handler http.HandlerFunc, request func(r *rig)) {
		t.Helper()
		o := newHTTPOrigin(t, handler)
		r := newRig(t, guarded+more, o.addr)
		for range 4 {
			request(r)
		}
		eventually(t, "the end of the requests", func() bool { return r.reg.Status()[0].Breaker.UnderWay == 0 })
		if got := r.reg.Status()[0].Breaker; got.State != want {
			t.Errorf("got %+v, want %s", got, want)
		}
	}
	ask := func(r *rig) {
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
		c.response("GET")
	}
	const hasty = "response_header_timeout = \"100ms\"\n"
	f("open", "", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ask)
	f("open", hasty, func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }, ask)
	f("closed", "", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }, ask)
	f("closed", "", func(w http.ResponseWriter, q *http.Request) { <-q.Context().Done() }, func(r *rig) {
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
		eventually(t, "the request", func() bool { return r.reg.Status()[0].Breaker.UnderWay > 0 })
		c.SetLinger(0)
		c.Close()
		eventually(t, "its end", func() bool { return r.reg.Status()[0].Breaker.UnderWay == 0 })
	})
}

// Beyond max_requests a request is refused at once, and served when there is room.
func TestBreakerMaxRequests(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	o := newHTTPOrigin(t, func(w http.ResponseWriter, q *http.Request) {
		select {
		case <-release:
		case <-q.Context().Done():
		}
		fmt.Fprint(w, "ok")
	})
	r := newRig(t, guarded, o.addr)
	var waiting []*client
	for range 3 {
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
		waiting = append(waiting, c)
	}
	eventually(t, "three requests", func() bool { return r.reg.Status()[0].Breaker.UnderWay == 3 })
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if res, _, err := c.response("GET"); err != nil || res.StatusCode != 503 {
		t.Errorf("the fourth got %v, %v", res, err)
	}
	close(release)
	for _, c := range waiting {
		if res, body, err := c.response("GET"); err != nil || body != "ok" {
			t.Errorf("got %v, %q, %v", res, body, err)
		}
	}
	eventually(t, "room", func() bool { return r.reg.Status()[0].Breaker.UnderWay == 0 })
	c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if _, body, err := c.response("GET"); err != nil || body != "ok" {
		t.Errorf("got %q, %v", body, err)
	}
}

// Who is refused is told when the breaker tries again.
func TestBreakerRetryAfter(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	r := newRig(t, strings.Replace(guarded, `open_time = "1s"`, `open_time = "600s"`, 1), o.addr)
	c := r.dial()
	for range 4 {
		c.get("/")
	}
	eventually(t, "the breaker to open", func() bool { return r.reg.Status()[0].Breaker.State == "open" })
	res, _ := c.get("/")
	after, _ := strconv.Atoi(res.Header.Get("Retry-After")) // those that went to the server have none
	if after < 500 || after > 600 {
		t.Errorf("Retry-After is %d, want about 600", after)
	}
	f := func(d time.Duration, want int) {
		t.Helper()
		if got := seconds(d); got != want {
			t.Errorf("%v: got %d, want %d", d, got, want)
		}
	}
	f(0, 1)
	f(time.Millisecond, 1)
	f(time.Second, 1)
	f(time.Second+1, 2)
	f(5*time.Second, 5)
}
