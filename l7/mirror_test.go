package l7

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/pool/metric"
)

// mirrored is a configuration whose route mirrors all requests.
const mirrored = `
	pool.app = { servers = ["%s"] }
	pool.shadow = { servers = ["%s"] }
	[[l7]]
	name = "web"
	listen = ["127.0.0.1:0"]
	[[l7.route]]
	pool = "app"
	mirror = { pool = "shadow", max_body = "100KB", max_pending = 2, timeout = "20s" }
`

// shadow keeps what it was asked for.
type shadow struct {
	*origin
	mu   sync.Mutex
	seen []string
}

func newShadow(t *testing.T) *shadow {
	s := &shadow{}
	s.origin = newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen = append(s.seen, fmt.Sprintf("%s %s %s %d %d", r.Method, r.RequestURI, r.Host, r.ContentLength, len(b)))
		w.WriteHeader(500) // of no interest to anybody
	})
	return s
}

func (s *shadow) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

// mirrorCount returns a counter of copies.
func (r *rig) mirrorCount(result string) uint64 {
	return r.metrics.Counter(metric.L7Mirrored, "shadow", result).Load()
}

func TestMirror(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	})
	s := newShadow(t)
	r := newRig(t, mirrored, o.addr, s.addr)
	c := r.dial()
	f := func(request, answer, want string) {
		t.Helper()
		before := len(s.requests())
		c.send("%s", request)
		if res, body, err := c.response("GET"); res.StatusCode != 200 || body != answer || err != nil {
			t.Fatalf("got %d %q %v", res.StatusCode, body, err)
		}
		eventually(t, "the copy", func() bool { return len(s.requests()) > before })
		if got := s.requests()[before]; got != want {
			t.Errorf("the mirror got %q, want %q", got, want)
		}
		eventually(t, "its end", func() bool { return r.mirrorCount("sent") == uint64(before+1) })
	}
	f("GET /a?b=c HTTP/1.1\r\nHost: www.example.com\r\n\r\n", "0", "GET /a?b=c www.example.com 0 0")
	f("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "5", "POST /p a 5 5")
	big := strings.Repeat("x", 90_000)
	f("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n"+big, "90000", "POST /p a 90000 90000")
	f("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n", "8", "POST /c a -1 8")

	// What is too long, and WebSockets, are left out.
	n := len(s.requests())
	c.send("POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n%s", strings.Repeat("x", 100_001))
	c.response("POST")
	c.send("POST /l HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n%s\r\n0\r\n\r\n", strings.Repeat("x", 100_001))
	if _, body, err := c.response("POST"); body != "100001" || err != nil {
		t.Errorf("a body that is too long for the mirror: got %q %v", body, err)
	}
	eventually(t, "two requests to be left out", func() bool { return r.mirrorCount("left_out") == 2 })
	if got := len(s.requests()); got != n {
		t.Errorf("the mirror got %d more requests", got-n)
	}
}

// TestMirrorStuck: a mirror that never answers costs no client anything, holds no
// more than max_pending copies, and does not hold up the end of the process.
func TestMirrorStuck(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") })
	stuck := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		io.Copy(io.Discard, br) // until the copy is given up
	})
	r := newRig(t, mirrored, o.addr, stuck.addr)
	c := r.dial()
	for range 20 {
		if res, body := c.get("/"); res.StatusCode != 200 || body != "ok" {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
	}
	eventually(t, "the others to be left out", func() bool { return r.mirrorCount("left_out") == 18 })
	began := time.Now()
	r.server.Close()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close took %v", took)
	}
	if got := r.mirrorCount("failed"); got != 2 {
		t.Errorf("%d copies failed, want the 2 that were under way", got)
	}
}

// TestMirrorTimeout: a copy that is not answered in time is given up.
func TestMirrorTimeout(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") })
	stuck := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) { io.Copy(io.Discard, br) })
	r := newRig(t, strings.Replace(mirrored, `"20s"`, `"100ms"`, 1), o.addr, stuck.addr)
	r.dial().get("/")
	eventually(t, "the copy to fail", func() bool { return r.mirrorCount("failed") == 1 })
}

// TestMirrorDead: a mirror that nobody listens on changes nothing for clients.
func TestMirrorDead(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") })
	r := newRig(t, mirrored, o.addr, "127.0.0.1:1")
	c := r.dial()
	for range 5 {
		if res, body := c.get("/"); res.StatusCode != 200 || body != "ok" {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
	}
	eventually(t, "the copies to fail", func() bool { return r.mirrorCount("failed")+r.mirrorCount("left_out") == 5 })
}
