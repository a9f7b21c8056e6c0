package l7

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/pool/metric"
)

// tried is a configuration with one pool of the given servers and keys of its route
// and of [l7.route.retry]. No failure ejects.
func tried(route, retry string, servers ...string) string {
	return fmt.Sprintf(`
[pool.app]
servers = ["%s"]
[pool.app.ejection]
enabled = false
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
%s
[l7.route.retry]
%s
`, strings.Join(servers, `", "`), route, retry)
}

// badOrigin is a server that fails every request in one way, and counts them.
func badOrigin(t *testing.T, how string) (*origin, *atomic.Int32) {
	var n atomic.Int32
	return newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			n.Add(1)
			switch how {
			case "closes":
				return
			case "is silent":
				io.Copy(io.Discard, br)
				return
			case "begins":
				io.WriteString(c, "HTTP/1.1 200")
				return
			default:
				fmt.Fprintf(c, "HTTP/1.1 %s Bad\r\nContent-Length: 3\r\n\r\nbad", how)
			}
		}
	}), &n
}

// TestRetryConditions: what makes another server be asked, and what does not.
func TestRetryConditions(t *testing.T) {
	t.Parallel()
	good := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "good%d", len(b))
	})
	f := func(how, request, route, retry string, want int) {
		t.Helper()
		bad, n := badOrigin(t, how)
		r := newRig(t, strings.ReplaceAll(tried(route, retry, bad.addr, good.addr), "%", "%%"))
		for i := range 2 { // one of them begins at the bad one
			c := r.dial()
			c.send("%s", request)
			res, body, err := c.response("GET")
			if err != nil {
				t.Errorf("%s, %s: %v", how, retry, err)
			}
			if res.StatusCode != want && !strings.HasPrefix(body, "good") || want == 200 && res.StatusCode != 200 {
				t.Errorf("%s, %s, request %d: got %d %q, want %d", how, retry, i, res.StatusCode, body, want)
			}
		}
		if got := n.Load(); got < 1 || got > 2 {
			t.Errorf("%s, %s: the bad server got %d requests of 2", how, retry, got)
		}
	}
	const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	const put = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
	const chunked = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\nyou\r\n0\r\nT: t\r\n\r\n"
	const slow = `response_header_timeout = "1s"` // which the good server must keep on a busy machine
	const held = `request_buffer = "1KiB"`

	f("closes", get, "", "", 200)
	f("closes", get, "", "tries = 1", 502)
	f("closes", get, "", `on = ["connect", "timeout", "503"]`, 502)
	f("begins", get, "", "", 502)
	f("503", get, "", "", 503)
	f("503", get, "", `on = ["503"]`, 200)
	f("503", get, "", `on = ["502", "504"]`, 503)
	f("is silent", get, slow, "", 504)
	f("is silent", get, slow, `on = ["timeout"]`, 200)
	f("is silent", get, `response_header_timeout = "20s"`, "on = [\"timeout\"]\ntry_timeout = \"1s\"", 200)
	f("is silent", get, `timeout = "100ms"`, `on = ["timeout"]`, 504)

	// A body, and a method that has effects.
	f("closes", put, "", `methods = ["PUT"]`, 502)
	f("closes", put, held, "", 502)
	f("closes", put, held, `methods = ["PUT"]`, 200)
	f("closes", chunked, held, `methods = ["PUT"]`, 200)
	f("503", chunked, held, "methods = [\"PUT\"]\non = [\"503\"]", 200)
	big := fmt.Sprintf("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2000\r\n\r\n%02000d", 0)
	f("503", big, held, "methods = [\"PUT\"]\non = [\"503\"]", 503)
	f("503", big, `request_buffer = "2KiB"`, "methods = [\"PUT\"]\non = [\"503\"]", 200)
	huge := fmt.Sprintf("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n%01000000d", 0)
	f("503", huge, `request_buffer = "1MiB"`, "methods = [\"PUT\"]\non = [\"503\"]", 200)
}

// TestTries: no request goes out more often than it may, and the last answer counts.
func TestTries(t *testing.T) {
	f := func(retry string, want int32, status int) {
		t.Helper()
		var servers []string
		var counts []*atomic.Int32
		for range 4 {
			o, n := badOrigin(t, "503")
			servers, counts = append(servers, o.addr), append(counts, n)
		}
		r := newRig(t, tried("", retry, servers...))
		res, _ := r.dial().get("/")
		var sum int32
		for _, n := range counts {
			sum += n.Load()
			if n.Load() > 1 {
				t.Errorf("%s: a server got the request %d times", retry, n.Load())
			}
		}
		if sum != want || res.StatusCode != status {
			t.Errorf("%s: %d tries and %d, want %d and %d", retry, sum, res.StatusCode, want, status)
		}
	}
	f(`on = ["503"]`, 2, 503)
	f("tries = 3\non = [\"503\"]", 3, 503)
	f("tries = 16\non = [\"503\"]", 4, 503)
	f("tries = 1\non = [\"503\"]", 1, 503)
}

// TestHeldBody: bodies of all kinds arrive as they were sent, held or not.
func TestHeldBody(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "%s %s", sum(b), r.Trailer.Get("T"))
	})
	r := newRig(t, tried(`request_buffer = "100KiB"`, "", o.addr))
	c := r.dial()
	for i, size := range []int{0, 1, 1000, 70_000, 102_400, 102_401, 500_000} {
		b := content(uint64(i), size)
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", size)
		for at := 0; at < size; at += 30_000 { // in pieces
			c.Write(b[at:min(at+30_000, size)])
		}
		if res, body, err := c.response("POST"); res.StatusCode != 200 || body != sum(b)+" " || err != nil {
			t.Errorf("%d octets: got %d %q %v", size, res.StatusCode, body, err)
		}
		c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
		for at := 0; at < size; at += 30_000 {
			piece := b[at:min(at+30_000, size)]
			c.send("%x\r\n%s\r\n", len(piece), piece)
		}
		c.send("0\r\nT: t\r\n\r\n")
		if res, body, err := c.response("POST"); res.StatusCode != 200 || body != sum(b)+" t" || err != nil {
			t.Errorf("%d octets in chunks: got %d %q %v", size, res.StatusCode, body, err)
		}
	}
}

// TestHeldBodyKeepsServersFree: a client that takes its time to send a body that is
// held occupies no server.
func TestHeldBodyKeepsServersFree(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	})
	r := newRig(t, full+"request_buffer = \"1KiB\"\n", o.addr, "queue = 0")
	m := r.reg.Group("app").Members()[0]
	slow := r.dial()
	slow.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nsl")
	for range 5 {
		if res, _ := r.dial().get("/"); res.StatusCode != 200 {
			t.Fatalf("got %d", res.StatusCode)
		}
		eventually(t, "the slot back", func() bool { return m.InFlight() == 0 }) // which its client does not wait for
	}
	slow.send("ow")
	if res, body, _ := slow.response("POST"); res.StatusCode != 200 || body != "slow" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// TestRow15_RetryStorm: where all servers fail, requests are not multiplied.
func TestRow15_RetryStorm(t *testing.T) {
	t.Parallel()
	f := func(how, keys string) {
		t.Helper()
		requests := int32(2000)
		if raceEnabled {
			requests = 500
		}
		var servers []string
		var counts []*atomic.Int32
		for range 4 {
			o, n := badOrigin(t, how)
			servers, counts = append(servers, o.addr), append(counts, n)
		}
		r := newRig(t, tried("", keys, servers...))
		began := time.Now()
		c := r.dial()
		for range requests {
			if res, _ := c.get("/"); res.StatusCode < 500 {
				t.Fatalf("got %d", res.StatusCode)
			}
		}
		var sum int32
		for _, n := range counts {
			sum += n.Load()
		}
		floor := 10 * (int32(time.Since(began)/time.Second) + 1)
		if most := requests*12/10 + floor; sum > most || sum < requests {
			t.Errorf("%s: %d attempts for %d requests, want at most %d", how, sum, requests, most)
		}
		if r.metrics.Counter(metric.L7RetriesDenied, "app").Load() == 0 {
			t.Errorf("%s: no retry was denied", how)
		}
	}
	f("closes", "tries = 4")
	f("503", "tries = 4\non = [\"503\"]")
}

// TestRow15_ConnectStorm: going on after failed connects has a bound too, once every
// server is known to be in trouble.
func TestRow15_ConnectStorm(t *testing.T) {
	t.Parallel()
	var servers []string
	for range 8 {
		servers = append(servers, closedAddr(t))
	}
	config := strings.Replace(tried("", "", servers...), "enabled = false", `time = "1m"`+"\nmax_time = \"1m\"", 1)
	r := newRig(t, config)
	const requests = 1000
	began := time.Now()
	c := r.dial()
	for range requests {
		if res, _ := c.get("/"); res.StatusCode != 503 {
			t.Fatalf("got %d", res.StatusCode)
		}
	}
	floor := 10 * (uint64(time.Since(began)/time.Second) + 1)
	if n := r.server.transport.Stats("app").Failures; n > requests*12/10+floor+8 {
		t.Errorf("%d connects for %d requests", n, requests)
	}
}
