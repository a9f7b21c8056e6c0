package knee

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Latency is the distribution of the latencies of one trial.
type Latency struct {
	Mean  time.Duration `json:"mean_ns"`
	P50   time.Duration `json:"p50_ns"`
	P75   time.Duration `json:"p75_ns"`
	P90   time.Duration `json:"p90_ns"`
	P95   time.Duration `json:"p95_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p99_9_ns"`
	P9999 time.Duration `json:"p99_99_ns"`
	Max   time.Duration `json:"max_ns"`
}

// measures are what an objective can bound, by name.
var measures = []struct {
	name string
	of   func(*Latency) time.Duration
}{
	{"mean", func(l *Latency) time.Duration { return l.Mean }},
	{"p50", func(l *Latency) time.Duration { return l.P50 }},
	{"p75", func(l *Latency) time.Duration { return l.P75 }},
	{"p90", func(l *Latency) time.Duration { return l.P90 }},
	{"p95", func(l *Latency) time.Duration { return l.P95 }},
	{"p99", func(l *Latency) time.Duration { return l.P99 }},
	{"p99.9", func(l *Latency) time.Duration { return l.P999 }},
	{"p99.99", func(l *Latency) time.Duration { return l.P9999 }},
	{"max", func(l *Latency) time.Duration { return l.Max }},
}

// Objective is what a rate must meet to count as good: bounds on latencies, and on
// the share of requests that are not answered rightly. The zero value bounds
// nothing.
type Objective struct {
	latency []bound
	errors  float64 // share, 0 to 1
	strict  bool    // errors is set
}

type bound struct {
	measure int // index of measures
	limit   time.Duration
}

// ParseObjective reads bounds with commas between them: NAME=TIME for mean, p50,
// p75, p90, p95, p99, p99.9, p99.99 or max, and errors=SHARE, a number up to 1 or
// a percentage. Without errors, none is allowed.
func ParseObjective(text string) (Objective, error) {
	o := Objective{strict: true}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return Objective{}, fmt.Errorf("cannot read the objective %q: expected NAME=VALUE, as p99=5ms", part)
		}
		if seen[name] {
			return Objective{}, fmt.Errorf("cannot read the objective %q: %s is there twice", text, name)
		}
		seen[name] = true
		if name == "errors" {
			share, err := parseShare(value)
			if err != nil {
				return Objective{}, err
			}
			o.errors = share
			continue
		}
		b, err := parseBound(name, value)
		if err != nil {
			return Objective{}, err
		}
		o.latency = append(o.latency, b)
	}
	return o, nil
}

func parseBound(name, value string) (bound, error) {
	for i, m := range measures {
		if m.name != name {
			continue
		}
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return bound{}, fmt.Errorf("cannot read %s=%q: expected a time above 0, as 5ms", name, value)
		}
		return bound{i, d}, nil
	}
	names := make([]string, 0, len(measures)+1)
	for _, m := range measures {
		names = append(names, m.name)
	}
	return bound{}, fmt.Errorf("unknown measure %q: expected one of %s", name,
		strings.Join(append(names, "errors"), ", "))
}

func parseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(number, 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share >= 0 && share <= 1) {
		return 0, fmt.Errorf("cannot read errors=%q: expected a share, as 0.1%% or 0.001", text)
	}
	return share, nil
}

// Broken says which bounds an outcome exceeds; none where it is good.
func (o *Objective) Broken(out *Outcome) (why []string) {
	for _, b := range o.latency {
		if got := measures[b.measure].of(&out.Latency); got > b.limit {
			why = append(why, fmt.Sprintf("%s %s > %s", measures[b.measure].name, round(got), b.limit))
		}
	}
	if share := out.errorShare(); o.strict && share > o.errors {
		why = append(why, fmt.Sprintf("errors %.3g%% > %.3g%%", share*100, o.errors*100))
	}
	return why
}

// String writes the objective as ParseObjective reads it.
func (o Objective) String() string {
	parts := make([]string, 0, len(o.latency)+1)
	for _, b := range o.latency {
		parts = append(parts, fmt.Sprintf("%s=%s", measures[b.measure].name, b.limit))
	}
	if o.strict {
		parts = append(parts, fmt.Sprintf("errors=%.4g%%", o.errors*100))
	}
	return strings.Join(slices.Clip(parts), ",")
}

// MarshalText makes it so in JSON too.
func (o Objective) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// round cuts d to three digits or so, for people.
func round(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
