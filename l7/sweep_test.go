package l7

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func (r *rig) untilRest(t *testing.T) {
	t.Helper()
	eventually(t, "the sweeper's rest", func() bool { return r.server.sweeper.clock.Load() == 0 })
}

// TestSweeperRests: where nothing is awake nobody looks, and the first connection that
// is, finds everything as ever: time has passed meanwhile, a client that goes away is
// seen, a drain and shedding end what is parked.
func TestSweeperRests(t *testing.T) {
	t.Parallel()
	asked, gone := make(chan struct{}), make(chan struct{})
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			head, err := readHead(br)
			if err != nil {
				return
			}
			if strings.Contains(head, "/silent") {
				close(asked)
				br.ReadByte()
				close(gone)
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	r := newRig(t, plain, o.addr)
	r.untilRest(t)
	before := r.server.sweeper.now()
	eventually(t, "the clock of the rest", func() bool { return r.server.sweeper.now() > before+2 })

	c := r.dial()
	for range 3 {
		if _, body := c.get("/"); body != "ok" {
			t.Fatalf("got %q", body)
		}
		if now := r.server.sweeper.now(); now <= before+2 || now > before+2000 {
			t.Errorf("the clock says %d, after %d", now, before)
		}
		r.untilRest(t) // parked
	}
	c.send("GET /silent HTTP/1.1\r\nHost: h\r\n\r\n")
	<-asked
	c.SetLinger(0)
	c.Close()
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("nobody saw that the client is gone")
	}

	r.untilRest(t)
	other := r.dial()
	eventually(t, "its place", func() bool { return r.parked() == 1 })
	r.server.Shed()
	other.wantClosed()
}

// TestSweeperRestEnds: a connection that wakes just as the sweeper goes to rest is not
// left alone.
func TestSweeperRestEnds(t *testing.T) {
	s := &Server{}
	w := &s.sweeper
	w.s, w.began = s, time.Now()
	w.clock.Store(1)
	w.wake, w.quit = make(chan struct{}, 1), make(chan struct{})
	c := &conn{s: s}
	for i := range 2000 {
		awake := make(chan struct{})
		go func() {
			w.rest()
			close(awake)
		}()
		c.rouse()
		select {
		case <-awake:
		case <-time.After(20 * time.Second):
			t.Fatalf("round %d: it rests on", i)
		}
		s.awake.remove(c)
	}
}

// A tick that has not come yet, since a rest ends just now, is no time long ago: a
// connection would be taken for one that has waited for years, and closed.
func TestSweeperAgo(t *testing.T) {
	f := func(now, since, want uint32) {
		t.Helper()
		var w sweeper
		w.clock.Store(now)
		if got := w.ago(since); got != want {
			t.Errorf("at %d, %d is %d ticks ago, want %d", now, since, got, want)
		}
	}
	f(10, 10, 0)
	f(10, 4, 6)
	f(10, 11, 0)
	f(10, 12, 0)
	f(1, 2, 0)
	f(1, asked-1, 2) // over the wrap
	f(asked-1, 1, 0)
	f(1_000_000, 1, 999_999)
}
