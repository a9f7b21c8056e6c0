package l4

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"weir/conf"
)

// list is List for a test, all pages of it.
func (w *world) list(f Filter, limit int) []Session {
	w.t.Helper()
	var all []Session
	for after := uint64(0); ; {
		p, err := w.srv.List(shortContext(w.t, patience), f, after, limit)
		if err != nil {
			w.t.Fatal(err)
		}
		if all = append(all, p.Sessions...); p.Next == 0 {
			return all
		}
		if len(p.Sessions) != limit {
			w.t.Fatalf("a page of %d that is not the last, want %d", len(p.Sessions), limit)
		}
		after = p.Next
	}
}

func (w *world) end(f Filter) int {
	w.t.Helper()
	n, err := w.srv.End(shortContext(w.t, patience), f)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// opened is a client whose session relays.
func opened(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c := dial(t, addr)
	send(t, c, "hello")
	want(t, c, "hello")
	return c
}

func wantReset(t testing.TB, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Fatalf("read %d bytes, %v, want a reset", n, err)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("the connection stayed: %v", err)
	}
}

// Sessions are shown with what is known of them, are on one page each, and end when
// they are told to.
func TestListAndEnd(t *testing.T) {
	a, b := origin(t, echo), origin(t, echo)
	w := newWorld(t, worldOptions{loops: 3}, poolOf("a", a), poolOf("b", b))
	w.serve(w.l4(conf.L4{Name: "one", Pool: "a"}), w.l4(conf.L4{Name: "two", Pool: "b"}))
	var ones, twos []*net.TCPConn
	for range 10 {
		ones = append(ones, opened(t, w.srv.Addrs("one")[0]))
		twos = append(twos, opened(t, w.srv.Addrs("two")[0]))
	}
	f := func(f Filter, want int) []Session {
		t.Helper()
		got := w.list(f, 3)
		if len(got) != want {
			t.Errorf("%+v chooses %d, want %d", f, len(got), want)
		}
		return got
	}
	all := f(Filter{}, 20)
	ids := map[uint64]bool{}
	for _, x := range all {
		ids[x.ID] = true
	}
	if len(ids) != 20 || !slices.IsSortedFunc(all, func(a, b Session) int { return int(int64(b.ID - a.ID)) }) {
		t.Errorf("%d different sessions, want 20 in the order of their ids", len(ids))
	}
	f(Filter{Listener: "one"}, 10)
	f(Filter{Pool: "b"}, 10)
	f(Filter{Backend: a}, 10)
	f(Filter{Backend: a, Pool: "b"}, 0)
	f(Filter{Client: netip.MustParsePrefix("127.0.0.0/8")}, 20)
	f(Filter{Client: netip.MustParsePrefix("10.0.0.0/8")}, 0)
	f(Filter{MinAge: time.Hour}, 0)
	self := netip.MustParseAddrPort(twos[0].LocalAddr().String())
	i := slices.IndexFunc(all, func(x Session) bool { return x.Client == self })
	if i < 0 {
		t.Fatalf("no session of %s", self)
	}
	x := all[i]
	if x.Listener != "two" || x.Pool != "b" || x.Backend != b || x.State != "relaying" || x.BytesIn != 5 ||
		x.BytesOut != 5 || x.Age <= 0 || x.Idle < 0 || x.Start.IsZero() {
		t.Errorf("a session is shown as %+v", x)
	}
	if n := w.end(Filter{ID: x.ID}); n != 1 {
		t.Errorf("%d sessions ended, want 1", n)
	}
	wantReset(t, twos[0])
	if n := w.end(Filter{ID: x.ID}); n != 0 {
		t.Errorf("%d sessions ended a second time", n)
	}
	if n := w.end(Filter{Backend: b}); n != 9 {
		t.Errorf("%d sessions ended, want 9", n)
	}
	for _, c := range twos[1:] {
		wantReset(t, c)
	}
	send(t, ones[0], "more")
	want(t, ones[0], "more")
	if n := w.closedCount(reasonAdmin); n != 10 {
		t.Errorf("%d closed for the administrator, want 10", n)
	}
}

// While a walk through many sessions is under way, the loop serves its connections:
// sessions end, also the one that is next, and the walk meets every other.
func TestScanAmongEndingSessions(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1})
	sh := w.srv.shards[0]
	const many = 4 * scanStep
	ends := func(done chan int) {
		seen := 0
		sh.startScan(func(l live) (int, bool) {
			v := l.(*session)
			if seen++; v.next != nil && seen%7 == 0 {
				sh.retire(v.next)
			}
			return 0, true
		}, func() { done <- seen })
	}
	ready := make(chan struct{})
	sh.loop.Do(func() {
		for range many {
			sh.get()
		}
		close(ready)
	})
	<-ready
	done := make(chan int, 1)
	ends(done)
	seen := <-done
	left := 0
	sh.call(func() {
		for sh.first != nil {
			left++
			sh.retire(sh.first)
		}
		if len(sh.scans) != 0 {
			t.Errorf("%d walks are left behind", len(sh.scans))
		}
	})
	if left != seen || seen+seen/7 < many-1 {
		t.Errorf("saw %d of %d, %d are left", seen, many, left)
	}
}

// A visitor that panics ends its walk; whoever waits for it goes on, and so does the loop.
func TestScanPanic(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin(t, echo)))
	c := opened(t, w.simple(conf.L4{}))
	done := make(chan struct{})
	w.srv.shards[0].startScan(func(live) (int, bool) { panic("a bug") }, func() { close(done) })
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the walk never ended")
	}
	send(t, c, "still here")
	want(t, c, "still here")
}

// A list ends with its context, and with the server.
func TestListEndsEarly(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1})
	release := make(chan struct{})
	w.srv.shards[0].loop.Do(func() { <-release })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.srv.List(ctx, Filter{}, 0, 1); err == nil {
		t.Error("listed though the context had ended")
	}
	close(release)
	w.srv.Close()
	if n, err := w.srv.End(t.Context(), Filter{}); err == nil && n != 0 {
		t.Errorf("%d sessions ended after the end", n)
	}
}
