package l7

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/pool/metric"
)

// hedgedRig has two servers that answer with what it is asked for. While slow is set,
// the first server takes that many milliseconds.
func hedgedRig(t *testing.T, keys string) (r *rig, slow, seen *atomic.Int64) {
	slow, seen = new(atomic.Int64), new(atomic.Int64)
	serve := func(lazy bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			seen.Add(1)
			if d := slow.Load(); lazy && d > 0 {
				select {
				case <-time.After(time.Duration(d) * time.Millisecond):
				case <-r.Context().Done():
					return
				}
			}
			io.WriteString(w, r.URL.Path)
		}
	}
	one, other := newHTTPOrigin(t, serve(true)), newHTTPOrigin(t, serve(false))
	r = newRig(t, tried("", keys, one.addr, other.addr))
	c := r.dial()
	for i := range 100 { // what is usual
		if res, body := c.get("/" + strconv.Itoa(i)); res.StatusCode != 200 || body != "/"+strconv.Itoa(i) {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
	}
	return r, slow, seen
}

// TestHedge: a server that is much slower than usual does not hold up requests, and
// nothing is left of those that it did not get to answer.
func TestHedge(t *testing.T) {
	r, slow, _ := hedgedRig(t, "hedge = 90")
	slow.Store(15_000)
	began := time.Now()
	c := r.dial()
	for i := range 10 {
		path := "/slow" + strconv.Itoa(i)
		if res, body := c.get(path); res.StatusCode != 200 || body != path {
			t.Fatalf("got %d %q", res.StatusCode, body)
		}
	}
	if took := time.Since(began); took >= 15*time.Second {
		t.Errorf("10 requests took %v", took)
	}
	eventually(t, "5 hedges to be won", func() bool {
		return r.metrics.Counter(metric.L7HedgesWon, "app").Load() >= 5
	})
	slow.Store(0)
	for i := range 20 {
		path := "/again" + strconv.Itoa(i)
		if res, body := c.get(path); res.StatusCode != 200 || body != path {
			t.Fatalf("afterwards: got %d %q", res.StatusCode, body)
		}
	}
	for _, m := range r.reg.Group("app").Members() {
		eventually(t, "all slots back", func() bool { return m.InFlight() == 0 })
	}
	eventually(t, "no connections in use", func() bool { return r.server.transport.Stats("app").InUse == 0 })
}

// TestHedgeBudget: where everything is slow, hedges are bounded as retries are.
func TestHedgeBudget(t *testing.T) {
	r, slow, seen := hedgedRig(t, "hedge = 50")
	seen.Store(0)
	slow.Store(20)
	const requests = 300
	began := time.Now()
	var wg sync.WaitGroup
	for range 10 {
		c := r.dial()
		wg.Go(func() {
			for range requests / 10 {
				if res, body := c.get("/x"); res.StatusCode != 200 || body != "/x" {
					t.Errorf("got %d %q", res.StatusCode, body)
				}
			}
		})
	}
	wg.Wait()
	floor := 10 * (int64(time.Since(began)/time.Second) + 2)
	if n := seen.Load(); n > (requests+100)*12/10+floor {
		t.Errorf("the servers got %d requests for %d", n, requests)
	}
}

// TestHedgeFails: a second server that cannot be reached changes nothing, nor does
// one that fails; and where the first one fails, the second one's answer counts.
func TestHedgeFails(t *testing.T) {
	t.Parallel()
	f := func(how string) {
		t.Helper()
		var slow atomic.Bool
		good := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			if slow.Load() {
				time.Sleep(50 * time.Millisecond)
			}
			io.WriteString(w, "ok")
		})
		bad := closedAddr(t)
		if how != "refuses" {
			o, _ := badOrigin(t, how)
			bad = o.addr
		}
		r := newRig(t, tried("", "hedge = 90", good.addr, bad))
		// Only the good one, until it is known what is usual.
		c := r.dial()
		member := r.reg.Group("app").Member(bad)
		member.SetDrain(true)
		for range 100 {
			c.get("/")
		}
		member.SetDrain(false)
		slow.Store(true)
		for range 10 {
			res, body := c.get("/")
			if res.StatusCode != 200 || body != "ok" {
				t.Errorf("%s: got %d %q", how, res.StatusCode, body)
			}
		}
		eventually(t, "all slots back", func() bool { return member.InFlight() == 0 })
	}
	f("refuses")
	f("closes")
	f("is silent")
}

// TestHedgeClientGone: a client that leaves during a hedge takes both tries with it.
func TestHedgeClientGone(t *testing.T) {
	var slow atomic.Bool
	serve := func(w http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			<-r.Context().Done()
			return
		}
		io.WriteString(w, "ok")
	}
	one, other := newHTTPOrigin(t, serve), newHTTPOrigin(t, serve)
	r := newRig(t, tried("", "hedge = 90", one.addr, other.addr))
	c := r.dial()
	for range 100 {
		c.get("/")
	}
	slow.Store(true)
	hedges := r.metrics.Counter(metric.L7Hedges, "app")
	for i := range 5 {
		before := hedges.Load()
		c := r.dial()
		c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if i < 3 { // the others leave at other moments of theirs
			eventually(t, "a hedge", func() bool { return hedges.Load() > before })
		}
		c.SetLinger(0)
		c.Close()
	}
	for _, m := range r.reg.Group("app").Members() {
		eventually(t, "all slots back", func() bool { return m.InFlight() == 0 })
	}
	eventually(t, "no connections in use", func() bool { return r.server.transport.Stats("app").InUse == 0 })
}

// TestHedgeReports: what a second server did wrong is held against it, though its try did
// not matter. Only hedges go to it here, since it is a backup.
func TestHedgeReports(t *testing.T) {
	t.Parallel()
	f := func(how, want string) {
		t.Helper()
		var slow atomic.Bool
		good := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
			if slow.Load() {
				time.Sleep(200 * time.Millisecond)
			}
			io.WriteString(w, "ok")
		})
		bad, _ := badOrigin(t, how)
		r := newRig(t, `
			[pool.app]
			servers = ["%s", { addr = "%s", backup = true }]
			ejection = { failures = 1, time = "1h", max_time = "1h" }
			[[l7]]
			name = "web"
			listen = ["127.0.0.1:0"]
			[[l7.route]]
			pool = "app"
			retry = { hedge = 90 }
		`, good.addr, bad.addr)
		c := r.dial()
		for range 100 {
			c.get("/")
		}
		slow.Store(true)
		for range 5 {
			if res, body := c.get("/"); res.StatusCode != 200 || body != "ok" {
				t.Errorf("%s: got %d %q", how, res.StatusCode, body)
			}
		}
		member := r.reg.Group("app").Member(bad.addr)
		eventually(t, "all slots back", func() bool { return member.InFlight() == 0 })
		eventually(t, "the second server, which "+how+", to be "+want, func() bool {
			return member.Endpoint().State().String() == want
		})
	}
	f("closes", "ejected")
	f("is silent", "healthy") // it was called off before its time was over
}
