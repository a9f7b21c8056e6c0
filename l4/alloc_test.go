package l4

import (
	"io"
	"net"
	"runtime"
	"testing"
	"unsafe"

	"weir/conf"
	"weir/pool"
)

// mallocs counts the allocations of the process while f runs.
func mallocs(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// TestSessionSize: the runtime hands out memory in size classes, and the one above 704
// bytes is 768. At 100,000 sessions the step costs 6 MB.
func TestSessionSize(t *testing.T) {
	if got := unsafe.Sizeof(session{}); got > 704 {
		t.Errorf("a session takes %d bytes, more than the size class of 704", got)
	}
}

func TestAllocationsPerMessage(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are not counted under the race detector")
		return
	}
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin(t, func(c *net.TCPConn) {
		b := make([]byte, 1024)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			c.Write(b[:n])
		}
	})))
	c := dial(t, w.simple(conf.L4{}))
	b := make([]byte, 64)
	messages := func(n int) func() {
		return func() {
			for range n {
				c.Write(b)
				io.ReadFull(c, b)
			}
		}
	}
	mallocs(messages(1000))
	const n = 10000
	if got := mallocs(messages(n)); got > n/100 {
		t.Errorf("%d allocations for %d messages, want 0 each", got, n)
	}
}

// TestAllocationsPerHeldPiece sends more than the client takes at once, so that
// buffers come and go.
func TestAllocationsPerHeldPiece(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are not counted under the race detector")
		return
	}
	pool.Track(false)
	defer pool.Track(true)
	size := int64(256 << 20)
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin(t, func(c *net.TCPConn) {
		b := make([]byte, 256<<10)
		c.Read(b[:1])
		for sent := int64(0); sent < size; sent += int64(len(b)) {
			c.Write(b)
		}
	})))
	c := dial(t, w.simple(conf.L4{}))
	b := make([]byte, 32<<10)
	send(t, c, "x")
	io.ReadFull(c, b)
	got := mallocs(func() {
		for n := int64(len(b)); n < size; n += int64(len(b)) {
			io.ReadFull(c, b)
		}
	})
	if got > 200 {
		t.Errorf("%d allocations for %d bytes", got, size)
	}
}

// TestAllocationsPerSession allows none of its own; what is left is the test's.
func TestAllocationsPerSession(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are not counted under the race detector")
		return
	}
	direct := origin(t, echo)
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", direct))
	addr := w.simple(conf.L4{})
	sessions := func(to string, n int) func() {
		return func() {
			for range n {
				c, err := net.Dial("tcp", to)
				if err != nil {
					t.Error(err)
					return
				}
				c.Write([]byte("x"))
				c.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, c)
				c.Close()
			}
		}
	}
	const n = 500
	mallocs(sessions(addr, n))
	mallocs(sessions(direct, n))
	plain, proxied := mallocs(sessions(direct, n)), mallocs(sessions(addr, n))
	if extra := int64(proxied) - int64(plain); extra > n/2 {
		t.Errorf("%d allocations for %d sessions beyond the test's own, want 0 each", extra, n)
	}
}
