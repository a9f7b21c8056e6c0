package backend

import (
	"testing"
	"testing/synctest"
	"time"
)

// A latency follows a rise at once, a fall with time, and forgets.
func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l latency
		now := func() int64 { return time.Now().UnixNano() }
		near := func(what string, want time.Duration) {
			t.Helper()
			got := time.Duration(l.at(now()))
			if got < want*99/100 || got > want*101/100 {
				t.Errorf("%s: got %v, want %v", what, got, want)
			}
		}
		near("before the first answer", 0)
		l.observe(100*time.Millisecond, now())
		near("the first answer", 100*time.Millisecond)
		l.observe(time.Second, now())
		near("a slower one", time.Second)
		l.observe(time.Millisecond, now())
		near("a quick one at the same moment", time.Second)
		time.Sleep(latencyMemory)
		near("after a while", 368*time.Millisecond)
		l.observe(time.Millisecond, now())
		near("a quick one after a while", 368*time.Millisecond)
		for range 100 {
			time.Sleep(latencyMemory / 4)
			l.observe(time.Millisecond, now())
		}
		near("many quick ones", time.Millisecond)
		l.worsen(now())
		near("a failure", leastPenalty)
		for range 20 {
			l.worsen(now())
		}
		near("many failures", mostPenalty)
		if got := l.at(now() - int64(time.Hour)); got != float64(mostPenalty) {
			t.Errorf("a clock that was set back: got %v, want %v", time.Duration(got), mostPenalty)
		}
	})
}

// Work goes where answers come quickly, and a server that has become quick gets its
// share back.
func TestLeastLatencyPrefersTheQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{})
		defer r.Close()
		g := commit(t, r, testPool("p", balanceLatency, servers(1, 1, 1, 1))).Group("p")
		slow := g.Members()[0]
		shareOfSlow := func(took time.Duration) float64 {
			n := 0
			for range 2000 {
				m := pick(t, g, &Query{})
				time.Sleep(time.Millisecond)
				if m == slow {
					n++
					m.Observe(took)
				} else {
					m.Observe(5 * time.Millisecond)
				}
				m.Done()
			}
			return float64(n) / 2000
		}
		if !g.Timed() {
			t.Fatal("the group does not want to know latencies")
		}
		if share := shareOfSlow(200 * time.Millisecond); share > 0.05 {
			t.Errorf("a slow server got %.2f of the work", share)
		}
		time.Sleep(6 * latencyMemory)
		shareOfSlow(time.Millisecond)
		if share := shareOfSlow(5 * time.Millisecond); share < 0.15 {
			t.Errorf("a server that has become quick gets %.2f of the work", share)
		}
	})
}

// A server that fails quickly gets less work, not more.
func TestLeastLatencyIsNotFooledByQuickFailures(t *testing.T) {
	p := testPool("p", balanceLatency, servers(1, 1, 1))
	p.Ejection.Enabled = false
	g := group(t, p)
	bad, n := g.Members()[0], 0
	for range 3000 {
		m := pick(t, g, &Query{})
		if m == bad {
			n++
			m.Observe(time.Millisecond)
			m.Report(ServerError)
		} else {
			m.Observe(5 * time.Millisecond)
			m.Report(Success)
		}
		m.Done()
	}
	if n > 300 {
		t.Errorf("a server that fails quickly got %d of 3000 requests", n)
	}
}

// One request is tried on a server that nothing is known of, not all of them.
func TestLeastLatencyOfAStranger(t *testing.T) {
	g := group(t, testPool("p", balanceLatency, servers(1, 1, 1)))
	for _, m := range g.Members()[1:] {
		m.Observe(5 * time.Millisecond)
	}
	for range 100 {
		pick(t, g, &Query{})
	}
	if n := g.Members()[0].InFlight(); n == 0 || n > 5 {
		t.Errorf("%d requests in flight on a server that has not answered yet", n)
	}
}

func BenchmarkPick100(b *testing.B) {
	for _, balance := range balancers {
		b.Run(balance, func(b *testing.B) {
			g := group(b, testPool("p", balance, servers(spread(100)...)))
			for i, m := range g.Members() {
				m.Observe(time.Duration(i+1) * time.Millisecond)
			}
			var q Query
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				q.Reset(uint64(i))
				m, _ := g.Pick(&q)
				m.Done()
			}
		})
	}
}
