package l7

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/pool/metric"
)

// parked is how many connections of the rig are parked.
func (r *rig) parked() int { return int(r.loop.Stats().Parked.Load()) }

func (r *rig) wantParked(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); r.parked() != n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections are parked of %d, %d are awake, want %d parked", r.parked(), r.open(), r.server.awake.count(), n)
		}
	}
}

// open is how many connections the server counts.
func (r *rig) open() int {
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	return r.server.conns
}

func (r *rig) wantNone(t *testing.T) {
	t.Helper()
	eventually(t, "all connections to end", func() bool {
		return r.open() == 0 && r.parked() == 0 && r.metrics.Gauge(metric.L7Active, "web").Load() == 0
	})
}

// answers is an origin that says who it is, or sends back the body it got.
func answers(t *testing.T, name string) *origin {
	return newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if b, _ := io.ReadAll(r.Body); len(b) > 0 {
			w.Write(b)
			return
		}
		io.WriteString(w, name)
	})
}

// rawClients opens connections that cost this process a descriptor and nothing else,
// and sends each one a request, whose answer it takes, if there is one.
func rawClients(t *testing.T, r *rig, n int, request string) []int {
	t.Helper()
	sa := &unix.SockaddrInet4{Port: r.ln.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	fds := make([]int, 0, n)
	t.Cleanup(func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	})
	buf := make([]byte, 4096)
	for range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		if err := unix.Connect(fd, sa); err != nil {
			t.Fatal(err)
		}
		if request == "" {
			continue
		}
		unix.Write(fd, []byte(request))
		if n, err := unix.Read(fd, buf); err != nil || !bytes.Contains(buf[:max(n, 0)], []byte(" 200 OK\r\n")) {
			t.Fatalf("got %q %v", buf[:max(n, 0)], err)
		}
	}
	return fds
}

const getRequest = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// used is what the process holds of memory that Go manages.
func used() uint64 {
	runtime.GC()
	runtime.GC() // the second one empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse + m.OtherSys
}

func TestQuietConnectionsCostNextToNothing(t *testing.T) {
	const n, mostEach = 2000, 2 << 10
	r := newRig(t, plain, answers(t, "ok").addr)
	f := func(what, request string) {
		t.Helper()
		rawClients(t, r, 50, getRequest) // what is made once is there
		r.wantParked(t, r.open())
		goroutines, before, parked := runtime.NumGoroutine(), used(), r.parked()
		rawClients(t, r, n, request)
		r.wantParked(t, parked+n)
		// Goroutines of connections to the origin come and go.
		if now := runtime.NumGoroutine(); now > goroutines+n/20 {
			t.Errorf("%s: %d goroutines for %d connections, %d before", what, now, n, goroutines)
		}
		each := (int64(used()) - int64(before)) / n
		t.Logf("%s: %d octets each", what, each)
		if !raceEnabled && each > mostEach {
			t.Errorf("%s: %d octets per connection, want at most %d", what, each, mostEach)
		}
	}
	f("fresh", "")
	f("used", getRequest)
}

func TestParkedConnectionIsServedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, plain, answers(t, "ok").addr)
	c := r.dial()
	r.wantParked(t, 1) // fresh
	for range 3 {
		if _, body := c.get("/"); body != "ok" {
			t.Errorf("got %q", body)
		}
		r.wantParked(t, 1)
	}
	// A head that comes octet by octet, quiet in the middle for long enough.
	for i, b := range []byte(getRequest) {
		c.send("%c", b)
		if i == 3 {
			time.Sleep(4 * tick)
		}
	}
	if _, body, err := c.response("GET"); body != "ok" || err != nil {
		t.Errorf("in pieces: got %q %v", body, err)
	}
	r.wantParked(t, 1)
	c.send("\r\n") // the empty line that some clients send after a body
	time.Sleep(4 * tick)
	if _, body := c.get("/"); body != "ok" {
		t.Errorf("after an empty line: got %q", body)
	}
	r.wantParked(t, 1)
	c.send(getRequest + getRequest)
	for range 2 {
		if _, body, err := c.response("GET"); body != "ok" || err != nil {
			t.Errorf("pipelined: got %q %v", body, err)
		}
	}
	c.Close()
	r.wantNone(t)
}

// TestRequestsInTheMomentOfParking sends requests at all times around the one at which
// a connection is parked. Each is answered once, with its own body.
func TestRequestsInTheMomentOfParking(t *testing.T) {
	r := newRig(t, plain, answers(t, "ok").addr)
	clients, rounds := 60, 25
	if testing.Short() {
		clients, rounds = 20, 10
	}
	var wg sync.WaitGroup
	for i := range clients {
		c := r.dial()
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for range rounds {
				time.Sleep(time.Duration(rnd.Int64N(int64(3 * tick))))
				body := make([]byte, 1+rnd.IntN(40<<10))
				for i := range body {
					body[i] = byte(rnd.Uint32())
				}
				if err := postBody(c, body, rnd.IntN(3) == 0); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	r.wantParked(t, clients)
}

// postBody sends a body and checks that the answer is the same.
func postBody(c *client, body []byte, slowly bool) error {
	c.SetDeadline(time.Now().Add(clientPatience))
	head := fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", len(body))
	if _, err := io.WriteString(c.TCPConn, head[:7]); err != nil {
		return err
	}
	if slowly {
		time.Sleep(2 * tick)
	}
	if _, err := c.Write(append([]byte(head[7:]), body...)); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(res.Body)
	if err == nil && crc32.ChecksumIEEE(got) != crc32.ChecksumIEEE(body) {
		err = fmt.Errorf("got %d octets of %d, or others", len(got), len(body))
	}
	return err
}

func TestClientsLeaveWhileParked(t *testing.T) {
	t.Parallel()
	r := newRig(t, plain, answers(t, "ok").addr)
	f := func(what string, leave func(c *client)) {
		t.Helper()
		var cs []*client
		for i := range 50 {
			c := r.dial()
			if i%2 == 0 {
				c.get("/")
			}
			cs = append(cs, c)
		}
		r.wantParked(t, len(cs))
		for _, c := range cs {
			leave(c)
		}
		r.wantNone(t)
	}
	f("close", func(c *client) { c.Close() })
	f("half-close", func(c *client) { c.CloseWrite() })
	f("reset", func(c *client) { c.SetLinger(0); c.Close() })
}

func TestParkedConnectionTimesOut(t *testing.T) {
	t.Parallel()
	const soon = `
[pool.app]
servers = ["%s"]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
keepalive_timeout = "1s"
[[l7.route]]
pool = "app"
`
	r := newRig(t, soon, answers(t, "ok").addr)
	fresh, used := r.dial(), r.dial()
	began := time.Now()
	used.get("/")
	fresh.wantClosed()
	used.wantClosed()
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("closed after %s, want a second", took)
	}
	r.wantNone(t)
}

func TestReloadMovesParkedConnections(t *testing.T) {
	a, b := answers(t, "a"), answers(t, "b")
	r := newRig(t, plain, a.addr)
	c, fresh, silent := r.dial(), r.dial(), r.dial()
	if _, body := c.get("/"); body != "a" {
		t.Errorf("got %q", body)
	}
	r.wantParked(t, 3)
	r.apply(strings.ReplaceAll(fmt.Sprintf(plain, b.addr), "app", "other"))
	for _, c := range []*client{c, fresh} {
		if _, body := c.get("/"); body != "b" {
			t.Errorf("after the reload: got %q", body)
		}
	}
	r.wantParked(t, 3)
	r.apply(strings.Replace(fmt.Sprintf(plain, b.addr), `"web"`, `"other"`, 1))
	if res, body := c.get("/"); body != "b" || !res.Close {
		t.Errorf("after the listener went: got %q close %v", body, res.Close)
	}
	c.wantClosed()
	fresh.wantClosed() // before its keep-alive timeout of a minute
	silent.wantClosed()
	r.wantNone(t)
}

func TestDrainEndsParkedConnections(t *testing.T) {
	r := newRig(t, plain, answers(t, "ok").addr)
	parked, fresh, silent := r.dial(), r.dial(), r.dial()
	parked.get("/")
	silent.get("/")
	r.wantParked(t, 3)
	done := make(chan error, 1)
	go func() { done <- r.server.Drain(context.Background()) }()
	eventually(t, "the drain", r.server.isDraining)
	for _, c := range []*client{parked, fresh} { // both before their second is over
		c.send(getRequest)
	}
	for _, c := range []*client{parked, fresh} {
		if res, body, err := c.response("GET"); body != "ok" || !res.Close || err != nil {
			t.Errorf("at the start of the drain: got %q close %v %v", body, res.Close, err)
		}
		c.wantClosed()
	}
	silent.wantClosed()
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.wantNone(t)
}

func TestDrainEndsParkedConnectionsAtItsDeadline(t *testing.T) {
	r := newRig(t, plain, answers(t, "ok").addr)
	c := r.dial()
	c.get("/")
	r.wantParked(t, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.server.Drain(ctx) // one that has just ended by itself is no error
	c.wantClosed()
	r.wantNone(t)
}

// TestLoopsEndBeforeTheServer is the order in which the process stops.
func TestLoopsEndBeforeTheServer(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(asked)
			<-release
		}
		io.WriteString(w, "ok")
	})
	r := newRig(t, plain, o.addr)
	parked, busy := r.dial(), r.dial()
	parked.get("/")
	busy.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	<-asked
	r.wantParked(t, 1)
	r.loop.Close()
	parked.wantClosed()
	close(release)
	if _, body, err := busy.response("GET"); body != "ok" || err != nil {
		t.Errorf("got %q %v", body, err)
	}
	busy.wantClosed() // once it is quiet, as there is nowhere to park it
	r.wantNone(t)
}

func TestRow25_ShedEndsParkedConnections(t *testing.T) {
	r := newRig(t, plain, answers(t, "ok").addr)
	fds := rawClients(t, r, 1500, getRequest) // several steps of a scan
	r.wantParked(t, len(fds))
	time.Sleep(2 * tick)
	r.server.Shed()
	r.wantNone(t)
	if _, body := r.dial().get("/"); body != "ok" {
		t.Errorf("afterwards: got %q", body)
	}
}

func TestTLSConnectionsPark(t *testing.T) {
	t.Parallel()
	certFile, keyFile, roots := newCert(t, "www.example.com")
	r := newRig(t, secure, answers(t, "ok").addr, certFile, keyFile)
	c := r.dial()
	r.wantParked(t, 1)
	tc := tls.Client(c.TCPConn, &tls.Config{ServerName: "www.example.com", RootCAs: roots})
	br := bufio.NewReader(tc)
	for range 3 {
		io.WriteString(tc, "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); string(b) != "ok" || err != nil {
			t.Errorf("got %q %v", b, err)
		}
		r.wantParked(t, 1)
	}
	tc.Close()
	r.wantNone(t)
}

// TestQuietTLSConnectionCannotStayForEver sends a piece of a record now and then, which
// is no request: the wait for one goes on.
func TestQuietTLSConnectionCannotStayForEver(t *testing.T) {
	t.Parallel()
	certFile, keyFile, roots := newCert(t, "www.example.com")
	timeout := "[[l7]]\nkeepalive_timeout = \"1s\"\nheader_timeout = \"1s\""
	r := newRig(t, strings.Replace(secure, "[[l7]]", timeout, 1), answers(t, "ok").addr, certFile, keyFile)
	c := r.dial()
	tc := tls.Client(c.TCPConn, &tls.Config{ServerName: "www.example.com", RootCAs: roots})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	silent := r.dial()
	c.Write([]byte{23, 3, 3, 0x10, 0})
	began := time.Now()
	for r.open() > 1 && time.Since(began) < 20*time.Second {
		c.Write([]byte{0})
		time.Sleep(3 * tick)
	}
	if r.open() > 1 {
		t.Errorf("the connection lasts %s", time.Since(began))
	}
	silent.wantClosed() // no handshake in time
	r.wantNone(t)
}

// TestParkingReturnsEverything goes through many lives and compares what is left.
func TestParkingReturnsEverything(t *testing.T) {
	r := newRig(t, plain, answers(t, "ok").addr)
	var held []loop.Parker
	for range 5 {
		for _, fd := range rawClients(t, r, 100, getRequest) {
			unix.Shutdown(fd, unix.SHUT_RDWR)
		}
		r.wantNone(t)
	}
	r.server.awake.each(func(c *conn) { held = append(held, c) })
	if len(held) > 0 {
		t.Errorf("%d connections are left in the book", len(held))
	}
}
