// Package knee finds how far the rate of requests can be raised before an objective
// breaks: the knee of the curve of latency over throughput.
//
// The rate grows geometrically until the objective breaks, and is then narrowed
// down between the last good and the first broken one. A hiccup of the machine can
// break one trial, and luck can save one; so a rate counts as broken, and near the
// knee as good too, only when most of its trials say so.
package knee

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// Outcome is what one trial at a rate has measured. The trial is an open loop:
// requests are due at the rate whatever the server does, and latency counts from
// when they were due.
type Outcome struct {
	Requests int64   `json:"requests"` // due
	Errors   int64   `json:"errors"`   // of them, not answered rightly
	Answered float64 `json:"answered_per_second"`
	Latency  Latency `json:"latency"`

	// Invalid says why the trial measured the generator rather than the server;
	// empty: it did not.
	Invalid []string `json:"invalid,omitempty"`
	// Detail is what else the caller wants to find in the result.
	Detail any `json:"detail,omitempty"`
}

func (o *Outcome) errorShare() float64 {
	if o.Requests == 0 {
		return 1
	}
	return float64(o.Errors) / float64(o.Requests)
}

// Search says where and how to look.
type Search struct {
	Objective Objective
	From      float64 // lowest rate per second, default 100
	To        float64 // highest, default 1e6
	Precision float64 // where to stop: highest good to lowest broken rate, default 0.05 for 5 %

	// Try runs one trial.
	Try func(ctx context.Context, rate float64) (Outcome, error)
	// Progress is told of each trial; nil: nobody is.
	Progress func(Trial)
}

const (
	defaultFrom      = 100
	defaultTo        = 1e6
	defaultPrecision = 0.05
	growth           = 2 // from one rate to the next, until the objective breaks
	votes            = 2 // of at most three trials decide
)

// Verdict is what a trial, or a rate, comes to.
type Verdict string

// The verdicts.
const (
	Good    Verdict = "good"
	Broken  Verdict = "broken"
	Invalid Verdict = "invalid" // the generator was the bottleneck: nothing is known of the server
)

// Trial is one run at a rate.
type Trial struct {
	Rate    float64  `json:"rate_per_second"`
	Verdict Verdict  `json:"verdict"`
	Why     []string `json:"why,omitempty"` // it is not good
	Outcome Outcome  `json:"outcome"`
}

// Bound is what ended the search.
type Bound string

// The bounds.
const (
	ByObjective Bound = "objective" // it breaks at a rate above the last good one
	ByGenerator Bound = "generator" // it could not produce more
	ByRange     Bound = "range"     // the highest rate is good
	ByNothing   Bound = "nothing"   // the lowest rate is not good
)

// Result is what was found.
type Result struct {
	Objective Objective `json:"objective"`
	Rate      float64   `json:"rate_per_second"` // the last good one; 0: none
	Bound     Bound     `json:"bound"`
	Last      *Trial    `json:"last_good,omitempty"`    // the worse one of its trials
	First     *Trial    `json:"first_broken,omitempty"` // or invalid; nil where no rate was
	Trials    []Trial   `json:"trials"`
}

// Find carries the search out. It blocks for as long as its trials take; the number
// of rates is logarithmic in To/From and 1/Precision, that of trials at most three
// times as many.
func Find(ctx context.Context, s Search) (*Result, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	f := &finder{Search: s, result: &Result{Objective: s.Objective}}
	for rate := s.From; ; rate = min(rate*growth, s.To) {
		verdict, err := f.decide(ctx, rate, 1)
		if err != nil {
			return nil, err
		}
		if verdict != Good || rate >= s.To {
			break
		}
	}
	for f.result.First != nil && f.result.Last != nil {
		low, high := f.result.Last.Rate, f.result.First.Rate
		if high/low <= 1+s.Precision {
			break
		}
		// The geometric mean: precision is relative.
		if _, err := f.decide(ctx, math.Sqrt(low*high), votes); err != nil {
			return nil, err
		}
	}
	return f.finish(), nil
}

func (s *Search) check() error {
	or := func(v *float64, def float64) {
		if *v == 0 {
			*v = def
		}
	}
	or(&s.From, defaultFrom)
	or(&s.To, max(defaultTo, s.From))
	or(&s.Precision, defaultPrecision)
	switch {
	case s.Try == nil:
		return errors.New("BUG: a search without trials")
	case !(s.From > 0 && s.To >= s.From && s.To <= 1e9):
		return fmt.Errorf("rates from %g to %g: expected 0 < from <= to <= 1e9", s.From, s.To)
	case !(s.Precision >= 0.001 && s.Precision <= 1):
		return fmt.Errorf("precision %g: expected 0.001 to 1", s.Precision)
	}
	return nil
}

// finder is a search under way.
type finder struct {
	Search
	result *Result
}

// decide tries a rate until one verdict has its votes: a good one as many as are
// asked for, others the majority of three.
func (f *finder) decide(ctx context.Context, rate float64, forGood int) (Verdict, error) {
	need := map[Verdict]int{Good: forGood, Broken: votes, Invalid: votes}
	count := map[Verdict]int{}
	kept := map[Verdict]*Trial{}
	for n := 0; ; n++ {
		out, err := f.Try(ctx, rate)
		if err != nil {
			return "", fmt.Errorf("cannot try %.0f per second: %w", rate, err)
		}
		t := Trial{Rate: rate, Outcome: out, Verdict: Good}
		if t.Why = out.Invalid; len(t.Why) > 0 {
			t.Verdict = Invalid
		} else if t.Why = f.Objective.Broken(&out); len(t.Why) > 0 {
			t.Verdict = Broken
		}
		f.result.Trials = append(f.result.Trials, t)
		if f.Progress != nil {
			f.Progress(t)
		}
		count[t.Verdict]++
		if k := kept[t.Verdict]; k == nil || t.Outcome.Latency.P99 > k.Outcome.Latency.P99 {
			kept[t.Verdict] = &t
		}
		// One of each is no majority: the rate cannot be said to be good.
		verdict := t.Verdict
		if n == votes && count[verdict] < votes {
			verdict = Broken
			if kept[Broken] == nil {
				verdict = Invalid
			}
		} else if count[verdict] < need[verdict] {
			continue
		}
		f.settle(verdict, kept[verdict])
		return verdict, nil
	}
}

// settle keeps the trial that stands for a rate.
func (f *finder) settle(v Verdict, t *Trial) {
	if v == Good {
		f.result.Last = t
	} else {
		f.result.First = t
	}
}

func (f *finder) finish() *Result {
	r := f.result
	switch {
	case r.Last == nil && r.First.Verdict == Broken:
		r.Bound = ByNothing
	case r.First == nil:
		r.Bound = ByRange
	case r.First.Verdict == Invalid:
		r.Bound = ByGenerator
	default:
		r.Bound = ByObjective
	}
	if r.Last != nil {
		r.Rate = r.Last.Rate
	}
	return r
}

// WriteTable writes the result for people.
func (r *Result) WriteTable(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(t, "rate/s\tanswered/s\tp50\tp90\tp99\tp99.9\tmax\terrors\t  verdict\n")
	for i := range r.Trials {
		_, _ = fmt.Fprintln(t, r.Trials[i].row())
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	if _, err := fmt.Fprintf(out, "\n%s\n", r.Line()); err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	return nil
}

func (t *Trial) row() string {
	l := &t.Outcome.Latency
	verdict := "  " + strings.Join(append([]string{string(t.Verdict)}, t.Why...), ", ")
	return fmt.Sprintf("%.0f\t%.0f\t%s\t%s\t%s\t%s\t%s\t%.3g%%\t%s", t.Rate, t.Outcome.Answered,
		round(l.P50), round(l.P90), round(l.P99), round(l.P999), round(l.Max), t.Outcome.errorShare()*100, verdict)
}

// Line says in one line what was found.
func (r *Result) Line() string {
	const of = "%.0f requests per second meet %s"
	switch r.Bound {
	case ByNothing:
		return fmt.Sprintf("the lowest rate, %.0f per second, does not meet %s: %s",
			r.First.Rate, r.Objective, r.First.Why[0])
	case ByRange:
		return fmt.Sprintf(of+"; that is the highest rate of the search", r.Rate, r.Objective)
	case ByGenerator:
		if r.Last == nil {
			return fmt.Sprintf("the generator is the limit at %.0f per second: %s", r.First.Rate, r.First.Why[0])
		}
		return fmt.Sprintf("at least "+of+"; at %.0f the generator is the limit: %s",
			r.Rate, r.Objective, r.First.Rate, r.First.Why[0])
	}
	return fmt.Sprintf(of+"; at %.0f it breaks: %s", r.Rate, r.Objective, r.First.Rate, r.First.Why[0])
}
