package loop

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newLoop starts a loop; its log can be read once the test has stopped it.
func newLoop(t *testing.T) (*Loop, *bytes.Buffer) {
	t.Helper()
	before := openFDs(t)
	var log bytes.Buffer
	l, err := New(slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		if after := openFDs(t); after > before {
			t.Errorf("%d descriptors leaked", after-before)
		}
	})
	return l, &log
}

func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// on runs f on the loop and waits for it.
func on(t *testing.T, l *Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Do(func() { defer close(done); f() }) {
		t.Fatal("the loop has ended")
	}
	<-done
}

func pair(t *testing.T) (int, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

type handler struct {
	ready func(fd int, ev Events)
	abort func()
}

func (h *handler) Ready(fd int, ev Events) { h.ready(fd, ev) }
func (h *handler) Abort()                  { h.abort() }
func (h *handler) Expire(*Timer)           { h.ready(-1, 0) }

func TestLoopReportsChangesOnce(t *testing.T) {
	l, _ := newLoop(t)
	a, b := pair(t)
	events := make(chan Events, 10)
	h := &handler{ready: func(_ int, ev Events) { events <- ev }}
	on(t, l, func() {
		if err := l.Watch(a, h); err != nil {
			t.Error(err)
		}
	})
	if ev := <-events; !ev.Writable() || ev.Readable() || ev.Failed() {
		t.Errorf("first event %#x, want writable", ev)
	}
	unix.Write(b, []byte("x"))
	if ev := <-events; !ev.Readable() || ev.ReadToEnd() {
		t.Errorf("bytes: event %#x, want readable", ev)
	}
	on(t, l, func() { l.Again(a) })
	if ev := <-events; !ev.Readable() {
		t.Errorf("again: event %#x, want readable", ev)
	}
	unix.Shutdown(b, unix.SHUT_WR)
	if ev := <-events; !ev.ReadToEnd() {
		t.Errorf("end: event %#x, want an end", ev)
	}
	if n := l.Stats().Watched.Load(); n != 1 {
		t.Errorf("watched %d, want 1", n)
	}
	on(t, l, func() { l.Release(a) })
	unix.Write(b, []byte("y"))
	unix.Close(b)
	on(t, l, func() {})
	if len(events) != 0 {
		t.Errorf("event %#x after Release", <-events)
	}
	unix.Close(a)
}

func TestLoopPanicClosesOnlyItsHandler(t *testing.T) {
	l, log := newLoop(t)
	a, b := pair(t)
	aborted := make(chan struct{})
	bad := &handler{ready: func(int, Events) { panic("a bug") }}
	bad.abort = func() { l.CloseFD(a); close(aborted) }
	on(t, l, func() { l.Watch(a, bad) })
	<-aborted
	if n, err := unix.Read(b, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("peer reads %d, %v, want the end", n, err)
	}
	unix.Close(b)

	expired := make(chan struct{})
	on(t, l, func() {
		l.Arm(&Timer{}, 0, &handler{ready: bad.ready, abort: func() { panic("a bug in Abort") }})
		l.Arm(&Timer{}, 2*tick, &handler{ready: func(int, Events) { close(expired) }})
		l.Do(func() { panic("a bug in a task") })
	})
	<-expired
	on(t, l, func() {})
	if n := l.Stats().Panics.Load(); n != 4 {
		t.Errorf("panics: %d, want 4", n)
	}
	l.Close()
	for _, want := range []string{"a bug", "a bug in Abort", "a bug in a task", "loop_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

func TestLoopTimers(t *testing.T) {
	l, _ := newLoop(t)
	var mu sync.Mutex
	var order []int
	done := make(chan struct{})
	start := time.Now()
	arm := func(tm *Timer, n int, d time.Duration) {
		l.Arm(tm, d, &handler{ready: func(int, Events) {
			mu.Lock()
			defer mu.Unlock()
			if since := time.Since(start); since < d {
				t.Errorf("timer of %s fired after %s", d, since)
			}
			if order = append(order, n); n == 3 {
				close(done)
			}
		}})
	}
	timers := make([]Timer, 5)
	on(t, l, func() {
		arm(&timers[3], 3, 90*time.Millisecond)
		arm(&timers[1], 1, 10*time.Millisecond)
		arm(&timers[2], 2, 50*time.Millisecond)
		arm(&timers[4], 4, 30*time.Millisecond)
		l.Disarm(&timers[4])
		l.Disarm(&timers[4])
		arm(&timers[0], 9, time.Hour)
	})
	<-done
	mu.Lock()
	defer mu.Unlock()
	if len(order) != 3 || order[0] != 1 || order[1] != 2 {
		t.Errorf("order %v, want 1 2 3", order)
	}
}

func TestLoopDoAfterClose(t *testing.T) {
	l, _ := newLoop(t)
	l.Close()
	if l.Do(func() { t.Error("ran after Close") }) {
		t.Error("Do reports that it runs")
	}
	l.Close() // harmless
}

func TestLoopDoFromManyGoroutines(t *testing.T) {
	l, _ := newLoop(t)
	var wg sync.WaitGroup
	n := 0 // touched on the loop only
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				l.Do(func() { n++ })
			}
		})
	}
	wg.Wait()
	on(t, l, func() {
		if n != 8000 {
			t.Errorf("%d of 8000 ran", n)
		}
	})
}

// listen opens a listening socket on loopback and gives its address too.
func listen(t *testing.T) (int, unix.Sockaddr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	if err := unix.Listen(fd, 128); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, sa
}

func TestListenerAcceptsAndDrainsOnClose(t *testing.T) {
	l, _ := newLoop(t)
	fd, sa := listen(t)
	accepted := make(chan netip.AddrPort, 10)
	var ln *Listener
	on(t, l, func() {
		var err error
		ln, err = l.Listen(fd, func(fd int, peer netip.AddrPort) {
			if LocalAddr(fd).Port() != uint16(sa.(*unix.SockaddrInet4).Port) {
				t.Errorf("local address %s", LocalAddr(fd))
			}
			unix.Close(fd)
			accepted <- peer
		})
		if err != nil {
			t.Error(err)
		}
	})
	c := dialBlocking(t, sa)
	if peer := <-accepted; !peer.Addr().IsLoopback() || peer.Port() == 0 {
		t.Errorf("peer %s", peer)
	}
	unix.Close(c)
	on(t, l, func() {
		for range 3 {
			defer unix.Close(dialBlocking(t, sa)) // waits in the queue: the loop is busy here
		}
		ln.Close()
		ln.Close()
	})
	if n := len(accepted); n != 3 {
		t.Errorf("%d of 3 waiting connections were accepted", n)
	}
}

func TestListenerPanicClosesTheConnection(t *testing.T) {
	l, _ := newLoop(t)
	fd, sa := listen(t)
	var ln *Listener
	on(t, l, func() { ln, _ = l.Listen(fd, func(int, netip.AddrPort) { panic("a bug") }) })
	for range 3 {
		c := dialBlocking(t, sa)
		if n, err := unix.Read(c, make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("client reads %d, %v, want the end", n, err)
		}
		unix.Close(c)
	}
	on(t, l, func() { ln.Close() })
}

func dialBlocking(t *testing.T, sa unix.Sockaddr) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, sa); err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestDial(t *testing.T) {
	l, _ := newLoop(t)
	dial := func(sa unix.Sockaddr) error {
		result := make(chan error, 1)
		on(t, l, func() {
			fd, connected, err := l.Dial(sa, NoDelay{})
			if err != nil || connected {
				if fd >= 0 {
					unix.Close(fd)
				}
				result <- err
				return
			}
			var h handler
			h.abort = func() {}
			h.ready = func(fd int, _ Events) {
				connected, err := l.Dialed(fd, sa)
				if connected || err != nil {
					l.CloseFD(fd)
					result <- err
				}
			}
			if err := l.Watch(fd, &h); err != nil {
				t.Error(err)
			}
			h.ready(fd, 0) // a stale event: must not count as connected while it is not
		})
		return <-result
	}
	fd, sa := listen(t)
	if err := dial(sa); err != nil {
		t.Errorf("open port: %v", err)
	}
	unix.Close(fd)
	if err := dial(sa); err != unix.ECONNREFUSED {
		t.Errorf("closed port: %v, want ECONNREFUSED", err)
	}
	if err := dial(&unix.SockaddrUnix{Name: t.TempDir() + "/none"}); err != unix.ENOENT {
		t.Errorf("no such socket: %v, want ENOENT", err)
	}
}

// A socket that the kernel gave the very port that it connects to meets itself.
func TestDialedRefusesItself(t *testing.T) {
	l, _ := newLoop(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	self := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(fd, self); err != nil {
		t.Fatal(err)
	}
	self.Port = int(LocalAddr(fd).Port())
	if err := unix.Connect(fd, self); err != nil {
		t.Fatal(err)
	}
	on(t, l, func() {
		if ok, err := l.Dialed(fd, self); ok || err != unix.ECONNREFUSED {
			t.Errorf("got %v, %v, want a refused connection", ok, err)
		}
	})
}

func TestDialedIsNotFooledByAStaleEvent(t *testing.T) {
	l, _ := newLoop(t)
	fd, sa := fullBacklog(t)
	defer unix.Close(fd)
	on(t, l, func() {
		c, connected, err := l.Dial(sa, NoDelay{})
		if err != nil || connected {
			t.Fatalf("dial: connected %v, %v", connected, err)
		}
		defer unix.Close(c)
		if connected, err := l.Dialed(c, sa); connected || err != nil {
			t.Errorf("connected %v, %v, want neither", connected, err)
		}
	})
}

// fullBacklog is a listener that answers no SYN any more, as a black hole does.
func fullBacklog(t *testing.T) (int, unix.Sockaddr) {
	t.Helper()
	fd, sa := listen(t)
	unix.Listen(fd, 0)
	for range 2 {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Connect(c, sa)
		t.Cleanup(func() { unix.Close(c) })
	}
	return fd, sa
}
