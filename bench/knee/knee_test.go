package knee

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// queue is one server with a fixed service time, in simulated time: an M/D/1 queue
// where arrivals are random, and D/D/1 where they are even. A request that arrives
// while others wait is answered after them (Lindley's recursion).
func queue(rng *rand.Rand, service time.Duration, random bool) func(context.Context, float64) (Outcome, error) {
	return func(_ context.Context, rate float64) (Outcome, error) {
		const n = 100_000
		s, gap := service.Seconds(), 1/rate
		all := make([]float64, n)
		at, free, sum := 0.0, 0.0, 0.0
		for i := range all {
			if random {
				at += rng.ExpFloat64() * gap
			} else {
				at += gap
			}
			free = max(free, at) + s
			all[i] = free - at
			sum += all[i]
		}
		slices.Sort(all)
		q := func(p float64) time.Duration { return time.Duration(all[int(p*(n-1))] * 1e9) }
		return Outcome{Requests: n, Latency: Latency{
			Mean: time.Duration(sum / n * 1e9), P50: q(0.5), P75: q(0.75), P90: q(0.9), P95: q(0.95), P99: q(0.99),
			P999: q(0.999), P9999: q(0.9999), Max: q(1),
		}}, nil
	}
}

// TestTheory: the knee is where queueing theory has it.
//
// D/D/1: nobody waits up to a rate of 1/S, and everybody beyond it.
// M/D/1: the mean time in the system is S (1 + u/(2(1-u))) at utilisation u
// (Pollaczek-Khinchine), so it is k S at u = 2(k-1)/(2k-1).
func TestTheory(t *testing.T) {
	const service = 2 * time.Millisecond
	f := func(random bool, objective string, want float64) {
		t.Helper()
		o, err := ParseObjective(objective)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		r, err := Find(t.Context(), Search{
			Objective: o, From: 10, To: 10_000, Precision: 0.02, Try: queue(rng, service, random),
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Bound != ByObjective || math.Abs(r.Rate-want)/want > 0.04 {
			t.Errorf("random %t, %s: knee at %.1f by %s, want %.1f", random, objective, r.Rate, r.Bound, want)
		}
		if r.First.Rate/r.Rate > 1.02 {
			t.Errorf("good up to %.1f, broken from %.1f: not narrowed down", r.Rate, r.First.Rate)
		}
	}
	f(false, "p99=3ms", 500)
	f(false, "max=2.1ms", 500)
	f(true, "mean=3ms", 500*2*0.5/2)   // k = 1.5
	f(true, "mean=4ms", 500*2.0/3)     // k = 2
	f(true, "mean=20ms", 500*2*9.0/19) // k = 10
}

// at makes trials that are good up to a rate, but for hiccups by their number.
func at(limit float64, hiccup func(n int) bool) func(context.Context, float64) (Outcome, error) {
	n := 0
	return func(_ context.Context, rate float64) (Outcome, error) {
		good := rate <= limit
		if n++; hiccup != nil && hiccup(n) {
			good = !good
		}
		out := Outcome{Requests: 1000, Latency: Latency{P99: time.Millisecond}}
		if !good {
			out.Latency.P99 = time.Second
		}
		return out, nil
	}
}

func TestFind(t *testing.T) {
	o, err := ParseObjective("p99=5ms")
	if err != nil {
		t.Fatal(err)
	}
	f := func(try func(context.Context, float64) (Outcome, error), bound Bound, low, high float64, line string) {
		t.Helper()
		r, err := Find(t.Context(), Search{Objective: o, From: 100, To: 3000, Try: try})
		if err != nil {
			t.Fatal(err)
		}
		if r.Bound != bound || r.Rate < low || r.Rate > high || !strings.Contains(r.Line(), line) {
			t.Errorf("%.1f by %s (%s), want %.1f to %.1f by %s (%s)", r.Rate, r.Bound, r.Line(), low, high, bound, line)
		}
		if len(r.Trials) > 40 {
			t.Errorf("%d trials", len(r.Trials))
		}
		var table bytes.Buffer
		if err := r.WriteTable(&table); err != nil || strings.Count(table.String(), "\n") != len(r.Trials)+3 {
			t.Errorf("%v: %s", err, table.String())
		}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	}
	f(at(1000, nil), ByObjective, 950, 1000, "p99 1s > 5ms")
	f(at(100, nil), ByObjective, 100, 100, "requests per second meet p99=5ms")
	f(at(1e6, nil), ByRange, 3000, 3000, "highest rate")
	f(at(50, nil), ByNothing, 0, 0, "the lowest rate, 100 per second, does not meet")
	// One hiccup, wherever it falls, decides nothing. Where the rate grows, one
	// lucky trial may send the search on, but not past a rate that breaks again.
	for at1 := 1; at1 < 20; at1++ {
		f(at(1000, func(n int) bool { return n == at1 }), ByObjective, 900, 1700, "")
	}
	for at1 := 1; at1 < 20; at1 += 3 {
		f(at(1000, func(n int) bool { return n%5 == at1%5 && n < 4 }), ByObjective, 950, 1700, "")
	}
	f(func(_ context.Context, rate float64) (Outcome, error) {
		out := Outcome{Requests: 10, Latency: Latency{P99: 1}}
		if rate > 500 {
			out.Invalid = []string{"late"}
		}
		return out, nil
	}, ByGenerator, 475, 500, "the generator is the limit: late")
	f(func(_ context.Context, rate float64) (Outcome, error) {
		return Outcome{Requests: 1000, Errors: int64(rate) / 500}, nil
	}, ByObjective, 475, 500, "errors 0.1% > 0%")

	broken := errors.New("no server")
	if _, err := Find(t.Context(), Search{Objective: o, Try: func(context.Context, float64) (Outcome, error) {
		return Outcome{}, broken
	}}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	for _, s := range []Search{{From: -1}, {From: 10, To: 5}, {To: 1e12}, {Precision: 2}, {Precision: math.NaN()}} {
		s.Try = at(1, nil)
		if _, err := Find(t.Context(), s); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
}

func TestParseObjective(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		o, err := ParseObjective(text)
		got := o.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	f("p99=5ms,errors=0.1%", "p99=5ms,errors=0.1%")
	f("p99.9=1s, mean=20us", "p99.9=1s,mean=20µs,errors=0%")
	f("errors=0.01", "errors=1%")
	f("errors=1", "errors=100%")
	f("p98=5ms", `unknown measure "p98": expected one of mean, p50`)
	f("p99", "expected NAME=VALUE")
	f("", "expected NAME=VALUE")
	f("p99=0s", "expected a time above 0")
	f("p99=5", "expected a time above 0")
	f("p99=5ms,p99=6ms", "there twice")
	f("errors=2", "expected a share")
	f("errors=NaN", "expected a share")
	f("errors=few", "expected a share")
}

func TestBroken(t *testing.T) {
	o, err := ParseObjective("p50=1ms,p99=5ms,errors=10%")
	if err != nil {
		t.Fatal(err)
	}
	f := func(out Outcome, want ...string) {
		t.Helper()
		if got := o.Broken(&out); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(Outcome{Requests: 10, Errors: 1, Latency: Latency{P50: time.Millisecond, P99: 5 * time.Millisecond}})
	f(Outcome{Requests: 10, Errors: 2, Latency: Latency{P50: 2 * time.Millisecond}}, "p50 2ms > 1ms", "errors 20% > 10%")
	f(Outcome{Requests: 10, Latency: Latency{P99: time.Second}}, "p99 1s > 5ms")
	f(Outcome{}, "errors 100% > 10%")
}
