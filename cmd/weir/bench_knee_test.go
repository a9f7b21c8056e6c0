package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/bench/knee"
	"weir/bench/load"
)

// TestKneeOfOneServer: a server that needs 10 ms for a request and does one at a
// time. At even gaps (D/D/1) nobody waits up to 100 requests per second, and beyond
// it the queue grows by what is too much. A busy machine only makes a service
// longer, so the knee may be earlier, never later.
func TestKneeOfOneServer(t *testing.T) {
	const service = 10 * time.Millisecond
	var one sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		one.Lock()
		defer one.Unlock()
		time.Sleep(service)
		w.WriteHeader(http.StatusOK)
	}))
	defer s.Close()
	objective, err := knee.ParseObjective("p90=50ms,errors=1%")
	if err != nil {
		t.Fatal(err)
	}
	var r *knee.Result
	for range 5 { // the machine may be too busy to show it once
		r, err = knee.Find(t.Context(), knee.Search{
			Objective: objective, From: 20, To: 400, Precision: 0.2,
			Try: trier(load.Plan{
				Workload: load.Workload{Kind: load.HTTP1, Address: strings.TrimPrefix(s.URL, "http://")},
				Conns:    64, Duration: time.Second, Timeout: 2 * time.Second, LatenessLimit: time.Minute,
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(r.Line())
		if r.Bound == knee.ByObjective && r.Rate >= 30 {
			break
		}
	}
	if r.Bound != knee.ByObjective || r.Rate < 30 || r.Rate > 110 {
		for _, trial := range r.Trials {
			t.Logf("%.0f/s: %s %q", trial.Rate, trial.Verdict, trial.Why)
		}
		t.Errorf("knee at %.0f per second by %s, want up to 100 by the objective", r.Rate, r.Bound)
	}
	if r.Last != nil && r.Last.Outcome.Latency.P50 < service {
		t.Errorf("p50 %s of a service that takes %s", r.Last.Outcome.Latency.P50, service)
	}
}
