package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Rows of docs/faults.md: what a client does wrong, and what only looks like it.

// TestRow05_CutUpload: a request whose body ends early must never look complete to the
// backend, which would store the half of it.
func TestRow05_CutUpload(t *testing.T) {
	type upload struct {
		n   int64
		err error
	}
	for name, head := range map[string]string{
		"content-length": "Content-Length: 100000\r\n\r\n",
		"chunked":        "Transfer-Encoding: chunked\r\n\r\n186a0\r\n", // one chunk of 100000
	} {
		for how, end := range map[string]func(*peer){
			"fin": func(p *peer) { p.CloseWrite() },
			"rst": func(p *peer) { p.reset() },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				got := make(chan upload, 10)
				s := startScript(t, func(s *scripted, p *peer) {
					r := s.next(p)
					if r == nil {
						return
					}
					n, err := io.Copy(io.Discard, r.Body)
					got <- upload{n, err}
				})
				addr := freeAddr(t)
				startWeir(t, pool("app", s.addr)+web(addr, "app"))
				p := dial(t, addr)
				p.send("POST / HTTP/1.1\r\nHost: a\r\nX-Id: cut\r\n%s", head)
				p.Write(patternBytes(60000))
				waitFor(t, patience, "the request reaches the backend", func() bool { return s.count("cut") == 1 })
				end(p)
				select {
				case u := <-got:
					if u.err == nil {
						t.Errorf("the backend read %d bytes and a proper end", u.n)
					}
				case <-time.After(patience):
					t.Error("the upstream request was not ended")
				}
				if n := s.count("cut"); n != 1 {
					t.Errorf("the request was sent %d times", n)
				}
			})
		}
	}
}

// TestRow21_SlowReader: a client that stops reading costs at most 256 KiB, on L7 and L4.
func TestRow21_SlowReader(t *testing.T) {
	const readers, size = 24, 1 << 30
	for _, layer := range []string{"l7", "l4"} {
		t.Run(layer, func(t *testing.T) {
			o, addr := startOrigin(t, "big"), freeAddr(t)
			conf := pool("app", o.addr)
			if layer == "l7" {
				conf += web(addr, "app")
			} else {
				conf += tcp(addr, "app")
			}
			w := startWeir(t, conf)
			newClient(t).wantBytes("http://"+addr+"/bytes/30000000", 30000000)
			before := w.rss(t)
			for range readers {
				p := dial(t, addr)
				p.SetReadBuffer(64 << 10) // the kernel's memory is not what this is about
				p.send("GET /bytes/%d HTTP/1.1\r\nHost: a\r\n\r\n", size)
			}
			waitFor(t, patience, "the backend sends to all", func() bool { return o.active.Load() == readers })
			// The kernel's buffers fill within moments; then nothing moves any more.
			still, last := 0, int64(-1)
			waitFor(t, 2*patience, "Weir's memory stands still", func() bool {
				time.Sleep(100 * time.Millisecond)
				if now := w.rss(t); now != last {
					still, last = 0, now
				} else {
					still++
				}
				return still >= 5
			})
			const noise = 4 << 20 // what the runtime and a scrape take meanwhile
			if grown := w.rss(t) - before; grown > readers*256<<10+noise {
				t.Errorf("%d readers that do not read cost %d KiB each", readers, grown/readers>>10)
			}
			if o.active.Load() != readers {
				t.Errorf("%d of %d upstreams left: they are paused, not ended", o.active.Load(), readers)
			}
		})
	}
}

// TestRow21_StalledReaderEnds: after the grace a client must take its minimum rate; one
// that does not is reset.
func TestRow21_StalledReaderEnds(t *testing.T) {
	t.Parallel()
	o, addr := startOrigin(t, "big"), freeAddr(t)
	startWeir(t, pool("app", o.addr)+strings.Replace(web(addr, "app"), "[[l7.route]]",
		"body_grace = \"1s\"\nbody_min_rate = \"64KiB\"\n[[l7.route]]", 1))
	p := dial(t, addr)
	p.send("GET /bytes/1073741824 HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, patience, "the backend sends", func() bool { return o.active.Load() == 1 })
	waitFor(t, 2*patience, "the stalled exchange ends", func() bool { return o.active.Load() == 0 })
	// Not one byte is kept for it in the kernel, where it would be for as long as it likes.
	if n, err := io.Copy(io.Discard, p); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client reads %d bytes more and %v, want a reset", n, err)
	}
}

// TestRow22_ClientAborts: a client that is gone for certain ends the work done for it.
func TestRow22_ClientAborts(t *testing.T) {
	rounds := 50
	if long {
		rounds = 1000
	}
	dir := t.TempDir()
	ca := newAuthority(t, dir)
	cert, key := ca.issue(t, "www", "www.example.com")
	o, plain, secure := startOrigin(t, "slow"), freeAddr(t), freeAddr(t)
	startWeir(t, pool("app", o.addr)+web(plain, "app")+tlsWeb("secure", secure, cert, key, "app"))

	abort := map[string]func(path string){
		"rst": func(path string) {
			p := dial(t, plain)
			p.send("GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path)
			waitFor(t, patience, "the request arrives", func() bool { return o.active.Load() > 0 })
			p.reset()
		},
		"end of TCP without close_notify": func(path string) {
			c, err := tls.Dial("tcp", secure, &tls.Config{ServerName: "www.example.com", RootCAs: ca.pool})
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: www.example.com\r\n\r\n", path)
			waitFor(t, patience, "the request arrives", func() bool { return o.active.Load() > 0 })
			c.NetConn().Close()
		},
		"request cancelled": func(path string) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+plain+path, nil)
			done := make(chan struct{})
			go func() {
				defer close(done)
				if resp, err := http.DefaultClient.Do(r); err == nil {
					io.CopyN(io.Discard, resp.Body, 1<<20)
					cancel()
					resp.Body.Close()
				}
			}()
			<-done
		},
	}
	for name, f := range abort {
		t.Run(name, func(t *testing.T) {
			path, n := "/delay/1m/name", rounds
			if name == "request cancelled" {
				path, n = "/bytes/1073741824", rounds/10
			} else {
				n /= 5 // each waits for Weir to look at the client
			}
			for range n {
				before := o.aborted.Load()
				f(path)
				waitFor(t, patience, "the backend sees the end", func() bool { return o.aborted.Load() > before })
			}
			waitFor(t, patience, "no request is left", func() bool { return o.active.Load() == 0 })
		})
	}
}

// tlsWeb is an [[l7]] table that terminates TLS. listen may be "".
func tlsWeb(name, listen, cert, key, pool string, route ...string) string {
	at := ""
	if listen != "" {
		at = fmt.Sprintf("listen = [%q]", listen)
	}
	return fmt.Sprintf(`
[[l7]]
name = %q
%s
[l7.tls]
certs = [{ cert = %q, key = %q }]
[[l7.route]]
pool = %q
%s
`, name, at, cert, key, pool, strings.Join(route, "\n"))
}

// TestRow23_HalfClose: a FIN says "no more from me", not "I am gone".
func TestRow23_HalfClose(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	l7, l4, echo := freeAddr(t), freeAddr(t), freeAddr(t)
	late := startScript(t, func(s *scripted, p *peer) {
		if s.next(p) != nil {
			time.Sleep(time.Second)
			p.send("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
			io.Copy(p.TCPConn, patternReader(size))
		}
	})
	// This backend answers only after the end of what it is told.
	whole := startScript(t, func(_ *scripted, p *peer) {
		if b, err := io.ReadAll(p); err == nil {
			p.Write(b)
		}
	})
	startWeir(t, pool("app", late.addr)+pool("whole", whole.addr)+web(l7, "app")+tcp(l4, "app")+
		strings.ReplaceAll(tcp(echo, "whole"), `"tcp"`, `"echo"`))
	for layer, addr := range map[string]string{"l7": l7, "l4": l4} {
		t.Run(layer, func(t *testing.T) {
			p := dial(t, addr)
			p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			p.CloseWrite()
			resp, err := p.response(http.MethodGet)
			if err != nil {
				t.Fatal(err)
			}
			if err := wantPattern(resp.Body, size); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("l4 echo at the end", func(t *testing.T) {
		p := dial(t, echo)
		go func() {
			io.Copy(p.TCPConn, patternReader(size))
			p.CloseWrite()
		}()
		if err := wantPattern(p, size); err != nil {
			t.Error(err)
		}
	})
}

// TestRow24_ConnectionCaps: what is over the cap is refused; what is there stays.
func TestRow24_ConnectionCaps(t *testing.T) {
	o := startOrigin(t, "a")
	for _, layer := range []string{"l7", "l4"} {
		t.Run(layer, func(t *testing.T) {
			addr := freeAddr(t)
			caps := "max_conns = 3\nmax_conns_per_source = 2\n"
			conf := pool("app", o.addr)
			if layer == "l7" {
				conf += strings.Replace(web(addr, "app"), "[[l7.route]]", caps+"[[l7.route]]", 1)
			} else {
				conf += tcp(addr, "app", caps)
			}
			startWeir(t, conf)
			one, two := dialFrom(t, "127.0.0.1", addr), dialFrom(t, "127.0.0.1", addr)
			one.wantName(t, "a")
			two.wantName(t, "a")
			wantRefused(t, "127.0.0.1", addr)
			three := dialFrom(t, "127.0.0.2", addr)
			three.wantName(t, "a")
			wantRefused(t, "127.0.0.3", addr)
			one.wantName(t, "a")
			one.Close()
			waitFor(t, patience, "the place is given back", func() bool {
				p, err := tryDial("127.0.0.3", addr)
				if err != nil {
					return false
				}
				defer p.Close()
				return ask(p) == "a"
			})
			two.wantName(t, "a")
			three.wantName(t, "a")
		})
	}
}

// dialFrom connects to addr from a loopback address.
func dialFrom(t testing.TB, from, addr string) *peer {
	t.Helper()
	p, err := tryDial(from, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func tryDial(from, addr string) (*peer, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience, Control: anyPort}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return newPeer(c.(*net.TCPConn), 0), nil
}

// anyPort leaves the choice of a port to connect(2), which may give the one of a
// connection to somewhere else.
func anyPort(_, _ string, c syscall.RawConn) (err error) {
	errControl := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	return errors.Join(errControl, err)
}

// wantName asks for /name on a connection that stays open.
func (p *peer) wantName(t testing.TB, want string) {
	t.Helper()
	p.send("GET /name HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := p.response(http.MethodGet)
	if err != nil {
		t.Errorf("no answer: %v", err)
		return
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != want {
		t.Errorf("got %q, %v; want %q", body, err, want)
	}
}

// wantRefused wants a connection to be closed, or answered with 503 and closed.
func wantRefused(t testing.TB, from, addr string) {
	t.Helper()
	p, err := tryDial(from, addr)
	if err != nil {
		return // reset before we saw it open
	}
	defer p.Close()
	p.send("GET /name HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, err := p.response(http.MethodGet)
	if err == nil && resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d beyond the cap", resp.StatusCode)
	}
	if err == nil && !resp.Close {
		t.Error("a refused connection stays open")
	}
}

// TestRow25_NoDescriptors: with 64 descriptors and 200 clients Weir serves whom it can,
// does not spin, and recovers.
func TestRow25_NoDescriptors(t *testing.T) {
	o, s := startOrigin(t, "a"), startScript(t, func(_ *scripted, p *peer) { io.Copy(p.TCPConn, p) })
	l7, l4 := freeAddr(t), freeAddr(t)
	w := startWeirWith(t, options{nofile: 64}, pool("app", o.addr)+pool("echo", s.addr)+web(l7, "app")+tcp(l4, "echo"))
	session := dial(t, l4)
	echo := func() {
		t.Helper()
		session.send("ping\n")
		if line, err := session.r.ReadString('\n'); err != nil || line != "ping\n" {
			t.Fatalf("the L4 session said %q, %v", line, err)
		}
	}
	echo()
	var crowd []*peer
	for range 200 {
		if c, err := net.DialTimeout("tcp", l7, patience); err == nil { // else it was refused
			p := newPeer(c.(*net.TCPConn), 0)
			p.send("GET /name HTTP/1.1\r\nHost: a\r\n\r\n")
			crowd = append(crowd, p)
		}
	}
	defer func() {
		for _, p := range crowd {
			p.Close()
		}
	}()
	echo()
	before := w.cpu(t)
	const watch = 2 * time.Second
	time.Sleep(watch)
	if used := w.cpu(t) - before; used > watch/2 {
		t.Errorf("used %v of %v while out of descriptors", used, watch)
	}
	echo()
	served := 0
	for _, p := range crowd {
		p.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if resp, err := p.response(http.MethodGet); err == nil && resp.StatusCode == http.StatusOK {
			served++
		}
	}
	if served == 0 {
		t.Error("nobody was served")
	}
	for _, p := range crowd {
		p.Close()
	}
	waitFor(t, patience, "new clients are served", func() bool {
		c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := c.Get("http://" + l7 + "/name")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	echo()
}
