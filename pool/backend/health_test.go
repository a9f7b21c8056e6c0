package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/conf"
)

var errBad = errors.New("bad")

// fakeProber stands in for the network: addresses that are set bad fail.
type fakeProber struct {
	mu     sync.Mutex
	bad    map[string]bool
	checks map[string]int
	probes map[string]int
	found  map[string]finding
	busy   int
	most   int
	takes  time.Duration
}

func (p *fakeProber) set(address string, bad bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bad == nil {
		p.bad = map[string]bool{}
	}
	p.bad[address] = bad
}

func (p *fakeProber) count(of *map[string]int, ctx context.Context, e *Endpoint) error {
	_, address := e.Addr()
	p.mu.Lock()
	if *of == nil {
		*of = map[string]int{}
	}
	(*of)[address]++
	p.busy++
	p.most = max(p.most, p.busy)
	takes := p.takes
	p.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	if p.bad[address] {
		return errBad
	}
	return ctx.Err()
}

func (p *fakeProber) check(ctx context.Context, e *Endpoint) (finding, error) {
	err := p.count(&p.checks, ctx, e)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.found[e.key.address], err
}

func (p *fakeProber) probe(ctx context.Context, e *Endpoint) error { return p.count(&p.probes, ctx, e) }

// sim is a registry in a bubble of simulated time, without a network.
type sim struct {
	*testing.T
	*fakeProber
	r     *Registry
	start time.Time
	downs []string
	losts []Lost
	mu    sync.Mutex
}

// simulate runs f in simulated time.
func simulate(t *testing.T, f func(s *sim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &sim{T: t, fakeProber: &fakeProber{}, start: time.Now()}
		s.r = newTestRegistry(t, Options{OnDown: func(e *Endpoint) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.downs = append(s.downs, e.String())
		}, OnLost: func(l Lost) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.losts = append(s.losts, l)
		}})
		s.r.prober = s.fakeProber
		f(s)
	})
}

// wait lets d pass and everything that is due happen.
func (s *sim) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// usable gives the last numbers of the members in rotation: "13".
func usable(g *Group) string {
	var b strings.Builder
	for _, m := range g.Status().Members {
		if m.InRotation {
			host, _, _ := strings.Cut(m.Address, ":")
			b.WriteString(host[strings.LastIndexByte(host, '.')+1:])
		}
	}
	return b.String()
}

func (s *sim) expect(g *Group, want, why string) {
	s.Helper()
	synctest.Wait()
	if got := usable(g); got != want {
		s.Fatalf("after %v: in rotation are %q, want %q: %s\n%s", time.Since(s.start), got, want, why, describe(g))
	}
}

// after waits until members in rotation are want, for at most d, and tells how long it took.
func (s *sim) after(g *Group, want string, d time.Duration) time.Duration {
	s.Helper()
	start := time.Now()
	for usable(g) != want {
		if time.Since(start) > d {
			s.Fatalf("in rotation are %q, want %q within %v\n%s", usable(g), want, d, describe(g))
		}
		s.wait(time.Millisecond)
	}
	return time.Since(start)
}

// between fails where d is not within [low, high].
func (s *sim) between(what string, d, low, high time.Duration) {
	s.Helper()
	if d < low || d > high {
		s.Errorf("%s took %v, want %v to %v", what, d, low, high)
	}
}

func withHealth(p conf.Pool) conf.Pool {
	p.Health = conf.Health{
		Type: checkTCP, Interval: 2 * time.Second, DownInterval: 500 * time.Millisecond,
		Timeout: time.Second, Rise: 2, Fall: 3,
	}
	return p
}

func TestCheckRiseAndFall(t *testing.T) {
	simulate(t, func(s *sim) {
		g := commit(t, s.r, withHealth(testPool("p", "", servers(1, 1)))).Group("p")
		s.expect(g, "12", "endpoints are usable before the first check")
		s.wait(5 * time.Second)
		s.set("10.0.0.1:1", true)
		d := s.after(g, "2", 10*time.Second)
		s.between("going down (3 checks, 2 s apart)", d, 3600*time.Millisecond, 6700*time.Millisecond)
		if len(s.downs) != 1 || s.downs[0] != "10.0.0.1:1" {
			t.Errorf("OnDown was told of %v", s.downs)
		}
		m := g.Status().Members[0]
		if c := m.LastCheck; m.State != "down" || c.Error != "bad" || c.Result != checkFailed || c.Fails != 3 {
			t.Errorf("status: %+v, %+v", m, m.LastCheck)
		}
		s.wait(time.Second)
		s.set("10.0.0.1:1", false)
		d = s.after(g, "12", 10*time.Second)
		s.between("coming up (2 checks, 0.5 s apart)", d, 450*time.Millisecond, 1200*time.Millisecond)
		if m := g.Members()[0]; m.Endpoint().State() != StateHealthy {
			t.Errorf("state is %v", m.Endpoint().State())
		}
	})
}

func TestMaintenanceIsNotChecked(t *testing.T) {
	simulate(t, func(s *sim) {
		p := withHealth(testPool("p", "", servers(1, 1)))
		p.Servers[0].Maintenance = true
		q := withHealth(testPool("q", "", p.Servers[:1:1]))
		g := commit(t, s.r, p).Group("p")
		s.wait(time.Minute)
		if got := s.checks["10.0.0.1:1"]; got != 0 {
			t.Errorf("%d checks of a server in maintenance", got)
		}
		s.set("10.0.0.1:1", true)
		g.Members()[0].SetMaintenance(false)
		s.expect(g, "12", "the checks know nothing yet")
		s.between("the first failure", s.after(g, "2", 10*time.Second), 0, 2500*time.Millisecond)
		g.Members()[0].SetMaintenance(true)

		q.Servers = []conf.Server{p.Servers[0]}
		q.Servers[0].Maintenance = false
		before := s.checks["10.0.0.1:1"]
		commit(t, s.r, p, q)
		s.wait(time.Minute)
		if s.checks["10.0.0.1:1"] < before+20 {
			t.Error("no checks for the group in which it is not in maintenance")
		}
	})
}

func TestFirstCheckDecides(t *testing.T) {
	simulate(t, func(s *sim) {
		s.set("10.0.0.2:1", true)
		g := commit(t, s.r, withHealth(testPool("p", "", servers(1, 1)))).Group("p")
		s.between("the first check", s.after(g, "1", time.Second), 0, firstCheckSpread)
		s.set("10.0.0.1:1", true)
		s.after(g, "", 10*time.Second) // active checks may take all of a group
		if _, err := g.Pick(&Query{}); err != ErrNoServer {
			t.Errorf("got %v", err)
		}
	})
}

func TestOneFailedCheckDegrades(t *testing.T) {
	simulate(t, func(s *sim) {
		g := commit(t, s.r, withHealth(testPool("p", "", servers(1, 1)))).Group("p")
		s.wait(time.Second)
		s.set("10.0.0.1:1", true)
		s.wait(2500 * time.Millisecond)
		s.expect(g, "12", "one failure is too few")
		if got := g.Members()[0].Endpoint().State(); got != StateDegraded {
			t.Errorf("state is %v, want degraded", got)
		}
		s.set("10.0.0.1:1", false)
		s.wait(2500 * time.Millisecond)
		if got := g.Members()[0].Endpoint().State(); got != StateHealthy {
			t.Errorf("state is %v, want healthy", got)
		}
	})
}

func TestChecksAreBounded(t *testing.T) {
	simulate(t, func(s *sim) {
		s.takes = 10 * time.Millisecond
		g := commit(t, s.r, withHealth(testPool("p", "", servers(make([]int, 500)...)))).Group("p")
		s.wait(4 * time.Second)
		if s.most > maxChecks {
			t.Errorf("%d checks at once, at most %d expected", s.most, maxChecks)
		}
		if len(s.checks) != 500 {
			t.Errorf("%d endpoints were checked", len(s.checks))
		}
		_ = g
	})
}

func TestRefusalEjectsAtOnce(t *testing.T) {
	simulate(t, func(s *sim) {
		g := commit(t, s.r, testPool("p", "", servers(1, 1))).Group("p")
		m := pick(t, g, &Query{})
		s.set(m.Name(), true)
		m.Report(Refused)
		if got := usable(g); got != "2" {
			t.Fatalf("in rotation are %s when Report has returned", got)
		}
		if len(s.downs) != 1 {
			t.Errorf("OnDown was told of %v when Report has returned", s.downs)
		}
		m.Done()
		s.wait(10 * time.Second)
		s.expect(g, "2", "the probe finds nothing there")
		if n := s.probes[m.Name()]; n < 8 || n > 12 {
			t.Errorf("%d probes in 10 s, want one per second", n)
		}
		s.set(m.Name(), false)
		s.between("recovery", s.after(g, "12", 5*time.Second), 0, 1200*time.Millisecond)
	})
}

func TestConnectTimeoutsEjectAfterTwo(t *testing.T) {
	simulate(t, func(s *sim) {
		g := commit(t, s.r, testPool("p", "", servers(1, 1))).Group("p")
		m := g.Members()[0]
		m.Report(ConnectTimeout)
		m.Report(Connected)
		m.Report(ConnectTimeout)
		s.expect(g, "12", "not two in a row")
		for range 100 {
			m.Report(LocalError)
		}
		s.expect(g, "12", "local errors never count")
		m.Report(ConnectTimeout)
		s.expect(g, "2", "two in a row")
	})
}

func TestFailuresEjectInARow(t *testing.T) {
	simulate(t, func(s *sim) {
		g := commit(t, s.r, testPool("p", "", servers(1, 1))).Group("p")
		m := g.Members()[0]
		for range 4 {
			m.Report(ServerError)
		}
		m.Report(Success)
		m.Report(Reset)
		m.Report(Timeout)
		m.Report(Connected) // a connection is no proof that requests are answered
		m.Report(ServerError)
		m.Report(Reset)
		s.expect(g, "12", "four in a row are too few")
		m.Report(ServerError)
		s.expect(g, "2", "five in a row")
		s.wait(1100 * time.Millisecond)
		s.expect(g, "12", "a second is over")
		if s.probes[m.Name()] != 0 {
			t.Error("an endpoint that takes connections was probed")
		}
	})
}

// An endpoint that is back from an ejection is on probation: until something goes
// well there, the first failure takes it out again.
func TestProbation(t *testing.T) {
	simulate(t, func(s *sim) {
		g := commit(t, s.r, testPool("p", "", servers(1, 1))).Group("p")
		m := g.Members()[0]
		fail := func(n int) {
			for range n {
				m.Report(Timeout)
			}
		}
		fail(5)
		s.after(g, "12", 2*time.Second)
		if st := m.Endpoint().State(); st != StateDegraded {
			t.Errorf("state is %v on probation", st)
		}
		fail(1)
		s.expect(g, "2", "failed on probation")
		s.after(g, "12", 3*time.Second)
		m.Report(Success)
		fail(4)
		s.expect(g, "12", "off probation")
		fail(1)
		s.expect(g, "2", "five in a row")
	})
}

// Each ejection lasts twice as long as the one before, until MaxTime; a calm
// period of MaxTime starts again.
func TestEjectionGrows(t *testing.T) {
	simulate(t, func(s *sim) {
		p := testPool("p", "", servers(1, 1))
		p.Ejection.Failures, p.Ejection.MaxTime = 1, 5*time.Second
		g := commit(t, s.r, p).Group("p")
		m := g.Members()[0]
		eject := func(want time.Duration) {
			t.Helper()
			m.Report(ServerError)
			d := s.after(g, "12", time.Minute)
			s.between("ejection", d, want, want+2*time.Millisecond)
		}
		eject(time.Second)
		eject(2 * time.Second)
		s.wait(4 * time.Second)
		eject(4 * time.Second)
		eject(5 * time.Second)
		eject(5 * time.Second)
		s.wait(5 * time.Second)
		eject(time.Second)
	})
}

func TestEjectionCap(t *testing.T) {
	f := func(n, percent int, want string) {
		t.Helper()
		simulate(t, func(s *sim) {
			list := servers(make([]int, n)...)
			for i := range list {
				list[i].Weight = 1
			}
			p := testPool("p", "", list)
			p.Ejection.MaxPercent = percent
			g := commit(t, s.r, p).Group("p")
			for _, m := range g.Members() {
				s.set(m.Name(), true)
				m.Report(Refused)
				s.wait(time.Millisecond)
			}
			s.expect(g, want, fmt.Sprintf("%d%% of %d may be out", percent, n))
		})
	}
	f(1, 50, "1")
	f(2, 50, "2")
	f(3, 50, "23")
	f(4, 50, "34")
	f(4, 0, "1234")
	f(4, 99, "4")
	f(4, 100, "")
	f(1, 100, "")
}

func TestEjectionDisabled(t *testing.T) {
	simulate(t, func(s *sim) {
		p := testPool("p", "", servers(1, 1))
		p.Ejection.Enabled = false
		g := commit(t, s.r, p).Group("p")
		g.Members()[0].Report(Refused)
		s.expect(g, "12", "ejection is off")
	})
}

// What one group learns holds for the other, each within its own cap.
func TestGroupsShareEndpoints(t *testing.T) {
	simulate(t, func(s *sim) {
		snap := commit(t, s.r, testPool("a", "", servers(1, 1, 1)), testPool("b", "", servers(1)),
			testPool("c", "", servers(1, 1)), withHealth(testPool("d", "", servers(1, 1))))
		a, b, c, d := snap.Group("a"), snap.Group("b"), snap.Group("c"), snap.Group("d")
		if a.Members()[0].Endpoint() != c.Members()[0].Endpoint() {
			t.Fatal("one address with the same checks is two endpoints")
		}
		a.Members()[0].Report(Refused)
		s.expect(a, "23", "ejected")
		s.expect(b, "1", "the only one there is")
		s.expect(c, "2", "ejected for all")
		s.expect(d, "12", "other checks, other endpoint")
	})
}

// With a check, an ejected endpoint needs time and a check that passes.
func TestEjectionWithCheck(t *testing.T) {
	simulate(t, func(s *sim) {
		p := withHealth(testPool("p", "", servers(1, 1)))
		p.Ejection.Failures, p.Health.Fall = 1, 100
		g := commit(t, s.r, p).Group("p")
		s.wait(time.Second)
		m := g.Members()[0]
		s.set(m.Name(), true)
		m.Report(ServerError)
		s.wait(3 * time.Second)
		s.expect(g, "2", "time is over, but the check fails")
		s.set(m.Name(), false)
		s.between("recovery", s.after(g, "12", 5*time.Second), 0, 600*time.Millisecond)

		m.Report(Success)
		m.Report(ServerError) // the check passes throughout
		s.between("second ejection", s.after(g, "12", 9*time.Second), 2*time.Second, 2600*time.Millisecond)
		if s.probes[m.Name()] != 0 {
			t.Error("an endpoint with a check was probed")
		}
	})
}

// A server that is killed and started again is back in less than 2 s, however long
// it was gone, with an active check and without.
func TestRecoveryAfterRestart(t *testing.T) {
	f := func(what string, p conf.Pool, at, gone time.Duration) {
		t.Helper()
		simulate(t, func(s *sim) {
			g := commit(t, s.r, p).Group("p")
			s.wait(at)
			m := g.Members()[0]
			s.set(m.Name(), true)
			m.Report(Refused)
			s.expect(g, "2", "killed")
			s.wait(gone)
			s.expect(g, "2", "still gone")
			s.set(m.Name(), false)
			s.between(what, s.after(g, "12", 20*time.Second), 0, 2*time.Second)
		})
	}
	for _, gone := range []time.Duration{0, 900 * time.Millisecond, 3 * time.Second, 100 * time.Second} {
		for at := time.Second; at < 6*time.Second; at += 300 * time.Millisecond {
			f("with a check", withHealth(testPool("p", "", servers(1, 1))), at, gone)
		}
		f("without", testPool("p", "", servers(1, 1)), time.Second, gone)
	}
}

// panickyProber panics until it is calm.
type panickyProber struct {
	fakeProber
	calm atomic.Bool
}

func (p *panickyProber) check(ctx context.Context, e *Endpoint) (finding, error) {
	return finding{}, p.probe(ctx, e)
}

func (p *panickyProber) probe(ctx context.Context, e *Endpoint) error {
	if !p.calm.Load() {
		panic("probe of " + e.String())
	}
	return p.fakeProber.probe(ctx, e)
}

// A panic in a check costs that check, nothing more.
func TestPanicsAreRecovered(t *testing.T) {
	simulate(t, func(s *sim) {
		p := &panickyProber{}
		s.r.prober = p
		snap := commit(t, s.r, withHealth(testPool("p", "", servers(1, 1))), testPool("q", "", servers(1, 1)))
		g := snap.Group("q")
		g.Members()[0].Report(Refused)
		s.wait(10 * time.Second)
		s.expect(g, "2", "no probe succeeds")
		p.calm.Store(true)
		s.wait(5 * time.Second)
		s.expect(g, "12", "probes work again")
		s.expect(snap.Group("p"), "12", "a check that panicked says nothing")
		if c := snap.Group("p").Status().Members[0].LastCheck; c == nil || c.Result != checkOK {
			t.Errorf("last check: %+v", c)
		}
	})
}

func TestSlowStart(t *testing.T) {
	simulate(t, func(s *sim) {
		p := testPool("p", "", servers(1, 1, 1))
		p.SlowStart, p.Ejection.Failures = 16*time.Second, 1
		g := commit(t, s.r, p).Group("p")
		weight := func() float64 { return g.Status().Members[0].EffectiveWeight }
		if weight() != 1 {
			t.Fatalf("weight %v at the start of the group", weight())
		}
		m := g.Members()[0]
		m.Report(ServerError)
		if weight() != 0 {
			t.Errorf("weight %v while ejected", weight())
		}
		s.after(g, "123", 2*time.Second)
		last := weight()
		if last <= 0 || last > 0.1 {
			t.Errorf("weight %v at first", last)
		}
		for range 15 {
			s.wait(time.Second)
			now := weight()
			if now < last {
				t.Errorf("weight fell from %v to %v", last, now)
			}
			last = now
		}
		if last < 0.85 || last >= 1 {
			t.Errorf("weight %v after 15 of 16 seconds", last)
		}
		s.wait(2 * time.Second)
		if weight() != 1 {
			t.Errorf("weight %v at the end", weight())
		}

		// The share of the traffic follows.
		m.Report(ServerError)
		s.after(g, "123", 5*time.Second)
		s.wait(5100 * time.Millisecond)
		got := strings.Count(order(t, g, 700), "1")
		if got < 80 || got > 120 { // 5/16 of a share: 700 * 0.3125 / 2.3125 = 95
			t.Errorf("%d of 700 picks after 5 of 16 seconds, want about 95", got)
		}
	})
}
