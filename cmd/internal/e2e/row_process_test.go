package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Rows of docs/faults.md: the machine, the operator and Weir itself.

// TestRow50_LogDiskFull: records that cannot be written are dropped and counted.
func TestRow50_LogDiskFull(t *testing.T) {
	o, addr := startOrigin(t, "a"), freeAddr(t)
	w := startWeirWith(t, options{access: "/dev/full"}, pool("app", o.addr)+web(addr, "app"))
	c := newClient(t)
	for range 300 {
		c.wantBody("http://"+addr+"/name", "a")
	}
	waitFor(t, patience, "dropped lines are counted", func() bool {
		return w.metric(t, "weir_accesslog_dropped_lines_total") > 0
	})
}

// TestRow50_BlockedStdout: nobody reads the pipe that the access log goes to.
func TestRow50_BlockedStdout(t *testing.T) {
	r, blocked, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer blocked.Close()
	o, addr := startOrigin(t, "a"), freeAddr(t)
	w := startWeirWith(t, options{access: "stdout", stdout: blocked, logging: `buffer = "64KiB"`},
		pool("app", o.addr)+web(addr, "app"))
	c := newClient(t)
	path := "/name/" + strings.Repeat("x", 500)
	for range 1000 { // 64 KiB in the pipe and as much in Weir
		c.wantBody("http://"+addr+path, "a")
	}
	waitFor(t, patience, "dropped lines are counted", func() bool {
		return w.metric(t, "weir_accesslog_dropped_lines_total") > 0
	})
	c.wantBody("http://"+addr+"/name", "a")
}

// TestRow54_ReloadsRace: reloads are serialised; the last one wins.
func TestRow54_ReloadsRace(t *testing.T) {
	a, b, addr := startOrigin(t, "a"), startOrigin(t, "b"), freeAddr(t)
	w := startWeir(t, pool("app", a.addr)+web(addr, "app"))
	first := readFile(t, w.file)
	second := strings.ReplaceAll(first, a.addr, b.addr)
	version := w.metric(t, "weir_config_version")
	for range 5 {
		var reloads sync.WaitGroup
		for i := range 8 {
			reloads.Go(func() {
				if i%2 == 0 {
					w.write(t, first)
				} else {
					w.write(t, second)
				}
				code, text, err := w.call("POST", "/api/v1/reload", w.token(t), nil)
				if err != nil || code != http.StatusOK {
					t.Errorf("reload: %d %s %v", code, text, err)
				}
				w.cmd.Process.Signal(syscall.SIGHUP)
			})
		}
		reloads.Wait()
		w.write(t, second)
		if code, text := w.reload(t); code != http.StatusOK {
			t.Fatalf("reload: %d %s", code, text)
		}
		now := w.metric(t, "weir_config_version")
		if now <= version {
			t.Errorf("version %v after version %v", now, version)
		}
		version = now
		newClient(t).wantBody("http://"+addr+"/name", "b")
	}
}

// TestRow54_ReloadInDrain: a reload does not stop what SIGTERM began.
func TestRow54_ReloadInDrain(t *testing.T) {
	t.Parallel()
	o, addr := startOrigin(t, "a"), freeAddr(t)
	w := startWeirWith(t, options{unclean: true}, pool("app", o.addr)+web(addr, "app"))
	got := make(chan string, 1)
	c := newClient(t)
	go func() {
		body, err := c.get("http://" + addr + "/delay/2s/name")
		got <- fmt.Sprint(body, err)
	}()
	waitFor(t, patience, "the request is under way", func() bool { return o.active.Load() == 1 })
	w.cmd.Process.Signal(syscall.SIGTERM)
	w.call("POST", "/api/v1/reload", w.token(t), nil)
	w.cmd.Process.Signal(syscall.SIGHUP)
	if text := <-got; text != "a<nil>" {
		t.Errorf("the request under way got %s", text)
	}
	if code, _ := w.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestRow56_SigtermDrains: what is under way is finished, with Connection: close;
// nothing new is taken.
func TestRow56_SigtermDrains(t *testing.T) {
	t.Parallel()
	o, addr, raw := startOrigin(t, "a"), freeAddr(t), freeAddr(t)
	echo := startScript(t, func(_ *scripted, p *peer) { io.Copy(p.TCPConn, p) })
	w := startWeirWith(t, options{unclean: true, process: `drain_timeout = "10s"`},
		pool("app", o.addr)+pool("echo", echo.addr)+web(addr, "app")+tcp(raw, "echo"))
	idle, busy, session := dial(t, addr), dial(t, addr), dial(t, raw)
	idle.wantName(t, "a")
	session.send("ping\n")
	if line, err := session.r.ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	busy.send("GET /delay/2s/bytes/100000 HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, patience, "the request is under way", func() bool { return o.active.Load() == 1 })
	start := time.Now()
	w.cmd.Process.Signal(syscall.SIGTERM)
	if _, err := idle.r.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection is not closed: %v", err)
	}
	resp, err := busy.response(http.MethodGet)
	if err != nil {
		t.Fatal(err)
	}
	if err := wantPattern(resp.Body, 100000); err != nil {
		t.Error(err)
	}
	if !resp.Close {
		t.Error("the last answer has no Connection: close")
	}
	if accepts(addr) || accepts(raw) {
		t.Error("still accepting after SIGTERM")
	}
	session.send("pong\n")
	if line, err := session.r.ReadString('\n'); err != nil || line != "pong\n" {
		t.Errorf("the session said %q, %v", line, err)
	}
	session.Close()
	<-w.done
	if code := w.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(start); took > 10*time.Second+patience {
		t.Errorf("the drain took %v", took)
	}
}

// TestRow56_DrainHasAnEnd: what does not finish within the drain's time is closed.
func TestRow56_DrainHasAnEnd(t *testing.T) {
	t.Parallel()
	o, addr := startOrigin(t, "a"), freeAddr(t)
	w := startWeirWith(t, options{unclean: true, process: `drain_timeout = "1s"`}, pool("app", o.addr)+web(addr, "app"))
	p := dial(t, addr)
	p.send("GET /delay/5m/name HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, patience, "the request is under way", func() bool { return o.active.Load() == 1 })
	w.stop(t, syscall.SIGTERM)
}

// TestRow56_SigintStopsFast: no drain.
func TestRow56_SigintStopsFast(t *testing.T) {
	o, addr := startOrigin(t, "a"), freeAddr(t)
	w := startWeirWith(t, options{unclean: true, process: `drain_timeout = "5m"`}, pool("app", o.addr)+web(addr, "app"))
	p := dial(t, addr)
	p.send("GET /delay/5m/name HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, patience, "the request is under way", func() bool { return o.active.Load() == 1 })
	if _, took := w.stop(t, syscall.SIGINT); took > patience {
		t.Errorf("SIGINT took %v", took)
	}
}

// TestRow56_KilledAndRestarted: kill -9 leaves nothing that a new start stumbles over.
func TestRow56_KilledAndRestarted(t *testing.T) {
	o, addr := startOrigin(t, "a"), freeAddr(t)
	opts := options{unclean: true}
	w := startWeirWith(t, opts, pool("app", o.addr)+web(addr, "app"))
	c := newClient(t)
	c.wantBody("http://"+addr+"/name", "a")
	w.cmd.Process.Kill()
	<-w.done
	w.done = make(chan struct{})
	withinTime(t, 10*time.Second, "the restart", func() {
		w.start(t, &opts)
		w.waitReady(t)
		newClient(t).wantBody("http://"+addr+"/name", "a")
	})
	if code, _ := w.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestRow59_AdminGuards: metrics and health are open; everything else needs the token,
// and a browser on another site gets nothing.
func TestRow59_AdminGuards(t *testing.T) {
	o, addr := startOrigin(t, "a"), freeAddr(t)
	w := startWeir(t, pool("app", o.addr)+web(addr, "app"))
	token := w.token(t)
	f := func(method, path, token, field, value string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		if field == "Host" {
			r.Host = value
		} else if field != "" {
			r.Header.Set(field, value)
		}
		resp, err := adminClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s %s (token %t, %s: %s): status %d, want %d: %s",
				method, path, token != "", field, value, resp.StatusCode, want, body)
		}
		if bytes.Contains(body, []byte(w.token(t))) {
			t.Errorf("%s %s shows the token", method, path)
		}
	}
	f("GET", "/healthz", "", "", "", 200)
	f("GET", "/readyz", "", "", "", 200)
	f("GET", "/metrics", "", "", "", 200)
	f("GET", "/api/v1/pools", token, "", "", 200)
	f("GET", "/api/v1/config", token, "", "", 200)
	f("GET", "/api/v1/pools", "", "", "", 401)
	f("GET", "/api/v1/config", "wrong", "", "", 401)
	f("POST", "/api/v1/reload", "", "", "", 401)
	f("POST", "/api/v1/reload", token, "Origin", "http://evil.example", 403)
	f("POST", "/api/v1/reload", token, "Host", "evil.example", 403)
	f("GET", "/api/v1/nothing", token, "", "", 404)
	f("GET", "/api/v1/pools/../reload", token, "", "", 404)
	f("POST", "/api/v1/reload", token, "", "", 200)

	info, err := os.Stat(filepath.Join(w.dir, "state", "admin.token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", info.Mode(), err)
	}
}

// TestRow59_AdminBeyondLoopback: a bind that others can reach needs TLS and a token.
func TestRow59_AdminBeyondLoopback(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir.toml")
	text := fmt.Sprintf("[admin]\nlisten = \"0.0.0.0:%s\"\n", freePort(t)) +
		pool("app", "127.0.0.1:1") + web(freeAddr(t), "app")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"check", "run"} {
		code, stdout, stderr := run(t, verb, "-c", file)
		if code != 1 || !strings.Contains(stdout+stderr, "weir.toml:2") {
			t.Errorf("weir %s: exit code %d, want 1 and the line:\n%s%s", verb, code, stdout, stderr)
		}
	}
}
