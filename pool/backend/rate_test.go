package backend

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/conf"
)

// One in three that fails never makes a row of five, and is too many all the same.
func TestFailurePercentEjects(t *testing.T) {
	f := func(want bool, percent, requests, oneIn int, pause time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := New(Options{})
			defer r.Close()
			p := testPool("p", "", servers(1, 1, 1))
			p.Ejection.FailurePercent, p.Ejection.Window, p.Ejection.MinRequests = percent, 10*time.Second, 20
			g := commit(t, r, p).Group("p")
			time.Sleep(time.Until(time.Now().Truncate(10 * time.Second).Add(10 * time.Second))) // a window's start
			m := g.Members()[0]
			for i := range requests {
				if i%oneIn == 0 {
					m.Report(ServerError)
				} else {
					m.Report(Success)
				}
				time.Sleep(pause)
			}
			if got := !m.Endpoint().Usable(); got != want {
				t.Errorf("%d percent, one of %d in %d requests fails: ejected %v", percent, oneIn, requests, got)
			}
		})
	}
	f(true, 30, 100, 3, 0)
	f(false, 40, 100, 3, 0)
	f(false, 0, 100, 3, 0)
	f(false, 30, 18, 3, 0)            // too few to tell
	f(false, 30, 100, 3, time.Second) // too few in a window
	f(true, 100, 20, 1, 0)
}

// Pools that share a server look at windows of their own: neither begins the other's.
func TestFailurePercentOfTwoPools(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{})
		defer r.Close()
		one, other := testPool("one", "", servers(1, 1, 1)), testPool("other", "", servers(1, 1, 1))
		for i, p := range []*conf.Pool{&one, &other} {
			p.Ejection.FailurePercent, p.Ejection.MinRequests = 30, 20
			p.Ejection.Window = time.Duration(i+1) * 7 * time.Second
		}
		s := commit(t, r, one, other)
		a, b := s.Group("one").Members()[0], s.Group("other").Members()[0]
		if a.Endpoint() != b.Endpoint() {
			t.Fatal("they do not share the server")
		}
		time.Sleep(time.Until(time.Now().Truncate(14 * time.Second).Add(14 * time.Second))) // both windows' start
		for range 30 {
			for _, m := range []*Member{a, b} {
				m.Report(ServerError)
				m.Report(Success)
				m.Report(Success)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if a.Endpoint().Usable() {
			t.Error("a third of 180 requests failed, and the server was not ejected")
		}
	})
}

// What a server did before its ejection does not count after it.
func TestFailurePercentStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{})
		defer r.Close()
		p := testPool("p", "", servers(1, 1, 1))
		p.Ejection = conf.Ejection{
			Enabled: true, Failures: 100, Time: time.Millisecond, MaxTime: time.Millisecond, MaxPercent: 50,
			FailurePercent: 50, Window: time.Hour, MinRequests: 10,
		}
		g := commit(t, r, p).Group("p")
		m := g.Members()[0]
		for range 10 {
			m.Report(ServerError)
		}
		if m.Endpoint().Usable() {
			t.Fatal("it was not ejected")
		}
		time.Sleep(time.Second)
		m.Report(Success) // ends the probation
		for range 3 {
			m.Report(ServerError)
		}
		if !m.Endpoint().Usable() {
			t.Error("failures from before the ejection count once more")
		}
	})
}
