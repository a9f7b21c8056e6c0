package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listening is the Watcher of a raw Conn, and notes what it is told.
type listening struct {
	told  int
	ended bool
}

func (w *listening) Ready(ev Events) {
	w.told++
	w.ended = w.ended || ev&Ended != 0
}

func (w *listening) Abort() {}

// rawPair is a raw Conn and the descriptor of its peer.
func rawPair(t *testing.T, l *Loop) (*Conn, int, *listening) {
	t.Helper()
	ours, peer := pair(t)
	w := new(listening)
	var c *Conn
	on(t, l, func() {
		var err error
		if c, err = l.Raw(Handover{FD: ours}, w); err != nil {
			t.Error(err)
		}
	})
	if c == nil {
		t.FailNow()
	}
	return c, peer, w
}

// has reads what a descriptor has got by now.
func has(t *testing.T, fd int) string {
	t.Helper()
	var all []byte
	b := make([]byte, 64<<10)
	for {
		n, errno := Read(fd, b)
		if errno == unix.EAGAIN || errno == 0 && n == 0 {
			return string(all)
		}
		if errno != 0 {
			t.Fatalf("read: %v", errno)
		}
		all = append(all, b[:n]...)
	}
}

// TestSmallWritesArePutOff: to the end of the round, or until there are many of them, and
// never behind what was written later.
func TestSmallWritesArePutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("file"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l, _ := newLoop(t)
	a, peerA, _ := rawPair(t, l)
	b, peerB, _ := rawPair(t, l)
	write := func(c *Conn, p string) {
		if n, err := c.Write([]byte(p)); n != len(p) || err != nil {
			t.Errorf("wrote %d of %d: %v", n, len(p), err)
		}
	}
	on(t, l, func() {
		write(a, "one ")
		write(b, "other")
		write(a, "two ")
		if got := has(t, peerA) + has(t, peerB); got != "" {
			t.Errorf("written at once: %q", got)
		}
	})
	on(t, l, func() { // another round
		if got := has(t, peerA) + "|" + has(t, peerB); got != "one two |other" {
			t.Errorf("the round has sent %q", got)
		}
		large := strings.Repeat("x", PutOffMost+1)
		write(a, "small ")
		write(a, large)
		if got := has(t, peerA); got != "small "+large {
			t.Errorf("a large write sent %d octets: %.10q", len(got), got)
		}
		write(a, "small ")
		if _, err := a.SendFile([]byte("head "), file, 0, 4); err != nil {
			t.Error(err)
		}
		if got := has(t, peerA); got != "small head file" {
			t.Errorf("a file sent %q", got)
		}
		write(a, "small ")
		if _, err := a.Writev([][]byte{[]byte("v"), []byte("w")}); err != nil {
			t.Error(err)
		}
		if got := has(t, peerA); got != "small vw" {
			t.Errorf("a vector sent %q", got)
		}
		if n := a.Taken(); n != uint64(len("one two small vwsmall small head file")+len(large)) {
			t.Errorf("taken: %d", n)
		}
		for range putOffCount / 2 {
			write(a, "m")
			write(b, "n")
		}
		if got := has(t, peerA); got != strings.Repeat("m", putOffCount/2) {
			t.Errorf("of many writes %q was sent", got)
		}
		write(a, "shut")
		if err := a.CloseWrite(); err != nil {
			t.Error(err)
		}
		if got := has(t, peerA); !strings.HasSuffix(got, "shut") {
			t.Errorf("the end was sent behind %q", got)
		}
		write(b, "last")
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if got := has(t, peerB); !strings.HasSuffix(got, "last") {
			t.Errorf("it was closed behind %q", got)
		}
		_ = a.Close()
	})
	CloseSocket(peerA)
	CloseSocket(peerB)
}

// TestPutOffGoesAlong with a Conn that leaves its loop.
func TestPutOffGoesAlong(t *testing.T) {
	l, _ := newLoop(t)
	a, peerA, _ := rawPair(t, l)
	b, peerB, _ := rawPair(t, l)
	on(t, l, func() {
		_, _ = a.Write([]byte("promoted"))
		if err := a.Promote(); err != nil {
			t.Error(err)
		}
		_, _ = b.Write([]byte("surrendered"))
		CloseSocket(b.Surrender().FD)
		if got := has(t, peerA) + " " + has(t, peerB); got != "promoted surrendered" {
			t.Errorf("sent: %q", got)
		}
	})
	_ = a.Close()
	CloseSocket(peerA)
	CloseSocket(peerB)
}

// TestPutOffThatFails is an error of the next Read and Write, and the Watcher is told.
func TestPutOffThatFails(t *testing.T) {
	l, _ := newLoop(t)
	c, peer, w := rawPair(t, l)
	on(t, l, func() {
		Reset(peer)
		if _, err := c.Write([]byte("lost")); err != nil {
			t.Error(err)
		}
		before := w.told
		if n := c.Taken(); n != 0 || w.told != before {
			t.Errorf("taken: %d; told in the callback: %v", n, w.told != before)
		}
	})
	on(t, l, func() {
		if !w.ended {
			t.Error("the watcher was not told")
		}
		if _, err := c.Write([]byte("more")); err == nil || !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
			t.Errorf("the next write: %v", err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF || err == ErrAgain {
			t.Errorf("an orderly end after a lost connection: %v", err)
		}
		if err := c.Promote(); err != nil {
			t.Error(err)
		}
		if err := c.Settle(); err == nil {
			t.Error("it was settled")
		}
	})
	if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("an orderly end for the goroutine: %v", err)
	}
	_ = c.Close()
}

// TestPutOffThatIsNotTaken becomes the backlog, which a goroutine settles.
func TestPutOffThatIsNotTaken(t *testing.T) {
	l, _ := newLoop(t)
	c, peer, w := rawPair(t, l)
	var want bytes.Buffer
	on(t, l, func() {
		full := bytes.Repeat([]byte("f"), 64<<10)
		for {
			n, errno := Write(c.own.fd, full)
			if errno != 0 {
				break
			}
			want.Write(full[:n])
		}
		for _, p := range []string{"late", strings.Repeat("L", PutOffMost+1), "later"} {
			if _, err := c.Write([]byte(p)); err != nil {
				t.Error(err)
			}
			want.WriteString(p)
		}
		if !c.Backlogged() {
			t.Error("a full socket has taken it")
		}
	})
	on(t, l, func() {
		if w.told == 0 {
			t.Error("the watcher was not told")
		}
		if err := c.Promote(); err != nil {
			t.Error(err)
		}
	})
	done := make(chan error, 1)
	go func() {
		err := c.Settle()
		_ = c.Close()
		done <- err
	}()
	var got bytes.Buffer
	b := make([]byte, 64<<10)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		n, errno := Read(peer, b)
		if errno == unix.EAGAIN {
			time.Sleep(time.Millisecond)
			continue
		}
		if n <= 0 {
			break
		}
		got.Write(b[:n])
	}
	CloseSocket(peer)
	if err := <-done; err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("got %d octets, want %d: %v", got.Len(), want.Len(), err)
	}
}

// TestRawDeadlinesAreSeenByRead, as nothing waits.
func TestRawDeadlinesAreSeenByRead(t *testing.T) {
	l, _ := newLoop(t)
	c, peer, _ := rawPair(t, l)
	on(t, l, func() {
		b := make([]byte, 8)
		if _, err := c.Read(b); err != ErrAgain {
			t.Errorf("nothing to read: %v", err)
		}
		_ = c.SetReadDeadline(c.Now().Add(-time.Second))
		if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) || !c.Expired(c.Now()) {
			t.Errorf("behind the deadline: %v", err)
		}
		if _, errno := Write(peer, []byte("x")); errno != 0 {
			t.Error(errno)
		}
	})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		var n int
		on(t, l, func() { n, _ = c.Read(make([]byte, 8)) })
		if n == 1 { // what is there is read, whatever the deadline
			break
		}
	}
	on(t, l, func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != net.ErrClosed {
			t.Errorf("closed twice: %v", err)
		}
	})
	CloseSocket(peer)
}

// TestLoopTime is the time of day, and moves.
func TestLoopTime(t *testing.T) {
	l, _ := newLoop(t)
	var first, second time.Time
	on(t, l, func() { first = l.Time() })
	time.Sleep(3 * time.Millisecond)
	on(t, l, func() { second = l.Time() })
	if d := second.Sub(first); d < 3*time.Millisecond {
		t.Errorf("in 3 ms it has moved by %s", d)
	}
	if off := time.Since(second).Abs(); off > time.Minute {
		t.Errorf("it is off by %s", off)
	}
}

// TestPutOffAllocations: none.
func TestPutOffAllocations(t *testing.T) {
	if raceEnabled {
		return // counts are not those of a real build
	}
	l, _ := newLoop(t)
	c, peer, _ := rawPair(t, l)
	p, b := []byte("GET / HTTP/1.1\r\n\r\n"), make([]byte, 4<<10)
	on(t, l, func() {
		if n := testing.AllocsPerRun(100, func() {
			_, _ = c.Write(p)
			l.CatchUp()
			_, _ = Read(peer, b)
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
		_ = c.Close()
	})
	CloseSocket(peer)
}
