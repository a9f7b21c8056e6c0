package l4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/conf"
	"weir/pool"
)

// The soak runs random sessions, each of which knows what it must read: a plan, sent
// as the first bytes, tells the origin what the client does.
const (
	soakClients  = 24
	planSize     = 8 * 4
	soakMost     = 64 << 20
	soakPatience = 2 * time.Minute // a stalled, large session on a busy machine
	// soakMemory is how much a session may hold, whatever its peers do.
	soakMemory = 256 << 10
)

var soakTime = flag.Duration("soak", 0, "how long TestSoak runs; 0: 5s")

// plan is one session. A side that breaks sends its part only up to a point and
// then resets the connection; the other must then see an error, not an end.
type plan struct {
	seed           uint64
	up, down       uint64 // bytes
	upCut, downCut uint64 // where that side breaks; beyond the bytes: nowhere
}

func newPlan(rnd *rand.Rand) plan {
	size := func() uint64 {
		switch n := rnd.IntN(400); {
		case n < 80:
			return 0
		case n < 280:
			return rnd.Uint64N(2 << 10)
		case n < 380:
			return rnd.Uint64N(300 << 10)
		case n < 399:
			return rnd.Uint64N(4 << 20)
		}
		return rnd.Uint64N(soakMost + 1)
	}
	p := plan{seed: rnd.Uint64N(1 << 40), up: size(), down: size(), upCut: soakMost + 1, downCut: soakMost + 1}
	switch rnd.IntN(8) {
	case 0:
		p.upCut = rnd.Uint64N(p.up + 1)
	case 1:
		p.downCut = rnd.Uint64N(p.down + 1)
	}
	return p
}

func (p plan) bytes() []byte {
	var b []byte
	for _, v := range []uint64{p.seed, p.up, p.down, p.upCut<<32 | p.downCut} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func parsePlan(b []byte) plan {
	v := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	return plan{v(0), v(1), v(2), v(3) >> 32, v(3) & (1<<32 - 1)}
}

// pattern is what all streams are made of. Its length is a prime, so that a piece
// that is lost, doubled or misplaced by a round number of bytes shows.
var pattern = func() []byte {
	b := make([]byte, 65521)
	rnd := rand.New(rand.NewPCG(7, 7))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}()

// at is a piece of at most n bytes of the stream with this seed, from offset on.
func at(seed, offset uint64, n int) []byte {
	from := int((seed + offset) % uint64(len(pattern)))
	return pattern[from:min(from+n, len(pattern))]
}

// soakSend sends size bytes in pieces of random length, with pauses, and ends the
// direction; or breaks at cut.
func soakSend(c *net.TCPConn, rnd *rand.Rand, seed, size, cut uint64) error {
	piece := max(1+rnd.IntN(128<<10), leastPiece(size))
	if size < 4<<10 {
		piece = 1 + rnd.IntN(64)
	}
	for sent := uint64(0); ; {
		if sent >= cut {
			c.SetLinger(0)
			return c.Close()
		}
		if sent == size {
			return c.CloseWrite()
		}
		n, err := c.Write(at(seed, sent, int(min(uint64(1+rnd.IntN(piece)), size-sent, cut-sent))))
		if err != nil {
			return err
		}
		sent += uint64(n)
		soakPause(rnd)
	}
}

// leastPiece keeps a stream of this size within soakPatience: with pieces of 23 bytes
// and the pauses between them, 40 MB take an hour, and pass for a stall.
func leastPiece(size uint64) int { return int(size / 10_000) }

// soakPause often waits a little and now and then stalls.
func soakPause(rnd *rand.Rand) {
	switch n := rnd.IntN(4000); {
	case n == 0:
		time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
	case n < 250:
		time.Sleep(time.Duration(rnd.IntN(1000)) * time.Microsecond)
	}
}

var errOrderlyEnd = errors.New("an orderly end")

// soakReceive reads to the end and compares. broken says that the peer breaks.
func soakReceive(c *net.TCPConn, rnd *rand.Rand, seed, size uint64, broken bool) error {
	buf := make([]byte, max(1+rnd.IntN(96<<10), leastPiece(size)))
	for got := uint64(0); ; {
		n, err := c.Read(buf)
		for b := buf[:n]; len(b) > 0; {
			want := at(seed, got, len(b))
			if !bytes.Equal(b[:len(want)], want) {
				return fmt.Errorf("wrong bytes after %d of %d", got, size)
			}
			b = b[len(want):]
			got += uint64(len(want))
		}
		switch {
		case got > size:
			return fmt.Errorf("%d bytes of %d", got, size)
		case err == nil:
		case broken && !errors.Is(err, io.EOF):
			return nil
		case broken:
			return fmt.Errorf("%w after %d of %d bytes, want a reset", errOrderlyEnd, got, size)
		case !errors.Is(err, io.EOF) || got != size:
			return fmt.Errorf("%w after %d of %d bytes", err, got, size)
		default:
			return nil
		}
		soakPause(rnd)
	}
}

// soakSide plays one side of p. Errors of a session in which a side breaks are
// expected, except that wrong bytes or an orderly end never are.
func soakSide(c *net.TCPConn, p plan, client bool) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(soakPatience))
	rnd := func(salt uint64) *rand.Rand { return rand.New(rand.NewPCG(p.seed, salt)) }
	out, cut, in, peerCut := p.down, p.downCut, p.up, p.upCut
	salt := uint64(0)
	if client {
		out, cut, in, peerCut = p.up, p.upCut, p.down, p.downCut
		salt = 2
	}
	sent := make(chan error, 1)
	go func() { sent <- soakSend(c, rnd(salt), p.seed+salt, out, cut) }()
	err := soakReceive(c, rnd(salt+1), p.seed+2-salt, in, peerCut <= in)
	errSend := <-sent
	switch {
	case cut <= out:
		return nil // what it still read is of no interest
	case errors.Is(err, errOrderlyEnd) && errSend != nil:
		return nil // the kernel tells of a reset once, here to the sender
	case err == nil && peerCut > in:
		return errSend
	}
	return err
}

// TestSoak runs sessions of every kind and size while listeners change. What is left
// behind at the end (descriptors, buffers, slots, tickets) is for newWorld to find,
// and goroutines for TestMain.
func TestSoak(t *testing.T) {
	if *soakTime == 0 {
		*soakTime = 5 * time.Second
	}
	var failures atomic.Int32
	fail := func(who string, p plan, err error) {
		if failures.Add(1) < 10 {
			t.Errorf("%s of %+v: %v", who, p, err)
		}
	}
	play := func(c *net.TCPConn) {
		b := make([]byte, planSize)
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(c, b); err != nil {
			c.Close()
			return // a client that broke at once
		}
		p := parsePlan(b)
		if err := soakSide(c, p, false); err != nil {
			fail("server", p, err)
		}
	}
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, play), origin(t, play)))
	always := w.l4(conf.L4{Pool: "p"})
	w.serve(always)
	addr := w.srv.Addrs("t")[0]
	end := time.Now().Add(*soakTime)
	var wg sync.WaitGroup
	var sessions atomic.Int64
	for i := range soakClients {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			for time.Now().Before(end) && failures.Load() == 0 {
				p := newPlan(rnd)
				c, err := net.Dial("tcp", addr)
				if err != nil {
					fail("client", p, err)
					return
				}
				if _, err = c.Write(p.bytes()); err == nil {
					err = soakSide(c.(*net.TCPConn), p, true)
				}
				if err != nil {
					fail("client", p, err)
				}
				sessions.Add(1)
			}
		})
	}
	updates, most := 0, 0
	for ; time.Now().Before(end); updates++ {
		also := w.l4(conf.L4{Name: "also", Pool: "p"})
		listeners := []Listener{always, also}
		w.serve(listeners[:1+updates%2]...)
		time.Sleep(5 * time.Millisecond)
		most = max(most, liveBytes())
	}
	wg.Wait()
	t.Logf("%d sessions, %d updates, %d KiB held at most", sessions.Load(), updates, most>>10)
	if most > soakClients*soakMemory {
		t.Errorf("%d bytes held, want at most %d for each of %d sessions", most, soakMemory, soakClients)
	}
}

// liveBytes is what all buffers in use hold together.
func liveBytes() int {
	n := 0
	for _, class := range pool.Stats() {
		n += class.LiveBytes
	}
	return n
}
