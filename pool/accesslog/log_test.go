package accesslog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/conf"
	"weir/pool"
	"weir/pool/metric"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	pool.Track(true)
	goleak.VerifyTestMain(m)
}

// setup is one log under test and what can be seen of it from outside.
type setup struct {
	*Log
	reg    *metric.Registry
	stderr *lockedBuffer
	live   int // buffers in use before
}

func open(t *testing.T, c conf.AccessLog) *setup {
	t.Helper()
	s := newSetup()
	l, err := Open(c, s.reg, s.logger())
	if err != nil {
		t.Fatal(err)
	}
	s.Log = l
	return s
}

// openFD is open for a descriptor, as stdout is one.
func openFD(c conf.AccessLog, fd int) *setup {
	s := newSetup()
	s.Log = startLog(c, s.reg, s.logger(), newTarget(fd, false))
	return s
}

func newSetup() *setup {
	return &setup{reg: metric.New(), stderr: new(lockedBuffer), live: pool.Live()}
}

func (s *setup) logger() *slog.Logger { return slog.New(slog.NewTextHandler(s.stderr, nil)) }

func (s *setup) counts() (lines, dropped, errs uint64) {
	return s.reg.Counter(metric.AccessLogLines).Load(), s.reg.Counter(metric.AccessLogDropped).Load(),
		s.reg.Counter(metric.AccessLogErrors).Load()
}

// close closes the log and checks that nothing of it is left.
func (s *setup) close(t *testing.T) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.checkLeft(t)
}

func (s *setup) checkLeft(t *testing.T) {
	t.Helper()
	if n := pool.Live() - s.live; n != 0 {
		t.Errorf("%d buffers are left", n)
	}
	if n := s.pendingBytes(); n != 0 {
		t.Errorf("%v bytes are pending after the end", n)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// eventually waits until cond holds; a test that would wait for ever fails.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// checkLines reads whole JSON lines and returns their number.
func checkLines(t *testing.T, r io.Reader) int {
	t.Helper()
	n := 0
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if !json.Valid(sc.Bytes()) {
			t.Fatalf("line %d is not JSON: %q", n+1, sc.Text())
		}
		n++
	}
	return n
}

func fileLines(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return checkLines(t, f)
}

func jsonTo(path string) conf.AccessLog {
	return conf.AccessLog{Path: path, Format: "json", Buffer: 1 << 20, ClientIP: "full", Query: true}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	for round := range 2 { // the second time it appends
		s := open(t, jsonTo(path))
		if !s.Enabled() {
			t.Fatal("not enabled")
		}
		s.L7(fullL7())
		s.L4(&L4Record{Start: start, Listener: "db"})
		s.close(t)
		if got := fileLines(t, path); got != 2*(round+1) {
			t.Errorf("%d lines, want %d", got, 2*(round+1))
		}
		s.L7(fullL7()) // after the end
		if lines, dropped, errs := s.counts(); lines != 2 || dropped != 1 || errs != 0 {
			t.Errorf("lines %d, dropped %d, errors %d; want 2, 1, 0", lines, dropped, errs)
		}
		if err := s.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		s.checkLeft(t)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm()&^fileMode != 0 || st.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("mode %v, error %v; want no more than %o", st.Mode(), err, fileMode)
	}
}

func TestOff(t *testing.T) {
	l, err := Open(conf.AccessLog{Path: "off"}, metric.New(), slog.Default())
	if err != nil || l.Enabled() {
		t.Fatalf("enabled %v, error %v", l.Enabled(), err)
	}
	l.L7(fullL7())
	l.L4(&L4Record{})
	if l.Reopen() != nil || l.Close() != nil {
		t.Error("calls of a log that is off do not all succeed")
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(path string, want error, text string) {
		t.Helper()
		_, err := Open(jsonTo(path), metric.New(), slog.Default())
		if !errors.Is(err, want) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %v with %q", path, err, want, text)
		}
	}
	f(dir, unix.EISDIR, "cannot open access log")
	f(filepath.Join(dir, "no", "file"), unix.ENOENT, "cannot open access log")
	f(fifo, unix.ENXIO, "nobody reads")
}

func TestLinesAreFlushedWithoutClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	s := open(t, jsonTo(path))
	s.L7(fullL7())
	eventually(t, "the line is in the file", func() bool { return fileLines(t, path) == 1 })
	s.close(t)
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	path, old := filepath.Join(dir, "access.log"), filepath.Join(dir, "access.log.1")
	s := open(t, jsonTo(path))
	s.L7(fullL7())
	eventually(t, "the first line is written", func() bool { return fileLines(t, path) == 1 })
	if err := os.Rename(path, old); err != nil {
		t.Fatal(err)
	}
	for range 3 { // a signal may come more than once
		if err := s.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	s.L7(fullL7())
	s.L7(fullL7())
	eventually(t, "the new lines are in the new file", func() bool { return fileLines(t, path) == 2 })

	// A path that cannot be opened changes nothing.
	if err := os.Rename(path, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Reopen(); err == nil {
		t.Error("a directory was opened")
	}
	s.L7(fullL7())
	s.close(t)
	if got := fileLines(t, old); got != 3 {
		t.Errorf("%d lines in the file still in use, want 3", got)
	}
	if err := s.Reopen(); err == nil {
		t.Error("after Close: want the error of the open")
	}
}

func TestReopenBeforeTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	s := open(t, jsonTo(path))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.L7(fullL7())
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	s.close(t)
	if got := fileLines(t, path); got != 1 {
		t.Errorf("%d lines in the new file, want 1", got)
	}
	if err := s.Reopen(); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

func TestConcurrentWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	c := jsonTo(path)
	c.Buffer = 64 << 20 // enough for all, so that none may be dropped
	s := open(t, c)
	const workers, rounds = 8, 2000
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			r := fullL7()
			for i := range rounds {
				if i%3 == 0 {
					s.L4(&L4Record{Start: start, Listener: "db", Reason: "client_fin"})
				} else {
					s.L7(r)
				}
				if i%500 == 0 {
					if err := s.Reopen(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	s.close(t)
	if got := fileLines(t, path); got != workers*rounds {
		t.Errorf("%d lines, want %d", got, workers*rounds)
	}
	if lines, dropped, errs := s.counts(); lines != workers*rounds || dropped != 0 || errs != 0 {
		t.Errorf("lines %d, dropped %d, errors %d; want %d, 0, 0", lines, dropped, errs, workers*rounds)
	}
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	pool.Track(false)
	defer pool.Track(true)
	for _, format := range []string{"json", "logfmt"} {
		c := jsonTo("/dev/null")
		c.Format = format
		c.Buffer = 8 << 20
		s := open(t, c)
		r7, r4 := fullL7(), &L4Record{Start: start, Listener: "db", Client: fullL7().Client, Reason: "idle"}
		log := func() { s.L7(r7); s.L4(r4) }
		for range 20_000 {
			log() // every batch there can be has been used once
		}
		if n := testing.AllocsPerRun(5000, log); n != 0 {
			t.Errorf("%s: %v allocations per two records", format, n)
		}
		s.close(t)
	}
}

func BenchmarkL7(b *testing.B) {
	pool.Track(false)
	defer pool.Track(true)
	for _, format := range []string{"json", "logfmt"} {
		b.Run(format, func(b *testing.B) {
			c := jsonTo("/dev/null")
			c.Format = format
			l, err := Open(c, metric.New(), slog.Default())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				r := fullL7()
				for pb.Next() {
					l.L7(r)
				}
			})
			if err := l.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}
