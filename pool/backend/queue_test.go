package backend

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/conf"
	"weir/pool/metric"
)

// queueGroup is a group of servers with one slot each and a queue of this length.
func queueGroup(t *testing.T, queue int, servers ...conf.Server) (*Registry, *Group, *metric.Registry) {
	t.Helper()
	ms := metric.New()
	r := New(Options{Metrics: ms})
	t.Cleanup(r.Close)
	commitQueue(t, r, queue, servers...)
	return r, r.Group("p"), ms
}

func commitQueue(t *testing.T, r *Registry, queue int, servers ...conf.Server) {
	t.Helper()
	p := conf.Pool{
		Name: "p", Balance: "round_robin", ConnectTimeout: time.Second, Queue: queue, QueueTimeout: time.Minute,
		Servers: servers, Ejection: conf.Ejection{Enabled: true, Failures: 5, Time: time.Minute, MaxTime: time.Hour, MaxPercent: 100},
	}
	s, err := r.Prepare(t.Context(), []conf.Pool{p}, conf.DNS{})
	if err != nil {
		t.Fatal(err)
	}
	r.Commit(s)
}

func slots(n int, port uint16) conf.Server {
	return conf.Server{Addr: conf.Addr{Network: "tcp", Host: "127.0.0.1", Port: port}, Weight: 1, MaxConns: n}
}

// guest is a waiter of a test.
type guest struct {
	Waiter
	q     Query
	woken atomic.Int32
}

func enqueue(t *testing.T, g *Group) *guest {
	t.Helper()
	w := new(guest)
	w.Wake = func() { w.woken.Add(1) }
	if err := g.Enqueue(&w.Waiter, &w.q); err != nil {
		t.Fatal(err)
	}
	return w
}

// got checks that w was woken with a member and returns it.
func (w *guest) got(t *testing.T) *Member {
	t.Helper()
	if n := w.woken.Load(); n != 1 {
		t.Fatalf("woken %d times, want once", n)
	}
	m, err := w.Leave()
	if err != nil || m == nil {
		t.Fatalf("got %v, %v", m, err)
	}
	return m
}

func pickOne(t *testing.T, g *Group) *Member {
	t.Helper()
	m, err := g.Pick(new(Query))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A slot goes to who came first, and neither a Pick nor who came later gets it.
func TestQueueIsFirstComeFirstServed(t *testing.T) {
	_, g, ms := queueGroup(t, 3, slots(1, 1))
	m := pickOne(t, g)
	var waiting []*guest
	for range 3 {
		waiting = append(waiting, enqueue(t, g))
	}
	if err := g.Enqueue(&Waiter{Wake: func() {}}, new(Query)); !errors.Is(err, ErrQueueFull) {
		t.Fatalf("got %v", err)
	}
	if n := ms.Gauge(metric.BackendQueued, "p").Load(); n != 3 {
		t.Errorf("%d wait, want 3", n)
	}
	for i, w := range waiting {
		m.Done()
		if _, err := g.Pick(new(Query)); !errors.Is(err, ErrFull) {
			t.Fatalf("a Pick got in between: %v", err)
		}
		for _, later := range waiting[i+1:] {
			if later.woken.Load() != 0 {
				t.Fatal("a later one was woken")
			}
		}
		m = w.got(t)
	}
	m.Done()
	if n := m.InFlight(); n != 0 {
		t.Errorf("%d slots are taken", n)
	}
	if a, b := ms.Gauge(metric.BackendQueued, "p").Load(), ms.Counter(metric.BackendQueueOverflows, "p").Load(); a != 0 || b != 1 {
		t.Errorf("%d wait and %d were turned away, want 0 and 1", a, b)
	}
}

// Who leaves before his turn frees the place and gets nothing.
func TestQueueLeave(t *testing.T) {
	_, g, _ := queueGroup(t, 2, slots(1, 1))
	m := pickOne(t, g)
	first, second := enqueue(t, g), enqueue(t, g)
	if got, err := first.Leave(); got != nil || err != nil {
		t.Fatalf("got %v, %v", got, err)
	}
	third := enqueue(t, g)
	m.Done()
	second.got(t).Done()
	third.got(t).Done()
	if first.woken.Load() != 0 {
		t.Error("one who left was woken")
	}
}

// A reload and a change by the administrator serve the queue too.
func TestQueueIsServedByChanges(t *testing.T) {
	r, g, _ := queueGroup(t, 10, slots(1, 1))
	m := pickOne(t, g)
	f := func(what string, change func()) {
		t.Helper()
		w := enqueue(t, g)
		change()
		if w.woken.Load() != 1 {
			t.Fatal(what)
		}
		w.got(t).Done()
	}
	f("more slots", func() { commitQueue(t, r, 10, slots(2, 1)) })
	commitQueue(t, r, 10, slots(1, 1))
	f("one more server", func() { commitQueue(t, r, 10, slots(1, 1), slots(1, 2)) })
	commitQueue(t, r, 10, slots(1, 1), slots(1, 2))
	var other *Member
	for _, o := range g.Members() {
		if o != m {
			other = o
		}
	}
	other.SetDrain(true)
	f("a server back from a drain", func() { other.SetDrain(false) })
	m.Done()
}

// Where no server is left to wait for, waiting ends with the reason.
func TestQueueEndsWithoutServers(t *testing.T) {
	_, g, _ := queueGroup(t, 10, slots(1, 1))
	m := pickOne(t, g)
	w := enqueue(t, g)
	m.SetMaintenance(true)
	if w.woken.Load() != 1 {
		t.Fatal("not woken")
	}
	if got, err := w.Leave(); got != nil || !errors.Is(err, ErrNoServer) {
		t.Fatalf("got %v, %v", got, err)
	}
	m.Done()
}

// One who was turned away by the server with a free slot lets others pass, and keeps the place.
func TestQueuePassesOver(t *testing.T) {
	_, g, _ := queueGroup(t, 10, slots(1, 1), slots(1, 2))
	a, b := pickOne(t, g), pickOne(t, g)
	w := new(guest)
	w.Wake = func() { w.woken.Add(1) }
	w.q.note(a)
	if err := g.Enqueue(&w.Waiter, &w.q); err != nil {
		t.Fatal(err)
	}
	other := enqueue(t, g)
	a.Done()
	if got := other.got(t); got != a {
		t.Fatalf("got %s", got.Name())
	}
	b.Done()
	if got := w.got(t); got != b {
		t.Fatalf("got %s", got.Name())
	}
	a.Done()
	b.Done()
}

// Many goroutines pick, wait, leave early and give back, while the group changes.
// Nobody waits for ever, no slot is lost or given twice, the bound holds.
func TestQueueProperty(t *testing.T) {
	const bound, goroutines, rounds = 8, 24, 400
	_, g, ms := queueGroup(t, bound, slots(2, 1), slots(1, 2))
	var holders [2]atomic.Int32
	var wg sync.WaitGroup
	stop := make(chan struct{})
	hold := func(m *Member) {
		i := 0
		if m == g.Members()[1] {
			i = 1
		}
		if n := holders[i].Add(1); n > int32(2-i) {
			t.Errorf("%d hold a slot of %s", n, m.Name())
		}
		if rand.IntN(4) == 0 {
			time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
		}
		holders[i].Add(-1)
		m.Done()
	}
	for range goroutines {
		wg.Go(func() {
			for range rounds {
				visit(t, g, hold)
			}
		})
	}
	var changes sync.WaitGroup
	changes.Go(func() {
		for on := true; ; on = !on {
			select {
			case <-stop:
				g.Members()[1].SetDrain(false)
				return
			default:
				g.Members()[1].SetDrain(on)
				if n := ms.Gauge(metric.BackendQueued, "p").Load(); n > bound {
					t.Errorf("%d wait, more than %d", n, bound)
				}
				time.Sleep(50 * time.Microsecond)
			}
		}
	})
	wg.Wait()
	close(stop)
	changes.Wait()
	for _, m := range g.Members() {
		if n := m.InFlight(); n != 0 {
			t.Errorf("%d slots of %s were lost", n, m.Name())
		}
	}
	if n := g.queue.length.Load(); n != 0 || g.queue.first != nil || g.queue.last != nil {
		t.Errorf("%d are left in the queue", n)
	}
}

// visit is one caller: it picks, or waits, for ever or for a moment.
func visit(t *testing.T, g *Group, hold func(*Member)) {
	var q Query
	m, err := g.Pick(&q)
	if err == nil {
		hold(m)
		return
	}
	woken := make(chan struct{}, 2)
	w := &Waiter{Wake: func() { woken <- struct{}{} }}
	if g.Enqueue(w, &q) != nil {
		return
	}
	patience := 20 * time.Second
	if rand.IntN(3) == 0 {
		patience = time.Duration(rand.IntN(200)) * time.Microsecond
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-woken:
	case <-timer.C:
		if patience > time.Second {
			t.Error("waited in vain")
		}
	}
	if m, _ := w.Leave(); m != nil {
		hold(m)
	}
}

// Without waiters the queue costs no memory.
func TestQueueAllocs(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are not counted under the race detector")
		return
	}
	_, g, _ := queueGroup(t, 10, slots(5, 1))
	var q Query
	if n := testing.AllocsPerRun(1000, func() {
		q.Reset(0)
		m, err := g.Pick(&q)
		if err != nil {
			t.Fatal(err)
		}
		m.Done()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
