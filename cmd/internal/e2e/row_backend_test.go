package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Rows of docs/faults.md: what a backend does wrong.

func TestRow01_KilledBackendIdlePool(t *testing.T) {
	a, b := startChild(t, "a", ""), startChild(t, "b", "")
	addr := freeAddr(t)
	startWeir(t, pool("app", a.addr, b.addr)+web(addr, "app"))
	c := newClient(t)
	for range 20 {
		c.wantBytes("http://"+addr+"/bytes/1000", 1000)
	}
	a.kill()
	for range 50 {
		c.wantBytes("http://"+addr+"/bytes/1000", 1000)
	}
}

// mute reads the request and closes, for any connection.
func mute(s *scripted, p *peer) { s.next(p) }

func TestRow02_ClosesBeforeResponseHead(t *testing.T) {
	good, bad := startScript(t, ok("ok")), startScript(t, mute)
	addr := freeAddr(t)
	startWeir(t, pool("app", good.addr, bad.addr)+web(addr, "app"))
	send := func(method, id string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if method == http.MethodPost {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("once")), 4
		}
		r.Header.Set("X-Id", id)
		resp, err := newClient(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	failed := 0
	for i := range 6 {
		id := fmt.Sprintf("post-%d", i)
		code := send(http.MethodPost, id)
		if n := good.count(id) + bad.count(id); n > 1 {
			t.Errorf("POST %s ran %d times", id, n)
		}
		if ran := bad.count(id); (code == http.StatusBadGateway) != (ran == 1) {
			t.Errorf("POST %s: status %d, seen by the bad backend %d times", id, code, ran)
		}
		failed += bad.count(id)
	}
	if failed == 0 {
		t.Error("no POST met the bad backend")
	}
	for i := range 6 {
		id := fmt.Sprintf("get-%d", i)
		if code := send(http.MethodGet, id); code != http.StatusOK {
			t.Errorf("GET %s: status %d, want 200", id, code)
		}
		if n := good.count(id) + bad.count(id); n > 2 {
			t.Errorf("GET %s was sent %d times", id, n)
		}
	}
}

// wantCut gets url and wants an answer that starts well and does not look complete.
// The backend must not be asked again for it.
func wantCut(t *testing.T, url string, atLeast int64) {
	t.Helper()
	resp, err := newClient(t).Get(url)
	if err != nil {
		return // cut before the first byte reached us: not hidden either
	}
	defer resp.Body.Close()
	n, right, err := checkPattern(resp.Body)
	if err == nil {
		t.Errorf("%s: a cut body of %d bytes looks complete", url, n)
	}
	if !right || n < atLeast {
		t.Errorf("%s: %d bytes, right: %t; want at least %d", url, n, right, atLeast)
	}
}

// cutting answers /cut with head and the first part of a body, then ends the
// connection as end does; anything else with "ok".
func cutting(head, part string, end func(*peer)) func(*scripted, *peer) {
	return func(s *scripted, p *peer) {
		for r := s.next(p); r != nil; r = s.next(p) {
			if r.URL.Path == "/cut" {
				p.send("HTTP/1.1 200 OK\r\n%s\r\n\r\n", head)
				io.WriteString(p.TCPConn, part)
				end(p)
				return
			}
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
}

func fin(*peer) {}

func rst(p *peer) { p.reset() }

func TestRow03_CutContentLength(t *testing.T) {
	s := startScript(t, cutting("Content-Length: 1000", string(patternBytes(500)), fin))
	addr := freeAddr(t)
	startWeir(t, pool("app", s.addr)+web(addr, "app"))
	for range 3 {
		wantCut(t, "http://"+addr+"/cut", 500)
		newClient(t).wantBody("http://"+addr+"/", "ok")
	}
	if n := s.conns.Load(); n < 3 {
		t.Errorf("%d connections to the backend: a cut one was used again", n)
	}
}

func TestRow04_CutChunked(t *testing.T) {
	chunk := "1f4\r\n" + string(patternBytes(500)) + "\r\n"
	for name, part := range map[string]string{
		"between chunks": chunk, "inside a chunk": chunk[:300], "inside a size": chunk + "1",
	} {
		t.Run(name, func(t *testing.T) {
			s := startScript(t, cutting("Transfer-Encoding: chunked", part, fin))
			addr := freeAddr(t)
			startWeir(t, pool("app", s.addr)+web(addr, "app"))
			wantCut(t, "http://"+addr+"/cut", 0)
			p := dial(t, addr)
			p.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
			raw, _ := io.ReadAll(p)
			if strings.HasSuffix(string(raw), "0\r\n\r\n") {
				t.Errorf("a last chunk was made up: %q", raw)
			}
			newClient(t).wantBody("http://"+addr+"/", "ok")
		})
	}
}

// TestRow06_StoppedBackend: a stopped process accepts and says nothing. Requests to it
// end at the response header timeout, then it is left out; the others go on.
func TestRow06_StoppedBackend(t *testing.T) {
	a, b := startChild(t, "a", ""), startChild(t, "b", "")
	addr := freeAddr(t)
	startWeir(t, pool("app", a.addr, b.addr)+`
[pool.app.health]
type = "http"
path = "/healthz"
interval = "200ms"
timeout = "500ms"
fall = 2
rise = 1
`+web(addr, "app", `response_header_timeout = "1s"`))
	l := startLoad(t, loadOptions{
		url: "http://" + addr + "/bytes/5000", size: 5000, workers: 8, pause: 2 * time.Millisecond,
	})
	good := func(n int) {
		t.Helper()
		from := l.answered()
		waitFor(t, patience, "answers under load", func() bool { return l.answered() >= from+n })
	}
	good(100)
	a.signal(t, syscall.SIGSTOP)
	good(100)
	waitFor(t, patience, "a second without a failure", func() bool {
		before := l.failures()
		time.Sleep(time.Second)
		return l.failures() == before
	})
	a.signal(t, syscall.SIGCONT)
	waitFor(t, patience, "the backend is used again", func() bool {
		body, err := newClient(t).get("http://" + addr + "/name")
		return err == nil && body == "a"
	})
	// Each worker can wait for the stopped backend once per detection, and again while
	// the checks have not yet seen it.
	l.report(t, 40)
	if l.status[http.StatusBadGateway] > 0 || len(l.broken) > 0 {
		t.Errorf("want only 504 from a stopped backend: %s", l)
	}
}

func TestRow07_RefusedThenAllDown(t *testing.T) {
	closed, good := freeAddr(t), startOrigin(t, "good")
	addr, down := freeAddr(t), freeAddr(t)
	startWeir(t, pool("app", closed, good.addr)+pool("none", closed, freeAddr(t))+web(addr, "app")+
		strings.ReplaceAll(web(down, "none"), `"web"`, `"down"`))
	c := newClient(t)
	for range 20 {
		withinTime(t, patience/2, "an answer beside a refused server", func() {
			c.wantBody("http://"+addr+"/name", "good")
		})
	}
	for range 5 {
		withinTime(t, patience/2, "a 503", func() {
			resp, err := c.Get("http://" + down + "/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
				t.Errorf("all down: status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
			}
		})
	}
}

// TestRow08_Blackhole: a full accept queue drops SYNs, as a dead host does.
func TestRow08_Blackhole(t *testing.T) {
	hole, good := blackhole(t), startOrigin(t, "good")
	addr, raw := freeAddr(t), freeAddr(t)
	startWeir(t, strings.Replace(pool("app", hole, good.addr), "[pool.app.keepalive]",
		"connect_timeout = \"300ms\"\n[pool.app.keepalive]", 1)+web(addr, "app")+tcp(raw, "app"))
	for range 4 {
		withinTime(t, patience/2, "an answer beside a black hole", func() {
			newClient(t).wantBody("http://"+addr+"/name", "good")
			newClient(t).wantBody("http://"+raw+"/name", "good")
		})
	}
}

// blackhole is an address whose SYNs are dropped.
func blackhole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 4 {
		s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(s) })
		syscall.Connect(s, name)
	}
	return addr
}

func TestRow09_ResetMidStream(t *testing.T) {
	for name, part := range map[string]string{
		"Content-Length: 100000":     string(patternBytes(50000)),
		"Transfer-Encoding: chunked": "1f4\r\n" + string(patternBytes(500)) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := startScript(t, cutting(name, part, rst))
			addr := freeAddr(t)
			startWeir(t, pool("app", s.addr)+web(addr, "app"))
			for range 3 {
				wantCut(t, "http://"+addr+"/cut", 0)
				newClient(t).wantBody("http://"+addr+"/", "ok")
			}
		})
	}
}

func TestRow10_FinAfterReply(t *testing.T) {
	s := startScript(t, func(s *scripted, p *peer) {
		if s.next(p) != nil {
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	addr := freeAddr(t)
	startWeir(t, pool("app", s.addr)+web(addr, "app"))
	c := newClient(t)
	for range 100 {
		c.wantBody("http://"+addr+"/", "ok")
	}
	if n := s.conns.Load(); n < 100 {
		t.Errorf("%d connections for 100 requests", n)
	}
}

// TestRow11_StaleConnection: the backend closes idle connections just when the next
// request may be on its way.
func TestRow11_StaleConnection(t *testing.T) {
	const idle = 2 * time.Millisecond
	s := startScript(t, func(s *scripted, p *peer) {
		// Only a kept connection is stale: closing a fresh one before its first request,
		// as a busy machine would have it, is row 2.
		for s.next(p) != nil {
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			p.SetReadDeadline(time.Now().Add(idle))
			if _, err := p.r.Peek(1); err != nil {
				return
			}
			p.SetReadDeadline(time.Now().Add(patience))
		}
	})
	addr := freeAddr(t)
	startWeir(t, pool("app", s.addr)+web(addr, "app"))
	c := newClient(t)
	for i := range 1000 {
		c.wantBody("http://"+addr+"/", "ok")
		time.Sleep(idle - time.Duration(i%10)*50*time.Microsecond)
	}
}

func TestRow12_SurplusBytes(t *testing.T) {
	const reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	// What is sent when the next request is on its way could as well be the answer to it:
	// a client waits until it has been sent.
	poisoned := make(chan struct{}, 1)
	for name, serve := range map[string]func(p *peer){
		"with the reply": func(p *peer) { p.send(reply + poison) },
		"afterwards": func(p *peer) {
			p.send(reply)
			time.Sleep(5 * time.Millisecond)
			p.send(poison)
			select {
			case poisoned <- struct{}{}:
			default: // the client has not asked for it yet
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startScript(t, func(s *scripted, p *peer) {
				for s.next(p) != nil {
					serve(p)
				}
			})
			addr := freeAddr(t)
			startWeir(t, pool("app", s.addr)+web(addr, "app"))
			c := newClient(t)
			for range 100 {
				c.wantBody("http://"+addr+"/", "ok")
				if name != "with the reply" {
					<-poisoned
				}
			}
		})
	}
}
