package bench

import (
	"strings"
	"testing"
	"time"
)

// TestReason: each difference of more than 5 % is explained by what was measured.
func TestReason(t *testing.T) {
	f := func(ours, theirs []Sample, server, want string) {
		t.Helper()
		x := Comparison{Unit: requests, Rival: "wrk", Server: server, Ours: ours, Theirs: theirs}
		if got := x.reason("They differ"); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	one := func(rate, cpu, busy, server, serverBusy float64) []Sample {
		return []Sample{{Rate: rate, CPU: cpu, Busy: busy, Server: server, ServerBusy: serverBusy}}
	}
	f(one(104, 1, 1, 1, 1), one(100, 1, 1, 1, 1), "", "within 5 %.")
	f(one(96, 1, 1, 1, 1), one(100, 1, 1, 1, 1), "", "within 5 %.")
	f(one(80, 9, 0.95, 5, 0.6), one(100, 7, 0.9, 5, 0.7), "",
		"the generator is the bottleneck: ours takes 9.00 µs per request, wrk 7.00. They differ.")
	f(one(120, 9, 0.5, 5, 0.6), one(100, 7, 0.6, 6, 0.95), "",
		"the server is the bottleneck: the server takes 5.00 µs per request from ours, 6.00 from wrk.")
	f(one(120, 9, 0.5, 5, 0.6), one(100, 7, 0.6, 6, 0.95), "iperf3", "our server takes 5.00 µs per request, that of iperf3 6.00.")
	f(one(120, 9, 0.9, 5, 0.9), one(100, 7, 0.9, 6, 0.95), "", "both CPUs are full: ")
	f(one(120, 9, 0.5, 5, 0.5), one(100, 7, 0.5, 6, 0.5), "", "no CPU is full (generator 50 % and 50 %, server 50 % and 50 %)")

	loud := one(80, 9, 0.95, 5, 0.6)
	loud[0].Others = 0.3
	f(loud, one(100, 7, 0.9, 5, 0.7), "", "other programs took 30 % and 0 % of the generator's CPU, "+
		"0 % and 0 % of the server's. By CPU time alone the ratio would be 0.78.")
	f(append(one(80, 9, 1, 5, 0.6), one(101, 9, 1, 5, 0.6)...), append(one(100, 7, 1, 5, 1), one(100, 7, 1, 5, 1)...), "",
		"not decided, the rounds do not agree on who is faster (0.80 to 1.01); the generator")
}

// TestSpend: what a run took is told apart from what other programs took.
func TestSpend(t *testing.T) {
	const before = "cpu  9 9 9 9\ncpu0 100 0 100 5000 7 0 3 2 50 0\ncpu1 0 0 0 9 0 0 0 0 0 0\nintr 5\n"
	const after = "cpu  9 9 9 9\ncpu0 150 0 180 6000 99 0 13 12 50 0\ncpu1 20 0 30 9 0 0 0 0 0 0\nintr 5\n"
	now := time.Now()
	s := Sample{}.spend(output{
		cpu:    time.Second,
		before: effort{at: now, server: time.Second, busy: busyTimes(before)},
		after:  effort{at: now.Add(2 * time.Second), server: 1400 * time.Millisecond, busy: busyTimes(after)},
	}, 1000)
	f := func(what string, got, want float64) {
		t.Helper()
		if got < want-1e-9 || got > want+1e-9 {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	f("CPU", s.CPU, 1000)
	f("server's CPU", s.Server, 400)
	f("busy", s.Busy, 0.75)
	f("others", s.Others, 0.25)
	f("server busy", s.ServerBusy, 0.25)
	f("others with the server", s.ServerOthers, 0.05)
	if len(busyTimes("nonsense\ncpu")) != 0 {
		t.Error("nonsense was busy")
	}
	if s := (Sample{}).spend(output{cpu: time.Second, before: effort{at: now}, after: effort{at: now}}, 1); s.Busy != 0 {
		t.Errorf("busy for %v in no time", s.Busy)
	}
}
