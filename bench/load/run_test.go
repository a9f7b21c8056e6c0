package load

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/bench/origin"
)

// short is a plan for a test: enough requests to mean something, and no more.
func short(w Workload) Plan {
	return Plan{Workload: w, Conns: 4, Requests: 200, Duration: 20 * time.Second, Timeout: 5 * time.Second}
}

func mustRun(t *testing.T, p Plan) *Result {
	t.Helper()
	r, err := Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantClean fails unless every request was answered rightly.
func wantClean(t *testing.T, r *Result) {
	t.Helper()
	if r.Failed.Total() != 0 || r.Requests == 0 || r.Latency.Count != r.Requests {
		t.Errorf("%d requests, %d latencies, failed: %s; %s", r.Requests, r.Latency.Count, r.Failed, r.Error)
	}
}

func startOrigin(t *testing.T, o origin.Options) string {
	t.Helper()
	o.Addr = "127.0.0.1:0"
	s, err := origin.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s.Addr()
}

// TestWorkloads runs each workload against a server that is right.
func TestWorkloads(t *testing.T) {
	f := func(kind origin.Kind, body int, w Workload) {
		t.Helper()
		w.Address = startOrigin(t, origin.Options{Kind: kind, Body: body})
		p := short(w)
		r := mustRun(t, p)
		wantClean(t, r)
		if r.Requests != p.Requests {
			t.Errorf("%s: %d requests, want %d", w.Kind, r.Requests, p.Requests)
		}
		if w.Reconnect && r.Opened < r.Requests {
			t.Errorf("%s: %d connections for %d requests, each of which wants its own", w.Kind, r.Opened, r.Requests)
		}
		if !w.Reconnect && w.Kind != Handshake && r.Opened != int64(p.Conns) {
			t.Errorf("%s: %d connections, want %d", w.Kind, r.Opened, p.Conns)
		}
		p.Rate = 1000
		p.Poisson = true
		wantClean(t, mustRun(t, p))
	}
	f(origin.HTTP, 10, Workload{Kind: HTTP1, Receive: 10, Verify: true})
	f(origin.HTTP, 0, Workload{Kind: HTTP1, Receive: -1})
	f(origin.HTTP, 1<<20, Workload{Kind: HTTP1, Receive: 1 << 20})
	f(origin.HTTP, 1<<20, Workload{Kind: HTTP1, Receive: 1 << 20, Verify: true})
	f(origin.HTTP, 1<<20, Workload{Kind: HTTP1, Receive: 1 << 20, Copy: true})
	f(origin.HTTP, 10, Workload{Kind: HTTP1, Send: 300_000, Receive: 10})
	f(origin.HTTP, 10, Workload{Kind: HTTP1, Reconnect: true})
	f(origin.H2C, 70_000, Workload{Kind: HTTP1, Send: 5, Receive: 70_000})
	f(origin.HTTPS, 70_000, Workload{Kind: HTTP1, TLS: true, Receive: 70_000, Verify: true})
	f(origin.HTTPS, 10, Workload{Kind: HTTP1, TLS: true, Send: 300_000, Reconnect: true})
	f(origin.HTTPS, 0, Workload{Kind: Handshake, ServerNames: []string{"a.example", "b.example"}})
	f(origin.Echo, 0, Workload{Kind: TCP})
	f(origin.Echo, 0, Workload{Kind: TCP, Send: 300_000})
	f(origin.Echo, 0, Workload{Kind: TCP, Send: 5, Reconnect: true})
	f(origin.UDP, 0, Workload{Kind: UDP})
	f(origin.UDP, 0, Workload{Kind: UDP, Send: maxDatagram})
	f(origin.UDP, 0, Workload{Kind: UDP, Send: 1, Reconnect: true})
	f(origin.H2C, 10, Workload{Kind: HTTP2, Streams: 7, Receive: 10, Verify: true})
	f(origin.H2C, 200_000, Workload{Kind: HTTP2, Streams: 3, Send: 300_000, Receive: 200_000, Verify: true})
	f(origin.HTTPS, 10, Workload{Kind: HTTP2, TLS: true, Streams: 2, Fields: []string{"X-Test: yes"}})
	f(origin.H2C, 0, Workload{Kind: WebSocket})
	f(origin.H2C, 0, Workload{Kind: WebSocket, Send: 70_000})
	f(origin.HTTPS, 0, Workload{Kind: WebSocket, TLS: true, Send: 300, Reconnect: true})
}

// TestBulk: what a sink has read is what was sent, and a source is read until the end.
func TestBulk(t *testing.T) {
	sink, err := origin.Start(origin.Options{Kind: origin.Sink, Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	p := Plan{Workload: Workload{Kind: Upload, Address: sink.Addr()}, Duration: 200 * time.Millisecond}
	r := mustRun(t, p)
	// The kernel still has what the sink has not read yet.
	for deadline := time.Now().Add(20 * time.Second); sink.Received() < r.BytesOut && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if r.BytesOut < 1<<20 || r.BytesOut > sink.Received() || r.Failed.Total() != 0 {
		t.Errorf("sent %d bytes, the sink has %d; failed: %s", r.BytesOut, sink.Received(), r.Failed)
	}
	p.Kind, p.Address = Download, startOrigin(t, origin.Options{Kind: origin.Source})
	for _, p.Copy = range []bool{false, true} {
		if r := mustRun(t, p); r.BytesIn < 1<<20 || r.Failed.Total() != 0 || r.Error != "" {
			t.Errorf("copy %v: received %d bytes; failed: %s; %s", p.Copy, r.BytesIn, r.Failed, r.Error)
		}
	}
	p.Address = serve(t, func(c net.Conn) { _, _ = c.Write(make([]byte, 1000)) })
	p.Receive = 1000
	if r := mustRun(t, p); r.Answered == 0 || r.Failed.Total() != 0 || r.BytesIn < 1000 {
		t.Errorf("%d downloads, %d bytes; failed: %s", r.Answered, r.BytesIn, r.Failed)
	}
	p.Receive = 1001
	if r := mustRun(t, p); r.Answered != 0 || r.Failed.Length == 0 || r.Valid {
		t.Errorf("%d downloads of the wrong length; failed: %s, valid %v", r.Answered, r.Failed, r.Valid)
	}
}

// serve runs a server that handles each connection with handle, and closes it.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				handle(c)
			}()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// answerer answers each request head with text.
func answerer(text string) func(net.Conn) {
	return func(c net.Conn) {
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
			if strings.Contains(text, "close") {
				return
			}
		}
	}
}

// TestFailures: what is wrong is counted as what it is, and never as an answer.
func TestFailures(t *testing.T) {
	// A busy machine may take its time: what ends a run is its requests.
	f := func(handle func(net.Conn), w Workload, pick func(Failures) int64) {
		t.Helper()
		w.Address = serve(t, handle)
		p := Plan{Workload: w, Conns: 2, Requests: 4, Duration: 20 * time.Second, Timeout: 5 * time.Second}
		if pick(Failures{Timeout: 1}) > 0 {
			p.Timeout = 100 * time.Millisecond
		}
		if w.Kind == HTTP2 { // which waits for the rest of a frame, and a connection that fails is no request
			p.Duration, p.Timeout = 2*time.Second, 100*time.Millisecond
		}
		r := mustRun(t, p)
		if n := pick(r.Failed); n == 0 || n != r.Failed.Total() || r.Answered != 0 || r.Valid {
			t.Errorf("%s: answered %d, failed: %s (%s), valid %v", w.Kind, r.Answered, r.Failed, r.Error, r.Valid)
		}
	}
	status := func(f Failures) int64 { return f.Status }
	length := func(f Failures) int64 { return f.Length }
	protocol := func(f Failures) int64 { return f.Protocol }
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
	f(answerer("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), Workload{Kind: HTTP1}, status)
	f(answerer(ok+"\r\nhello"), Workload{Kind: HTTP1, Receive: 6}, length)
	f(answerer(ok+"\r\nhello"), Workload{Kind: HTTP1, Receive: -1}, length)
	f(answerer(ok+"Connection: close\r\n\r\nhell"), Workload{Kind: HTTP1}, length)
	f(answerer(ok+"\r\nhello, world"), Workload{Kind: HTTP1}, protocol)
	f(answerer("220 mail.example ESMTP\r\n\r\n"), Workload{Kind: HTTP1}, protocol)
	f(answerer(""), Workload{Kind: HTTP1}, func(f Failures) int64 { return f.Timeout })
	f(func(c net.Conn) {}, Workload{Kind: TCP, Reconnect: true}, func(f Failures) int64 { return f.Closed })
	f(func(c net.Conn) {
		_, _ = c.Read(make([]byte, 100))
	}, Workload{Kind: HTTP1}, func(f Failures) int64 { return f.Closed })
	f(answerer(strings.Repeat("x", 64)), Workload{Kind: TCP}, func(f Failures) int64 { return f.Data })
	f(answerer(strings.Repeat("x", 65)), Workload{Kind: TCP}, length)
	f(answerer("HTTP/1.1 200 OK\r\n\r\n"), Workload{Kind: WebSocket}, func(f Failures) int64 { return f.Connect })
	f(answerer("nonsense"), Workload{Kind: HTTP2}, func(f Failures) int64 { return f.Connect })
	f(answerer("nonsense"), Workload{Kind: Handshake}, func(f Failures) int64 { return f.Connect })
}

// TestVerify: one byte that differs is found, on loops, goroutines and streams.
func TestVerify(t *testing.T) {
	n := 0
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := []byte("the same body each time")
		if n++; n == 50 { // one connection at a time, so there is no race
			body[3] = 'x'
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
	f := func(w Workload, start func(*httptest.Server)) {
		t.Helper()
		n = 0
		s := httptest.NewUnstartedServer(handler)
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		start(s)
		defer s.Close()
		w.Address, w.Verify = s.Listener.Addr().String(), true
		p := short(w)
		p.Conns = 1
		if r := mustRun(t, p); r.Failed.Data != 1 || r.Failed.Total() != 1 || r.Requests != p.Requests {
			t.Errorf("%s: failed: %s of %d, want 1 with wrong data; %s", w.Kind, r.Failed, r.Requests, r.Error)
		}
	}
	f(Workload{Kind: HTTP1}, (*httptest.Server).Start)
	f(Workload{Kind: HTTP1, TLS: true}, (*httptest.Server).StartTLS)
	f(Workload{Kind: HTTP2}, (*httptest.Server).Start)
}

// TestChunked: net/http chunks a body whose length it does not know.
func TestChunked(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			_, _ = w.Write(make([]byte, 1000))
			_ = http.NewResponseController(w).Flush()
		}
	}))
	defer s.Close()
	wantClean(t, mustRun(t, short(Workload{Kind: HTTP1, Address: s.Listener.Addr().String(), Receive: 3000, Verify: true})))
}

// TestHTTP2Failures: statuses and resets count for their stream alone.
func TestHTTP2Failures(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/reset" {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	p := short(Workload{Kind: HTTP2, Address: s.Listener.Addr().String(), Streams: 3})
	if r := mustRun(t, p); r.Failed.Status != p.Requests || r.Opened != int64(p.Conns) {
		t.Errorf("failed: %s, %d connections", r.Failed, r.Opened)
	}
	p.Path = "/reset"
	if r := mustRun(t, p); r.Failed.Closed != p.Requests {
		t.Errorf("failed: %s, want %d closed; %s", r.Failed, p.Requests, r.Error)
	}
}

// TestSlow: a slow reader and a slow sender take the time that their pace says.
func TestSlow(t *testing.T) {
	f := func(w Workload, least time.Duration) {
		t.Helper()
		w.Address = startOrigin(t, origin.Options{Kind: origin.HTTP, Body: 2000})
		p := Plan{Workload: w, Conns: 3, Requests: 3, Timeout: 10 * time.Second}
		r := mustRun(t, p)
		wantClean(t, r)
		if got := time.Duration(r.Latency.Min * 1e3); got < least {
			t.Errorf("a request took %s, want at least %s", got, least)
		}
	}
	f(Workload{Kind: HTTP1, ReadPace: Pace{500, 20 * time.Millisecond}}, 60*time.Millisecond)
	f(Workload{Kind: HTTP1, Send: 2000, WritePace: Pace{500, 20 * time.Millisecond}}, 60*time.Millisecond)
}

// TestRefused: a server that is not there is an error of each request, not of a few.
func TestRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	f := func(w Workload, rate float64) {
		t.Helper()
		w.Address = address
		p := Plan{Workload: w, Conns: 2, Duration: 200 * time.Millisecond, Rate: rate, Timeout: 200 * time.Millisecond}
		r := mustRun(t, p)
		if r.Answered != 0 || r.Failed.Connect == 0 || r.Valid || !strings.Contains(r.Error, "refused") {
			t.Errorf("%s: failed: %s; valid %v; %s", w.Kind, r.Failed, r.Valid, r.Error)
		}
		if rate > 0 && float64(r.Failed.Total()) < 0.2*rate {
			t.Errorf("%s: failed: %s, of %.0f requests that were due", w.Kind, r.Failed, 0.2*rate)
		}
	}
	f(Workload{Kind: HTTP1}, 0)
	f(Workload{Kind: HTTP1}, 1000)
	f(Workload{Kind: TCP, Reconnect: true}, 0)
	f(Workload{Kind: HTTP2}, 1000)
	f(Workload{Kind: WebSocket}, 0)
}

func TestUnixSocket(t *testing.T) {
	path := t.TempDir() + "/s"
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, 10_000))
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ln)
	}()
	defer func() {
		s.Close()
		<-done
	}()
	wantClean(t, mustRun(t, short(Workload{Kind: HTTP1, Address: "unix:" + path, Host: "test", Receive: 10_000})))
}

// TestInterrupted: a run that is broken off says so and leaves nothing behind.
func TestInterrupted(t *testing.T) {
	address := startOrigin(t, origin.Options{Kind: origin.Echo})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := Run(ctx, Plan{Workload: Workload{Kind: TCP, Address: address}, Duration: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if r.Valid || !strings.Contains(strings.Join(r.Invalid, ""), "interrupted") {
		t.Errorf("valid %v: %v", r.Valid, r.Invalid)
	}
}

// TestNoDescriptorLeaks: what a run has opened is closed when it returns.
func TestNoDescriptorLeaks(t *testing.T) {
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	echo, h2c := startOrigin(t, origin.Options{Kind: origin.Echo}), startOrigin(t, origin.Options{Kind: origin.H2C})
	run := func() {
		mustRun(t, short(Workload{Kind: TCP, Address: echo}))
		mustRun(t, short(Workload{Kind: HTTP2, Address: h2c}))
		mustRun(t, short(Workload{Kind: WebSocket, Address: h2c, Reconnect: true}))
	}
	run()
	before := count()
	for range 3 {
		run()
	}
	// The servers may not have closed their ends of the last run yet.
	for deadline := time.Now().Add(10 * time.Second); count() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, %d before", count(), before)
		}
	}
}

// TestAllocs: more requests on a loop are not more allocations, of the generator
// and of the origin together.
func TestAllocs(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates
	}
	f := func(kind origin.Kind, w Workload) {
		t.Helper()
		w.Address = startOrigin(t, origin.Options{Kind: kind, Body: 100})
		self := []int{os.Getpid()} // else all descriptors on this machine are looked through, with an allocation for each
		mallocs := func(requests int64) uint64 {
			p := short(w)
			p.Requests, p.Rate, p.Targets = requests, 0, self
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			wantClean(t, mustRun(t, p))
			runtime.ReadMemStats(&after)
			return after.Mallocs - before.Mallocs
		}
		mallocs(100)
		var few, many uint64
		for range 5 {
			few, many = mallocs(1000), mallocs(21_000)
			// The runtime itself allocates now and then, and so does a look at more processes.
			if many <= few+500 {
				return
			}
		}
		t.Errorf("%s, five times: %d allocations for 1000 requests, %d for 21000", w.Kind, few, many)
	}
	f(origin.HTTP, Workload{Kind: HTTP1})
	f(origin.HTTP, Workload{Kind: HTTP1, Send: 1000, Verify: true})
	f(origin.Echo, Workload{Kind: TCP})
}
