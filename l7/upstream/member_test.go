package upstream

import (
	"bufio"
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"weir/conf"
	"weir/l7/message"
	"weir/pool/backend"

	"golang.org/x/sys/unix"
)

// group starts a registry with one group of the given servers, wired to tr.
func group(t *testing.T, tr *Transport, servers ...net.Addr) *backend.Group {
	t.Helper()
	p := conf.Pool{
		Name: "g", Balance: "round_robin", ConnectTimeout: patience,
		Ejection: conf.Ejection{
			Enabled: true, Failures: 5, Time: time.Hour, MaxTime: time.Hour, MaxPercent: 50,
		},
		KeepAlive: conf.KeepAlive{MaxIdle: 100, IdleTimeout: time.Hour},
	}
	for _, a := range servers {
		addr := a.(*net.TCPAddr)
		p.Servers = append(p.Servers, conf.Server{
			Addr: conf.Addr{Network: "tcp", Host: addr.IP.String(), Port: uint16(addr.Port)}, Weight: 1,
		})
	}
	r := backend.New(backend.Options{OnDown: tr.Drop})
	t.Cleanup(r.Close)
	s, err := r.Prepare(context.Background(), []conf.Pool{p}, conf.DNS{})
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(s)
	return s.Group("g")
}

// fetchFrom does what the exchange does for a GET: the next member when nothing
// was sent, one retry on a fresh connection.
func fetchFrom(t *testing.T, tr *Transport, g *backend.Group) (body string, dials, retries int) {
	t.Helper()
	var q backend.Query
	for {
		m, err := g.Pick(&q)
		if err != nil {
			t.Fatal(err)
		}
		for fresh := false; ; fresh = true {
			c, _, err := tr.Get(m, fresh)
			if err != nil {
				if e := asError(t, err); !e.Unsent() {
					t.Fatalf("got %+v", e)
				}
				dials++
				break
			}
			_, got, err := fetch(c)
			c.Release()
			if err == nil {
				m.Report(backend.Success)
				m.Done()
				return string(got), dials, retries
			}
			e := asError(t, err)
			m.Report(backend.Reset)
			if retries++; !e.Stale() || retries > 1 {
				t.Fatalf("got %+v", e)
			}
		}
		m.Done()
	}
}

// Rows 1 and 7: one of two backends is killed. No GET fails, and what was idle
// to it goes when the first connect is refused.
func TestKilledBackend(t *testing.T) {
	a, b := serve(t, answering(okResponse)), serve(t, answering(okResponse))
	tr := newTransport(t)
	g := group(t, tr, a.l.Addr(), b.l.Addr())
	for range 10 {
		fetchFrom(t, tr, g)
	}
	if s := tr.Stats("g"); s.Dials != 2 || s.Reuses != 8 || s.Idle != 2 {
		t.Fatalf("got %+v", s)
	}
	a.close()
	failed := 0
	for range 20 {
		body, dials, _ := fetchFrom(t, tr, g)
		if body != "ok" {
			t.Errorf("got %q", body)
		}
		failed += dials
	}
	if failed != 1 {
		t.Errorf("%d connects to the dead backend, want 1", failed)
	}
	if s := tr.Stats("g"); s.Idle != 1 || s.Failures != 1 || s.InUse != 0 {
		t.Errorf("got %+v", s)
	}
	if m := g.Members()[0]; m.InFlight() != 0 {
		t.Errorf("%d in flight", m.InFlight())
	}
}

// An endpoint that goes down by any cause loses its idle connections at once.
func TestOnDownDrops(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	g := group(t, tr, f.l.Addr())
	fetchFrom(t, tr, g)
	if n := tr.Stats("g").Idle; n != 1 {
		t.Fatalf("%d idle", n)
	}
	g.Members()[0].SetMaintenance(true)
	eventually(t, "no idle connection", func() bool { return tr.Stats("g").Idle == 0 })
}

// What is Weir's own trouble is never held against the member.
func TestLocalErrorIsInternal(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	g := group(t, tr, f.l.Addr())
	tr.Close()
	var q backend.Query
	m, err := g.Pick(&q)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Done()
	_, _, err = tr.Get(m, false)
	if e := asError(t, err); e.Side != message.Internal {
		t.Errorf("got %+v", e)
	}
	if m.Endpoint().State() != backend.StateHealthy {
		t.Errorf("the endpoint is %v", m.Endpoint().State())
	}
}

func TestNoDescriptorsLeft(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	g := group(t, tr, f.l.Addr())
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	var q backend.Query
	m, err := g.Pick(&q)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Done()
	_, _, err = tr.Get(m, false)
	if e := asError(t, err); e.Side != message.Internal || !errors.Is(err, unix.EMFILE) || !e.Unsent() {
		t.Errorf("got %+v", e)
	}
	if m.Endpoint().State() != backend.StateHealthy {
		t.Errorf("the endpoint is %v", m.Endpoint().State())
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates
	}
	f := serve(t, func(c net.Conn, r *bufio.Reader) { silentServer(c, r) })
	tr := newTransport(t)
	g := group(t, tr, f.l.Addr())
	fetchFrom(t, tr, g)
	var q backend.Query
	p := (*tr.idle.Load())[g.Members()[0].Endpoint().ID()]
	n := testing.AllocsPerRun(100, func() {
		q.Reset(0)
		m, err := g.Pick(&q)
		if err != nil {
			t.Fatal(err)
		}
		c, reused, err := tr.Get(m, false)
		if err != nil || !reused {
			t.Fatal(reused, err)
		}
		// Put back unused, which Release rightly refuses.
		c.counters.inUse.Add(-1)
		c.lent.Store(false)
		if !p.put(c, 10) {
			t.Fatal("not kept")
		}
		m.Done()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
