package l7

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/pool"
)

// TestStress lets many clients that behave in every way talk to origins that do
// so too, while reloads move the routes. Whatever is complete must be right, no
// POST may be seen twice, and at the end nothing may be left.
func TestStress(t *testing.T) {
	newOrigin(t, func(*net.TCPConn, *bufio.Reader) {}) // the runtime opens its poller with the first socket
	fds, goroutines := countFDs(t), runtime.NumGoroutine()
	pool.Track(true)
	defer pool.Track(false)
	t.Run("load", stressLoad)
	eventually(t, "buffers, goroutines and descriptors to be given back", func() bool {
		http.DefaultClient.CloseIdleConnections()
		return pool.Live() == 0 && runtime.NumGoroutine() <= goroutines && countFDs(t) <= fds
	})
}

func countFDs(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// stressPool and stressTail make configurations that all have a route for all.
const (
	stressPool = "[pool.%s]\nservers = [%q, %q]\n[pool.%[1]s.ejection]\nenabled = false\n"
	stressTail = "[[l7]]\nname = \"web\"\nlisten = [\"127.0.0.1:0\"]\nbody_grace = \"10s\"\n" +
		"[[l7.route]]\npool = %q\n" + stressTimes
	stressTimes = "response_header_timeout = \"300ms\"\nread_timeout = \"300ms\"\n"
)

func stressLoad(t *testing.T) {
	s := &stress{t: t, seen: make(map[uint64]int)}
	var addrs [4]string
	for i := range addrs {
		addrs[i] = newOrigin(t, s.serve).addr
	}
	a := fmt.Sprintf(stressPool, "a", addrs[0], addrs[1])
	b := fmt.Sprintf(stressPool, "b", addrs[2], addrs[3])
	configs := []string{
		a + fmt.Sprintf(stressTail, "a"),
		b + fmt.Sprintf(stressTail, "b"),
		a + b + fmt.Sprintf(stressTail, "b") + "[[l7.route]]\nmethod = [\"POST\"]\npool = \"a\"\n" + stressTimes,
	}
	r := newRig(t, plain, addrs[0])
	r.apply(configs[0])
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 7))
			for {
				select {
				case <-stop:
					return
				default:
					s.connection(r.addr, rnd)
				}
			}
		})
	}
	for i, end := 0, time.Now().Add(20*time.Second); i < 40 || !s.isEnough() && time.Now().Before(end); i++ {
		r.apply(configs[i%len(configs)])
		time.Sleep(50 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	r.apply(configs[2])
	s.check(r)
}

// stress is what the clients and origins of one run share.
type stress struct {
	t    *testing.T
	next atomic.Uint64 // id of a request
	ok   atomic.Int64
	cut  atomic.Int64
	post atomic.Int64

	mu   sync.Mutex
	seen map[uint64]int // POSTs by id
}

func (s *stress) check(r *rig) {
	eventually(s.t, "the connections to end", func() bool {
		r.server.mu.Lock()
		defer r.server.mu.Unlock()
		return r.server.conns == 0
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.seen {
		if n > 1 {
			s.t.Errorf("POST %d was seen %d times", id, n)
		}
	}
	for _, g := range r.reg.Status() {
		for _, m := range g.Members {
			if m.InFlight != 0 {
				s.t.Errorf("member %s of %s has %d in flight", m.Address, g.Pool, m.InFlight)
			}
		}
		if n := r.server.transport.Stats(g.Pool).InUse; n != 0 {
			s.t.Errorf("pool %s has %d connections in use", g.Pool, n)
		}
	}
	l := r.server.snapshot.Load().listeners["web"]
	if l.active.Load() != 0 || l.requests.Load() != 0 {
		s.t.Errorf("gauges: %v connections, %v requests", l.active.Load(), l.requests.Load())
	}
	if n := r.server.panics.Load(); n > 0 {
		s.t.Errorf("%d panics:\n%s", n, r.log)
	}
	if !s.isEnough() {
		s.t.Errorf("only %d whole answers, %d to POSTs, %d broken", s.ok.Load(), s.post.Load(), s.cut.Load())
	}
}

// isEnough reports whether what happened shows something.
func (s *stress) isEnough() bool {
	return s.ok.Load() >= 100 && s.post.Load() >= 20 && s.cut.Load() >= 20
}

// content returns the octets that belong to an id.
func content(id uint64, size int) []byte {
	b := make([]byte, size)
	rnd := rand.New(rand.NewPCG(id, 3))
	for i := 0; i < len(b); i += 8 {
		var word [8]byte
		for j, v := 0, rnd.Uint64(); j < 8; j, v = j+1, v>>8 {
			word[j] = byte(v)
		}
		copy(b[i:], word[:])
	}
	return b
}

// someSize is often small, sometimes larger than every buffer.
func someSize(rnd *rand.Rand) int {
	return rnd.IntN(1 << (2 + rnd.IntN(18)))
}

// connection is one client connection with one to five requests.
func (s *stress) connection(addr string, rnd *rand.Rand) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer nc.Close()
	c := nc.(*net.TCPConn)
	c.SetDeadline(time.Now().Add(20 * time.Second))
	br := bufio.NewReader(c)
	for range 1 + rnd.IntN(5) {
		if !s.request(c, br, rnd) {
			return
		}
	}
}

// request sends one request and reads the answer. It reports whether the
// connection is still good.
func (s *stress) request(c *net.TCPConn, br *bufio.Reader, rnd *rand.Rand) bool {
	id := s.next.Add(1)
	method, body := "GET", []byte(nil)
	if rnd.IntN(2) == 0 {
		method, body = "POST", content(id, someSize(rnd))
	}
	wire := requestBytes(method, id, someSize(rnd), body, rnd)
	switch rnd.IntN(12) {
	case 0: // aborts while it sends
		wire = wire[:rnd.IntN(len(wire))]
		c.SetLinger(0)
		c.Write(wire)
		return false
	case 1: // ends while it sends
		c.Write(wire[:rnd.IntN(len(wire))])
		c.CloseWrite()
		io.Copy(io.Discard, br)
		return false
	case 2: // aborts while it waits
		c.Write(wire)
		time.Sleep(time.Duration(rnd.IntN(50)) * time.Millisecond)
		c.SetLinger(0)
		return false
	}
	last := rnd.IntN(6) == 0
	var wg sync.WaitGroup
	wg.Go(func() {
		c.Write(wire) // an early answer makes it fail
		if last {
			c.CloseWrite()
		}
	})
	good := s.answer(c, br, method, id, body, rnd)
	if !good {
		c.Close()
	}
	wg.Wait()
	return good && !last
}

func requestBytes(method string, id uint64, size int, body []byte, rnd *rand.Rand) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s /%d HTTP/1.1\r\nHost: h\r\nX-Id: %[2]d\r\nX-Size: %d\r\n", method, id, size)
	switch {
	case method == "GET":
		b.WriteString("\r\n")
	case rnd.IntN(2) == 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	default:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for len(body) > 0 {
			n := min(len(body), 1+someSize(rnd))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		b.WriteString("0\r\n\r\n")
	}
	return b.Bytes()
}

// answer reads and judges one response.
func (s *stress) answer(
	c *net.TCPConn, br *bufio.Reader, method string, id uint64, body []byte, rnd *rand.Rand,
) bool {
	res, err := http.ReadResponse(br, &http.Request{Method: method})
	for err == nil && res.StatusCode < 200 {
		res, err = http.ReadResponse(br, &http.Request{Method: method})
	}
	if err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			s.t.Errorf("request %d: no answer", id)
		}
		s.cut.Add(1)
		return false
	}
	from := io.Reader(res.Body)
	if rnd.IntN(10) == 0 { // reads slowly, or not to the end
		if rnd.IntN(2) == 0 {
			io.CopyN(io.Discard, from, 100)
			c.SetLinger(0)
			return false
		}
		from = &slowReader{from, 20}
	}
	got, err := io.ReadAll(from)
	if err != nil {
		s.cut.Add(1)
		return false
	}
	switch res.StatusCode {
	case 200:
		s.ok.Add(1)
		if method == "POST" {
			s.post.Add(1)
		}
		if h := res.Header; h.Get("X-Id") != fmt.Sprint(id) || h.Get("X-Sum") != sum(got) || h.Get("X-Got") != sum(body) {
			s.t.Errorf("request %d: got another answer: %v, %d octets with sum %s", id, h, len(got), sum(got))
		}
	case 413, 502, 503, 504:
	default:
		s.t.Errorf("request %d: got %d %q", id, res.StatusCode, got)
	}
	return !res.Close
}

func sum(b []byte) string { return strconv.Itoa(int(crc32.ChecksumIEEE(b))) }

// slowReader pauses before a number of reads.
type slowReader struct {
	io.Reader
	pauses int
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.pauses--; r.pauses > 0 {
		time.Sleep(5 * time.Millisecond)
	}
	return r.Reader.Read(p[:min(len(p), 2000)])
}

// serve is an origin's connection.
func (s *stress) serve(c *net.TCPConn, br *bufio.Reader) {
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 1))
	for {
		head, err := readHead(br)
		if err != nil {
			return
		}
		id, err := strconv.ParseUint(between(head, "X-Id: ", "\r\n"), 10, 64)
		if err != nil {
			s.t.Errorf("an origin got %q", head)
			return
		}
		post := strings.HasPrefix(head, "POST")
		if post {
			s.mu.Lock()
			s.seen[id]++
			s.mu.Unlock()
		}
		if post && rnd.IntN(15) == 0 { // answers before the body, reads some of it perhaps
			io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
			io.CopyN(io.Discard, br, int64(rnd.IntN(1<<16)))
			return
		}
		got, err := readRequestBody(head, br)
		if err != nil || !s.respond(c, head, id, got, rnd) {
			return
		}
	}
}

func between(s, start, end string) string {
	_, s, _ = strings.Cut(s, start)
	s, _, _ = strings.Cut(s, end)
	return s
}

func readRequestBody(head string, br *bufio.Reader) ([]byte, error) {
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), br)))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(req.Body)
}

// respond answers in one of many ways, most of them right. It reports whether the
// connection goes on.
func (s *stress) respond(c *net.TCPConn, head string, id uint64, got []byte, rnd *rand.Rand) bool {
	size, _ := strconv.Atoi(between(head, "X-Size: ", "\r\n"))
	body := content(id, size)
	fields := fmt.Sprintf("X-Id: %d\r\nX-Sum: %s\r\nX-Got: %s\r\n", id, sum(body), sum(got))
	whole := fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", fields, len(body), body)
	goesOn := false
	switch rnd.IntN(24) {
	case 0: // dies before the head
		whole = ""
	case 1: // dies in between
		whole = whole[:rnd.IntN(len(whole))]
	case 2: // resets in between
		whole = whole[:rnd.IntN(len(whole))]
		c.SetLinger(0)
	case 3:
		whole = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"
	case 4: // says more than it should, in one segment
		if goesOn = true; len(whole) < 1<<10 {
			whole += "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
		}
	case 5: // stalls
		time.Sleep(500 * time.Millisecond)
	case 6: // stalls in between
		at := rnd.IntN(len(whole))
		io.WriteString(c, whole[:at])
		time.Sleep(400 * time.Millisecond)
		whole = whole[at:]
	case 7:
		whole = "HTTP/1.0 200 OK\r\n" + fields + "\r\n" + string(body)
	case 8, 9, 10:
		var b bytes.Buffer
		b.WriteString("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + fields + "\r\n")
		for len(body) > 0 {
			n := min(len(body), 1+someSize(rnd))
			fmt.Fprintf(&b, "%x;ext\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		b.WriteString("0\r\nX-Trailer: 1\r\n\r\n")
		whole, goesOn = b.String(), true
	default:
		goesOn = true
	}
	_, err := io.WriteString(c, whole)
	return err == nil && goesOn
}
