package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

const (
	// near is how far figures may differ to be called the same.
	near = 0.05
	// full is how busy a CPU is that had nothing left to give.
	full = 0.9
	// disturbing is from which share of a CPU on other programs are worth a word.
	disturbing = 0.05
)

// ratios are ours to theirs, one for each round.
func (x *Comparison) ratios() []float64 {
	r := make([]float64, len(x.Ours))
	for i := range r {
		r[i] = x.Ours[i].Rate / x.Theirs[i].Rate
	}
	return r
}

// limit is the rate that the CPU time of a unit allows, generator and server having
// a CPU each. Other programs on the machine change it little.
func (s Sample) limit() float64 { return 1e6 / max(s.CPU, s.Server) }

// reason says by what was measured why the rates differ. differs is what is known
// of how the two do the job.
func (x *Comparison) reason(differs string) string {
	ratios := x.ratios()
	ratio, low, high := median(ratios), slices.Min(ratios), slices.Max(ratios)
	if math.Abs(ratio-1) <= near {
		return "within 5 %."
	}
	ours, theirs := typical(x.Ours), typical(x.Theirs)
	var b strings.Builder
	if low < 1 && high > 1 {
		fmt.Fprintf(&b, "not decided, the rounds do not agree on who is faster (%.2f to %.2f); ", low, high)
	}
	b.WriteString(x.bottleneck(ours, theirs, ratio) + ".")
	if differs != "" {
		b.WriteString(" " + differs + ".")
	}
	if max(ours.Others, theirs.Others, ours.ServerOthers, theirs.ServerOthers) >= disturbing {
		fmt.Fprintf(&b, " The machine was not quiet: other programs took %.0f %% and %.0f %% of the generator's CPU, "+
			"%.0f %% and %.0f %% of the server's. By CPU time alone the ratio would be %.2f.",
			100*ours.Others, 100*theirs.Others, 100*ours.ServerOthers, 100*theirs.ServerOthers,
			ours.limit()/theirs.limit())
	}
	return b.String()
}

// bottleneck says what held up the slower one.
func (x *Comparison) bottleneck(ours, theirs Sample, ratio float64) string {
	slow, unit := ours, strings.TrimSuffix(x.Unit, "s")
	if ratio > 1 {
		slow = theirs
	}
	generators := fmt.Sprintf("ours takes %.2f µs per %s, %s %.2f", ours.CPU, unit, x.Rival, theirs.CPU)
	servers := fmt.Sprintf("the server takes %.2f µs per %s from ours, %.2f from %s",
		ours.Server, unit, theirs.Server, x.Rival)
	if x.Server != "" {
		servers = fmt.Sprintf("our server takes %.2f µs per %s, that of %s %.2f",
			ours.Server, unit, x.Server, theirs.Server)
	}
	switch {
	case slow.ServerBusy >= full && slow.Busy >= full:
		return "both CPUs are full: " + generators + "; " + servers
	case slow.ServerBusy >= full:
		return "the server is the bottleneck: " + servers
	case slow.Busy >= full:
		return "the generator is the bottleneck: " + generators
	}
	return fmt.Sprintf("no CPU is full (generator %.0f %% and %.0f %%, server %.0f %% and %.0f %%), "+
		"so that both wait for each other to wake: %s; %s",
		100*ours.Busy, 100*theirs.Busy, 100*ours.ServerBusy, 100*theirs.ServerBusy, generators, servers)
}
