package l7

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newBalanceRig serves a pool of three servers that answer with their number. pool is
// what the configuration says of the pool beside its servers, and listener of the listener.
func newBalanceRig(t *testing.T, pool string, listener ...string) *rig {
	named := func(name string) string {
		return newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }).addr
	}
	return newRig(t, `
[pool.app]
servers = ["%s", "%s", "%s"]
`+pool+`
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
`+strings.Join(listener, "")+`
[[l7.route]]
pool = "app"
`, named("1"), named("2"), named("3"))
}

// Requests that are alike in what hash_by names go to one server, others to others.
func TestHashBy(t *testing.T) {
	t.Parallel()
	f := func(by string, path, fields func(i int) string) {
		t.Helper()
		c := newBalanceRig(t, "balance = \"hash\"\nhash_by = \""+by+"\"").dial()
		servers := map[string]bool{}
		for i := range 12 {
			_, first := c.ask(path(i), fields(i))
			servers[first] = true
			for range 3 {
				if _, again := c.ask(path(i)+"?q=1", fields(i)+"X-Other: 1\r\n"); again != first {
					t.Errorf("%s: value %d went to server %s, then to %s", by, i, first, again)
				}
			}
		}
		if len(servers) < 2 && by != "source" {
			t.Errorf("%s: all values went to one server", by)
		}
		if len(servers) > 1 && by == "source" {
			t.Errorf("%s: one client went to several servers", by)
		}
	}
	root := func(int) string { return "/" }
	none := func(int) string { return "" }
	f("path", func(i int) string { return fmt.Sprintf("/a/%d", i) }, none)
	f("header:X-User", root, func(i int) string { return fmt.Sprintf("x-user: u%d\r\n", i) })
	f("header:User-Agent", root, func(i int) string { return fmt.Sprintf("User-Agent: u%d\r\n", i) })
	f("cookie:sid", root, func(i int) string { return fmt.Sprintf("Cookie: a=b; sid=%d\r\n", i) })
	f("source", func(i int) string { return fmt.Sprintf("/%d", i) }, none)
}

// What hash_by names may be missing: then it is the client that stays.
func TestHashByWithoutValue(t *testing.T) {
	c := newBalanceRig(t, "balance = \"hash\"\nhash_by = \"header:X-User\"").dial()
	_, first := c.ask("/", "")
	for i := range 10 {
		if _, s := c.ask(fmt.Sprintf("/%d", i), "Cookie: X-User=1\r\n"); s != first {
			t.Fatalf("server %s, then %s", first, s)
		}
	}
}

// Requests are timed up to the head, also those with a short body, and go where
// answers come quickly.
func TestLeastLatency(t *testing.T) {
	slow := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(300 * time.Millisecond)
		fmt.Fprint(w, "slow")
	})
	quick := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "quick") })
	r := newRig(t, `
[pool.app]
servers = ["%s", "%s"]
balance = "least_latency"
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
`, slow.addr, quick.addr)
	c := r.dial()
	got := map[string]int{}
	for range 30 {
		c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi")
		_, body, err := c.response("POST")
		if err != nil {
			t.Fatal(err)
		}
		got[body]++
	}
	if got["slow"] > 5 {
		t.Errorf("got %v", got)
	}
	shown := r.reg.Status()[0].Members[0].Latency
	if shown < 100*time.Millisecond && got["slow"] > 0 {
		t.Errorf("the slow server shows a latency of %v", shown)
	}
	var text strings.Builder
	r.metrics.WritePrometheus(&text)
	if !strings.Contains(text.String(), "weir_backend_latency_seconds{pool=\"app\"") {
		t.Error("the latency is not among the metrics")
	}
}

// An adaptive limit holds: no more requests than that are with a server, and the others
// are served in their turn.
func TestAdaptiveConcurrency(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		time.Sleep(20 * time.Millisecond)
		fmt.Fprint(w, "ok")
	})
	r := newRig(t, `
[pool.app]
servers = ["%s"]
queue = 100
queue_timeout = "30s"
concurrency = { adaptive = true, min = 2, max = 3 }
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
`, o.addr)
	var wg sync.WaitGroup
	for range 12 {
		c := r.dial()
		wg.Go(func() {
			for range 3 {
				c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
				if res, body, err := c.response("GET"); err != nil || body != "ok" {
					t.Errorf("got %v, %q, %v", res.StatusCode, body, err)
				}
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 3 {
		t.Errorf("%d requests were with the server at a time, the limit is 3", n)
	}
	if got := r.reg.Status()[0].Members[0].Limit; got < 2 || got > 3 {
		t.Errorf("the limit is %d", got)
	}
}
