package l4

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"weir/conf"
)

// flood sends as fast as it can until the connection breaks.
func flood(c *net.TCPConn) {
	b := make([]byte, 64<<10)
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// drained counts what comes from c in d.
func drained(c net.Conn, d time.Duration) int64 {
	c.SetReadDeadline(time.Now().Add(d))
	n, _ := io.Copy(io.Discard, struct{ io.Reader }{c})
	return n
}

// rateTries is how often a rate is measured until it is reached.
const rateTries = 5

// wantRate measures how much comes for a while, again and again from the beginning on.
// That is never too much; once in rateTries times it must not be too little either, which
// is the fault of a busy machine more often than ours.
func wantRate(t *testing.T, what string, rate int64, measure func(time.Duration) int64) {
	t.Helper()
	start, sum, best := time.Now(), int64(0), 0.0
	for range rateTries {
		began := time.Now()
		n := measure(shapeTime)
		sum += n
		part, all := share(n, rate, time.Since(began)), share(sum, rate, time.Since(start))
		t.Logf("%s: %.3f of the rate, %.3f from the beginning on", what, part, all)
		if all > 1.1 {
			t.Errorf("%s: %d bytes in %s at %d per second: %.3f of the rate", what, sum, time.Since(start), rate, all)
			return
		}
		if best = max(best, part); best >= 0.8 {
			return
		}
	}
	t.Errorf("%s: never more than %.3f of the rate", what, best)
}

// share is how much of a rate n bytes in d are.
func share(n, rate int64, d time.Duration) float64 { return float64(n) / float64(rate) / d.Seconds() }

const shapeTime = 3 * time.Second

// A session gets its rate in both directions, by copying and by splice, and no more.
func TestSessionRates(t *testing.T) {
	uploads := make(chan *net.TCPConn, 1)
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin(t, flood)), poolOf("up", origin(t, func(c *net.TCPConn) {
		uploads <- c
		<-t.Context().Done()
	})))
	rates := map[string]conf.Size{"slow": 64 << 10, "medium": 1 << 20, "fast": 64 << 20}
	all := []Listener{w.l4(conf.L4{Name: "up", Pool: "up", UploadRate: 2 << 20})}
	for name, rate := range rates {
		all = append(all, w.l4(conf.L4{Name: name, Pool: "p", DownloadRate: rate, UploadRate: 1 << 30}))
	}
	w.serve(all...)
	var wg sync.WaitGroup
	for name, rate := range rates {
		c := dial(t, w.srv.Addrs(name)[0])
		wg.Go(func() {
			wantRate(t, name, int64(rate), func(d time.Duration) int64 { return drained(c, d) })
		})
	}
	c := dial(t, w.srv.Addrs("up")[0])
	wg.Go(func() { flood(c) })
	server := <-uploads
	wantRate(t, "upload", 2<<20, func(d time.Duration) int64 { return drained(server, d) })
	c.Close()
	wg.Wait()
	for name, splices := range map[string]bool{"slow": false, "fast": true} {
		if n := w.srv.listeners[name].perLoop[0].spliced.Load(); n > 0 != splices {
			t.Errorf("%s: moved to a pipe %d times, want splicing %v", name, n, splices)
		}
	}
}

// The sessions of a listener share its rate: together they get it, and each its part,
// though the loops have different numbers of them.
func TestListenerRateIsShared(t *testing.T) {
	const rate, sessions = 4 << 20, 9
	w := newWorld(t, worldOptions{loops: 2}, poolOf("p", origin(t, flood)))
	addr := w.simple(conf.L4{ListenerDownloadRate: rate})
	conns := make([]net.Conn, sessions)
	for i := range conns {
		conns[i] = dial(t, addr)
		conns[i].SetDeadline(time.Time{})
	}
	var got [sessions]int64
	wantRate(t, "all sessions", rate, func(d time.Duration) (total int64) {
		before := sumOf(got[:])
		var wg sync.WaitGroup
		for i, c := range conns {
			wg.Go(func() { got[i] += drained(c, d) })
		}
		wg.Wait()
		return sumOf(got[:]) - before
	})
	total := sumOf(got[:])
	for i, n := range got {
		if part := float64(n) * sessions / float64(total); part < 0.4 || part > 2 { // loops are late on a busy machine
			t.Errorf("session %d got %.2f of its part, all got %v", i, part, got)
		}
	}
	t.Logf("%d sessions got %v", sessions, got)
}

func sumOf(list []int64) (sum int64) {
	for _, n := range list {
		sum += n
	}
	return sum
}

// A session that has a loop for itself gets no more than one of many on another.
func TestListenerRateIsSharedBetweenLoops(t *testing.T) {
	const rate, crowd = 4 << 20, 6
	w := newWorld(t, worldOptions{loops: 2}, poolOf("p", origin(t, flood)))
	addr := w.simple(conf.L4{ListenerDownloadRate: rate})
	active := func(loop int) int64 { return w.srv.listeners["t"].perLoop[loop].active.Load() }
	var alone net.Conn
	var many []net.Conn
	for tries := 0; alone == nil || len(many) < crowd; tries++ { // the kernel chooses the loop
		if tries == 1000 {
			t.Fatal("all connections go to one loop")
		}
		before := active(0) + active(1)
		first := active(0)
		c := dial(t, addr)
		w.until("the session is there", func() bool { return active(0)+active(1) == before+1 })
		switch onFirst := active(0) > first; {
		case onFirst && alone == nil:
			alone = c
		case !onFirst && len(many) < crowd:
			many = append(many, c)
		default:
			c.Close()
			w.until("the session is gone", func() bool { return active(0)+active(1) == before })
		}
	}
	var wg sync.WaitGroup
	var own int64
	rest := make([]int64, len(many))
	wg.Go(func() { own = drained(alone, shapeTime) })
	for i, c := range many {
		wg.Go(func() { rest[i] = drained(c, shapeTime) })
	}
	wg.Wait()
	total := own + sumOf(rest)
	if part := float64(own) * (crowd + 1) / float64(total); part > 2.2 {
		t.Errorf("alone on its loop, a session got %.2f of its part: %d bytes, the others %v", part, own, rest)
	}
}

// What is held back arrives whole and in order, and the end after it; a session that
// waits for its rate is not idle, and no loop turns in vain for it.
func TestShapedSessionIsWhole(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin(t, echo)))
	addr := w.simple(conf.L4{
		DownloadRate: 200 << 10, UploadRate: 300 << 10, ListenerDownloadRate: 150 << 10, ListenerUploadRate: 1 << 20,
		IdleTimeout: 50 * time.Millisecond,
	})
	c := dial(t, addr)
	sent := make([]byte, 200<<10)
	rand.NewChaCha8([32]byte{1}).Read(sent)
	before := w.srv.shards[0].events.Stats().Progress.Load()
	start := time.Now()
	go func() {
		c.Write(sent)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Fatalf("got %d of %d bytes, %v", len(got), len(sent), err)
	}
	took := time.Since(start)
	if took < time.Second {
		t.Errorf("%d bytes took %s, faster than the rate", len(sent), took)
	}
	// Two directions with a tick of 20 ms each, reads and events: below 500 callbacks a second.
	if n := w.srv.shards[0].events.Stats().Progress.Load() - before; float64(n) > 1000*took.Seconds() {
		t.Errorf("%d callbacks in %s: the loop spins", n/2, took)
	}
	w.closed(reasonDone)
}

// Sessions that end while they wait for their portion leave the line.
func TestShapedSessionsEnd(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 2}, poolOf("p", origin(t, flood)))
	addr := w.simple(conf.L4{ListenerDownloadRate: 64 << 10, DownloadRate: 32 << 10})
	for range 3 {
		var conns []*net.TCPConn
		for range 20 {
			conns = append(conns, dial(t, addr))
		}
		w.until("sessions wait", func() bool { return w.waiting() > 10 })
		for i, c := range conns {
			if i%2 == 0 {
				c.SetLinger(0)
			}
			c.Close()
		}
		w.end(Filter{})
		w.until("nobody waits", func() bool { return w.waiting() == 0 && w.srv.Sessions() == 0 })
	}
}

func (w *world) waiting() int64 {
	w.srv.mu.Lock()
	defer w.srv.mu.Unlock()
	return w.srv.listeners["t"].shaping.down.waiting.Load()
}

// A session without a rate has no meter, and one whose listener loses its rate at a
// reload goes on without waiting.
func TestRateEndsAtReload(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin(t, flood)))
	keep := conf.L4{Name: "t", Pool: "p", Listen: []conf.Addr{tcpAddr("127.0.0.1:0")}, ListenerDownloadRate: 64 << 10}
	w.serve(w.l4(keep))
	c := dial(t, w.srv.Addrs("t")[0])
	if n := drained(c, 200*time.Millisecond); n > 64<<10 {
		t.Errorf("%d bytes in a fifth of a second", n)
	}
	keep.ListenerDownloadRate = 0
	w.serve(w.l4(keep))
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c, make([]byte, 32<<20)); err != nil {
		t.Errorf("32 MiB without a rate: %v", err)
	}
	free := dial(t, w.srv.Addrs("t")[0])
	io.ReadFull(free, make([]byte, 1))
	w.srv.shards[0].call(func() {
		if s := w.srv.shards[0].first; s.up.meter != nil || s.down.meter != nil {
			t.Error("a session without a rate has a meter")
		}
	})
}
