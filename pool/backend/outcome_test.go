package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestClassify(t *testing.T) {
	f := func(err error, want Outcome) {
		t.Helper()
		if got := Classify(err); got != want {
			t.Errorf("%v: got %v, want %v", err, got, want)
		}
		if err == nil {
			return
		}
		if got := Classify(fmt.Errorf("cannot connect: %w", err)); got != want {
			t.Errorf("%v, wrapped: got %v, want %v", err, got, want)
		}
	}
	op := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	f(nil, Connected)
	f(op(unix.ECONNREFUSED), Refused)
	f(op(unix.EHOSTUNREACH), Refused)
	f(op(unix.ENETUNREACH), Refused)
	f(op(unix.ENOENT), Refused)
	f(op(unix.ETIMEDOUT), ConnectTimeout)
	f(op(unix.EAGAIN), ConnectTimeout)
	f(op(unix.EADDRNOTAVAIL), LocalError)
	f(op(unix.EMFILE), LocalError)
	f(op(unix.ENFILE), LocalError)
	f(op(unix.ENOBUFS), LocalError)
	f(op(unix.EPERM), LocalError)
	f(op(unix.ECONNRESET), Reset)
	f(unix.ECONNREFUSED, Refused)
	f(context.Canceled, LocalError)
	f(context.DeadlineExceeded, ConnectTimeout)
	f(os.ErrDeadlineExceeded, ConnectTimeout)
	f(&net.DNSError{IsTimeout: true}, ConnectTimeout)
	f(net.ErrClosed, LocalError)
	f(errors.New("what"), Reset)
}

func TestWords(t *testing.T) {
	f := func(got fmt.Stringer, want string) {
		t.Helper()
		if got.String() != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(Connected, "connected")
	f(Success, "success")
	f(Refused, "refused")
	f(ConnectTimeout, "connect_timeout")
	f(Reset, "reset")
	f(Timeout, "timeout")
	f(ServerError, "server_error")
	f(LocalError, "local_error")
	f(Outcome(0), "unknown")
	f(StateHealthy, "healthy")
	f(StateDegraded, "degraded")
	f(StateEjected, "ejected")
	f(StateDown, "down")
	f(State(9), "unknown")
}

func TestRetryBudget(t *testing.T) {
	var b budget
	now := time.Unix(1_000_000, 0)
	// attempt sends requests that all fail and want a retry; it returns the retries.
	attempt := func(requests int) int {
		n := 0
		for range requests {
			b.requests.Add(1)
			if b.allow(now) {
				n++
			}
		}
		return n
	}
	f := func(what string, got, low, high int) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s: %d retries, want %d to %d", what, got, low, high)
		}
	}
	f("few requests have the floor", attempt(8), 8, 8)
	f("then a fifth", attempt(992), 180, 192)
	now = now.Add(time.Second)
	total := 0
	for range 20 {
		total += attempt(1000)
		now = now.Add(time.Second)
	}
	f("1000 a second for 20 s", total, 3900, 4000)
	now = now.Add(time.Hour)
	f("after an hour without requests", attempt(100), 10, 20)

	// Requests that went well leave room, but not for longer than the window.
	b.requests.Add(10_000)
	f("after 10000 good ones", attempt(3000), 2000, 2700)
	now = now.Add(11 * time.Second)
	f("they are forgotten", attempt(50), 10, 10)

	// Requests between two calls are spread over the time between them.
	b.requests.Add(100_000)
	now = now.Add(100 * time.Second)
	f("1000 a second, 100 s", attempt(3000), 2000, 2600)

	now = now.Add(-time.Hour)
	f("the clock steps back", attempt(10), 0, 10)
}

// Row 15: when everything fails at a constant rate, attempts stay within 1.2 of the requests.
func TestRetryBudgetOfGroup(t *testing.T) {
	g := group(t, testPool("p", "", servers(1)))
	retries := 0
	for range 5000 {
		g.RequestStarted()
		if g.AllowRetry() {
			retries++
		}
	}
	if retries > 1000+budgetFloor || retries < 900 {
		t.Errorf("%d retries of 5000 requests", retries)
	}
}
