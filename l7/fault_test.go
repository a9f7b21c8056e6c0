package l7

import (
	"bufio"
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

	"weir/pool/metric"
)

// The rows are those of docs/faults.md.

// closedAddr is an address that refuses connections until the test ends. The port stays
// taken: a free one is given to others.
func closedAddr(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
}

func TestRow02_DiesBeforeHead(t *testing.T) {
	var posts, gets atomic.Int32
	dying := newOrigin(t, func(_ *net.TCPConn, br *bufio.Reader) {
		head, _ := readHead(br)
		if strings.HasPrefix(head, "POST") {
			posts.Add(1)
		} else {
			gets.Add(1)
		}
	})
	good := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			posts.Add(1)
		}
		io.WriteString(w, "ok")
	})
	r := newRig(t, two, dying.addr, good.addr)
	c := r.dial()
	for range 4 {
		if res, body := c.get("/"); res.StatusCode != 200 || body != "ok" {
			t.Fatalf("GET: got %d %q", res.StatusCode, body)
		}
	}
	if gets.Load() == 0 {
		t.Fatal("the dying server was never asked")
	}
	posts.Store(0)
	for i := range 4 {
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
		res, _, _ := c.response("POST")
		if res.StatusCode != 200 && res.StatusCode != 502 {
			t.Errorf("POST: got %d", res.StatusCode)
		}
		if n := posts.Load(); n != int32(i+1) {
			t.Fatalf("after %d POSTs the servers have seen %d", i+1, n)
		}
	}
}

func TestRow03_DiesMidLengthBody(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"+strings.Repeat("x", 500))
	})
	testCut(t, o, 500)
}

func TestRow04_DiesMidChunkedBody(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n"+strings.Repeat("x", 500)+"\r\n")
	})
	testCut(t, o, 500)
}

func TestRow09_ResetMidStream(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"+strings.Repeat("x", 500))
		time.Sleep(50 * time.Millisecond)
		c.SetLinger(0)
	})
	testCut(t, o, 500)
}

// testCut wants a response that begins well and visibly ends short.
func testCut(t *testing.T, o *origin, most int) {
	t.Helper()
	r := newRig(t, plain, o.addr)
	for range 3 {
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		res, body, err := c.response("GET")
		if res.StatusCode != 200 || err == nil || len(body) > most {
			t.Errorf("got %d, %d octets, error %v; want 200, at most %d, an error", res.StatusCode, len(body), err, most)
		}
		c.wantClosed()
	}
	if n := r.server.transport.Stats("app").Reuses; n != 0 {
		t.Errorf("%d connections were used again", n)
	}
}

// TestRow05_UploadCutShort: a server that was asked sees that it is no whole. Short bodies
// reach none: see TestLaneBodyClientGone.
func TestRow05_UploadCutShort(t *testing.T) {
	t.Parallel()
	f := func(request string) {
		t.Helper()
		ended := make(chan error, 1)
		o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
		})
		r := newRig(t, plain, o.addr)
		c := r.dial()
		c.send("%s", request)
		c.CloseWrite()
		if err := <-ended; err == nil {
			t.Error("the server took a cut body for a whole")
		}
		if _, err := c.br.ReadByte(); err == nil {
			t.Error("an answer came")
		}
	}
	body := strings.Repeat("x", 70_000)
	f("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + body)
	f("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 70001\r\n\r\n" + body)
	f("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n" + body + "\r\n")
}

func TestRow07_AllRefused(t *testing.T) {
	r := newRig(t, two, closedAddr(t), closedAddr(t))
	c := r.dial()
	for range 3 {
		res, body := c.get("/")
		if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("got %d %v", res.StatusCode, res.Header)
		}
		if strings.Contains(body, "127.0.0.1") {
			t.Errorf("the answer tells of the servers: %q", body)
		}
	}
}

func TestRow07_OneRefused(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	})
	r := newRig(t, two, closedAddr(t), o.addr)
	for range 4 {
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
		if res, body, err := c.response("POST"); res.StatusCode != 200 || body != "hi" || err != nil {
			t.Errorf("got %d %q %v", res.StatusCode, body, err)
		}
	}
}

func TestRow06_SilentBackend(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.Copy(io.Discard, br)
	})
	r := newRig(t, strings.Replace(plain, "pool = \"app\"", "pool = \"app\"\nresponse_header_timeout = \"300ms\"", 1), o.addr)
	c := r.dial()
	began := time.Now()
	res, _ := c.get("/")
	if took := time.Since(began); res.StatusCode != 504 || took < 300*time.Millisecond || took > 20*time.Second {
		t.Errorf("got %d after %v", res.StatusCode, took)
	}
}

func TestRow10_FinAfterReply(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	for range 50 {
		if res, body := c.get("/"); res.StatusCode != 200 || body != "ok" {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
	}
}

func TestRow12_SurplusOctets(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			if _, err := readHead(br); err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		}
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	for range 20 {
		if res, body := c.get("/"); res.StatusCode != 200 || body != "ok" {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
	}
}

func TestRow13_EarlyAnswer(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n")
		time.Sleep(time.Second)
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		piece := make([]byte, 1<<16)
		for range 1500 {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
		t.Error("the whole upload was taken")
	}()
	res, body, err := c.response("POST")
	if res.StatusCode != 413 || body != "no\n" || err != nil || !res.Close {
		t.Errorf("got %d %q close %v %v", res.StatusCode, body, res.Close, err)
	}
	<-stopped
}

func TestRow14_BadResponses(t *testing.T) {
	t.Parallel()
	f := func(response string) {
		t.Helper()
		o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
			readHead(br)
			io.WriteString(c, response)
		})
		r := newRig(t, plain, o.addr)
		c := r.dial()
		res, _ := c.get("/")
		for res.StatusCode == 102 {
			res, _, _ = c.response("GET")
		}
		if res.StatusCode != 502 {
			t.Errorf("%.60q: got %d", response, res.StatusCode)
		}
	}
	f("\r\n\r\n")
	f("hello\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 1<<20) + "\r\n\r\n")
	f(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100))
	f("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	f("")
}

func TestRow16_SlowBody(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
		io.Copy(io.Discard, br)
	})
	r := newRig(t, strings.Replace(plain, "pool = \"app\"", "pool = \"app\"\nread_timeout = \"300ms\"", 1), o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, body, err := c.response("GET"); err == nil || body != "x" {
		t.Errorf("got %q %v", body, err)
	}
}

func TestRow22_ClientGone(t *testing.T) {
	t.Parallel()
	var ended atomic.Int32
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.Copy(io.Discard, br)
		ended.Add(1)
	})
	r := newRig(t, plain, o.addr)
	const n = 50
	for range n {
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		c.SetLinger(0)
		time.Sleep(time.Millisecond)
		c.Close()
	}
	eventually(t, "the servers' connections to end", func() bool { return ended.Load() == o.conns.Load() })
}

func TestRow22_FinCancelsOnRequest(t *testing.T) {
	ended := make(chan struct{})
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.Copy(io.Discard, br)
		close(ended)
	})
	r := newRig(t, strings.Replace(plain, "pool = \"app\"", "pool = \"app\"\non_client_fin = \"cancel\"", 1), o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.CloseWrite()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the exchange went on")
	}
}

func TestRow23_HalfClose(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("y", 3_000_000)
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(700 * time.Millisecond) // long enough for several looks of the sweeper
		io.WriteString(w, body)
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	c.CloseWrite()
	res, got, err := c.response("GET")
	if res.StatusCode != 200 || got != body || err != nil {
		t.Errorf("got %d, %d octets, %v", res.StatusCode, len(got), err)
	}
}

func TestRow47_PanicInStep(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	r := newRig(t, plain, o.addr)
	// The panic is real: a listener without a table.
	snap := *r.server.snapshot.Load().listeners["web"]
	snap.table = nil
	r.server.Apply(&Snapshot{listeners: map[string]*listener{"web": &snap}})
	res, _ := r.dial().get("/")
	if res.StatusCode != 500 || !res.Close {
		t.Errorf("got %d close %v", res.StatusCode, res.Close)
	}
	r.apply(fmt.Sprintf(plain, o.addr))
	if res, _ := r.dial().get("/"); res.StatusCode != 200 {
		t.Errorf("afterwards: got %d", res.StatusCode)
	}
	if n := r.server.panics.Load(); n != 1 {
		t.Errorf("counted %d panics, want 1", n)
	}
}

func TestRow21_SlowReader(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	var sent atomic.Int64
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		piece := make([]byte, 1<<16)
		for range size / len(piece) {
			n, err := c.Write(piece)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	last := int64(-1)
	eventually(t, "the server to be paused", func() bool {
		now := sent.Load()
		same := now == last && now > 0
		last = now
		time.Sleep(200 * time.Millisecond)
		return same
	})
	if last >= size {
		t.Errorf("all %d octets were taken from the server", size)
	}
}

func TestBrokenBodyIsAnswered(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	r := newRig(t, plain, o.addr)
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX")
	res, _, err := c.response("POST")
	if res.StatusCode != 400 || !res.Close || err != nil {
		t.Errorf("got %d close %v %v", res.StatusCode, res.Close, err)
	}
}

func TestStaleConnection(t *testing.T) {
	var served atomic.Int32
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for range 2 {
			if _, err := readHead(br); err != nil {
				return
			}
			if served.Add(1)%2 == 0 {
				return // the second request on each connection gets no answer
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	for range 5 {
		if res, body := c.get("/"); res.StatusCode != 200 || body != "ok" {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
	}
	if r.server.metrics.Counter(metric.L7Retries, "app").Load() == 0 {
		t.Error("nothing was retried")
	}
}

// TestRow31_RefusedUpgradeEndsTheConnection: octets behind a WebSocket handshake
// are no request when the backend refuses it.
func TestRow31_RefusedUpgradeEndsTheConnection(t *testing.T) {
	var smuggled atomic.Bool
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			head, err := readHead(br)
			if err != nil {
				return
			}
			if strings.Contains(head, "/smuggled") {
				smuggled.Store(true)
			}
			io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
		}
	})
	f := func(r *rig, status int) {
		t.Helper()
		c := r.dial()
		c.send("GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" +
			"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
		res, _, err := c.response("GET")
		if res.StatusCode != status || !res.Close || err != nil {
			t.Errorf("got %d close %v %v, want %d and a close", res.StatusCode, res.Close, err, status)
		}
		c.wantClosed()
	}
	f(newRig(t, plain, o.addr), 403)
	f(newRig(t, plain, closedAddr(t)), 503)
	if smuggled.Load() {
		t.Error("what followed the handshake was served as a request")
	}
}

// TestHeadIsNotHeldBack sends the head with the size of the first chunk, and then
// nothing: the client gets the head all the same.
func TestHeadIsNotHeldBack(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n")
		io.Copy(io.Discard, br)
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	res, err := http.ReadResponse(c.br, nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("got %v %v", res, err)
	}
	c.SetLinger(0)
	c.Close() // noticed, or the test would wait for the read timeout
	eventually(t, "the exchange to end", func() bool {
		return r.server.snapshot.Load().listeners["web"].requests.Load() == 0
	})
}

// TestSlowBodyDoesNotHoldAConnection: a kept-alive connection that the backend
// closes while the client has not yet sent its small body costs no request.
func TestSlowBodyDoesNotHoldAConnection(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			head, err := readHead(br)
			if err != nil {
				return
			}
			if strings.HasPrefix(head, "POST") {
				io.ReadFull(br, make([]byte, 5))
				posts.Add(1)
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	r := newRig(t, plain, o.addr)
	for range 3 {
		c := r.dial()
		c.get("/")
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
		time.Sleep(800 * time.Millisecond)
		c.send("hello")
		if res, body, err := c.response("POST"); res.StatusCode != 200 || body != "ok" || err != nil {
			t.Errorf("got %d %q %v", res.StatusCode, body, err)
		}
	}
	if n := posts.Load(); n != 3 {
		t.Errorf("the server got %d of 3 requests", n)
	}
}

// TestRow02_DiesLate: a request that may be repeated is, however long the backend
// had it; the time for connecting has nothing to do with that.
func TestRow02_DiesLate(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	serve := func(c *net.TCPConn, br *bufio.Reader) {
		if readHead(br); asked.Add(1) == 1 {
			time.Sleep(1200 * time.Millisecond) // longer than all that there is for connecting
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
	config := strings.Replace(two, "[[l7]]", "connect_timeout = \"500ms\"\n[[l7]]", 1)
	r := newRig(t, config, newOrigin(t, serve).addr, newOrigin(t, serve).addr)
	if res, body := r.dial().get("/"); res.StatusCode != 200 || body != "ok" {
		t.Errorf("got %d %q", res.StatusCode, body)
	}
}

// TestSlowClientsDoNotEject: backends that give up on a slow client, while it sends
// or while it reads, stay in rotation.
func TestSlowClientsDoNotEject(t *testing.T) {
	t.Parallel()
	large := make([]byte, 64<<20)
	serve := func(c *net.TCPConn, br *bufio.Reader) {
		head, _ := readHead(br)
		if strings.HasPrefix(head, "GET /small") {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			return
		}
		c.SetDeadline(time.Now().Add(6 * time.Second)) // well beyond the second that Weir waits at least
		if strings.HasPrefix(head, "POST") {
			io.Copy(io.Discard, br)
		} else {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(large))
			c.Write(large)
		}
		c.SetLinger(0)
	}
	config := strings.Replace(two, "[[l7]]", "[pool.app.ejection]\nfailures = 1\ntime = \"20s\"\n[[l7]]", 1)
	r := newRig(t, config, newOrigin(t, serve).addr, newOrigin(t, serve).addr)
	var wg sync.WaitGroup
	for i := range 8 {
		c := r.dial()
		wg.Go(func() {
			if i%2 == 0 {
				c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nx")
			} else {
				c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			}
			time.Sleep(7 * time.Second)
			io.Copy(io.Discard, c)
		})
	}
	wg.Wait()
	for _, m := range r.reg.Status()[0].Members {
		if m.State != "healthy" || m.ConsecutiveFailures > 0 {
			t.Errorf("%s is %s after %d failures: %s", m.Address, m.State, m.ConsecutiveFailures, m.Reason)
		}
	}
}
