package e2e

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestL7Bodies: bodies of both framings pass both ways, streamed.
func TestL7Bodies(t *testing.T) {
	o, addr := startOrigin(t, "a"), freeAddr(t)
	startWeir(t, pool("app", o.addr)+web(addr, "app"))
	c, base := newClient(t), "http://"+addr
	for _, n := range []int64{0, 1, 4095, 4096, 65536, 10 << 20} {
		c.wantBytes(fmt.Sprintf("%s/bytes/%d", base, n), n)
		c.wantBytes(fmt.Sprintf("%s/chunked/%d", base, n), n)
		h := crc32.NewIEEE()
		io.Copy(h, patternReader(n))
		want := fmt.Sprintf("%d %08x", n, h.Sum32())
		for framing, body := range map[string]io.Reader{
			"content-length": bytes.NewReader(patternBytes(int(n))), "chunked": patternReader(n),
		} {
			resp, err := c.Post(base+"/sum", "application/octet-stream", body)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(got) != want {
				t.Errorf("upload of %d, %s: %q, want %q", n, framing, got, want)
			}
		}
	}
	for _, code := range []int{204, 304, 404, 500} {
		c.wantStatus(fmt.Sprintf("%s/status/%d", base, code), code)
	}
	resp, err := c.Head(base + "/bytes/1000")
	if err != nil || resp.ContentLength != 1000 {
		t.Errorf("HEAD: %v, %v", resp, err)
	}
	if n := o.conns.Load(); n > 5 {
		t.Errorf("%d connections to the backend for one client", n)
	}
}

// TestRow29_WhatIsSentOn: the fields a backend sees, whatever Connection names and
// whoever a client says it is.
func TestRow29_WhatIsSentOn(t *testing.T) {
	o, addr := startOrigin(t, "a"), freeAddr(t)
	startWeir(t, pool("app", o.addr)+web(addr, "app"))
	p := dial(t, addr)
	p.send("GET /head HTTP/1.1\r\nHost: WWW.Example.com:8080\r\nConnection: X-Secret, close\r\nX-Secret: 1\r\n" +
		"Keep-Alive: timeout=5\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n" +
		"X-Twice: 1\r\nX-Twice: 2\r\nUpgrade: h2c\r\nTE: trailers\r\n\r\n")
	resp, err := p.response(http.MethodGet)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	head := string(b)
	for _, want := range []string{
		"Host: WWW.Example.com:8080\r\n", "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: http\r\n",
		"X-Forwarded-Host: WWW.Example.com:8080\r\n", "X-Twice: 1\r\n", "X-Twice: 2\r\n", "X-Request-Id: ",
	} {
		if !strings.Contains(head, want) {
			t.Errorf("the backend did not see %q in\n%s", want, head)
		}
	}
	for _, bad := range []string{"X-Secret", "Keep-Alive", "6.6.6.6", "h2c", "Upgrade"} {
		if strings.Contains(head, bad) {
			t.Errorf("the backend saw %q in\n%s", bad, head)
		}
	}
	if !resp.Close {
		t.Error("a client that said close is kept")
	}
}

// TestL7ErrorPages: what goes wrong behind Weir is told without naming a backend.
func TestL7ErrorPages(t *testing.T) {
	closed, addr := freeAddr(t), freeAddr(t)
	bad := startScript(t, func(s *scripted, p *peer) {
		if s.next(p) != nil {
			p.send("220 smtp ready\r\n\r\n")
		}
	})
	silent := startScript(t, func(s *scripted, p *peer) {
		s.next(p)
		io.Copy(io.Discard, p)
	})
	w := startWeir(t, pool("down", closed)+pool("bad", bad.addr)+pool("silent", silent.addr)+fmt.Sprintf(`
[[l7]]
name = "web"
listen = [%q]
[[l7.route]]
path = "/down"
pool = "down"
[[l7.route]]
path = "/bad"
pool = "bad"
[[l7.route]]
path = "/silent"
pool = "silent"
response_header_timeout = "300ms"
`, addr))
	f := func(path string, want int) {
		t.Helper()
		resp, err := newClient(t).Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, want)
		}
		for _, secret := range []string{closed, bad.addr, silent.addr, "down", "silent", "127.0.0.1", w.dir} {
			if strings.Contains(string(body), secret) || strings.Contains(fmt.Sprint(resp.Header), secret) {
				t.Errorf("%s: the answer tells %q: %v %s", path, secret, resp.Header, body)
			}
		}
		if len(body) == 0 {
			t.Errorf("%s: no body", path)
		}
	}
	f("/down", 503)
	f("/bad", 502)
	f("/silent", 504)
	f("/nowhere", 404)
}

// TestNginxThroughL7: a real origin, its redirect brought to the public host.
func TestNginxThroughL7(t *testing.T) {
	origin, addr := startNginx(t), freeAddr(t)
	startWeir(t, pool("app", origin)+strings.Replace(web(addr, "app"), "[[l7.route]]",
		"hide_headers = [\"Server\"]\n[[l7.route]]", 1))
	c := newClient(t)
	for range 20 {
		c.wantBody("http://"+addr+"/hello", "hello from nginx\n")
		c.wantBytes("http://"+addr+"/file", 1<<20)
	}
	resp, err := c.Get("http://" + addr + "/moved")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Location"); resp.StatusCode != 302 || strings.Contains(got, origin) ||
		!strings.HasSuffix(got, "/hello") {
		t.Errorf("status %d, Location %q", resp.StatusCode, got)
	}
	if got := resp.Header.Get("Server"); got != "" {
		t.Errorf("Server: %q is sent on", got)
	}
}

// TestWrkNginx: a short run under full load, without one error.
func TestWrkNginx(t *testing.T) {
	origin, addr := startNginx(t), freeAddr(t)
	startWeir(t, pool("app", origin)+web(addr, "app"))
	out := command(t, nil, "wrk", "-t", "1", "-c", "32", "-d", "2s", "http://"+addr+"/hello")
	for _, bad := range []string{"Non-2xx", "Socket errors"} {
		if strings.Contains(out, bad) {
			t.Errorf("wrk: %s", out)
		}
	}
	m := regexp.MustCompile(`(\d+) requests in`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("wrk: %s", out)
	}
	if n, _ := strconv.Atoi(m[1]); n < 100 {
		t.Errorf("%d requests in 2 s", n)
	}
}

// TestCurlEveryWay: curl through plain L7, L4, TLS, and by name over one port.
func TestCurlEveryWay(t *testing.T) {
	ca := newAuthority(t, t.TempDir())
	through, plain := tlsOrigin(t, ca, "db.example.com"), startOrigin(t, "plain")
	cert, key := ca.issue(t, "www", "www.example.com")
	l7, l4, edge, secure := freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	startWeir(t, pool("db", through.addr)+pool("app", plain.addr)+sniEdge(edge)+
		strings.ReplaceAll(web(l7, "app"), `"web"`, `"plain"`)+tcp(l4, "app")+tlsWeb("web", secure, cert, key, "app"))
	f := func(want, url string, args ...string) {
		t.Helper()
		args = append([]string{"-sS", "-m", "20", "--noproxy", "*", "--cacert", ca.file, url}, args...)
		got := command(t, nil, "curl", args...)
		if got != want {
			t.Errorf("curl %s: %q, want %q", url, got, want)
		}
	}
	byName := func(host, addr string) (url, flag, value string) {
		_, port, _ := net.SplitHostPort(addr)
		return "https://" + host + ":" + port + "/name", "--resolve", host + ":" + port + ":127.0.0.1"
	}
	f("plain", "http://"+l7+"/name")
	f("plain", "http://"+l4+"/name")
	f("plain", "http://"+l7+"/name", "--http1.0")
	f("5 3610a686", "http://"+l7+"/sum", "-d", "hello")
	f("5 3610a686", "http://"+l7+"/sum", "-d", "hello", "-H", "Expect: 100-continue",
		"-H", "Transfer-Encoding: chunked")
	url, flag, value := byName("www.example.com", secure)
	f("plain", url, flag, value)
	url, flag, value = byName("www.example.com", edge)
	f("plain", url, flag, value)
	url, flag, value = byName("db.example.com", edge)
	f("db.example.com", url, flag, value)
}

// TestTortureBackends: kill -STOP and kill -9 of backends under load. No body may be
// wrong or short, errors are few, and soon there are none.
func TestTortureBackends(t *testing.T) {
	rounds := 1
	if long {
		rounds = 20
	}
	a, b, addr := startChild(t, "a", ""), startChild(t, "b", ""), freeAddr(t)
	startWeir(t, pool("app", a.addr, b.addr)+`
[pool.app.health]
type = "http"
path = "/healthz"
interval = "200ms"
down_interval = "100ms"
timeout = "500ms"
fall = 2
rise = 1
`+web(addr, "app", `response_header_timeout = "1s"`))
	for range rounds {
		for name, trouble := range map[string]func(){
			"kill -9": func() {
				a.kill()
				time.Sleep(500 * time.Millisecond)
				a = startChild(t, "a", a.addr)
			},
			"kill -STOP": func() {
				a.signal(t, syscall.SIGSTOP)
				time.Sleep(500 * time.Millisecond)
				a.signal(t, syscall.SIGCONT)
			},
		} {
			t.Run(name, func(t *testing.T) {
				l := startLoad(t, loadOptions{
					url: "http://" + addr + "/bytes/200000", size: 200000, workers: 8, pause: 5 * time.Millisecond,
				})
				waitFor(t, patience, "load", func() bool { return l.answered() > 50 })
				trouble()
				waitFor(t, patience, "a second without a failure", func() bool {
					before := l.failures()
					time.Sleep(time.Second)
					return l.failures() == before
				})
				// What was under way on the dead backend is cut, as it should look.
				l.report(t, 40)
			})
		}
	}
}
