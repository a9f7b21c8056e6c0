package l7

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/pool/backend"
	"weir/pool/metric"
)

// lanes returns how many requests lanes have served, and how many they left to goroutines.
func (r *rig) lanes() (served, left uint64) {
	for _, ln := range r.server.loops.Range {
		served += ln.(*lane).served.Load()
		left += ln.(*lane).left.Load()
	}
	return served, left
}

// laneConfig has routes of every kind; its files are those of the directory %[3]s.
const laneConfig = `
[pool.app]
servers = ["%[1]s"]
[pool.few]
servers = [{ addr = "%[1]s", max_conns = 1 }]
queue = 10
[pool.told]
servers = ["%[1]s"]
proxy_protocol = "v2"
[pool.gone]
servers = ["%[2]s"]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
path = "/"
pool = "app"
[[l7.route]]
path = "/few"
pool = "few"
[[l7.route]]
path = "/told"
pool = "told"
[[l7.route]]
path = "/gone"
pool = "gone"
[[l7.route]]
path = "/rewritten"
pool = "app"
rewrite_path = "/small"
[[l7.route]]
path = "/moved"
[l7.route.redirect]
status = 302
path = "/small"
[[l7.route]]
path = "/fixed"
[l7.route.respond]
status = 200
body = "ok"
[[l7.route]]
path = "/files/"
[l7.route.files]
root = "%[3]s"
[[l7.route]]
path = "/late"
pool = "app"
[l7.route.fault]
delay = "10ms"
[[l7.route]]
path = "/copied"
pool = "app"
[l7.route.mirror]
pool = "app"
[[l7.route]]
path = "/hedged"
pool = "app"
[l7.route.retry]
hedge = 90
[[l7.route]]
path = "/tiny"
pool = "app"
max_body = "1B"
`

// laneOrigin answers by the path: small, chunked, open (until its end), interim, slow (in
// pieces), large.
func laneOrigin(t *testing.T) *origin {
	pieces := map[string][]string{
		"/chunked": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\no\r\n", "1\r\nk\r\n0\r\n\r\n"},
		"/open":    {"HTTP/1.1 200 OK\r\n\r\n", "o", "k"},
		"/interim": {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
		"/slow":    {"HTTP/1.1 200 O", "K\r\nContent-Len", "gth: 2\r\n\r\n", "o", "k"},
		"/large":   {fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat("x", 1<<20))},
	}
	return newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if req.Header.Get("Expect") != "" {
				io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			io.Copy(io.Discard, req.Body)
			answer := pieces[req.URL.Path]
			switch {
			case req.Method == "HEAD":
				answer = []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"}
			case answer == nil:
				answer = []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}
			}
			for i, p := range answer {
				if i > 0 {
					time.Sleep(5 * time.Millisecond)
				}
				if _, err := io.WriteString(c, p); err != nil {
					return
				}
			}
			if req.URL.Path == "/open" {
				return
			}
		}
	})
}

func laneRig(t *testing.T) *rig {
	return newRigWith(t, true, laneConfig, laneOrigin(t).addr, closedAddr(t), t.TempDir())
}

// TestLaneServes: these exchanges take no goroutine, from their first octet to their last.
func TestLaneServes(t *testing.T) {
	r := laneRig(t)
	c := r.dial()
	f := func(request, method string, status int) {
		t.Helper()
		before, _ := r.lanes()
		c.send("%s", request)
		res, body, err := c.response(method)
		for err == nil && res.StatusCode == 103 {
			res, body, err = c.response(method)
		}
		if err != nil || res.StatusCode != status || status == 200 && method != "HEAD" && body != "ok" &&
			len(body) != 1<<20 {
			t.Errorf("%q: got %d %.20q %v", request, res.StatusCode, body, err)
		}
		eventually(t, "the lane to have served "+request, func() bool { after, _ := r.lanes(); return after > before })
		if _, left := r.lanes(); left > 0 {
			t.Fatalf("%q left the lane", request)
		}
	}
	get := func(path string, status int) {
		t.Helper()
		f("GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n", "GET", status)
	}
	get("/small", 200)
	get("/rewritten", 200)
	get("/few", 200)
	get("/chunked", 200)
	get("/open", 200)
	get("/interim", 200)
	get("/slow", 200)
	get("/large", 200)
	get("/moved", 302)
	get("/fixed", 200)
	f("HEAD /small HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD", 200)
	f("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody", "POST", 200)
	f("POST /tiny HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody", "POST", 413)

	c.send("GET /small HTTP/1.1\r\nHost: h\r\n\r\nGET /chunked HTTP/1.1\r\nHost: h\r\n\r\n")
	for range 2 {
		if res, body, err := c.response("GET"); res.StatusCode != 200 || body != "ok" || err != nil {
			t.Errorf("pipelined: got %d %q %v", res.StatusCode, body, err)
		}
	}
	const many = 50
	for _, path := range []string{"/fixed", "/small"} {
		c.send("%s", strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n", many))
		for range many {
			if res, body, err := c.response("GET"); res.StatusCode != 200 || body != "ok" || err != nil {
				t.Errorf("pipelined: got %d %q %v", res.StatusCode, body, err)
			}
		}
	}
	if _, left := r.lanes(); left > 0 {
		t.Error("pipelined requests left the lane")
	}
}

// TestLaneLeaves: a goroutine takes over, and the client sees nothing of it.
func TestLaneLeaves(t *testing.T) {
	r := laneRig(t)
	f := func(status int, pieces ...string) {
		t.Helper()
		_, before := r.lanes()
		c := r.dial()
		for i, p := range pieces {
			if i > 0 { // with what is there the lane has nothing to do
				eventually(t, "a goroutine to take over", func() bool { _, now := r.lanes(); return now > before })
			}
			c.send("%s", p)
		}
		res, body, err := c.response("GET")
		if res.StatusCode == 100 {
			c.send("body")
			res, body, err = c.response("GET")
		}
		if err != nil || res.StatusCode != status || status == 200 && body != "ok" {
			t.Errorf("%q: got %d %q %v", pieces, res.StatusCode, body, err)
		}
		if _, after := r.lanes(); after == before {
			t.Errorf("%q did not leave the lane", pieces)
		}
		if res, body := c.get("/small"); res.StatusCode != 200 || body != "ok" {
			t.Errorf("after %q: got %d %q", pieces, res.StatusCode, body)
		}
	}
	f(200, "GET /small HTTP/1.1\r\nHos", "t: h\r\n\r\n")
	f(200, "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n", "body")
	f(200, "POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
	f(404, "GET /files/none HTTP/1.1\r\nHost: h\r\n\r\n")
	f(200, "GET /late HTTP/1.1\r\nHost: h\r\n\r\n")
	f(200, "GET /copied HTTP/1.1\r\nHost: h\r\n\r\n")
	f(200, "GET /hedged HTTP/1.1\r\nHost: h\r\n\r\n")
	f(503, "GET /gone HTTP/1.1\r\nHost: h\r\n\r\n")
	f(200, "POST /small HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
}

// TestLaneLeavesToTheQueue: a request that has to wait for a server waits in its turn.
func TestLaneLeavesToTheQueue(t *testing.T) {
	release := make(chan struct{})
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		io.WriteString(w, "ok")
	})
	r := newRigWith(t, true, strings.Replace(plain, `servers = ["%s"]`,
		"servers = [{ addr = \"%s\", max_conns = 1 }]\nqueue = 10", 1), o.addr)
	var wg sync.WaitGroup
	for range 4 {
		c := r.dial()
		wg.Go(func() {
			if res, body := c.get("/"); res.StatusCode != 200 || body != "ok" {
				t.Errorf("got %d %q", res.StatusCode, body)
			}
		})
	}
	eventually(t, "three requests to wait", func() bool {
		return r.metrics.Gauge(metric.BackendQueued, "app").Load() == 3
	})
	close(release)
	wg.Wait()
	if _, left := r.lanes(); left != 3 {
		t.Errorf("%d requests left the lane, want 3", left)
	}
}

// TestLaneLeavesSlowReader: what a client does not take is no matter of the loop's.
func TestLaneLeavesSlowReader(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/small" {
			io.WriteString(w, "ok")
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		w.Write(make([]byte, size))
	})
	r := newRigWith(t, true, plain, o.addr)
	slow, quick := r.dial(), r.dial()
	slow.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	eventually(t, "a goroutine to take over", func() bool { _, left := r.lanes(); return left == 1 })
	if res, body := quick.get("/small"); res.StatusCode != 200 || body != "ok" {
		t.Errorf("meanwhile: got %d %q", res.StatusCode, body)
	}
	if res, body, err := slow.response("GET"); res.StatusCode != 200 || len(body) != size || err != nil {
		t.Errorf("got %d, %d octets, %v", res.StatusCode, len(body), err)
	}
	if _, left := r.lanes(); left != 1 {
		t.Errorf("%d requests left the lane, want 1", left)
	}
}

// TestLaneTakesBack: a connection that had to leave its lane returns.
func TestLaneTakesBack(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, true, plain, answers(t, "ok").addr)
	c := r.dial()
	for round := range 3 {
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
		eventually(t, "a goroutine", func() bool { _, left := r.lanes(); return left == uint64(round+1) })
		c.send("body")
		c.response("POST")
		before, _ := r.lanes()
		eventually(t, "the lane to serve again", func() bool {
			if res, body := c.get("/"); res.StatusCode != 200 || body != "ok" {
				t.Fatalf("got %d %q", res.StatusCode, body)
			}
			after, _ := r.lanes()
			return after > before+1
		})
	}
}

// silent is an origin that reads a request and never answers.
func silent(t *testing.T, asked, ended *atomic.Int32) *origin {
	return newOrigin(t, func(_ *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		asked.Add(1)
		io.Copy(io.Discard, br)
		ended.Add(1)
	})
}

// TestLaneClientGone: the exchange of a client that resets its connection ends at once.
func TestLaneClientGone(t *testing.T) {
	var asked, ended atomic.Int32
	r := newRigWith(t, true, plain, silent(t, &asked, &ended).addr)
	const n = 20
	var clients []*client
	for range n {
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		clients = append(clients, c)
	}
	eventually(t, "the requests to be under way", func() bool { return asked.Load() == n })
	for _, c := range clients {
		c.SetLinger(0)
		c.Close()
	}
	eventually(t, "the exchanges to end", func() bool { return ended.Load() == n })
	r.wantNone(t)
	r.wantIdle(t)
	if _, left := r.lanes(); left > 0 {
		t.Errorf("%d exchanges needed a goroutine", left)
	}
}

// wantIdle checks that no exchange is left in any count.
func (r *rig) wantIdle(t *testing.T) {
	t.Helper()
	eventually(t, "the counts to be zero", func() bool {
		inFlight := 0
		for _, g := range r.reg.Status() {
			for _, m := range g.Members {
				inFlight += m.InFlight
			}
		}
		return inFlight == 0 && r.metrics.Gauge(metric.L7ActiveRequests, "web").Load() == 0 &&
			r.server.transport.Stats("app").InUse == 0
	})
}

// TestLaneTimeout: the limits of an exchange hold on a lane.
func TestLaneTimeout(t *testing.T) {
	t.Parallel()
	var asked, ended atomic.Int32
	config := strings.Replace(plain, "pool = \"app\"\n", "pool = \"app\"\nresponse_header_timeout = \"300ms\"\n", 1)
	r := newRigWith(t, true, config, silent(t, &asked, &ended).addr)
	if res, _ := r.dial().get("/"); res.StatusCode != 504 {
		t.Errorf("got %d, want 504", res.StatusCode)
	}
	r.wantIdle(t)

	// On a connection that was used with another limit, and in the middle of a body.
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			head, err := readHead(br)
			switch {
			case err != nil:
				return
			case strings.HasPrefix(head, "GET /cut "):
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			case strings.HasPrefix(head, "GET /long "):
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}
	})
	config = plain + "path = \"/long\"\nresponse_header_timeout = \"1h\"\nread_timeout = \"1h\"\n" +
		"[[l7.route]]\npool = \"app\"\nresponse_header_timeout = \"1s\"\nread_timeout = \"1s\"\n"
	r = newRigWith(t, true, config, o.addr)
	for range 2 {
		c := r.dial()
		c.get("/long")
		if res, _ := c.get("/silent"); res.StatusCode != 504 {
			t.Errorf("got %d, want 504", res.StatusCode)
		}
	}
	c := r.dial()
	c.get("/long")
	c.send("GET /cut HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, body, err := c.response("GET"); body != "o" || err == nil {
		t.Errorf("got %q %v, want a cut body", body, err)
	}
	r.wantIdle(t)
}

// blackhole is an address that swallows attempts to connect.
func blackhole(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 { // more than its backlog takes: the last ones wait, and go on trying
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(c) })
		if err := unix.Connect(c, sa); err != nil && err != unix.EINPROGRESS {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
}

// TestLaneConnects: a lane waits for a connection as long as the pool says, and then the
// next server is asked; a client that leaves meanwhile takes nothing with it.
func TestLaneConnects(t *testing.T) {
	t.Parallel()
	hole, good := blackhole(t), answers(t, "ok")
	config := strings.Replace(two, "[[l7]]", "connect_timeout = \"1s\"\n[[l7]]", 1)
	r := newRigWith(t, true, config, hole, good.addr)
	for range 2 {
		if res, body := r.dial().get("/"); res.StatusCode != 200 || body != "ok" {
			t.Errorf("got %d %q", res.StatusCode, body)
		}
	}
	r.wantIdle(t)

	r = newRigWith(t, true, plain, hole)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	active := r.metrics.Gauge(metric.L7ActiveRequests, "web")
	eventually(t, "the request", func() bool { return active.Load() == 1 })
	c.SetLinger(0)
	c.Close()
	r.wantNone(t)
	r.wantIdle(t)
}

// TestClientLeavesBeforeItsServerIsThere: nobody waits for a connection that nobody wants
// any more, and the server is not to blame.
func TestClientLeavesBeforeItsServerIsThere(t *testing.T) {
	t.Parallel()
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nbody", // by a goroutine
	} {
		r := newRigWith(t, true, plain, blackhole(t))
		c := r.dial()
		c.send("%s", request)
		active := r.metrics.Gauge(metric.L7ActiveRequests, "web")
		eventually(t, "the request", func() bool { return active.Load() == 1 })
		c.SetLinger(0)
		c.Close()
		r.wantNone(t)
		r.wantIdle(t)
		if st := r.server.transport.Stats("app"); st.Failures != 0 {
			t.Errorf("%.20q: counted as a failure to connect: %+v", request, st)
		}
	}
}

// TestLaneEndsWithItsLoop: exchanges under way go on by goroutines.
func TestLaneEndsWithItsLoop(t *testing.T) {
	release := make(chan struct{})
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		io.WriteString(w, "ok")
	})
	r := newRigWith(t, true, plain, o.addr)
	c, quiet := r.dial(), r.dial()
	quiet.send("G")
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	active := r.metrics.Gauge(metric.L7ActiveRequests, "web")
	eventually(t, "the request", func() bool { return active.Load() == 1 })
	r.loop.Close()
	close(release)
	if res, body, err := c.response("GET"); res.StatusCode != 200 || body != "ok" || err != nil {
		t.Errorf("got %d %q %v", res.StatusCode, body, err)
	}
	r.wantIdle(t)
}

// TestLaneIsKilled: a drain that is over ends what a lane is at.
func TestLaneIsKilled(t *testing.T) {
	t.Parallel()
	var asked, ended atomic.Int32
	config := strings.Replace(plain, `["%s"]`, `["%s", "`+blackhole(t)+`"]`, 1)
	r := newRigWith(t, true, config, silent(t, &asked, &ended).addr)
	for range 10 {
		r.dial().send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	}
	eventually(t, "requests under way", func() bool { return asked.Load() >= 5 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.server.Drain(ctx); err == nil {
		t.Error("the drain ended by itself")
	}
	r.wantNone(t)
	r.wantIdle(t)
}

// TestLaneConnectionsEnd: idle connections of lanes end as all others do.
func TestLaneConnectionsEnd(t *testing.T) {
	t.Parallel()
	f := func(what, keepalive string, end func(r *rig, e *backend.Endpoint)) {
		t.Helper()
		var ended atomic.Int32
		o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
			for {
				if _, err := readHead(br); err != nil {
					ended.Add(1)
					return
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		})
		r := newRigWith(t, true, strings.Replace(plain, "[[l7]]", keepalive+"[[l7]]", 1), o.addr)
		c := r.dial()
		c.get("/")
		eventually(t, "the lane to have served", func() bool { served, left := r.lanes(); return served == 1 && left == 0 })
		end(r, r.reg.Group("app").Members()[0].Endpoint())
		eventually(t, what, func() bool { return ended.Load() == 1 && r.server.transport.Stats("app").Idle == 0 })
		if res, body := r.dial().get("/"); res.StatusCode != 200 || body != "ok" { // shedding may end c as well
			t.Errorf("after %s: got %d %q", what, res.StatusCode, body)
		}
	}
	f("drop", "", func(r *rig, e *backend.Endpoint) { r.server.Drop(e) })
	f("shed", "", func(r *rig, _ *backend.Endpoint) { r.server.Shed() })
	f("idle_timeout", "[pool.app.keepalive]\nidle_timeout = \"200ms\"\n", func(*rig, *backend.Endpoint) {})
	f("max_idle", "[pool.app.keepalive]\nmax_idle = 0\n", func(*rig, *backend.Endpoint) {})
}

// TestLaneSharesMaxIdle: the connections of lanes and of goroutines count together.
func TestLaneSharesMaxIdle(t *testing.T) {
	const clients = 8
	var inside atomic.Int32
	var round atomic.Int32
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		inside.Add(1) // all at once, so that each needs a connection
		eventually(t, "all requests to be here", func() bool { return inside.Load() >= clients*round.Load() })
		io.WriteString(w, "ok")
	})
	r := newRigWith(t, true, strings.Replace(plain, "[[l7]]", "[pool.app.keepalive]\nmax_idle = 3\n[[l7]]", 1), o.addr)
	for range 3 {
		round.Add(1)
		var wg sync.WaitGroup
		for i := range clients {
			c := r.dial()
			wg.Go(func() {
				if i%2 == 0 {
					c.get("/")
					return
				}
				c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
				c.response("POST")
			})
		}
		wg.Wait()
		eventually(t, "three connections to be idle, and none in use", func() bool {
			st := r.server.transport.Stats("app")
			return st.InUse == 0 && st.Idle == 3
		})
	}
}

// TestLaneServesStored: what is stored and fresh takes no goroutine either. What has to be
// fetched does, and what is sent in many pieces is finished by one.
func TestLaneServesStored(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<16)
	asked := atomic.Int64{}
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			asked.Add(1)
			body := "ok"
			if req.URL.Path == "/large" {
				body = large
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nETag: \"a\"\r\nContent-Length: %d\r\n\r\n%s",
				len(body), body)
		}
	})
	r := newRigWith(t, true, storing, o.addr)
	first := r.dial()
	for _, path := range []string{"/small", "/large"} {
		first.get(path)
	}
	// Its client may have a response a moment before it is stored.
	eventually(t, "both to be stored", func() bool { return r.stats().Stored == 2 })
	_, missed := r.lanes()
	if missed == 0 {
		t.Error("a miss did not leave the lane")
	}
	c := r.dial()
	f := func(head, method string, status int, want string) {
		t.Helper()
		before, _ := r.lanes()
		c.send("%s\r\nHost: www.example.com\r\n\r\n", head)
		res, body, err := c.response(method)
		if err != nil || res.StatusCode != status || body != want {
			t.Errorf("%q: got %d %.20q %v", head, res.StatusCode, body, err)
		}
		eventually(t, "the lane to have served "+head, func() bool { after, _ := r.lanes(); return after > before })
		if _, left := r.lanes(); left > missed {
			t.Fatalf("%q left the lane", head)
		}
	}
	f("GET /small HTTP/1.1", "GET", 200, "ok")
	f("HEAD /small HTTP/1.1", "HEAD", 200, "")
	f("GET /small HTTP/1.1\r\nIf-None-Match: \"a\"", "GET", 304, "")
	f("GET /small HTTP/1.1\r\nRange: bytes=1-", "GET", 206, "k")
	f("GET /small HTTP/1.1", "GET", 200, "ok")
	f("GET /large HTTP/1.1\r\nRange: bytes=16-31", "GET", 206, large[16:32])
	if res, body := c.get("/large"); res.StatusCode != 200 || body != large {
		t.Errorf("got %d with %d octets, want %d", res.StatusCode, len(body), len(large))
	}
	if res, body := c.get("/small"); res.StatusCode != 200 || body != "ok" {
		t.Errorf("after what was large: got %d %q", res.StatusCode, body)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("the origin was asked %d times, want 2", n)
	}
}
