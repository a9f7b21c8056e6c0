package backend

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/conf"
)

func TestPickAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, b := range balancers {
		list := servers(3, 1, 2, 5)
		list[1].MaxConns = 1
		g := group(t, testPool("p", b, list))
		var q Query
		n := testing.AllocsPerRun(1000, func() {
			q.Reset(q.Hash + 1)
			m, _ := g.Pick(&q)
			o, _ := g.Pick(&q)
			m.Report(Connected)
			m.Report(Success)
			g.RequestStarted()
			o.Done()
			m.Done()
			_, _ = m.Endpoint().Addr()
			_ = m.Endpoint().Sockaddr()
			_ = g.ConnectTimeout()
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", b, n)
		}
	}
}

// However many callers there are, no member ever has more than its max_conns.
func TestMaxConnsUnderConcurrency(t *testing.T) {
	for _, b := range balancers {
		list := servers(1, 5)
		list[0].MaxConns, list[1].MaxConns = 3, 2
		g := group(t, testPool("p", b, list))
		var held [2]atomic.Int32
		var full atomic.Int32
		var wg sync.WaitGroup
		first := g.Members()[0]
		for range 8 {
			wg.Go(func() {
				var q Query
				for i := range 2000 {
					q.Reset(uint64(i))
					m, err := g.Pick(&q)
					if err != nil {
						full.Add(1)
						continue
					}
					j, limit := 1, int32(2)
					if m == first {
						j, limit = 0, 3
					}
					if n := held[j].Add(1); n > limit {
						t.Errorf("%s: %d in flight on a member with max_conns %d", b, n, limit)
					}
					held[j].Add(-1)
					m.Done()
				}
			})
		}
		wg.Wait()
		for _, m := range g.Members() {
			if m.InFlight() != 0 {
				t.Errorf("%s: %d in flight at the end", b, m.InFlight())
			}
		}
	}
}

// Everything at once: traffic, failures, reloads, the administrator, the status.
func TestEverythingAtOnce(t *testing.T) {
	p := &fakeProber{}
	var downs atomic.Int32
	r := New(Options{OnDown: func(*Endpoint) { downs.Add(1) }})
	r.prober = p
	health := conf.Health{Type: checkTCP, Interval: 10 * time.Millisecond, Timeout: time.Second, Rise: 1, Fall: 1}
	config := func(i int) []conf.Pool {
		a := testPool("a", balancers[i%len(balancers)], servers(spread(2+i%5)...))
		a.Ejection.Time, a.SlowStart = time.Millisecond, 30*time.Millisecond
		b := testPool("b", balanceLeastConn, servers(1, 1, 1))
		b.Health = health
		b.Ejection.Time = time.Millisecond
		return []conf.Pool{a, b}[:1+i%2]
	}
	s := commit(t, r, config(1)...)
	groups := s.Groups()

	var wg sync.WaitGroup
	stop := make(chan struct{})
	loop := func(round func(i int)) {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					round(i)
				}
			}
		})
	}
	for w := range 4 {
		loop(func(i int) {
			g := groups[i%len(groups)]
			q := Query{Hash: uint64(i)}
			g.RequestStarted()
			for {
				m, err := g.Pick(&q)
				if err != nil {
					return
				}
				m.Report(Outcome(1 + (i+w)%int(LocalError)))
				m.Done()
				if !g.AllowRetry() {
					return
				}
			}
		})
	}
	loop(func(i int) {
		for _, g := range r.Status() {
			if m := r.Group(g.Pool); m != nil {
				_ = m.Usable()
			}
		}
		for _, m := range groups[0].Members() {
			m.SetDrain(i%3 == 0)
			m.SetWeight(i%5 - 1)
		}
		time.Sleep(time.Millisecond)
	})
	loop(func(i int) {
		p.set("10.0.0.2:1", i%2 == 0)
		time.Sleep(5 * time.Millisecond)
	})
	for i := range 100 {
		s, err := r.Prepare(context.Background(), config(i), conf.DNS{})
		if err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			r.Discard(s)
			continue
		}
		r.Commit(s)
		time.Sleep(time.Millisecond)
	}
	close(stop)
	wg.Wait()
	r.Close()
	for _, g := range groups {
		for _, m := range g.Members() {
			if m.InFlight() != 0 {
				t.Errorf("%s: %d in flight at the end", m.Name(), m.InFlight())
			}
		}
	}
	if downs.Load() == 0 {
		t.Error("OnDown was never called")
	}
}

func BenchmarkPick(b *testing.B) {
	for _, balance := range balancers {
		b.Run(balance, func(b *testing.B) {
			r := New(Options{})
			defer r.Close()
			g := commit(b, r, testPool("p", balance, servers(spread(10)...))).Group("p")
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				var q Query
				for pb.Next() {
					q.Reset(q.Hash + 1)
					m, err := g.Pick(&q)
					if err != nil {
						b.Error(err)
						return
					}
					m.Report(Success)
					m.Done()
				}
			})
		})
	}
}

// A rebuild happens on the goroutine that reports a failure, so it must be short.
func BenchmarkRebuild(b *testing.B) {
	for _, balance := range []string{balanceRoundRobin, balanceSourceHash} {
		for _, n := range []int{10, 100, 1000} {
			b.Run(balance+"/"+strconv.Itoa(n), func(b *testing.B) {
				r := New(Options{})
				defer r.Close()
				g := commit(b, r, testPool("p", balance, servers(spread(n)...))).Group("p")
				for b.Loop() {
					r.mu.Lock()
					g.rebuild(time.Now())
					r.mu.Unlock()
				}
			})
		}
	}
}
