package accesslog

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"weir/conf"
	"weir/pool"
	"weir/pool/metric"

	"golang.org/x/sys/unix"
)

// blockingPipe is a pipe as a process inherits one for stdout: its write end
// blocks, and it holds one page.
func blockingPipe(t *testing.T) (r *os.File, w int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	r = os.NewFile(uintptr(p[0]), "pipe")
	t.Cleanup(func() { r.Close() })
	return r, p[1]
}

// TestRow50BlockedStdout: nobody reads stdout. Records cost what they always
// cost, memory stays at its bound, what does not fit is counted; and when the
// reader comes back, whole lines arrive again.
func TestRow50BlockedStdout(t *testing.T) {
	r, w := blockingPipe(t)
	c := jsonTo("stdout")
	c.Buffer = 256 << 10
	s := openFD(c, w)
	const records = 5000
	begin := time.Now()
	for range records {
		s.L7(fullL7())
		if n := s.pendingBytes(); n > 256<<10 {
			t.Fatalf("%v bytes are pending, the bound is %d", n, 256<<10)
		}
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("%d records took %s: someone waited for the pipe", records, d)
	}
	if n := pool.Live() - s.live; n > 4 {
		t.Errorf("%d batches are held, want at most 4", n)
	}
	if lines, dropped, _ := s.counts(); dropped == 0 || lines+dropped > records {
		t.Errorf("lines %d, dropped %d of %d", lines, dropped, records)
	}
	eventually(t, "the log says that it cannot be written", func() bool {
		return strings.Contains(s.stderr.String(), "the target takes nothing")
	})

	read := make(chan int)
	go func() { read <- checkLines(t, r) }()
	eventually(t, "the backlog is written", func() bool { return s.pendingBytes() == 0 })
	s.L7(fullL7())
	s.close(t)
	unix.Close(w)
	got := <-read
	lines, dropped, errs := s.counts()
	if uint64(got) != lines || lines+dropped != records+1 || errs != 0 {
		t.Errorf("read %d lines, counted %d and dropped %d of %d, errors %d", got, lines, dropped, records+1, errs)
	}
	if out := s.stderr.String(); strings.Count(out, "\n") != 2 || !strings.Contains(out, "written again") {
		t.Errorf("want one warning and one end of it, got\n%s", out)
	}
}

// TestRow50CloseWithBlockedStdout: the end of the process does not wait for a reader.
func TestRow50CloseWithBlockedStdout(t *testing.T) {
	r, w := blockingPipe(t)
	s := openFD(jsonTo("stdout"), w)
	const records = 3000
	for range records {
		s.L7(fullL7())
	}
	begin := time.Now()
	err := s.Close()
	if err == nil || !strings.Contains(err.Error(), "bytes were not taken") {
		t.Errorf("error %v, want one that tells how much was lost", err)
	}
	if d := time.Since(begin); d > 10*closeTimeout {
		t.Errorf("Close took %s", d)
	}
	<-s.done
	s.checkLeft(t)
	unix.Close(w)
	got := checkLines(t, r)
	lines, dropped, _ := s.counts()
	if uint64(got) != lines || lines+dropped != records {
		t.Errorf("read %d lines, counted %d and dropped %d of %d", got, lines, dropped, records)
	}
}

// TestRow50FullDisk: every write fails with ENOSPC.
func TestRow50FullDisk(t *testing.T) {
	s := open(t, jsonTo("/dev/full"))
	const records = 5000
	for range records {
		s.L7(fullL7())
	}
	s.close(t)
	lines, dropped, errs := s.counts()
	if lines != 0 || dropped != records || errs == 0 {
		t.Errorf("lines %d, dropped %d, errors %d; want 0, %d and some", lines, dropped, errs, records)
	}
	if out := s.stderr.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "no space left") {
		t.Errorf("want one warning that names the cause, got\n%s", out)
	}
}

// TestReaderGone: stdout is a pipe whose reader has ended.
func TestReaderGone(t *testing.T) {
	r, w := blockingPipe(t)
	defer unix.Close(w)
	r.Close()
	s := openFD(jsonTo("stdout"), w)
	s.L7(fullL7())
	s.close(t)
	if lines, dropped, errs := s.counts(); lines != 0 || dropped != 1 || errs != 1 {
		t.Errorf("lines %d, dropped %d, errors %d; want 0, 1, 1", lines, dropped, errs)
	}
}

// TestRecovery: a target that failed is tried again with the next batch.
func TestRecovery(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/log"
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	s := open(t, jsonTo(path))
	s.L7(fullL7())
	eventually(t, "the first write fails", func() bool { _, _, errs := s.counts(); return errs == 1 })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	s.L7(fullL7())
	s.close(t)
	if lines, dropped, _ := s.counts(); lines != 1 || dropped != 1 || fileLines(t, path) != 1 {
		t.Errorf("lines %d, dropped %d, want 1 and 1", lines, dropped)
	}
	if out := s.stderr.String(); !strings.Contains(out, "written again") {
		t.Errorf("the end of the failure is not reported:\n%s", out)
	}
}

// TestTornLine: a write that ended inside a line does not spoil the next line.
func TestTornLine(t *testing.T) {
	r, w := blockingPipe(t)
	tg := newTarget(w, false)
	long := append(bytes.Repeat([]byte{'x'}, 6000), '\n')
	n, err := tg.write(long, func(time.Duration) bool { return true })
	if n != pieceSize || !errors.Is(err, errGaveUp) || !tg.torn {
		t.Fatalf("wrote %d, %v, torn %v; want %d, %v, true", n, err, tg.torn, pieceSize, errGaveUp)
	}
	read := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		read <- string(b)
	}()
	n, err = tg.write([]byte("next\n"), func(time.Duration) bool { return false })
	if n != 5 || err != nil || tg.torn {
		t.Errorf("wrote %d, %v, torn %v; want 5, nil, false", n, err, tg.torn)
	}
	unix.Close(w)
	if got := strings.TrimLeft(<-read, "x"); got != "\nnext\n" {
		t.Errorf("after the torn line came %q, want a line of its own", got)
	}
}

func TestPieces(t *testing.T) {
	f := func(paced bool, s string, want int) {
		t.Helper()
		if got := len((&target{paced: paced}).piece([]byte(s))); got != want {
			t.Errorf("%d bytes, paced %v: %d, want %d", len(s), paced, got, want)
		}
	}
	line := strings.Repeat("x", 999) + "\n"
	f(true, "a\nb\n", 4)
	f(true, strings.Repeat(line, 4), 4000)
	f(true, strings.Repeat(line, 10), 4000)
	f(true, strings.Repeat("x", 10000), pieceSize)
	f(false, strings.Repeat(line, 10), 10000)
}

// TestWriterSurvivesAPanic: a bug of ours costs lines, not the log.
func TestWriterSurvivesAPanic(t *testing.T) {
	s := newSetup()
	s.Log = newLog(conf.AccessLog{Path: "stdout"}, s.reg, s.logger())
	broken := &writer{log: s.Log, hand: make([]batch, 0, s.maxBatches)} // without a target
	s.L7(fullL7())
	s.mu.Lock()
	s.full = append(s.full, s.cur, batch{buf: pool.Get(batchSize), n: 1, lines: 1})
	s.cur = batch{}
	s.batches++
	s.pending++
	s.mu.Unlock()
	broken.flush()
	if got := s.reg.Counter(metric.Panics, "accesslog").Load(); got != 1 {
		t.Errorf("%d panics counted, want 1", got)
	}
	if !strings.Contains(s.stderr.String(), "panic in the access log") {
		t.Errorf("the panic is not in the log:\n%s", s.stderr)
	}
	s.checkLeft(t)
	if lines, dropped, _ := s.counts(); lines != 0 || dropped != 2 {
		t.Errorf("lines %d, dropped %d; want 0 and both", lines, dropped)
	}
}
