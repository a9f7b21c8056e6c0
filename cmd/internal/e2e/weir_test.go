package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// weir is a running Weir process.
type weir struct {
	dir, file string // its directory and its configuration
	admin     string // address of the admin listener
	cmd       *exec.Cmd
	log       *logBuffer
	done      chan struct{} // closed when the process has ended
	settled   usage         // right after start
}

// usage is what must be given back.
type usage struct{ goroutines, fds int }

// options are the few ways in which a test's Weir differs from the others.
type options struct {
	nofile  int      // ulimit -n, 0: as it is
	cgroup  string   // folder of the cgroup to run in, "": that of the test
	env     []string // added
	flags   []string // after "run -c FILE"
	adminAt string   // "": a free port
	process string   // lines for [process]
	logging string   // lines for [access_log]
	access  string   // [access_log] path; "": a file in the directory
	unclean bool     // the test ends the process itself
	stdout  *os.File // nil: the log
}

// startWeir runs Weir with this configuration, to which it adds the tables admin,
// process and access_log, and waits until it is ready. When the test ends, Weir must
// come back to the goroutines and descriptors it began with, and stop cleanly.
func startWeir(t testing.TB, conf string) *weir {
	t.Helper()
	return startWeirWith(t, options{}, conf)
}

func startWeirWith(t testing.TB, o options, conf string) *weir {
	t.Helper()
	w := prepareWeir(t, &o, conf)
	w.start(t, &o)
	w.waitReady(t)
	w.settled = w.usage(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("configuration:\n%s\nlog of weir:\n%s", readFile(t, w.file), w.log.tail(8<<10))
		}
	})
	if !o.unclean {
		t.Cleanup(func() { w.checkClean(t) })
	}
	return w
}

// prepareWeir writes the configuration.
func prepareWeir(t testing.TB, o *options, conf string) *weir {
	t.Helper()
	w := &weir{dir: t.TempDir(), admin: o.adminAt, log: &logBuffer{}, done: make(chan struct{})}
	if w.admin == "" {
		w.admin = freeAddr(t)
	}
	if o.access == "" {
		o.access = filepath.Join(w.dir, "access.log")
	}
	w.file = filepath.Join(w.dir, "weir.toml")
	w.write(t, w.head(o)+conf)
	return w
}

// head is the part of the configuration that all tests share.
func (w *weir) head(o *options) string {
	return fmt.Sprintf(`[admin]
listen = %q
[access_log]
path = %q
%s
[process]
state_dir = %q
runtime_dir = %q
%s
`, w.admin, o.access, o.logging, filepath.Join(w.dir, "state"), filepath.Join(w.dir, "run"), o.process)
}

// write replaces the configuration file in one step. Several goroutines may.
func (w *weir) write(t testing.TB, text string) {
	t.Helper()
	tmp, err := os.CreateTemp(w.dir, "new-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tmp.WriteString(text); err != nil {
		t.Fatal(err)
	}
	tmp.Close()
	if err := os.Rename(tmp.Name(), w.file); err != nil {
		t.Fatal(err)
	}
}

func (w *weir) start(t testing.TB, o *options) {
	t.Helper()
	args := append([]string{weirBinary(t), "run", "-c", w.file}, o.flags...)
	if o.nofile > 0 {
		args = append([]string{"/bin/sh", "-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(o.nofile)}, args...)
	}
	if o.cgroup != "" {
		args = append([]string{"/bin/sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, o.cgroup}, args...)
	}
	w.cmd = exec.Command(args[0], args[1:]...)
	w.cmd.Env = append(os.Environ(), o.env...)
	w.cmd.Stdout, w.cmd.Stderr = w.log, w.log
	if o.stdout != nil {
		w.cmd.Stdout = o.stdout
	}
	w.cmd.SysProcAttr = dieWithUs()
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, done := w.cmd, w.done
	go func() {
		cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-done
	})
}

func (w *weir) waitReady(t testing.TB) {
	t.Helper()
	waitFor(t, patience, "weir is ready", func() bool {
		if !w.alive() {
			t.Fatalf("weir ended at start: %v\n%s", w.cmd.ProcessState, w.log.tail(8<<10))
		}
		code, _, err := w.call("GET", "/readyz", "", nil)
		return err == nil && code == http.StatusOK
	})
}

func (w *weir) alive() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

// stop sends the signal and returns the exit code and how long it took.
func (w *weir) stop(t testing.TB, s syscall.Signal) (code int, took time.Duration) {
	t.Helper()
	start := time.Now()
	if err := w.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	select {
	case <-w.done:
	case <-time.After(2 * patience):
		w.cmd.Process.Signal(syscall.SIGQUIT)
		<-w.done
		t.Fatalf("weir did not end within %v of %v\n%s", 2*patience, s, w.log.tail(30<<10))
	}
	return w.cmd.ProcessState.ExitCode(), time.Since(start)
}

// checkClean is the end of every test: nothing was left behind, and SIGTERM ends Weir
// with exit code 0.
func (w *weir) checkClean(t testing.TB) {
	t.Helper()
	if !w.alive() {
		t.Errorf("weir ended before the test did: %v", w.cmd.ProcessState)
		return
	}
	w.checkSettled(t)
	if code, _ := w.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("weir ended with exit code %d after SIGTERM", code)
	}
	// The watchdog's stacks stand within a line; those of a crash begin one.
	for _, bad := range []string{"panic", "BUG:", "DATA RACE", "\ngoroutine 1 ["} {
		if strings.Contains(w.log.String(), bad) {
			t.Errorf("the log holds %q", bad)
		}
	}
}

// checkSettled waits until Weir is back to what it used after its start. Connections
// kept to backends are work in progress: they leave when their idle time is over.
func (w *weir) checkSettled(t testing.TB) {
	t.Helper()
	const slack = 4 // a scrape, a resolver, the runtime's own
	var now usage
	deadline := time.Now().Add(patience)
	for {
		now = w.usage(t)
		if now.goroutines <= w.settled.goroutines+slack && now.fds <= w.settled.fds+slack {
			return
		}
		if time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("not given back: %d goroutines and %d descriptors at start, %d and %d now",
		w.settled.goroutines, w.settled.fds, now.goroutines, now.fds)
}

func (w *weir) usage(t testing.TB) usage {
	t.Helper()
	return usage{int(w.metric(t, "go_goroutines")), openFDs(t, w.cmd.Process.Pid)}
}

// adminClient keeps no connection, so that it does not show in usage.
var adminClient = &http.Client{
	Timeout:   patience,
	Transport: &http.Transport{DisableKeepAlives: true},
}

// call speaks to the admin listener. A token is sent where it is not "".
func (w *weir) call(method, path, token string, body io.Reader) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+w.admin+path, body)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := adminClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// token is the admin token that Weir made at its start.
func (w *weir) token(t testing.TB) string {
	t.Helper()
	return strings.TrimSpace(readFile(t, filepath.Join(w.dir, "state", "admin.token")))
}

// reload asks the API for a reload and returns its answer.
func (w *weir) reload(t testing.TB) (int, string) {
	t.Helper()
	code, text, err := w.call("POST", "/api/v1/reload", w.token(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	return code, text
}

// metric sums the samples whose series begins with prefix: a whole name, or a name
// with the first labels.
func (w *weir) metric(t testing.TB, prefix string) float64 {
	t.Helper()
	_, text, err := w.call("GET", "/metrics", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), prefix)
		if !ok || rest == "" || !strings.ContainsAny(rest[:1], " {,\"}") {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			t.Fatalf("cannot read the sample %q: %v", line, err)
		}
		sum += v
	}
	return sum
}

// rss is the resident memory of the process in bytes.
func (w *weir) rss(t testing.TB) int64 {
	t.Helper()
	status := readFile(t, fmt.Sprintf("/proc/%d/status", w.cmd.Process.Pid))
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// cpu is the processor time the process has used.
func (w *weir) cpu(t testing.TB) time.Duration {
	t.Helper()
	stat := readFile(t, fmt.Sprintf("/proc/%d/stat", w.cmd.Process.Pid))
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

// run runs the weir command to its end.
func run(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, weirBinary(t), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// logBuffer collects what a process prints.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) tail(n int) string {
	s := l.String()
	return s[max(0, len(s)-n):]
}
