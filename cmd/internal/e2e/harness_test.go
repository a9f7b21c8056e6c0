package e2e

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// The servers that the other tests stand on, used without Weir between.

func TestHarnessOrigin(t *testing.T) {
	o := startOrigin(t, "a")
	c := newClient(t)
	c.wantBytes("http://"+o.addr+"/bytes/100000", 100000)
	c.wantBytes("http://"+o.addr+"/chunked/100000", 100000)
	c.wantBody("http://"+o.addr+"/delay/1ms/name", "a")
	if err := wantPattern(strings.NewReader(string(patternBytes(100))), 101); err == nil {
		t.Error("a short body looks right")
	}
	if err := wantPattern(strings.NewReader("x"), 1); err == nil {
		t.Error("a wrong body looks right")
	}
}

func TestHarnessChild(t *testing.T) {
	c := newClient(t)
	child := startChild(t, "b", "")
	c.wantBody("http://"+child.addr+"/name", "b")
	child.signal(t, syscall.SIGSTOP)
	child.signal(t, syscall.SIGCONT)
	c.wantBody("http://"+child.addr+"/name", "b")
	child.kill()
	if _, err := c.get("http://" + child.addr + "/name"); err == nil {
		t.Error("a killed child answers")
	}
	startChild(t, "c", child.addr)
	c.wantBody("http://"+child.addr+"/name", "c")
}

func TestHarnessScript(t *testing.T) {
	s := startScript(t, func(s *scripted, p *peer) {
		for r := s.next(p); r != nil; r = s.next(p) {
			if r.URL.Path == "/cut" {
				p.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
				return
			}
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	p := dial(t, s.addr)
	p.send("GET / HTTP/1.1\r\nHost: a\r\nX-Id: 7\r\n\r\n")
	resp, err := p.response(http.MethodGet)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "ok" {
		t.Fatalf("got %q, %v", body, err)
	}
	p.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, err = p.response(http.MethodGet); err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Fatalf("a cut body looks whole: %q", body)
	}
	if n := s.count("7"); n != 1 {
		t.Errorf("counted %d requests, want 1", n)
	}
}

func TestHarnessRedis(t *testing.T) {
	addr := startRedis(t)
	_, port, _ := strings.Cut(addr, ":")
	if out := command(t, nil, "redis-cli", "-p", port, "PING"); strings.TrimSpace(out) != "PONG" {
		t.Errorf("redis-cli: %s", out)
	}
}

func TestHarnessNginx(t *testing.T) {
	addr := startNginx(t)
	c := newClient(t)
	c.wantBody("http://"+addr+"/hello", "hello from nginx\n")
	c.wantBytes("http://"+addr+"/file", 1<<20)
}

func TestHarnessPostgres(t *testing.T) {
	p := startPostgres(t)
	got, err := psql(t, "host=db.example.com hostaddr=127.0.0.1 port="+p.port+
		" user=weir dbname=postgres sslmode=verify-full sslrootcert="+p.ca, "SELECT 6*7")
	if err != nil || got != "42" {
		t.Errorf("psql: %q, %v", got, err)
	}
}
