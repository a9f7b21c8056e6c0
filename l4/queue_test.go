package l4

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/conf"
	"weir/pool/metric"
)

// crowded is a pool of one server that takes conns sessions at a time.
func crowded(conns, queue int, wait time.Duration, server string) conf.Pool {
	p := poolOf("p", server)
	p.Servers[0].MaxConns = conns
	p.Queue, p.QueueTimeout = queue, wait
	return p
}

// turnedAway connects to addr and checks that the connection is closed without a
// byte; its reset may be there before connect(2) has returned.
func turnedAway(t *testing.T, addr string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 || os.IsTimeout(err) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func (w *world) queued(n int64) {
	w.t.Helper()
	w.until(fmt.Sprintf("%d sessions are in the queue", n), func() bool {
		return w.metrics.Gauge(metric.BackendQueued, "p").Load() == n
	})
}

// Sessions beyond max_conns wait and are served in the order they came, with all
// they sent meanwhile.
func TestRow17_QueueServesInOrder(t *testing.T) {
	var mu sync.Mutex
	var order []string
	server := origin(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c)
		mu.Lock()
		order = append(order, string(b))
		mu.Unlock()
		c.Write(b)
	})
	w := newWorld(t, worldOptions{}, crowded(1, 10, patience, server))
	addr := w.simple(conf.L4{})
	first := dial(t, addr)
	w.until("the first has the slot", func() bool { return w.reg.Group("p").Members()[0].InFlight() == 1 })
	var clients []*net.TCPConn
	var wanted []string
	for i := range 5 {
		c := dial(t, addr)
		w.queued(int64(i + 1))
		send(t, c, fmt.Sprint("client ", i))
		c.CloseWrite() // a half-close is no leaving
		clients, wanted = append(clients, c), append(wanted, fmt.Sprint("client ", i))
	}
	send(t, first, "first")
	first.CloseWrite()
	wantEnd(t, first, "first")
	for i, c := range clients {
		wantEnd(t, c, wanted[i])
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(order[1:], ","); got != strings.Join(wanted, ",") {
		t.Errorf("served in the order %s", got)
	}
	w.queued(0)
}

// The queue has an end: those beyond it are closed at once, those in it after
// queue_timeout, and both say why.
func TestRow17_QueueIsBounded(t *testing.T) {
	w := newWorld(t, worldOptions{}, crowded(1, 1, time.Second, origin(t, echo)))
	addr := w.simple(conf.L4{})
	first := dial(t, addr)
	send(t, first, "x")
	want(t, first, "x")
	second := dial(t, addr)
	w.queued(1)
	turnedAway(t, addr)
	w.closed(reasonQueueFull)
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("the second was served")
	}
	w.closed(reasonQueueTimeout)
	send(t, first, "still here")
	want(t, first, "still here")
}

// A client that leaves frees its place, by an RST or, before it said anything, a FIN.
func TestQueueClientLeaves(t *testing.T) {
	w := newWorld(t, worldOptions{}, crowded(1, 1, patience, origin(t, echo)))
	addr := w.simple(conf.L4{})
	first := dial(t, addr)
	send(t, first, "x")
	want(t, first, "x")
	c := dial(t, addr)
	w.queued(1)
	c.Close()
	w.closed(reasonQueueLeft)
	c = dial(t, addr)
	w.queued(1)
	c.SetLinger(0)
	c.Close()
	w.closed(reasonClientReset)
	c = dial(t, addr)
	w.queued(1)
	first.Close()
	send(t, c, "y")
	want(t, c, "y")
}

// A queue whose sessions all belong to a server that drains ends with it.
func TestQueueEndsWithTheServer(t *testing.T) {
	w := newWorld(t, worldOptions{}, crowded(1, 10, patience, origin(t, echo)))
	addr := w.simple(conf.L4{})
	first := dial(t, addr)
	send(t, first, "x")
	want(t, first, "x")
	c := dial(t, addr)
	w.queued(1)
	first.Close()
	send(t, c, "y")
	want(t, c, "y")
	second := dial(t, addr)
	w.queued(1)
	w.srv.Close()
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("served by a server that ended")
	}
}

// Clients that come, wait, and leave at random on all loops: every one that is served
// gets what it sent, and nothing is left over.
func TestQueueUnderLoad(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 4}, crowded(2, 8, patience, origin(t, echo)))
	addr := w.simple(conf.L4{})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for j := range 25 {
				c, err := net.DialTimeout("tcp", addr, patience)
				if err != nil {
					continue // turned away before connect(2) returned
				}
				c.SetDeadline(time.Now().Add(patience))
				text := fmt.Sprint(i, " ", j)
				io.WriteString(c, text)
				if (i+j)%5 == 0 {
					c.(*net.TCPConn).SetLinger(0)
					c.Close()
					continue
				}
				got := make([]byte, len(text))
				if n, err := io.ReadFull(c, got); err == nil && string(got) != text || err != nil && n > 0 {
					t.Errorf("got %q, %v, want %q", got[:n], err, text)
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	w.until("all sessions ended", func() bool { return w.srv.Sessions() == 0 })
	if n := w.closedCount(reasonQueueTimeout) + w.closedCount(reasonInternal); n != 0 {
		t.Errorf("%d sessions waited in vain", n)
	}
	w.queued(0)
}

// What the queue took is in the access log and in the histogram.
func TestQueueTimeIsShown(t *testing.T) {
	w := newWorld(t, worldOptions{}, crowded(1, 10, patience, origin(t, echo)))
	addr := w.simple(conf.L4{})
	first := dial(t, addr)
	send(t, first, "x")
	want(t, first, "x")
	c := dial(t, addr)
	w.queued(1)
	first.Close()
	send(t, c, "y")
	want(t, c, "y")
	var text strings.Builder
	w.metrics.WritePrometheus(&text)
	for _, line := range []string{`weir_backend_queue_seconds_count{pool="p"} 1`, `weir_backend_queued{pool="p"} 0`} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("no %s in the metrics", line)
		}
	}
}

// connect_tries bounds how many servers one session tries.
func TestConnectTries(t *testing.T) {
	p := poolOf("p", closedAddr(t), closedAddr(t), closedAddr(t), origin(t, echo))
	p.ConnectTries = 2
	p.Ejection.Enabled = false
	w := newWorld(t, worldOptions{}, p)
	turnedAway(t, w.simple(conf.L4{}))
	w.closed(reasonConnectFailed)
	if n := w.metrics.Counter(metric.L4ConnectFailures, "p", "refused").Load(); n != 2 {
		t.Errorf("%d servers were tried, want 2", n)
	}
}

// connect_total_timeout bounds all tries together.
func TestConnectTotal(t *testing.T) {
	p := poolOf("p", blackHole(t), blackHole(t), blackHole(t), origin(t, greeter("late")))
	p.ConnectTimeout, p.ConnectTotal = 200*time.Millisecond, 300*time.Millisecond
	w := newWorld(t, worldOptions{}, p)
	turnedAway(t, w.simple(conf.L4{}))
	w.closed(reasonConnectFailed)
	if n := w.metrics.Counter(metric.L4ConnectFailures, "p", "connect_timeout").Load(); n > 2 {
		t.Errorf("%d servers were tried, want 2 at most", n)
	}
}
