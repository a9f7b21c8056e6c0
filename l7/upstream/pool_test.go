package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"weir/l7/message"
	"weir/pool"
)

func TestReuse(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	tg := f.target()
	for i := range 5 {
		if reused := exchange(t, tr, tg); reused != (i > 0) {
			t.Errorf("exchange %d: reused is %v", i, reused)
		}
	}
	if got, want := tr.Stats("g"), (Stats{Dials: 1, Reuses: 4, Idle: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if s := tr.Stats("other"); s != (Stats{}) {
		t.Errorf("a group without connections has %+v", s)
	}
}

func TestFreshIgnoresIdle(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	exchange(t, tr, f.target())
	c := mustGet(t, tr, f.target(), true)
	if c.reused {
		t.Error("a fresh connection was reused")
	}
	c.Release()
	if n := tr.Stats("g").Idle; n != 1 {
		t.Errorf("%d idle, want the first one", n)
	}
}

func TestLastUsedIsTakenFirst(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	a, b := mustGet(t, tr, f.target(), true), mustGet(t, tr, f.target(), true)
	for _, c := range []*Conn{a, b} {
		if _, _, err := fetch(c); err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
	if c := mustGet(t, tr, f.target(), false); c != b {
		t.Error("got the connection that was released first")
	} else {
		c.Release() // closed: no response was read
	}
	if c := mustGet(t, tr, f.target(), false); c != a {
		t.Error("did not get the other one")
	} else {
		c.Release()
	}
}

func TestMaxIdle(t *testing.T) {
	f := serve(t, answering(okResponse))
	for _, limit := range []int{0, 2} {
		tr := newTransport(t)
		tg := f.target()
		tg.maxIdle = limit
		var conns []*Conn
		for range 4 {
			c := mustGet(t, tr, tg, false)
			if _, _, err := fetch(c); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		if n := tr.Stats("g").InUse; n != 4 {
			t.Errorf("%d in use, want 4", n)
		}
		for _, c := range conns {
			c.Release()
		}
		if s := tr.Stats("g"); s.Idle != int64(limit) || s.InUse != 0 {
			t.Errorf("limit %d: %d idle, %d in use", limit, s.Idle, s.InUse)
		}
	}
}

func TestIdleTimeout(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	tg := f.target()
	tg.idleTimeout = time.Nanosecond
	for range 3 {
		if exchange(t, tr, tg) {
			t.Error("a connection was used that had been idle for too long")
		}
		time.Sleep(time.Millisecond)
	}
	tr.reapOnce()
	if s := tr.Stats("g"); s.Idle != 0 || s.Stale != 0 || s.Dials != 3 {
		t.Errorf("after the reaper: %+v", s)
	}
}

func TestNothingIsHeldWhileIdle(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	live := pool.Live()
	exchange(t, tr, f.target())
	if n := pool.Live(); n != live {
		t.Errorf("an idle connection holds %d buffers", n-live)
	}
}

// Row 10: a backend that closes after its reply.
func TestClosedIdleIsNotUsed(t *testing.T) {
	f := serve(t, answerOnce(okResponse, closing))
	tr := newTransport(t)
	for range 3 {
		exchange(t, tr, f.target())
		eventually(t, "end of stream", func() bool { return !idleIsQuiet(tr) })
	}
	if s := tr.Stats("g"); s.Dials != 3 || s.Reuses != 0 || s.Stale != 2 {
		t.Errorf("got %+v", s)
	}
}

// idleIsQuiet reports whether the idle connections have nothing to read.
func idleIsQuiet(tr *Transport) bool {
	for _, p := range *tr.idle.Load() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.idle {
			if !c.quiet() {
				return false
			}
		}
	}
	return true
}

// Row 12: bytes that nobody asked for, before and after the release.
func TestSurplusBytes(t *testing.T) {
	const surplus = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	f := serve(t, answerOnce(okResponse+surplus, silent))
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	if _, body, err := fetch(c); string(body) != "ok" || err != nil {
		t.Errorf("got %q %v", body, err)
	}
	eventually(t, "surplus", func() bool { return len(c.buffered()) > 0 || !c.quiet() })
	c.Release()
	exchange(t, tr, f.target())

	late := make(chan struct{})
	f = serve(t, answerOnce(okResponse, func(c net.Conn) {
		<-late
		_, _ = io.WriteString(c, surplus)
		silent(c)
	}))
	tr = newTransport(t)
	exchange(t, tr, f.target())
	close(late)
	eventually(t, "surplus", func() bool { return !idleIsQuiet(tr) })
	if exchange(t, tr, f.target()) {
		t.Error("a connection with surplus bytes was reused")
	}
	if n := tr.Stats("g").Stale; n != 1 {
		t.Errorf("%d stale, want 1", n)
	}
}

func TestReaper(t *testing.T) {
	f := serve(t, answerOnce(okResponse, closing))
	tr := newTransport(t)
	exchange(t, tr, f.target())
	eventually(t, "the reaper", func() bool { return tr.Stats("g").Idle == 0 })

	for range reapsUntilRetired + 2 {
		tr.reapOnce()
	}
	if n := len(*tr.idle.Load()); n != 0 {
		t.Errorf("%d pools are left of endpoints out of use", n)
	}
	exchange(t, tr, f.target())
	if n := tr.Stats("g").Dials; n != 2 {
		t.Errorf("%d dials, want 2", n)
	}
}

func TestRetiredPoolKeepsNothing(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	for range reapsUntilRetired + 2 {
		tr.reapOnce()
	}
	if _, _, err := fetch(c); err != nil {
		t.Error(err)
	}
	c.Release()
	if n := tr.Stats("g").Idle; n != 0 {
		t.Errorf("%d idle in a pool that nobody looks at", n)
	}
}

// Row 1: all idle connections of an endpoint that went down are closed at once,
// and those in use are not kept.
func TestDrop(t *testing.T) {
	ended := make(chan struct{}, 2)
	f := serve(t, func(c net.Conn, r *bufio.Reader) {
		answering(okResponse)(c, r)
		ended <- struct{}{}
	})
	tr := newTransport(t)
	busy, idle := mustGet(t, tr, f.target(), false), mustGet(t, tr, f.target(), false)
	if _, _, err := fetch(idle); err != nil {
		t.Fatal(err)
	}
	idle.Release()
	tr.drop(99) // no such endpoint
	tr.drop(1)
	<-ended
	eventually(t, "no idle connection", func() bool { return tr.Stats("g").Idle == 0 })
	if _, body, err := fetch(busy); string(body) != "ok" || err != nil {
		t.Errorf("the exchange in progress got %q %v", body, err)
	}
	busy.Release()
	<-ended
	exchange(t, tr, f.target())
	if s := tr.Stats("g"); s.Idle != 1 || s.Reuses != 0 {
		t.Errorf("after the endpoint came back: %+v", s)
	}
}

func TestClose(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	exchange(t, tr, f.target())
	c := mustGet(t, tr, f.target(), true)
	tr.Close()
	tr.Close()
	if _, _, err := fetch(c); err != nil {
		t.Error(err)
	}
	c.Release()
	_, err := tr.get(f.target(), false)
	if e := asError(t, err); e.Side != message.Internal || !errors.Is(err, ErrClosed) || !e.Unsent() {
		t.Errorf("got %+v", e)
	}
}

func TestUnixSockets(t *testing.T) {
	for _, path := range []string{t.TempDir() + "/s", "@weir-upstream-test"} {
		l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		f := serveOn(t, l, answering(okResponse))
		tr := newTransport(t)
		exchange(t, tr, f.target())
		if !exchange(t, tr, f.target()) {
			t.Error("not reused")
		}
	}
}

func TestDialErrors(t *testing.T) {
	tr := newTransport(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tg := (&fake{l: l}).target()
	l.Close()
	_, err = tr.get(tg, false)
	e := asError(t, err)
	if e.Side != message.Upstream || e.Stage != StageDial || e.Timeout || !e.Unsent() || e.Stale() {
		t.Errorf("refused: %+v", e)
	}
	if s := tr.Stats("g"); s.Failures != 1 || s.InUse != 0 {
		t.Errorf("got %+v", s)
	}
	tg.connectTimeout = time.Nanosecond
	_, err = tr.get(tg, false)
	if e := asError(t, err); !e.Timeout || e.Side != message.Upstream || !e.Unsent() {
		t.Errorf("timeout: %+v", e)
	}
}

func TestReleaseTwice(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	c.Release()
	defer func() {
		if recover() == nil {
			t.Error("the second Release did not panic")
		}
	}()
	c.Release()
}

// silentServer answers every request, allocates nothing per request, and so lets
// the allocations of the transport be counted.
func silentServer(c net.Conn, _ *bufio.Reader) {
	buf := make([]byte, 4096)
	response := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=500\r\n\r\nok")
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
		if _, err := c.Write(response); err != nil {
			return
		}
	}
}

// exchanger returns a function that runs one GET and allocates nothing of its own.
func exchanger(t testing.TB, tr *Transport, tg *target) func() {
	var resp message.Response
	method := []byte("GET")
	return func() {
		c, err := tr.get(tg, false)
		if err != nil {
			t.Fatal(err)
		}
		c.SetTimeouts(Timeouts{Head: time.Minute, Body: time.Minute})
		if err = sendGet(c); err != nil {
			t.Fatal(err)
		}
		if err = c.ReadHead(&resp, method); err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = c.ReadBody()
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		c.Release()
	}
}

func TestExchangeAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates
	}
	pool.Track(false)
	defer pool.Track(true)
	f := serve(t, silentServer)
	tr := newTransport(t)
	run := exchanger(t, tr, f.target())
	run()
	if n := testing.AllocsPerRun(200, run); n != 0 {
		t.Errorf("%v allocations per exchange on a kept-alive connection", n)
	}
}

func BenchmarkExchange(b *testing.B) {
	pool.Track(false)
	defer pool.Track(true)
	f := serve(b, silentServer)
	run := exchanger(b, newTransport(b), f.target())
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
}

func BenchmarkQuiet(b *testing.B) {
	f := serve(b, silentServer)
	tr := newTransport(b)
	c := mustGet(b, tr, f.target(), false)
	defer c.Release()
	b.ReportAllocs()
	for b.Loop() {
		if !c.quiet() {
			b.Fatal("not quiet")
		}
	}
}

func BenchmarkDeadline(b *testing.B) {
	f := serve(b, silentServer)
	tr := newTransport(b)
	c := mustGet(b, tr, f.target(), false)
	defer c.Release()
	b.Run("set", func(b *testing.B) {
		for b.Loop() {
			if err := c.nc.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("coarse", func(b *testing.B) {
		for b.Loop() {
			c.waitBody()
		}
	})
}
