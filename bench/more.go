package bench

import (
	"context"
	"fmt"
	"slices"

	"weir/bench/peers"
	"weir/bench/report"
)

// What a scenario measures beside its rounds.

func (m *match) leaveOut(format string, args ...any) {
	m.out.LeftOut = append(m.out.LeftOut, fmt.Sprintf(format, args...))
}

// open runs all proxies at the same rates, in turn: latency at a load that each of
// them can carry. The rates are shares of the best round of the slowest proxy.
func (m *match) open(ctx context.Context, players []*peers.Peer) error {
	slowest := m.out.Slowest()
	for _, percent := range m.s.Open {
		due := int(slowest * float64(percent) / 100)
		if due < 1 {
			m.leaveOut("the open loop at %d%%: a proxy did next to nothing", percent)
			continue
		}
		m.out.Levels = append(m.out.Levels, report.Level{Percent: percent, Due: float64(due)})
	}
	for round := range m.contest.Rounds {
		for _, l := range m.out.Levels {
			for i, p := range players {
				m.contest.Say(fmt.Sprintf("%s at %.0f/s (%d%%), round %d of %d: %s",
					m.s.Name, l.Due, l.Percent, round+1, m.contest.Rounds, p.Name))
				if err := m.once(ctx, p, int(l.Due), &m.out.Proxies[i].Open); err != nil {
					return fmt.Errorf("%s at %.0f/s: %w", p.Name, l.Due, err)
				}
			}
		}
	}
	return nil
}

// scale repeats the rounds with the proxies on more CPUs. The generator and the
// origin stay where they are.
func (m *match) scale(ctx context.Context, players []*peers.Peer) error {
	if m.s.Scale == 0 {
		return nil
	}
	cpus, err := allowed()
	if err != nil {
		return err
	}
	if m.s.Scale > len(cpus) || m.s.Scale <= len(m.cores.proxy) {
		m.leaveOut("the proxies on %d CPUs: they had %d before, and %d may be used",
			m.s.Scale, len(m.cores.proxy), len(cpus))
		return nil
	}
	wide := *m
	wide.cores.proxy = cpus[len(cpus)-m.s.Scale:]
	m.out.Wide = &report.Wide{CPUs: m.s.Scale, Before: len(m.cores.proxy), Cores: wide.cores.String()}
	for round := range m.contest.Rounds {
		for i, p := range players {
			m.contest.Say(fmt.Sprintf("%s on %d CPUs, round %d of %d: %s",
				m.s.Name, m.s.Scale, round+1, m.contest.Rounds, p.Name))
			if err := wide.once(ctx, p, m.s.Rate, &m.out.Proxies[i].Wide); err != nil {
				return fmt.Errorf("%s on %d CPUs: %w", p.Name, m.s.Scale, err)
			}
		}
	}
	return nil
}

// curve runs each proxy once at shares of its own best.
func (m *match) curve(ctx context.Context, players []*peers.Peer) error {
	for _, percent := range m.s.Curve {
		for i, p := range players {
			due := int(m.out.Proxies[i].Best() * float64(percent) / 100)
			if due < 1 {
				continue // it did nothing in its rounds, which its table shows
			}
			m.contest.Say(fmt.Sprintf("%s at %d/s (%d%% of its own best): %s", m.s.Name, due, percent, p.Name))
			if err := m.once(ctx, p, due, &m.out.Proxies[i].Sweep); err != nil {
				return fmt.Errorf("%s at %d/s: %w", p.Name, due, err)
			}
		}
	}
	return nil
}

// sweep runs each proxy once at each of the contest's rates.
func (m *match) sweep(ctx context.Context, players []*peers.Peer) error {
	if m.out.Unit != report.Requests {
		return nil
	}
	for _, due := range slices.Sorted(slices.Values(m.contest.Rates)) {
		for i, p := range players {
			m.contest.Say(fmt.Sprintf("%s at %d/s: %s", m.s.Name, due, p.Name))
			if err := m.once(ctx, p, due, &m.out.Proxies[i].Sweep); err != nil {
				return fmt.Errorf("%s at %d/s: %w", p.Name, due, err)
			}
		}
	}
	return nil
}
