package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// retryPause is how long a poll waits for the next look.
const retryPause = 20 * time.Millisecond

// pause waits, and reports false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// child is a Weir process.
type child struct {
	dir, file    string
	admin, token string
	cmd          *exec.Cmd
	log          tail
	done         chan struct{} // closed when it has ended
}

// launch says how a child differs from others.
type launch struct {
	argv   []string // the program
	dir    string   // its directory, which exists
	admin  string   // address of its admin side
	config string   // its configuration without [admin] and [process]
	head   string   // lines for [process]
	nofile int      // limit of descriptors; 0: ours
}

// startChild starts Weir and returns when it is ready.
func startChild(ctx context.Context, l launch) (*child, error) {
	w := &child{dir: l.dir, file: filepath.Join(l.dir, "weir.toml"), admin: l.admin, done: make(chan struct{})}
	if err := w.write(l.text()); err != nil {
		return nil, err
	}
	argv := append(append([]string{}, l.argv...), "run", "-c", w.file)
	if l.nofile > 0 {
		argv = append([]string{"/bin/sh", "-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(l.nofile)}, argv...)
	}
	w.cmd = exec.Command(argv[0], argv[1:]...)
	w.cmd.Stdout, w.cmd.Stderr = &w.log, &w.log
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start Weir: %w", err)
	}
	go func() {
		_ = w.cmd.Wait() // its state says how it ended
		close(w.done)
	}()
	if err := w.ready(ctx); err != nil {
		w.kill()
		return nil, err
	}
	return w, nil
}

// text is the whole configuration.
func (l *launch) text() string {
	return fmt.Sprintf("[admin]\nlisten = %q\n[process]\nstate_dir = %q\nruntime_dir = %q\n%s\n%s",
		l.admin, filepath.Join(l.dir, "state"), filepath.Join(l.dir, "run"), l.head, l.config)
}

// write replaces the configuration in one step.
func (w *child) write(text string) error {
	tmp := w.file + ".new"
	err := os.WriteFile(tmp, []byte(text), 0o600)
	if err == nil {
		err = os.Rename(tmp, w.file)
	}
	if err != nil {
		return fmt.Errorf("cannot write the configuration: %w", err)
	}
	return nil
}

// ready waits until Weir takes traffic, and reads its token.
func (w *child) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if !w.alive() {
			return fmt.Errorf("weir ended at its start: %v\n%s", w.cmd.ProcessState, w.log.text())
		}
		if status, _, err := w.call(ctx, "GET", "/readyz"); err == nil && status == 200 {
			break
		}
		if !pause(ctx, retryPause) {
			return fmt.Errorf("weir is not ready: %w\n%s", ctx.Err(), w.log.text())
		}
	}
	token, err := os.ReadFile(filepath.Join(w.dir, "state", "admin.token"))
	if err != nil {
		return fmt.Errorf("cannot read the admin token: %w", err)
	}
	w.token = strings.TrimSpace(string(token))
	return nil
}

func (w *child) alive() bool {
	select {
	case <-w.done:
		return false
	default:
		return true
	}
}

func (w *child) signal(s os.Signal) error {
	if err := w.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot signal Weir: %w", err)
	}
	return nil
}

// kill ends the process, if it has not ended yet.
func (w *child) kill() {
	_ = w.signal(os.Kill)
	<-w.done
}

// stop sends SIGTERM and returns how long it took to end with exit code 0.
func (w *child) stop(limit time.Duration) (time.Duration, error) {
	start := time.Now()
	if err := w.signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-w.done:
	case <-time.After(limit):
		_ = w.signal(syscall.SIGQUIT)
		<-w.done
		return 0, fmt.Errorf("weir did not end within %s of SIGTERM\n%s", limit, w.log.text())
	}
	if code := w.cmd.ProcessState.ExitCode(); code != 0 {
		return 0, fmt.Errorf("weir ended with %v after SIGTERM\n%s", w.cmd.ProcessState, w.log.text())
	}
	return time.Since(start), nil
}

// cpu is the processor time of the process so far.
func (w *child) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", w.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("cannot read the CPU time of Weir: %w", err)
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(f) < 13 {
		return 0, io.ErrUnexpectedEOF
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on all of Linux's platforms
	return time.Duration(number(f[11])+number(f[12])) * tick, nil
}

// tail keeps the end of what a process prints, and whether it held a bad word.
type tail struct {
	mu  sync.Mutex
	b   []byte
	bad string
}

// tailSize is how much of a log is kept.
const tailSize = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	for _, word := range []string{"panic", "BUG:", "DATA RACE", "goroutine 1 ["} {
		if t.bad == "" && strings.Contains(string(t.b), word) {
			t.bad = fmt.Sprintf("%q in:\n%s", word, t.b[max(0, len(t.b)-tailSize):])
		}
	}
	if len(t.b) > 2*tailSize {
		t.b = append(t.b[:0], t.b[len(t.b)-tailSize:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b[max(0, len(t.b)-tailSize):])
}

func (t *tail) badWord() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bad
}
