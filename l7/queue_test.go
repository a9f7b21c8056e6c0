package l7

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"

	"weir/pool/metric"
)

// full is a configuration with one server that takes one request at a time. %s stands
// for its address and for keys of the pool.
const full = `
[pool.app]
servers = [{ addr = "%s", max_conns = 1 }]
%s
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
`

// holdingOrigin answers a request when it is told to, and says which it has got.
func holdingOrigin(t *testing.T) (o *origin, got chan string, release chan struct{}) {
	got, release = make(chan string, 100), make(chan struct{}, 100)
	o = newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.URL.Path
		select {
		case <-release:
		case <-r.Context().Done():
		}
		io.WriteString(w, r.URL.Path)
	})
	return o, got, release
}

func (r *rig) waitQueued(t *testing.T, n int64) {
	t.Helper()
	g := r.metrics.Gauge(metric.BackendQueued, "app")
	eventually(t, fmt.Sprintf("%v requests in the queue", n), func() bool { return g.Load() == n })
}

// TestRow17_RequestsQueue: requests wait in order, and each gets its own answer.
func TestRow17_RequestsQueue(t *testing.T) {
	o, got, release := holdingOrigin(t)
	r := newRig(t, full, o.addr, `queue_timeout = "30s"`)
	var clients []*client
	for i := range 8 {
		c := r.dial()
		c.send("GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i)
		clients = append(clients, c)
		if i == 0 {
			<-got
		}
		r.waitQueued(t, int64(i))
	}
	for i, c := range clients {
		release <- struct{}{}
		want := "/" + strconv.Itoa(i)
		if res, body, err := c.response("GET"); res.StatusCode != 200 || body != want || err != nil {
			t.Fatalf("request %d: got %d %q %v", i, res.StatusCode, body, err)
		}
		if i < 7 {
			if next := <-got; next != "/"+strconv.Itoa(i+1) {
				t.Fatalf("after request %d the server got %s", i, next)
			}
		}
	}
	r.waitQueued(t, 0)
	m := r.reg.Group("app").Members()[0]
	eventually(t, "all slots back", func() bool { return m.InFlight() == 0 })
}

// TestRow17_QueueOfRequestsIsBounded: beyond the bound, and beyond the time, 503.
func TestRow17_QueueOfRequestsIsBounded(t *testing.T) {
	t.Parallel()
	f := func(keys string, waiting int, reason string) {
		t.Helper()
		o, got, release := holdingOrigin(t)
		r := newRig(t, full, o.addr, keys)
		first := r.dial()
		first.send("GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
		<-got
		for i := range waiting {
			r.dial().send("GET /waits HTTP/1.1\r\nHost: h\r\n\r\n")
			r.waitQueued(t, int64(i+1))
		}
		res, _ := r.dial().get("/beyond")
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: got %d %v", keys, res.StatusCode, res.Header)
		}
		eventually(t, "an error with the reason "+reason, func() bool { // counted behind the answer
			return r.metrics.Counter(metric.L7Errors, "web", "upstream", reason).Load() == 1
		})
		release <- struct{}{}
		if res, body, _ := first.response("GET"); res.StatusCode != 200 || body != "/first" {
			t.Errorf("%s: the one before got %d %q", keys, res.StatusCode, body)
		}
		for range waiting {
			release <- struct{}{}
		}
	}
	f(`queue = 2`, 2, "queue_full")
	f(`queue = 0`, 0, "backends_full")
	f(`queue_timeout = "100ms"`, 0, "queue_timeout")
}

// TestQueuedClientGone: a client that resets while it waits leaves its place, and the
// server never hears of it.
func TestQueuedClientGone(t *testing.T) {
	t.Parallel()
	o, got, release := holdingOrigin(t)
	r := newRig(t, full, o.addr, `queue_timeout = "30s"`)
	first, gone, last := r.dial(), r.dial(), r.dial()
	first.send("GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
	<-got
	gone.send("GET /gone HTTP/1.1\r\nHost: h\r\n\r\n")
	r.waitQueued(t, 1)
	last.send("GET /last HTTP/1.1\r\nHost: h\r\n\r\n")
	r.waitQueued(t, 2)
	gone.SetLinger(0)
	gone.Close()
	r.waitQueued(t, 1)
	release <- struct{}{}
	release <- struct{}{}
	for _, c := range []*client{first, last} {
		if res, _, err := c.response("GET"); res.StatusCode != 200 || err != nil {
			t.Errorf("got %d %v", res.StatusCode, err)
		}
	}
	if path := <-got; path != "/last" {
		t.Errorf("the server got %s", path)
	}
}

// TestTimeoutInQueue: the route's timeout holds in the queue too.
func TestTimeoutInQueue(t *testing.T) {
	t.Parallel()
	o, got, release := holdingOrigin(t)
	r := newRig(t, full+"timeout = \"100ms\"\n", o.addr, `queue_timeout = "30s"`)
	r.apply(fmt.Sprintf(full, o.addr, `queue_timeout = "30s"`))
	c := r.dial()
	c.send("GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
	<-got
	r.apply(fmt.Sprintf(full+"timeout = \"100ms\"\n", o.addr, `queue_timeout = "30s"`))
	if res, _ := r.dial().get("/"); res.StatusCode != 503 {
		t.Errorf("got %d", res.StatusCode)
	}
	release <- struct{}{}
	if res, _, _ := c.response("GET"); res.StatusCode != 200 {
		t.Errorf("the one before got %d", res.StatusCode)
	}
}
