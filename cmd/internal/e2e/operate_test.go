package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What an operator does and looks at.

// TestDrainByAPI: a drained server gets nothing new, on L4 and L7, until it is undrained;
// what it has goes on, and a reload does not forget it.
func TestDrainByAPI(t *testing.T) {
	a, b := startOrigin(t, "a"), startOrigin(t, "b")
	l7, l4 := freeAddr(t), freeAddr(t)
	w := startWeir(t, pool("app", a.addr, b.addr)+web(l7, "app")+tcp(l4, "app"))
	server := "/api/v1/pools/app/servers/" + url.PathEscape(a.addr)
	post := func(path string) {
		t.Helper()
		if code, text, err := w.call("POST", path, w.token(t), nil); err != nil || code != http.StatusOK {
			t.Errorf("POST %s: %d %s %v", path, code, text, err)
		}
	}
	seen := func() map[string]bool {
		names := make(map[string]bool)
		for range 10 {
			names[ask(dial(t, l7))], names[ask(dial(t, l4))] = true, true
		}
		return names
	}
	session := dial(t, l4)
	for ask(session) != "a" {
		session = dial(t, l4)
	}
	post(server + "/drain")
	if names := seen(); names["a"] || !names["b"] {
		t.Errorf("drained: answers from %v", names)
	}
	session.wantName(t, "a")
	if code, text := w.reload(t); code != http.StatusOK {
		t.Errorf("reload: %d %s", code, text)
	}
	if names := seen(); names["a"] {
		t.Errorf("drained, then reloaded: answers from %v", names)
	}
	post(server + "/undrain")
	if names := seen(); !names["a"] || !names["b"] {
		t.Errorf("undrained: answers from %v", names)
	}
}

// TestPoolsByAPI: the state of a pool as the API tells it.
func TestPoolsByAPI(t *testing.T) {
	o, l7 := startOrigin(t, "a"), freeAddr(t)
	closed := freeAddr(t)
	w := startWeir(t, pool("app", o.addr, closed)+"[pool.app.health]\ntype = \"tcp\"\ninterval = \"100ms\"\nfall = 1\n"+
		web(l7, "app"))
	type member struct {
		Address    string `json:"address"`
		State      string `json:"state"`
		InRotation bool   `json:"in_rotation"`
	}
	waitFor(t, patience, "the check takes the closed server out", func() bool {
		code, text, err := w.call("GET", "/api/v1/pools/app", w.token(t), nil)
		if err != nil || code != http.StatusOK {
			t.Fatalf("%d %s %v", code, text, err)
		}
		var got struct{ Members []member }
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		return len(got.Members) == 2 && got.Members[0] == member{o.addr, "healthy", true} &&
			got.Members[1] == member{closed, "down", false}
	})
}

// TestHealthByStatus: a server that answers its check with an error is left out until
// it is well again; both layers see it.
func TestHealthByStatus(t *testing.T) {
	a, b := startOrigin(t, "a"), startOrigin(t, "b")
	l7, l4 := freeAddr(t), freeAddr(t)
	startWeir(t, pool("app", a.addr, b.addr)+"[pool.app.health]\ntype = \"http\"\npath = \"/healthz\"\n"+
		"interval = \"100ms\"\ndown_interval = \"100ms\"\nrise = 2\nfall = 2\n"+web(l7, "app")+tcp(l4, "app"))
	alone := func(name string) func() bool {
		return func() bool {
			for range 4 {
				if ask(dial(t, l7)) != name || ask(dial(t, l4)) != name {
					return false
				}
			}
			return true
		}
	}
	a.sick.Store(true)
	waitFor(t, patience, "only b is used", alone("b"))
	a.sick.Store(false)
	waitFor(t, patience, "a is used again", func() bool { return ask(dial(t, l7)) == "a" || ask(dial(t, l4)) == "a" })
}

// TestCertificateReload: a new pair is served after a reload; a pair that does not fit
// is refused and the old one stays.
func TestCertificateReload(t *testing.T) {
	ca := newAuthority(t, t.TempDir())
	cert, key := ca.issue(t, "www", "www.example.com")
	_, other := ca.issue(t, "other", "other.example.com")
	o, addr := startOrigin(t, "a"), freeAddr(t)
	w := startWeir(t, pool("app", o.addr)+tlsWeb("web", addr, cert, key, "app"))
	serial := func() string {
		t.Helper()
		c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "www.example.com", RootCAs: ca.pool})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	ca.issue(t, "www", "www.example.com")
	if got := serial(); got != first {
		t.Error("the new pair is served before the reload")
	}
	if code, text := w.reload(t); code != http.StatusOK {
		t.Fatalf("reload: %d %s", code, text)
	}
	second := serial()
	if second == first {
		t.Error("the old pair is served after the reload")
	}
	rename(t, other, key)
	if code, text := w.reload(t); code == http.StatusOK || !strings.Contains(text, key) {
		t.Errorf("reload with a key that does not fit: %d %s", code, text)
	}
	if got := serial(); got != second {
		t.Error("a pair that does not fit was taken")
	}
}

// TestAccessLog: one record for each request and session, in both formats.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "logfmt"} {
		t.Run(format, func(t *testing.T) {
			o, l7, l4 := startOrigin(t, "a"), freeAddr(t), freeAddr(t)
			file := filepath.Join(t.TempDir(), "access.log")
			startWeirWith(t, options{access: file, logging: fmt.Sprintf("format = %q", format)},
				pool("app", o.addr)+web(l7, "app")+tcp(l4, "app"))
			newClient(t).wantBytes("http://"+l7+"/bytes/1234", 1234)
			p := dial(t, l4)
			p.wantName(t, "a")
			p.Close()
			waitFor(t, patience, "two records", func() bool { return strings.Count(readFile(t, file), "\n") == 2 })
			text := readFile(t, file)
			if format == "json" {
				for line := range strings.Lines(text) {
					if !json.Valid([]byte(line)) {
						t.Errorf("not JSON: %s", line)
					}
				}
				text = strings.NewReplacer(`":"`, "=", `":`, "=", `"`, " ", ",", " ").Replace(text)
			}
			for _, want := range []string{
				"kind=l7", "kind=l4", "listener=web", "listener=tcp", "pool=app", "backend=" + o.addr,
				"method=GET", "path=/bytes/1234", "status=200", "request_id=", "bytes_out=", "client=127.0.0.1",
			} {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
		})
	}
}

// TestProxyCommand: one listener without a file.
func TestProxyCommand(t *testing.T) {
	for _, kind := range []string{"http", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			a, b, addr := startOrigin(t, "a"), startOrigin(t, "b"), freeAddr(t)
			dir := t.TempDir()
			cmd := startServer(t, func() bool { return accepts(addr) }, "env", "XDG_RUNTIME_DIR="+dir,
				"XDG_STATE_HOME="+dir, weirBinary(t), "proxy", "--"+kind, addr, "--to", a.addr+","+b.addr)
			names := make(map[string]bool)
			for range 6 {
				p := dial(t, addr)
				names[ask(p)] = true
				p.Close()
			}
			if !names["a"] || !names["b"] {
				t.Errorf("answers from %v", names)
			}
			cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("after SIGTERM: %v", err)
			}
		})
	}
}

// TestExitCodes: 0 worked, 1 refused, 2 the command line is wrong.
func TestExitCodes(t *testing.T) {
	f := func(want int, args ...string) {
		t.Helper()
		if code, out, errs := run(t, args...); code != want {
			t.Errorf("weir %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, errs)
		} else if code != 0 && errs == "" {
			t.Errorf("weir %s: exit code %d and nothing on standard error", strings.Join(args, " "), code)
		}
	}
	f(0, "version")
	f(0, "version", "--json")
	f(0, "--help")
	f(0, "run", "--help")
	f(1, "run", "-c", "/nonexistent/weir.toml")
	f(1, "check", "-c", "/nonexistent/weir.toml")
	f(1, "reload", "-c", "/nonexistent/weir.toml")
	f(1, "proxy", "--http", "127.0.0.1:99999", "--to", "127.0.0.1:1")
	f(2, "run")
	f(2, "fly")
	f(2, "run", "--fly")
	f(2, "proxy", "--to", "127.0.0.1:1")
}

// TestServiceManager: what systemd is told at start, reload and stop.
func TestServiceManager(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/notify", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	told := make(chan string, 100)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := socket.Read(buf)
			if err != nil {
				close(told)
				return
			}
			sc := bufio.NewScanner(strings.NewReader(string(buf[:n])))
			for sc.Scan() {
				told <- sc.Text()
			}
		}
	}()
	want := func(line string) {
		t.Helper()
		for got := range told {
			if got == line {
				return
			}
		}
	}
	o := startOrigin(t, "a")
	w := startWeirWith(t, options{env: []string{"NOTIFY_SOCKET=" + dir + "/notify"}, unclean: true},
		pool("app", o.addr)+web(freeAddr(t), "app"))
	want("READY=1")
	w.cmd.Process.Signal(syscall.SIGHUP)
	want("RELOADING=1")
	want("READY=1")
	if code, _ := w.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	want("STOPPING=1")
}

// TestRow57_ServiceManagerWatchdog: systemd hears again and again that all is well, and
// nothing more from a process that is stopped.
func TestRow57_ServiceManagerWatchdog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	// A shell stands between, so its number would be another: none is given.
	w := startWeirWith(t, options{env: []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=400000"}},
		pool("app", "127.0.0.1:1")+tcp(freeAddr(t), "app"))
	next := func(limit time.Duration) (string, error) {
		buf := make([]byte, 4096)
		socket.SetReadDeadline(time.Now().Add(limit))
		n, err := socket.Read(buf)
		return string(buf[:n]), err
	}
	for alive := 0; alive < 3; {
		text, err := next(patience)
		if err != nil {
			t.Fatalf("after %d signs of life: %v", alive, err)
		}
		if text == "WATCHDOG=1" {
			alive++
		}
	}
	w.cmd.Process.Signal(syscall.SIGSTOP)
	for err == nil { // what was sent before
		_, err = next(2 * time.Second)
	}
	w.cmd.Process.Signal(syscall.SIGCONT)
	if text, err := next(patience); err != nil || text != "WATCHDOG=1" {
		t.Errorf("after SIGCONT: %q, %v", text, err)
	}
}

// TestServiceUnit: systemd's own checker has nothing against docs/weir.service, where
// there is systemd; everywhere it names commands and signals that exist.
func TestServiceUnit(t *testing.T) {
	text := readFile(t, filepath.Join(root(t), "docs", "weir.service"))
	for _, want := range []string{"Type=notify", "ExecStart=", "weir run -c ", "[Install]"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in docs/weir.service", want)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		return
	}
	unit := write(t, "weir.service", strings.ReplaceAll(text, "/usr/bin/weir", weirBinary(t)))
	if out, err := exec.Command("systemd-analyze", "verify", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// TestAdminSocket: without [admin] the admin side is a unix socket for the user alone,
// and weir reload finds it by the file.
func TestAdminSocket(t *testing.T) {
	dir := t.TempDir()
	a, b, addr := startOrigin(t, "a"), startOrigin(t, "b"), freeAddr(t)
	file := filepath.Join(dir, "weir.toml")
	text := fmt.Sprintf("[process]\nstate_dir = %q\nruntime_dir = %q\n", dir+"/state", dir+"/run") +
		pool("app", a.addr) + web(addr, "app")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startServer(t, func() bool { return accepts(addr) }, weirBinary(t), "run", "-c", file)
	sockets := 0
	entries, _ := os.ReadDir(dir + "/run")
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode()&os.ModeSocket != 0 {
			sockets++
			if info.Mode().Perm() != 0o600 {
				t.Errorf("the socket has mode %v", info.Mode().Perm())
			}
		}
	}
	if sockets != 1 {
		t.Errorf("%d sockets in runtime_dir", sockets)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, a.addr, b.addr)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run(t, "reload", "-c", file); code != 0 {
		t.Errorf("weir reload: exit code %d\n%s%s", code, out, errs)
	}
	if got := ask(dial(t, addr)); got != "b" {
		t.Errorf("after the reload %q answers", got)
	}
}
