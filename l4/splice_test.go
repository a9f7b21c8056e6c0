package l4

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"weir/conf"
)

// bulk makes so many random octets.
func bulk(size int, seed uint64) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

func (w *world) splicedCount() uint64 {
	w.srv.mu.Lock()
	defer w.srv.mu.Unlock()
	n := uint64(0)
	for _, l := range w.srv.listeners {
		for i := range l.perLoop {
			n += l.perLoop[i].spliced.Load()
		}
	}
	return n
}

// TestBulkGoesThroughPipes sends bulk, small messages and bulk again through one
// session, both ways at once: bytes, order and end have to be right, whichever way
// they went.
func TestBulkGoesThroughPipes(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin(t, echo)))
	c := dial(t, w.simple(conf.L4{}))
	for round := range uint64(3) {
		data := bulk(16<<20, round)
		var wg sync.WaitGroup
		wg.Go(func() { c.Write(data) })
		got := make([]byte, len(data))
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if !bytes.Equal(got, data) {
			t.Fatalf("round %d: other bytes came back", round)
		}
		for range 50 {
			send(t, c, "small")
			want(t, c, "small")
		}
	}
	if w.splicedCount() == 0 {
		t.Error("nothing went through a pipe")
	}
	if n := w.srv.pipes.Load(); n > 2 {
		t.Errorf("%d pipes are open", n)
	}
	c.CloseWrite()
	wantEnd(t, c, "")
}

// TestOnePipeForMany: sessions that get no pipe copy.
func TestOnePipeForMany(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1, maxPipes: 1}, poolOf("p", origin(t, echo)))
	addr := w.simple(conf.L4{})
	var wg sync.WaitGroup
	for i := range uint64(4) {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			data := bulk(8<<20, i)
			go func() {
				c.Write(data)
				c.(*net.TCPConn).CloseWrite()
			}()
			sum := sha256.New()
			if _, err := io.Copy(sum, c); err != nil {
				t.Error(err)
			}
			if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
				t.Errorf("session %d: other bytes came back", i)
			}
		})
	}
	wg.Wait()
	if n := w.srv.pipes.Load(); n > 1 {
		t.Errorf("%d pipes are open, want at most 1", n)
	}
}

// TestPipeIsNotPassedOnFull: what a session leaves in its pipe when it ends must
// never reach another one.
func TestPipeIsNotPassedOnFull(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin(t, echo)))
	addr := w.simple(conf.L4{})
	for i := range uint64(20) {
		// One that floods its own echo, does not read, and goes away.
		loud := dial(t, addr)
		go io.Copy(loud, endless{})
		w.until("a direction goes through a pipe", func() bool { return w.splicedCount() > i })
		loud.SetLinger(0)
		loud.Close()
		quiet := dial(t, addr)
		data := bulk(1<<20, i)
		go quiet.Write(data)
		got := make([]byte, len(data))
		if _, err := io.ReadFull(quiet, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, data) {
			t.Fatal("bytes of another session came")
		}
		quiet.Close()
	}
}
