package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/cmd/internal/admin"
	"weir/conf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logBuffer is a process log that a test can read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// rig is an engine on a file of its own in front of HTTP backends.
type rig struct {
	*Engine
	t    *testing.T
	dir  string
	file string
	log  *logBuffer
}

// newRig starts an engine on text, to which process directories are added.
func newRig(t *testing.T, text string, watch bool) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), log: &logBuffer{}}
	r.file = filepath.Join(r.dir, "weir.toml")
	r.write(text)
	e, err := Start(t.Context(), Options{File: r.file, Watch: watch, Stderr: r.log})
	if err != nil {
		t.Fatal(err)
	}
	r.Engine = e
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // at once
		_ = e.Stop(ctx)
		if t.Failed() {
			t.Logf("process log:\n%s", r.log)
		}
	})
	return r
}

// write replaces the file as an editor does, in one step.
func (r *rig) write(text string) {
	r.t.Helper()
	text = fmt.Sprintf("[process]\nstate_dir = %q\nruntime_dir = %q\ndrain_timeout = \"20s\"\n", r.dir, r.dir) + text
	f, err := os.CreateTemp(r.dir, "new-*")
	if err != nil {
		r.t.Error(err)
		return
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close(), os.Rename(f.Name(), r.file)); err != nil {
		r.t.Error(err)
	}
}

// addr is the first address of a listener.
func (r *rig) addr(name string) string {
	r.t.Helper()
	for _, l := range r.Listeners() {
		if l.Name == name {
			return l.Addr
		}
	}
	r.t.Fatalf("no listener %q in %v", name, r.Listeners())
	return ""
}

// backendServer is an HTTP server that answers with its name.
func backendServer(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func web(servers ...string) string {
	return fmt.Sprintf("[pool.app]\nservers = [\"%s\"]\n[[l7]]\nname = \"web\"\nlisten = [\"127.0.0.1:0\"]\n"+
		"[[l7.route]]\npool = \"app\"\n", strings.Join(servers, `", "`))
}

// fetch gets the body at addr over a connection of its own.
func fetch(addr string) (string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	resp, err := client.Get("http://" + addr)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return string(body), err
}

func (r *rig) wantBody(addr, want string) {
	r.t.Helper()
	if got, err := fetch(addr); err != nil || got != want {
		r.t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

func TestStartAndServe(t *testing.T) {
	one := backendServer(t, "one")
	r := newRig(t, web(one)+"[[l4]]\nname = \"tcp\"\nlisten = [\"127.0.0.1:0\"]\npool = \"app\"\n", false)
	r.wantBody(r.addr("web"), "one")
	r.wantBody(r.addr("tcp"), "one")
	if err := r.Ready(); err != nil {
		t.Fatal(err)
	}
	if got := r.Running(); got.Version != 1 || got.Config.File != r.file {
		t.Fatalf("got version %d of %q", got.Version, got.Config.File)
	}
	last := r.Listeners()[len(r.Listeners())-1]
	if last.Layer != "admin" || !strings.HasPrefix(last.Addr, "unix:"+r.dir) {
		t.Fatalf("got %v", last)
	}
}

// A start that fails says why and leaves nothing: no socket, no goroutine (TestMain).
func TestStartRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	f := func(text, want string) {
		t.Helper()
		file := filepath.Join(dir, "weir.toml")
		text = fmt.Sprintf("[process]\nstate_dir = %q\nruntime_dir = %q\n", dir, dir) + text
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := Start(t.Context(), Options{File: file, Stderr: io.Discard})
		if err == nil {
			_ = e.Stop(t.Context())
			t.Fatal("it starts")
		}
		if !strings.Contains(err.Error(), want) {
			t.Fatalf("got %q, want %q", err, want)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*.sock")); len(left) > 0 {
			t.Fatalf("left behind: %q", left)
		}
	}
	badCert := filepath.Join(dir, "bad.pem")
	if err := os.WriteFile(badCert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("nonsense = 1\n", "nonsense")
	f(strings.Replace(web("127.0.0.1:1"), "127.0.0.1:0", taken.Addr().String(), 1), taken.Addr().String())
	f(web("127.0.0.1:1")+fmt.Sprintf("[l7.tls]\ncerts = [{ cert = %q, key = %q }]\n", badCert, badCert), "bad.pem")
	f("[access_log]\npath = \"/nowhere/access.log\"\n"+web("127.0.0.1:1"), "/nowhere/access.log")
	f("[admin]\nlisten = \""+taken.Addr().String()+"\"\n"+web("127.0.0.1:1"), "for admin")
}

func TestReload(t *testing.T) {
	one, two := backendServer(t, "one"), backendServer(t, "two")
	r := newRig(t, web(one), false)
	addr := r.addr("web")
	r.wantBody(addr, "one")

	// A new pool, an unchanged address, one listener more.
	r.write(web(two) + "[[l4]]\nname = \"tcp\"\nlisten = [\"127.0.0.1:0\"]\npool = \"app\"\n")
	running, err := r.Reload(t.Context())
	if err != nil || running.Version != 2 {
		t.Fatalf("got %d, %v", running.Version, err)
	}
	if now := r.addr("web"); now != addr {
		t.Fatalf("the listener moved from %s to %s", addr, now)
	}
	r.wantBody(addr, "two")
	tcp := r.addr("tcp")
	r.wantBody(tcp, "two")

	// Neither does a file that was cut to nothing, as an editor may do before it writes.
	r.write("")
	if _, err := r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "it has no listener") {
		t.Fatalf("got %v for an empty file", err)
	}
	r.wantBody(tcp, "two")

	// A bad file changes nothing and says where.
	r.write(web(one) + "[[l4]]\nname = \"tcp\"\nlisten = [\"127.0.0.1:0\"]\npool = \"apb\"\n")
	_, err = r.Reload(t.Context())
	var problems conf.Problems
	if !errors.As(err, &problems) || problems[0].Line == 0 {
		t.Fatalf("got %v", err)
	}
	r.wantBody(addr, "two")
	r.wantBody(tcp, "two")

	// So does an address that is taken, though the file is good.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	r.write(web(one) + "[[l4]]\nname = \"new\"\nlisten = [\"" + taken.Addr().String() + "\"]\npool = \"app\"\n")
	if _, err = r.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Fatalf("got %v", err)
	}
	r.wantBody(addr, "two")
	r.wantBody(tcp, "two")
	if v := r.Running().Version; v != 2 {
		t.Fatalf("version %d after refused reloads", v)
	}

	// And then a good one works again, and takes the listener away.
	r.write(web(one))
	if running, err = r.Reload(t.Context()); err != nil || running.Version != 3 {
		t.Fatalf("got %d, %v", running.Version, err)
	}
	r.wantBody(addr, "one")
	if c, err := net.Dial("tcp", tcp); err == nil {
		c.Close()
		t.Fatal("the removed listener still accepts")
	}
	r.wantMetrics(`weir_config_reloads_total{result="ok"} 2`, `weir_config_reloads_total{result="refused"} 3`,
		"weir_config_version 3", "weir_config_last_reload_successful 1", "weir_ready 1")
}

func (r *rig) wantMetrics(lines ...string) {
	r.t.Helper()
	var b bytes.Buffer
	r.metrics.WritePrometheus(&b)
	for _, l := range lines {
		if !strings.Contains(b.String(), l+"\n") {
			r.t.Fatalf("no %q in\n%s", l, b.String())
		}
	}
}

// Row 54: reloads race. They run one at a time, the last file wins and versions
// never go back.
func TestReloadsRace(t *testing.T) {
	one, two := backendServer(t, "one"), backendServer(t, "two")
	r := newRig(t, web(one), false)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := make(map[uint64]bool)
	for i := range 8 {
		wg.Go(func() {
			if i%4 == 3 {
				r.write(web(two) + "nonsense = 1\n")
			}
			running, err := r.Reload(context.Background())
			mu.Lock()
			defer mu.Unlock()
			if err == nil && seen[running.Version] {
				t.Errorf("two reloads gave version %d", running.Version)
			}
			seen[running.Version] = err == nil
		})
	}
	wg.Wait()
	before := r.Running().Version
	r.write(web(two))
	if running, err := r.Reload(t.Context()); err != nil || running.Version != before+1 {
		t.Fatalf("got %d after %d, %v", running.Version, before, err)
	}
	r.wantBody(r.addr("web"), "two")
}

// Row 54: a reload in a drain is refused.
func TestReloadWhileDraining(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "slow")
	}))
	defer s.Close()
	r := newRig(t, web(s.Listener.Addr().String()), false)
	addr := r.addr("web")
	answer := make(chan error, 1)
	go func() {
		body, err := fetch(addr)
		if err == nil && body != "slow" {
			err = fmt.Errorf("got %q", body)
		}
		answer <- err
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop(context.Background()) }()
	for r.Ready() == nil {
		time.Sleep(time.Millisecond)
	}
	if _, err := r.Reload(t.Context()); !errors.Is(err, admin.ErrStopping) {
		t.Fatalf("got %v", err)
	}
	close(release)
	if err := <-answer; err != nil {
		t.Fatalf("the request in progress: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Fatal("still accepting")
	}
}

// A request that takes too long is cut off at the deadline, and Stop says so.
func TestDrainDeadline(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-release
	}))
	defer s.Close()
	defer close(release)
	r := newRig(t, web(s.Listener.Addr().String()), false)
	addr := r.addr("web")
	answer := make(chan error, 1)
	go func() {
		_, err := fetch(addr)
		answer <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if err := <-answer; err == nil {
		t.Fatal("the request was answered")
	}
}
