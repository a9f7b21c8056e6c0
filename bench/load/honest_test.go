package load

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/bench/origin"
)

// TestStall is why there are two loops. An origin stands still for S = 100 ms in
// each T = 1 s.
//
// Open loop: requests are due evenly, so one in ten is due in a stall, and waits
// for the rest of it. The share that waits longer than x is (S-x)/T, so the p99 is
// where that is 0.01: S - 0.01 T = 90 ms, and the p95 is S - 0.05 T = 50 ms.
//
// Closed loop: in each T, each of the connections has one request that meets the
// stall, and some thousands that do not. That is less than one in a hundred, so the
// p99 knows nothing of a stall that takes a tenth of the time. The maximum does.
func TestStall(t *testing.T) {
	const every, stall = time.Second, 100 * time.Millisecond
	address := startOrigin(t, origin.Options{Kind: origin.HTTP, Stall: origin.Stall{Every: every, For: stall}})
	p := Plan{
		Workload: Workload{Kind: HTTP1, Address: address},
		Conns:    4, Loops: 1, Duration: 3 * every, Warmup: 100 * time.Millisecond,
	}
	var wrong []string
	for range 5 {
		p.Rate = 0
		closed := mustRun(t, p)
		p.Rate = 1000
		open := mustRun(t, p)
		wantClean(t, closed)
		wantClean(t, open)
		if open.Requests != 3000 {
			t.Fatalf("open loop: %d requests, want 3000 whatever the origin does", open.Requests)
		}
		t.Logf("closed: %s", closed.Latency)
		t.Logf("open:   %s", open.Latency)
		if wrong = againstTheory(closed.Latency, open.Latency); len(wrong) == 0 {
			return
		}
		// Other programs on this machine stall the origin, or us, as well. Without
		// them a generator that is wrong stays wrong.
	}
	t.Errorf("five times: %s", strings.Join(wrong, "; "))
}

// againstTheory is what of the figures of TestStall is not as its comment says.
func againstTheory(closed, open Distribution) (wrong []string) {
	f := func(what string, us, low, high, theory float64) {
		if ms := us / 1e3; ms < low || ms > high {
			wrong = append(wrong, fmt.Sprintf("%s %.1f ms, theory says %g", what, ms, theory))
		}
	}
	f("p99 of the open loop", open.P99, 80, 130, 90)
	f("p95 of the open loop", open.P95, 40, 90, 50)
	f("p99 of the closed loop", closed.P99, 0, 40, 0)
	f("maximum of the closed loop", closed.Max, 80, 1000, 100)
	return wrong
}

// TestStallAtEnd: requests that were due and are never answered are not forgotten.
func TestStallAtEnd(t *testing.T) {
	address := serve(t, answerer(""))
	for _, w := range []Workload{{Kind: HTTP1}, {Kind: WebSocket}, {Kind: HTTP2}} {
		w.Address = address
		p := Plan{Workload: w, Conns: 2, Rate: 1000, Duration: 200 * time.Millisecond, Timeout: 300 * time.Millisecond}
		r := mustRun(t, p)
		if r.Answered != 0 || r.Latency.Count < 195 || r.Failed.Total() < 195 {
			t.Errorf("%s: %d latencies, failed: %s; 200 requests were due", w.Kind, r.Latency.Count, r.Failed)
		}
		if r.Latency.Max < 200e3 {
			t.Errorf("%s: longest latency %.0f µs, want at least that of the run", w.Kind, r.Latency.Max)
		}
	}
}

// TestLateGenerator: a generator that is held up says that it was, and does not
// blame the server.
func TestLateGenerator(t *testing.T) {
	address := startOrigin(t, origin.Options{Kind: origin.HTTP})
	plan := Plan{
		Workload: Workload{Kind: HTTP1, Address: address},
		Conns:    4, Loops: 1, Rate: 1000, Duration: 2 * time.Second, // room for a timer that is late itself
	}.withDefaults()
	job, err := newJob(t.Context(), &plan)
	if err != nil {
		t.Fatal(err)
	}
	engines, err := newEngines(&plan, job)
	if err != nil {
		t.Fatal(err)
	}
	w := engines[0].(*worker)
	defer w.close()
	held := make(chan struct{})
	timer := time.AfterFunc(300*time.Millisecond, func() {
		w.loop.Do(func() {
			for start := time.Now(); time.Since(start) < 300*time.Millisecond; {
				// The loop does nothing else meanwhile.
			}
			close(held)
		})
	})
	defer timer.Stop()
	r := &run{plan: &plan, job: job, engines: engines}
	result, err := r.do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-held
	if late := result.Lateness.P95; late < 20e3 {
		t.Errorf("p95 of lateness %.0f µs, want most of 300 ms", late)
	}
	if result.Valid || !strings.Contains(strings.Join(result.Invalid, ""), "the generator was late") {
		t.Errorf("valid %v: %v", result.Valid, result.Invalid)
	}
	if result.Requests != 2000 || result.Failed.Total() != 0 {
		t.Errorf("%d requests, want 2000; failed: %s", result.Requests, result.Failed)
	}
}
