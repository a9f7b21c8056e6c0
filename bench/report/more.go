package report

import (
	"fmt"
	"math"
)

// What a scenario may have beside its rounds.

// Slowest is the best throughput of the proxy whose best is the lowest, in units per
// second; 0 where there is none.
func (s *Scenario) Slowest() float64 {
	slowest := math.Inf(1)
	for i := range s.Proxies {
		slowest = min(slowest, s.Proxies[i].Best())
	}
	if math.IsInf(slowest, 1) {
		return 0
	}
	return slowest
}

// Best is the throughput of the proxy's best round, in units per second.
func (p *Proxy) Best() float64 {
	best := 0.0
	for i := range p.Rounds {
		best = max(best, p.Rounds[i].Rate)
	}
	return best
}

// only is the scenario with other rounds in place of its own, so that the figures
// are formed from them.
func (s *Scenario) only(rounds func(*Proxy) []Round) *Scenario {
	c := &Scenario{Name: s.Name, Unit: s.Unit}
	for i := range s.Proxies {
		c.Proxies = append(c.Proxies, Proxy{Name: s.Proxies[i].Name, Rounds: rounds(&s.Proxies[i])})
	}
	return c
}

// At is the scenario as it was at one of its levels.
func (s *Scenario) At(l Level) *Scenario {
	return s.only(func(p *Proxy) (at []Round) {
		for _, r := range p.Open {
			if r.Due == l.Due {
				at = append(at, r)
			}
		}
		return at
	})
}

// Tables are all that pages show of the scenario, the one of its rounds first.
func (s *Scenario) Tables() []Table {
	tables := []Table{s.Table()}
	if len(s.Levels) > 0 {
		tables = append(tables, s.openTable())
	}
	if s.Wide != nil {
		tables = append(tables, s.wideTable())
	}
	return tables
}

func (s *Scenario) openTable() Table {
	t := Table{
		Title: "Open loop: requests are due at the same rate for all, whatever a proxy does, and latency counts from " +
			"when they were due. The rate is a share of the best round of the slowest proxy.",
		Head: []string{"Proxy", "due", "CPU per " + s.Unit, "to the best peer", "p50", "p99", "p99.9", "failed"},
	}
	for _, l := range s.Levels {
		at := s.At(l)
		for _, f := range at.Figures() {
			t.Rows = append(t.Rows, []string{
				f.Name, fmt.Sprintf("%s (%d%%)", rate(l.Due, s.Unit), l.Percent),
				cost(f.CPU.Median, s.Unit), ratio(f.CPURatio),
				micros(f.P50.Median), micros(f.P99.Median), micros(f.P999.Median), fmt.Sprint(f.Failed),
			})
		}
		t.Notes = append(t.Notes, at.notes(fmt.Sprintf("at %d%%: ", l.Percent))...)
	}
	return t
}

func (s *Scenario) wideTable() Table {
	wide := s.only(func(p *Proxy) []Round { return p.Wide })
	t := Table{
		Title: fmt.Sprintf("From %d to %d CPUs for the proxies: %s.", s.Wide.Before, s.Wide.CPUs, s.Wide.Cores),
		Head: []string{
			"Proxy", "Throughput", fmt.Sprintf("to its own on %d", s.Wide.Before), "to the best peer",
			"CPU per " + s.Unit, fmt.Sprintf("to its own on %d", s.Wide.Before), "p99", "failed",
		},
		Notes: wide.notes(fmt.Sprintf("on %d CPUs: ", s.Wide.CPUs)),
	}
	for i, f := range wide.Figures() {
		p := &s.Proxies[i]
		t.Rows = append(t.Rows, []string{
			f.Name, rate(f.Rate.Median, s.Unit), ratio(p.widened(func(r *Round) float64 { return r.Rate })),
			ratio(f.RateRatio),
			cost(f.CPU.Median, s.Unit), ratio(p.widened(func(r *Round) float64 { return r.CPU })),
			micros(f.P99.Median), fmt.Sprint(f.Failed),
		})
	}
	return t
}

// widened is a figure on more CPUs over the same on few, round by round.
func (p *Proxy) widened(figure func(*Round) float64) Spread {
	var few, many []float64
	for i := range p.Rounds {
		few = append(few, figure(&p.Rounds[i]))
	}
	for i := range p.Wide {
		many = append(many, figure(&p.Wide[i]))
	}
	return spread(ratios(many, few))
}

// Bound is who bounded most runs of the proxy; "" where nobody judged.
func (p *Proxy) Bound() string {
	most, count := "", map[string]int{}
	for i := range p.Rounds {
		if v := p.Rounds[i].Verdict; v != nil {
			if count[v.Bound]++; most == "" || count[v.Bound] > count[most] {
				most = v.Bound
			}
		}
	}
	return most
}

// verdicts is a line for each party that bounded runs of a proxy: how many rounds,
// and the reason in the first of them.
func verdicts(rounds []Round) []string {
	var bounds []string
	lines, count := map[string]string{}, map[string]int{}
	judged := 0
	for i := range rounds {
		v := rounds[i].Verdict
		if v == nil {
			continue
		}
		judged++
		if count[v.Bound]++; count[v.Bound] == 1 {
			bounds, lines[v.Bound] = append(bounds, v.Bound), v.Line
		}
	}
	out := make([]string, len(bounds))
	for i, b := range bounds {
		out[i] = lines[b]
		if judged > 1 {
			out[i] += fmt.Sprintf(" (%d of %d rounds)", count[b], judged)
		}
	}
	return out
}
