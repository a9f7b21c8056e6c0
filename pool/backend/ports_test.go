package backend

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"weir/conf"
	"weir/pool/metric"
)

func TestOutOfPorts(t *testing.T) {
	f := func(err error, ports, starves bool) {
		t.Helper()
		if OutOfPorts(err) != ports || starved(err) != starves {
			t.Errorf("%v: out of ports %t, starved %t, want %t, %t", err, OutOfPorts(err), starved(err), ports, starves)
		}
	}
	op := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	f(nil, false, false)
	f(op(unix.EADDRNOTAVAIL), true, true)
	f(unix.EADDRNOTAVAIL, true, true)
	f(&SocketError{Key: "source", Err: unix.EADDRNOTAVAIL}, false, false) // the configured address is gone
	f(op(unix.EMFILE), false, true)
	f(op(unix.ENOBUFS), false, true)
	f(op(unix.ECONNREFUSED), false, false)
	f(context.DeadlineExceeded, false, false)
}

// starvedProber has no port for any check.
type starvedProber struct{}

func (starvedProber) check(context.Context, *Endpoint) (finding, error) {
	return finding{}, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", unix.EADDRNOTAVAIL)}
}
func (starvedProber) probe(context.Context, *Endpoint) error { return unix.EADDRNOTAVAIL }

// syncBuffer is a log that a test reads while it grows.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.b.String(), text)
}

// Checks that this machine has no port for take no server out, are counted by
// themselves, and do not fill the log.
func TestRow26_ChecksWithoutPorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, m := new(syncBuffer), metric.New()
		r := New(Options{Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: m})
		defer r.Close()
		r.prober = starvedProber{}
		p := conf.Pool{
			Name: "p", Balance: "round_robin",
			Servers: []conf.Server{{Addr: conf.Addr{Network: "tcp", Host: "127.0.0.1", Port: 1}, Weight: 1}},
			Health:  conf.Health{Type: "tcp", Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1},
		}
		s, err := r.Prepare(t.Context(), []conf.Pool{p}, conf.DNS{})
		if err != nil {
			t.Fatal(err)
		}
		r.Commit(s)
		g := r.Group("p")
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if _, err := g.Pick(new(Query)); err != nil {
			t.Errorf("the server is out: %v", err)
		}
		if n := m.Counter(metric.BackendChecks, "p", "127.0.0.1:1", "local").Load(); n < 20 {
			t.Errorf("%d checks were counted as ours, want about 25", n)
		}
		if n := m.Counter(metric.BackendNoPorts, "p").Load(); n < 20 {
			t.Errorf("%d connects without a port, want about 25", n)
		}
		if n := log.count("no local port is left"); n < 2 || n > 4 {
			t.Errorf("logged %d times in 25 s, want 3", n)
		}
	})
}

// What is not Weir's own is not counted as such.
func TestConnectFailed(t *testing.T) {
	m := metric.New()
	r := New(Options{Metrics: m})
	defer r.Close()
	g := newGroup(r, &conf.Pool{Name: "p"})
	for _, err := range []error{nil, unix.ECONNREFUSED, errors.New("what"), &SocketError{Key: "mark", Err: unix.EPERM}} {
		g.ConnectFailed(err)
	}
	if n := m.Counter(metric.BackendNoPorts, "p").Load(); n != 0 {
		t.Errorf("%d connects without a port, want none", n)
	}
	if n := m.Counter(metric.BackendSocketFailures, "p", "mark").Load(); n != 1 {
		t.Errorf("%d socket options failed, want 1", n)
	}
}
