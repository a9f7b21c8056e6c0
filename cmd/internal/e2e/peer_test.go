package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// peer is one end of a TCP connection that a test drives by hand, as a client or as
// a backend. Every read and write has a deadline, so that a test cannot hang.
type peer struct {
	*net.TCPConn
	r *bufio.Reader
	n int // number of the connection at its backend, from 1
}

func newPeer(c *net.TCPConn, n int) *peer {
	c.SetDeadline(time.Now().Add(3 * patience))
	return &peer{TCPConn: c, r: bufio.NewReader(c), n: n}
}

// dial connects to addr; the connection is closed when the test ends.
func dial(t testing.TB, addr string) *peer {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return newPeer(c.(*net.TCPConn), 0)
}

// Read reads through the buffer that the parsing methods use.
func (p *peer) Read(b []byte) (int, error) { return p.r.Read(b) }

// send writes text; the error shows at the next read.
func (p *peer) send(format string, args ...any) {
	fmt.Fprintf(p.TCPConn, format, args...)
}

// request reads a request's head; its Body reads on. It is nil at the end.
func (p *peer) request() *http.Request {
	r, err := http.ReadRequest(p.r)
	if err != nil {
		return nil
	}
	return r
}

// response reads the head of the answer to a request with this method; its Body
// reads on.
func (p *peer) response(method string) (*http.Response, error) {
	return http.ReadResponse(p.r, &http.Request{Method: method})
}

// reset closes the connection with an RST.
func (p *peer) reset() {
	p.SetLinger(0)
	p.Close()
}

// scripted is a backend whose connections are served by a function of the test.
type scripted struct {
	addr     string
	listener net.Listener
	conns    atomic.Int64
	mu       sync.Mutex
	ids      map[string]int // requests by X-Id
	open     map[*peer]bool
	running  sync.WaitGroup
}

// startScript accepts connections until the test ends and runs serve for each.
// The connection is closed when serve returns.
func startScript(t testing.TB, serve func(s *scripted, p *peer)) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{
		addr: l.Addr().String(), listener: l, ids: make(map[string]int), open: make(map[*peer]bool),
	}
	s.running.Go(func() { s.accept(serve) })
	t.Cleanup(s.close)
	return s
}

func (s *scripted) accept(serve func(*scripted, *peer)) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		p := newPeer(c.(*net.TCPConn), int(s.conns.Add(1)))
		s.mu.Lock()
		s.open[p] = true
		s.mu.Unlock()
		s.running.Go(func() {
			defer s.forget(p)
			serve(s, p)
		})
	}
}

func (s *scripted) forget(p *peer) {
	p.Close()
	s.mu.Lock()
	delete(s.open, p)
	s.mu.Unlock()
}

func (s *scripted) close() {
	s.listener.Close()
	s.mu.Lock()
	for p := range s.open {
		p.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// next reads the next request's head and counts it under its X-Id.
func (s *scripted) next(p *peer) *http.Request {
	r := p.request()
	if r != nil {
		s.mu.Lock()
		s.ids[r.Header.Get("X-Id")]++
		s.mu.Unlock()
	}
	return r
}

// count is how many requests came with X-Id: id.
func (s *scripted) count(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}

// ok answers every request with this body, keeping the connection.
func ok(body string) func(*scripted, *peer) {
	return func(s *scripted, p *peer) {
		for s.next(p) != nil {
			p.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	}
}
