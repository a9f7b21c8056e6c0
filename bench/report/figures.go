package report

import (
	"math"
	"slices"
)

// Subject is the proxy that the others are held against.
const Subject = "weir"

// Spread is a figure of several rounds.
type Spread struct {
	Median, Min, Max float64
}

// Figures are what a table says of one proxy in a scenario.
type Figures struct {
	Name      string
	CPU, Rate Spread // per unit in µs; units per second
	P50, P99  Spread // µs
	P999      Spread
	IdlePSS   Spread // bytes
	PeakRSS   Spread
	PerConn   Spread // bytes for an idle connection
	// CPURatio and RateRatio are those to the best peer, formed round by round. For
	// idle connections CPURatio is that of PerConn. Zero: there is no peer.
	CPURatio, RateRatio Spread
	BestCPU, BestRate   bool // it is that peer
	Failed              int64
	Notes               []string // why runs were not valid, what was missed, what bounded them
}

// spread returns the median and the bounds of values, zero for none.
func spread(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	return Spread{Median: (v[(len(v)-1)/2] + v[len(v)/2]) / 2, Min: v[0], Max: v[len(v)-1]}
}

// ratios divides round by round; a round that one of them has not is left out.
func ratios(of, to []float64) []float64 {
	var r []float64
	for i := range min(len(of), len(to)) {
		if to[i] > 0 && of[i] > 0 {
			r = append(r, of[i]/to[i])
		}
	}
	return r
}

// Figures computes what the tables of a scenario say, in the order of its proxies.
func (s *Scenario) Figures() []Figures {
	all := make([]Figures, len(s.Proxies))
	costs, rates := make([][]float64, len(all)), make([][]float64, len(all))
	for i := range s.Proxies {
		p := &s.Proxies[i]
		pick := func(f func(*Round) float64) []float64 {
			values := make([]float64, len(p.Rounds))
			for j := range p.Rounds {
				values[j] = f(&p.Rounds[j])
			}
			return values
		}
		costs[i] = pick(func(r *Round) float64 { return r.CPU })
		rates[i] = pick(func(r *Round) float64 { return r.Rate })
		f := &all[i]
		f.Name, f.CPU, f.Rate = p.Name, spread(costs[i]), spread(rates[i])
		f.P50 = spread(pick(func(r *Round) float64 { return r.P50 }))
		f.P99 = spread(pick(func(r *Round) float64 { return r.P99 }))
		f.P999 = spread(pick(func(r *Round) float64 { return r.P999 }))
		f.IdlePSS = spread(pick(func(r *Round) float64 { return float64(r.IdlePSS) }))
		f.PeakRSS = spread(pick(func(r *Round) float64 { return float64(r.PeakRSS) }))
		if s.Idle() {
			costs[i] = p.perConnection()
			f.PerConn = spread(costs[i])
		}
		f.note(p)
	}
	compare(all, costs, func(f *Figures) (*Spread, *bool) { return &f.CPURatio, &f.BestCPU },
		func(a, b float64) bool { return a < b })
	if !s.Idle() {
		compare(all, rates, func(f *Figures) (*Spread, *bool) { return &f.RateRatio, &f.BestRate },
			func(a, b float64) bool { return a > b })
	}
	return all
}

// compare finds the best peer by its median and forms everybody's ratio to it.
func compare(all []Figures, values [][]float64, to func(*Figures) (*Spread, *bool), better func(a, b float64) bool) {
	best, median := -1, math.NaN()
	for i := range all {
		if m := spread(values[i]).Median; all[i].Name != Subject && m > 0 && (best < 0 || better(m, median)) {
			best, median = i, m
		}
	}
	if best < 0 {
		return
	}
	for i := range all {
		ratio, is := to(&all[i])
		*ratio, *is = spread(ratios(values[i], values[best])), i == best
	}
}

// perConnection is what one idle connection costs in each round: the slope from none
// to the largest number.
func (p *Proxy) perConnection() []float64 {
	var slopes []float64
	for round := range p.rounds() {
		zero, most, connections := int64(-1), int64(0), 0
		for _, m := range p.Memory {
			switch {
			case m.Round != round:
			case m.Connections == 0:
				zero = m.PSS
			case m.Connections > connections:
				most, connections = m.PSS, m.Connections
			}
		}
		if zero >= 0 && connections > 0 {
			slopes = append(slopes, float64(most-zero)/float64(connections))
		}
	}
	return slopes
}

func (p *Proxy) rounds() int {
	n := 0
	for _, m := range p.Memory {
		n = max(n, m.Round+1)
	}
	return n
}

// note collects what a reader must know of the runs.
func (f *Figures) note(p *Proxy) {
	add := func(text string) {
		if !slices.Contains(f.Notes, text) {
			f.Notes = append(f.Notes, text)
		}
	}
	for i := range p.Rounds {
		f.Failed += p.Rounds[i].Failed
		for _, why := range p.Rounds[i].Invalid {
			add("not valid: " + why)
		}
		for _, what := range p.Rounds[i].Missed {
			add(what)
		}
	}
	for _, line := range verdicts(p.Rounds) {
		add(line)
	}
}

// Middle is the round whose p99 is the median one, or the nearest below it; an
// empty one where there are none.
func (p *Proxy) Middle() *Round {
	if len(p.Rounds) == 0 {
		return &Round{}
	}
	order := make([]*Round, len(p.Rounds))
	for i := range p.Rounds {
		order[i] = &p.Rounds[i]
	}
	slices.SortStableFunc(order, func(a, b *Round) int { return int(math.Copysign(1, a.P99-b.P99)) })
	return order[(len(order)-1)/2]
}
