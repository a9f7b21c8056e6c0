package l7

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/conf"
	"weir/pool/accesslog"
	"weir/pool/metric"
)

// onBoth runs a test of tunnels twice: as goroutines relay them, and as loops do.
func onBoth(t *testing.T, f func(t *testing.T, newRig rigMaker)) {
	t.Helper()
	t.Run("goroutines", func(t *testing.T) { f(t, newRig) })
	t.Run("loop", func(t *testing.T) { f(t, newLoopRig) })
}

type rigMaker func(t testing.TB, config string, origins ...string) *rig

const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

func (r *rig) untilNoTunnel(t *testing.T) {
	t.Helper()
	eventually(t, "the end of the tunnels", func() bool {
		return r.metrics.Gauge(metric.L7Tunnels, "web").Load() == 0 &&
			r.metrics.Gauge(metric.L7Active, "web").Load() == 0
	})
	if n := r.metrics.Gauge(metric.L7ActiveRequests, "web").Load(); n != 0 {
		t.Errorf("%d requests are still active", n)
	}
	for _, m := range r.reg.Group("app").Members() {
		if n := m.InFlight(); n != 0 {
			t.Errorf("%s: %d slots were not given back", m.Name(), n)
		}
	}
}

// TestTunnelEarlyOctets: what a client sends together with its request, and a server
// together with its 101, arrives first and whole.
func TestTunnelEarlyOctets(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRig rigMaker) {
		early, late := strings.Repeat("early ", 3000), strings.Repeat("late ", 3000)
		o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
			readHead(br)
			io.WriteString(c, switching+late)
			io.Copy(c, br)
			c.CloseWrite()
		})
		r := newRig(t, plain, o.addr)
		c := r.dial()
		go func() {
			io.WriteString(c, upgradeHead+early+"and more")
			c.CloseWrite()
		}()
		got, err := io.ReadAll(c.br)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := bytes.Cut(got, []byte("\r\n\r\n"))
		if want := late + early + "and more"; string(body) != want {
			t.Errorf("got %d octets, want %d: %.40q", len(body), len(want), body)
		}
		r.untilNoTunnel(t)
	})
}

// TestTunnelTorture: streams that are random in sizes, pauses and pace pass both ways at
// once, and each side half-closes when it likes. Either end gets exactly the other's.
func TestTunnelTorture(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRig rigMaker) {
		var mu sync.Mutex
		serverGot := map[string]string{} // what the client called itself, and the sum of what came from it
		o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
			readHead(br)
			io.WriteString(c, switching)
			name := make([]byte, 2)
			if _, err := io.ReadFull(br, name); err != nil {
				t.Error(err)
				return
			}
			seed := uint64(name[0])
			sum := make(chan string, 1)
			go func() { sum <- takeStream(br, rand.New(rand.NewPCG(seed, 3))) }()
			if err := sendStream(c, rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 4))); err != nil {
				t.Errorf("server %d: %v", seed, err)
			}
			got := <-sum
			mu.Lock()
			defer mu.Unlock()
			serverGot[string(name)] = got
		})
		r := newRig(t, plain, o.addr)
		var wg sync.WaitGroup
		for seed := range uint64(16) {
			wg.Go(func() {
				c := r.dial()
				upgrade(t, c)
				c.Write([]byte{byte(seed), '!'})
				sum := make(chan string, 1)
				go func() { sum <- takeStream(c.br, rand.New(rand.NewPCG(seed, 5))) }()
				if err := sendStream(c.TCPConn, rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 6))); err != nil {
					t.Errorf("client %d: %v", seed, err)
				}
				if got, want := <-sum, sumOf(rand.New(rand.NewPCG(seed, 2))); got != want {
					t.Errorf("client %d: got a stream with sum %s, want %s", seed, got, want)
				}
			})
		}
		wg.Wait()
		r.untilNoTunnel(t)
		// What came to the servers may still be read when the tunnels have ended.
		eventually(t, "the servers to have read all", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(serverGot) == 16
		})
		mu.Lock()
		defer mu.Unlock()
		for seed := range uint64(16) {
			want := sumOf(rand.New(rand.NewPCG(seed, 1)))
			if got := serverGot[string([]byte{byte(seed), '!'})]; got != want {
				t.Errorf("server %d: got a stream with sum %s, want %s", seed, got, want)
			}
		}
	})
}

// pieces yields a stream that random decides: up to 40 pieces of 1 octet to 256 KiB.
func pieces(random *rand.Rand, yield func([]byte) error) error {
	for range 1 + random.IntN(40) {
		piece := make([]byte, 1+random.IntN(1<<random.IntN(19)))
		for i := range piece {
			piece[i] = byte(random.Uint32())
		}
		if err := yield(piece); err != nil {
			return err
		}
	}
	return nil
}

func sumOf(random *rand.Rand) string {
	h := sha256.New()
	_ = pieces(random, func(p []byte) error { _, err := h.Write(p); return err })
	return hex.EncodeToString(h.Sum(nil))
}

// sendStream sends a stream with pauses and ends its direction.
func sendStream(c *net.TCPConn, stream, pauses *rand.Rand) error {
	err := pieces(stream, func(p []byte) error {
		if pauses.IntN(4) == 0 {
			time.Sleep(time.Duration(pauses.IntN(4)) * time.Millisecond)
		}
		_, err := c.Write(p)
		return err
	})
	return errors.Join(err, c.CloseWrite())
}

// takeStream reads to the end, at times slowly, and returns the sum of what came.
func takeStream(r io.Reader, pauses *rand.Rand) string {
	h := sha256.New()
	b := make([]byte, 64<<10)
	for {
		n, err := r.Read(b[:1+pauses.IntN(len(b))])
		h.Write(b[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil))
		}
		if err != nil {
			return err.Error()
		}
		if pauses.IntN(8) == 0 {
			time.Sleep(time.Duration(pauses.IntN(8)) * time.Millisecond)
		}
	}
}

// TestTunnelResetBehindStall: that a client has reset is seen at once, although its
// server takes nothing and so nobody reads from it.
func TestTunnelResetBehindStall(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRig rigMaker) {
		r := newRig(t, plain, newDeaf(t))
		c := r.dial()
		stall(t, c)
		c.SetLinger(0)
		c.Close()
		r.untilNoTunnel(t)
		if n := r.metrics.Counter(metric.L7Errors, "web", "client", "tunnel_reset").Load(); n != 1 {
			t.Errorf("%d tunnels were counted as reset by their client, want 1", n)
		}
	})
}

// TestTunnelResetByServer: what the server sent before is delivered, its reset is seen.
func TestTunnelResetByServer(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRig rigMaker) {
		reset := make(chan struct{})
		o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
			readHead(br)
			io.WriteString(c, switching+"last words")
			<-reset
			c.SetLinger(0)
		})
		r := newRig(t, plain, o.addr)
		c := r.dial()
		upgrade(t, c)
		b := make([]byte, len("last words"))
		if _, err := io.ReadFull(c.br, b); err != nil || string(b) != "last words" {
			t.Errorf("got %q, %v", b, err)
		}
		close(reset)
		if _, err := c.br.ReadByte(); err == nil {
			t.Error("the client's side goes on")
		}
		r.untilNoTunnel(t)
		if n := r.metrics.Counter(metric.L7Errors, "web", "upstream", "tunnel_reset").Load(); n != 1 {
			t.Errorf("%d tunnels were counted as reset by their server, want 1", n)
		}
	})
}

// TestTunnelOnLoop: a tunnel that a loop relays has no goroutine, and what cannot be
// passed on when it is ended is no orderly end for the client.
func TestTunnelOnLoop(t *testing.T) {
	r := newLoopRig(t, plain, newEcho(t))
	c := r.dial()
	upgrade(t, c)
	c.send("ping")
	if _, err := io.ReadFull(c.br, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	awake := 0
	r.server.awake.each(func(*conn) { awake++ })
	if awake != 0 {
		t.Errorf("%d connections have a goroutine, want none", awake)
	}
	r.server.Close()
	if _, err := c.br.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v at the end of the server, want a reset", err)
	}
	r.untilNoTunnel(t)
}

// TestTunnelRecord: the access log has one line when the tunnel has ended, with the
// octets of both ways, although nothing of the request is left by then.
func TestTunnelRecord(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, newRig rigMaker) {
		r := newRig(t, plain, newEcho(t))
		path := filepath.Join(t.TempDir(), "access.log")
		access, err := accesslog.Open(conf.AccessLog{Path: path, Format: "json"}, metric.New(), r.server.log)
		if err != nil {
			t.Fatal(err)
		}
		defer access.Close()
		r.server.mu.Lock() // which each connection takes first, so that all see it
		r.server.access = access
		r.server.mu.Unlock()
		c := r.dial()
		upgrade(t, c)
		other := r.dial()                         // has its head where that of the tunnel was
		other.get("/another/path/that/is/longer") // the origin's 101 to this is no answer
		other.Close()
		c.send("%s", strings.Repeat("x", 1000))
		if _, err := io.ReadFull(c.br, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		c.CloseWrite()
		c.wantClosed()
		type record struct {
			Path, Method, Host, Pool, Side string
			Status                         int
			In                             int `json:"bytes_in"`
			Out                            int `json:"bytes_out"`
		}
		var line record
		eventually(t, "the record", func() bool {
			b, _ := os.ReadFile(path)
			for text := range strings.Lines(string(b)) {
				line = record{}
				if json.Unmarshal([]byte(text), &line) == nil && line.Status == 101 {
					return true
				}
			}
			return false
		})
		if line.Path != "/socket" || line.Method != "GET" || line.Host != "h" || line.Pool != "app" || line.Side != "" {
			t.Errorf("got %+v", line)
		}
		if head := len(upgradeHead); line.In != head+1000 || line.Out < 1000+len(switching) {
			t.Errorf("%d octets in and %d out, want %d and more than %d", line.In, line.Out, head+1000, 1000+len(switching))
		}
		r.untilNoTunnel(t)
	})
}
