package l4

import (
	"net"
	"testing"
	"time"

	"weir/conf"
	"weir/pool/backend"
)

// Sessions to a lost server end, on every loop and at once; those to others, and
// those of another pool to the same server, do not.
func TestCloseLost(t *testing.T) {
	a, b := origin(t, echo), origin(t, echo)
	w := newWorld(t, worldOptions{loops: 3}, poolOf("p", a, b), poolOf("q", a))
	w.serve(w.l4(conf.L4{Name: "p", Pool: "p"}), w.l4(conf.L4{Name: "q", Pool: "q"}))
	f := func(why backend.Loss, reason reason) {
		t.Helper()
		before := w.closedCount(reason)
		var mixed []*net.TCPConn
		for range 20 {
			mixed = append(mixed, opened(t, w.srv.Addrs("p")[0]))
		}
		other := opened(t, w.srv.Addrs("q")[0])
		lost := len(w.list(Filter{Pool: "p", Backend: a}, 100))
		if lost == 0 || lost == 20 {
			t.Fatalf("%d of 20 sessions at one server, want some", lost)
		}
		w.srv.CloseLost(backend.Lost{Pool: "p", Backend: a, Why: why})
		w.until("sessions end: "+reason.String(), func() bool { return w.closedCount(reason)-before == uint64(lost) })
		send(t, other, "x")
		want(t, other, "x")
		if left := len(w.list(Filter{Pool: "p"}, 100)); left != 20-lost {
			t.Errorf("%d sessions at the other server, want %d", left, 20-lost)
		}
		w.end(Filter{})
		for _, c := range append(mixed, other) {
			wantReset(t, c)
		}
	}
	f(backend.LossDown, reasonBackendDown)
	f(backend.LossRemoved, reasonBackendRemoved)
	f(backend.LossRole, reasonRoleLost)
}

// Ten thousand sessions end while the loop serves another
// listener; no answer there waits for the whole walk.
func TestCloseLostAmongMany(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin(t, echo)))
	c := opened(t, w.simple(conf.L4{}))
	sh := w.srv.shards[0]
	const many = 10_000
	ended := 0
	to := &destination{pool: "lost"}
	sh.call(func() {
		r := sh.first.routing
		for range many {
			s := sh.get()
			s.routing, s.counters, s.to, s.backend = r, &r.listener.perLoop[0], to, "gone:1"
			s.client.fd, s.server.fd = -1, -1
			s.counters.active.Add(1)
		}
	})
	done := make(chan struct{})
	start := time.Now()
	sh.startScan(func(s live) (int, bool) {
		if s.(*session).to.pool != "lost" {
			return 0, true
		}
		ended++
		s.close(reasonBackendDown)
		return endCost, true
	}, func() { close(done) })
	turns := 0
	for finished := false; !finished; turns++ {
		send(t, c, "x")
		want(t, c, "x")
		select {
		case <-done:
			finished = true
		default:
		}
	}
	t.Logf("%d sessions in %s, %d answers meanwhile", ended, time.Since(start), turns)
	if ended != many {
		t.Errorf("%d sessions ended, want %d", ended, many)
	}
}
