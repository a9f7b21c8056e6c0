package l7

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"weir/pool/metric"
)

// stall makes c a tunnel and sends into it until nobody takes any more.
func stall(t *testing.T, c *client) {
	t.Helper()
	upgrade(t, c)
	piece := make([]byte, 64<<10)
	for {
		c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Write(piece); err != nil {
			return
		}
	}
}

// newDeaf is an origin that agrees to every WebSocket and reads nothing of it.
func newDeaf(t *testing.T) string {
	quit := make(chan struct{})
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		c.SetReadBuffer(4 << 10)
		readHead(br)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		<-quit
	})
	t.Cleanup(func() { close(quit) })
	return o.addr
}

// TestTunnelStalls: a tunnel in which one side takes nothing is idle too, and ends as
// others do: closing it must not wait for the write that is stuck.
func TestTunnelStalls(t *testing.T) {
	t.Parallel()
	onBoth(t, testTunnelStalls)
}

func testTunnelStalls(t *testing.T, newRig rigMaker) {
	config := strings.Replace(plain, "pool = \"app\"", "pool = \"app\"\ntunnel_idle_timeout = \"1s\"", 1)
	r := newRig(t, config, newDeaf(t))
	stall(t, r.dial())
	r.untilNoTunnel(t)
	if n := r.metrics.Counter(metric.L7Errors, "web", "client", "tunnel_idle_timeout").Load(); n != 1 {
		t.Errorf("%d exchanges are counted as idle tunnels, want 1", n)
	}
}

// TestDrainEndsStalledTunnels: the end of a drain does not wait for it either.
func TestDrainEndsStalledTunnels(t *testing.T) {
	t.Parallel()
	onBoth(t, testDrainEndsStalledTunnels)
}

func testDrainEndsStalledTunnels(t *testing.T, newRig rigMaker) {
	r := newRig(t, plain, newDeaf(t))
	stall(t, r.dial())
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.server.Drain(ctx) }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("the drain was not cut short")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the drain hangs")
	}
}
