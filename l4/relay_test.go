package l4

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/conf"
	"weir/pool"
)

func TestRelayEchoAndEnd(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	c := dial(t, w.simple(conf.L4{}))
	for _, s := range []string{"a", "hello", strings.Repeat("x", 100000)} {
		send(t, c, s)
		want(t, c, s)
	}
	c.CloseWrite()
	wantEnd(t, c, "")
	w.closed(reasonDone)
}

func TestRelayServerSpeaksFirst(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, greeter("one"))))
	c := dial(t, w.simple(conf.L4{}))
	want(t, c, "one\n") // without a byte from the client
}

// TestRelayBothWaysAtOnce moves 64 MiB in each direction at the same time, in
// pieces of random sizes, and compares sums.
func TestRelayBothWaysAtOnce(t *testing.T) {
	size := int64(64 << 20)
	sums := make(chan [32]byte, 4)
	exchange := func(c *net.TCPConn, seed uint64) {
		var wg sync.WaitGroup
		wg.Go(func() {
			h := sha256.New()
			writeRandom(io.MultiWriter(c, h), seed, size)
			c.CloseWrite()
			sums <- [32]byte(h.Sum(nil))
		})
		h := sha256.New()
		n, err := io.Copy(h, c)
		if n != size || err != nil {
			t.Errorf("read %d bytes, %v, want %d", n, err, size)
		}
		sums <- [32]byte(h.Sum(nil))
		wg.Wait()
	}
	var done sync.WaitGroup
	done.Add(1)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		defer done.Done()
		exchange(c, 1)
	})))
	c := dial(t, w.simple(conf.L4{}))
	c.SetDeadline(time.Now().Add(3 * patience))
	exchange(c, 2)
	done.Wait()
	count := map[[32]byte]int{}
	for range 4 {
		count[<-sums]++
	}
	if len(count) != 2 {
		t.Errorf("sums of sent and received bytes differ: %x", count)
	}
	w.closed(reasonDone)
}

func writeRandom(to io.Writer, seed uint64, size int64) {
	rnd := rand.New(rand.NewPCG(seed, seed))
	block := make([]byte, 256<<10)
	for i := range block {
		block[i] = byte(rnd.Uint32())
	}
	for size > 0 {
		from := rnd.IntN(len(block))
		n := min(int64(1+rnd.IntN(len(block)-from)), size)
		if _, err := to.Write(block[from : int64(from)+n]); err != nil {
			return
		}
		size -= n
	}
}

func TestRelayTinySegments(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	c := dial(t, w.simple(conf.L4{}))
	text := strings.Repeat("tiny ", 400)
	go func() {
		for i := range len(text) {
			io.WriteString(c, text[i:i+1])
		}
		c.CloseWrite()
	}()
	wantEnd(t, c, text)
}

func TestHalfCloseByClientGetsLateReply(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		request, err := io.ReadAll(c) // waits for the client's end
		if err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Millisecond)
		io.WriteString(c, "reply to "+string(request))
		io.WriteString(c, strings.Repeat("!", 1<<20))
	})))
	c := dial(t, w.simple(conf.L4{}))
	send(t, c, "a request")
	c.CloseWrite()
	wantEnd(t, c, "reply to a request"+strings.Repeat("!", 1<<20))
	w.closed(reasonDone)
}

func TestHalfCloseByServerStillTakesBytes(t *testing.T) {
	got := make(chan string, 1)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		io.WriteString(c, "bye")
		c.CloseWrite()
		b, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		got <- string(b)
	})))
	c := dial(t, w.simple(conf.L4{}))
	wantEnd(t, c, "bye")
	send(t, c, "still here")
	c.CloseWrite()
	if s := <-got; s != "still here" {
		t.Errorf("server got %q", s)
	}
	w.closed(reasonDone)
}

func TestResetOfServerReachesClient(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		io.WriteString(c, "half an answ")
		c.Read(make([]byte, 1)) // wait until the client has it
		c.SetLinger(0)
	})))
	c := dial(t, w.simple(conf.L4{}))
	want(t, c, "half an answ")
	send(t, c, "x")
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client got %v, want a reset: the answer is not whole", err)
	}
	w.closed(reasonBackendReset)
}

func TestResetOfClientReachesServer(t *testing.T) {
	got := make(chan error, 1)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		io.WriteString(c, "go on")
		_, err := io.ReadAll(c)
		got <- err
	})))
	c := dial(t, w.simple(conf.L4{}))
	want(t, c, "go on")
	c.SetLinger(0)
	c.Close()
	if err := <-got; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("server got %v, want a reset", err)
	}
	w.closed(reasonClientReset)
}

// A client that ended its direction and is then gone must not keep the server
// sending into nothing.
func TestResetAfterHalfCloseEndsTheSession(t *testing.T) {
	got := make(chan error, 1)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		io.ReadAll(c)
		_, err := io.Copy(c, endless{})
		got <- err
	})))
	c := dial(t, w.simple(conf.L4{}))
	c.CloseWrite()
	want(t, c, "\x00\x00\x00\x00")
	c.Close() // unread bytes: the kernel sends a reset
	if err := <-got; err == nil {
		t.Error("the server was not told")
	}
	w.closed(reasonClientReset)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// An answer before the end of the request, with a reset behind it, is the usual
// way to refuse an upload: the client must see the answer.
func TestEarlyAnswerOfServerIsDelivered(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		c.Read(make([]byte, 10))
		io.WriteString(c, "too large")
		time.Sleep(100 * time.Millisecond) // closing with unread bytes resets
	})))
	c := dial(t, w.simple(conf.L4{}))
	go io.Copy(c, endless{})
	want(t, c, "too large")
	w.closed(reasonBackendReset)
}

// TestSlowReaderIsBounded: a client that stops reading costs a bounded buffer and
// stops the server.
func TestSlowReaderIsBounded(t *testing.T) {
	sent := make(chan int64, 1)
	size := int64(64 << 20)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		n, _ := io.CopyN(c, endless{}, size)
		sent <- n
	})))
	c := dial(t, w.simple(conf.L4{}))
	before := pool.Live()
	w.until("bytes are held for the client", func() bool { return pool.Live() > before || w.srv.pipes.Load() > 0 })
	time.Sleep(100 * time.Millisecond) // let it hold more, if it would
	held := 0
	for _, s := range pool.Stats() {
		held += s.LiveBytes
	}
	if held > 256<<10 {
		t.Errorf("%d bytes held for one session, want at most 256 KiB", held)
	}
	select {
	case n := <-sent:
		t.Fatalf("the server could send all of its %d bytes", n)
	default:
	}
	n, err := io.Copy(io.Discard, c)
	if n != size || err != nil {
		t.Errorf("read %d, %v, want %d", n, err, size)
	}
	if n := <-sent; n != size {
		t.Errorf("server sent %d", n)
	}
}

func TestIdleTimeout(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	c := dial(t, w.simple(conf.L4{IdleTimeout: time.Second}))
	start := time.Now()
	for range 5 { // traffic keeps it open
		time.Sleep(300 * time.Millisecond)
		send(t, c, "x")
		want(t, c, "x")
	}
	wantEnd(t, c, "")
	if d := time.Since(start); d < 2400*time.Millisecond {
		t.Errorf("closed after %s in spite of traffic", d)
	}
	w.closed(reasonIdle)
}

func TestHalfClosedTimeout(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		io.ReadAll(c)
		c.SetReadDeadline(time.Time{})
		<-t.Context().Done()
	})))
	c := dial(t, w.simple(conf.L4{HalfClosedTimeout: 100 * time.Millisecond}))
	c.CloseWrite()
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client got %v, want a reset: there was no answer", err)
	}
	w.closed(reasonHalfClosed)
}

func TestLifetime(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	c := dial(t, w.simple(conf.L4{Lifetime: 200 * time.Millisecond}))
	for {
		if _, err := c.Write([]byte("x")); err != nil {
			break
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.closed(reasonLifetime)
}

// TestManySessionsWithRandomEnds has each session end in its own way and checks
// that nothing is left behind, which is done by the world.
func TestManySessionsWithRandomEnds(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		b := make([]byte, 1)
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		switch b[0] {
		case 0:
			c.SetLinger(0)
		case 1:
			io.CopyN(c, endless{}, 1<<20)
		default:
			echo(c)
		}
	})))
	addr := w.simple(conf.L4{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 7))
			for range 50 {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(patience))
				c.Write([]byte{byte(rnd.IntN(4))})
				c.Write(bytes.Repeat([]byte("y"), rnd.IntN(200000)))
				switch rnd.IntN(4) {
				case 0:
					c.(*net.TCPConn).SetLinger(0)
				case 1:
					c.(*net.TCPConn).CloseWrite()
					io.Copy(io.Discard, c)
				case 2:
					c.Read(make([]byte, 10))
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	w.until("all sessions end", func() bool { return w.srv.Sessions() == 0 })
}
