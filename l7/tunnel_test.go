package l7

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/pool/metric"
)

// newEcho is an origin that agrees to every WebSocket and sends back what it gets.
func newEcho(t *testing.T) string {
	return newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		io.Copy(c, br)
		c.CloseWrite()
	}).addr
}

const upgradeHead = "GET /socket HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n"

// upgrade makes c a tunnel.
func upgrade(t *testing.T, c *client) {
	t.Helper()
	c.send(upgradeHead)
	res, err := http.ReadResponse(c.br, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v %v, want 101", res, err)
	}
}

// TestTunnelCarriesAll sends pieces of every size both ways at once, ends them with a
// half-close, which may come with the last octets, and compares checksums.
func TestTunnelCarriesAll(t *testing.T) {
	t.Parallel()
	onBoth(t, testTunnelCarriesAll)
}

func testTunnelCarriesAll(t *testing.T, newRig rigMaker) {
	r := newRig(t, plain, newEcho(t))
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			c := r.dial()
			upgrade(t, c)
			random := rand.New(rand.NewPCG(seed, 1))
			sent := sha256.New()
			go func() {
				for range 60 {
					piece := make([]byte, 1<<random.IntN(18))
					for i := range piece {
						piece[i] = byte(random.Uint32())
					}
					sent.Write(piece)
					if _, err := c.Write(piece); err != nil {
						t.Errorf("seed %d: %v", seed, err)
					}
				}
				c.CloseWrite()
			}()
			got := sha256.New()
			if _, err := io.Copy(got, c.br); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			if !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
				t.Errorf("seed %d: what came back is not what was sent", seed)
			}
		})
	}
	wg.Wait()
	eventually(t, "the end of the tunnels", func() bool { return r.metrics.Gauge(metric.L7Tunnels, "web").Load() == 0 })
}

// TestTunnelIdles: a tunnel lives as long as something moves, and ends soon after.
func TestTunnelIdles(t *testing.T) {
	t.Parallel()
	onBoth(t, testTunnelIdles)
}

func testTunnelIdles(t *testing.T, newRig rigMaker) {
	r := newRig(t, strings.Replace(plain, "pool = \"app\"", "pool = \"app\"\ntunnel_idle_timeout = \"1s\"", 1), newEcho(t))
	c := r.dial()
	upgrade(t, c)
	if r.metrics.Gauge(metric.L7Tunnels, "web").Load() != 1 {
		t.Error("the open tunnel is not counted")
	}
	b := make([]byte, 4)
	for range 15 {
		c.send("ping")
		if _, err := io.ReadFull(c.br, b); err != nil {
			t.Fatalf("while it is used: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	began := time.Now()
	if n, err := c.br.Read(b); err == nil {
		t.Errorf("got %d octets, want an end", n)
	}
	if quiet := time.Since(began); quiet < 500*time.Millisecond {
		t.Errorf("it ended after %v", quiet)
	}
	eventually(t, "the reason", func() bool {
		return r.metrics.Counter(metric.L7Errors, "web", "client", "tunnel_idle_timeout").Load() == 1
	})
}

// TestTunnelReset: a client that resets ends the backend's side too.
func TestTunnelReset(t *testing.T) {
	t.Parallel()
	onBoth(t, testTunnelReset)
}

func testTunnelReset(t *testing.T, newRig rigMaker) {
	ended := make(chan error, 1)
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		_, err := br.ReadByte()
		ended <- err
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	upgrade(t, c)
	c.SetLinger(0)
	c.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the backend got an octet, want an end")
		}
	case <-time.After(20 * time.Second):
		t.Error("the backend's side is still open")
	}
}
