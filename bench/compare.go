package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"weir/bench/peers"
	"weir/bench/report"
	"weir/conf"
)

// Contest says what to compare. Weir, Scenarios and Peers must be set.
type Contest struct {
	Weir      string           // the binary that generates load and serves origins
	Scenarios []*conf.Scenario // in this order
	Peers     []*peers.Peer    // in this order in every round
	Rounds    int              // default 3
	Rates     []int            // additional open-loop runs at these rates, one each, where requests can be due
	Commit    string           // of Weir
	Command   string           // what a reader runs again, without --scenario

	Say func(text string) // called with what is being done; may be nil
	// Done is called after each scenario with all that is there so far; may be nil.
	Done func(*report.Document) error
}

const maxContestRounds = 1000

// Compare carries out the scenarios, one after the other: in every round each proxy
// has its turn, with a process of its own. It takes as long as Warmup and Duration
// of a scenario say, for each round and proxy, and ends early with ctx.
func Compare(ctx context.Context, c Contest) (*report.Document, error) {
	if c.Rounds == 0 {
		c.Rounds = 3
	}
	if c.Rounds < 0 || c.Rounds > maxContestRounds {
		return nil, fmt.Errorf("cannot compare in %d rounds: expected 1 to %d", c.Rounds, maxContestRounds)
	}
	if c.Say == nil {
		c.Say = func(string) {}
	}
	remove, err := c.apart()
	if err != nil {
		return nil, err
	}
	defer remove()
	d := &report.Document{Made: time.Now().UTC(), Commit: c.Commit, Machine: machine(), Rounds: c.Rounds}
	for _, p := range c.Peers {
		d.Peers = append(d.Peers, report.Version{Name: p.Name, Version: p.Version})
	}
	for _, s := range c.Scenarios {
		r, err := c.scenario(ctx, s)
		if err != nil {
			return d, fmt.Errorf("cannot finish the scenario %q: %w", s.Name, err)
		}
		d.Scenarios = append(d.Scenarios, *r)
		if c.Done != nil {
			if err := c.Done(d); err != nil {
				return d, err
			}
		}
	}
	return d, nil
}

// apart gives Weir as a proxy a binary of its own: generator and origin run from
// ours, and what processes of one file share would be counted for Weir in parts.
func (c *Contest) apart() (remove func(), err error) {
	i := slices.IndexFunc(c.Peers, func(p *peers.Peer) bool { return p.Binary == c.Weir })
	if i < 0 {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return nil, fmt.Errorf("cannot copy this program: %w", err)
	}
	remove = func() { _ = os.RemoveAll(dir) }
	text, err := os.ReadFile(c.Weir)
	own := *c.Peers[i]
	own.Binary = filepath.Join(dir, "weir")
	if err == nil {
		err = os.WriteFile(own.Binary, text, 0o700) //nolint:gosec // a program must be executable
	}
	if err != nil {
		remove()
		return nil, fmt.Errorf("cannot copy this program: %w", err)
	}
	c.Peers = slices.Clone(c.Peers)
	c.Peers[i] = &own
	return remove, nil
}

// A match is a scenario while it is carried out.
type match struct {
	contest *Contest
	s       *conf.Scenario
	cores   layout
	origin  string // address
	out     *report.Scenario
}

func (c *Contest) scenario(ctx context.Context, s *conf.Scenario) (*report.Scenario, error) {
	cores, err := layoutOf(&s.Cores)
	if err != nil {
		return nil, err
	}
	m := &match{contest: c, s: s, cores: cores, out: &report.Scenario{
		Name: s.Name, Shows: s.Shows, Job: jobText(s), Unit: unitOf(s), Command: c.Command + " --scenario " + s.Name,
		Duration: s.Duration.Seconds(), Cores: cores.String(), Busy: loadAverage(),
	}}
	if s.Workload.Kind != "idle" {
		m.out.Load = "weir " + strings.Join(loadArgs(s, "ADDRESS", s.Rate), " ")
	}
	players := m.players()
	if len(players) == 0 {
		return nil, errors.New("no proxy can do it: " + strings.Join(m.out.LeftOut, "; "))
	}
	stop, err := m.startOrigin(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	for round := range c.Rounds {
		for i, p := range players {
			c.Say(fmt.Sprintf("%s, round %d of %d: %s", s.Name, round+1, c.Rounds, p.Name))
			if err := m.turn(ctx, p, &m.out.Proxies[i], round); err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
		}
	}
	for _, more := range []func(context.Context, []*peers.Peer) error{m.open, m.scale, m.curve, m.sweep} {
		if err := more(ctx, players); err != nil {
			return nil, err
		}
	}
	return m.out, nil
}

// players are those who take part; the others are named with the reason.
func (m *match) players() []*peers.Peer {
	var players []*peers.Peer
	for _, name := range peers.Names() {
		i := slices.IndexFunc(m.contest.Peers, func(p *peers.Peer) bool { return p.Name == name })
		switch {
		case i < 0:
			if slices.Contains(m.s.Peers, name) {
				m.out.LeftOut = append(m.out.LeftOut, name+" was not asked for, or is not installed")
			}
		case m.contest.Peers[i].Caches() && m.s.Front != "cache":
			m.out.LeftOut = append(m.out.LeftOut, name+" is a cache, and nothing is kept here")
		case !m.contest.Peers[i].Can(m.s.Front):
			m.out.LeftOut = append(m.out.LeftOut, name+" cannot do this without further modules")
		case len(m.s.Peers) > 0 && !slices.Contains(m.s.Peers, name):
			m.out.LeftOut = append(m.out.LeftOut, name+" is not in the scenario")
		default:
			players = append(players, m.contest.Peers[i])
			m.out.Proxies = append(m.out.Proxies, report.Proxy{Name: name})
		}
	}
	return players
}

func (m *match) startOrigin(ctx context.Context) (stop func(), err error) {
	if !m.s.Origin.Address.IsZero() {
		m.origin = m.s.Origin.Address.String()
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return nil, fmt.Errorf("cannot start the origin: %w", err)
	}
	clean := func() { _ = os.RemoveAll(dir) } // it is in the directory for such things
	if m.origin, err = peers.FreeAddress(); err != nil {
		clean()
		return nil, err
	}
	p, err := peers.Start(peers.Command{
		Path: m.contest.Weir, Args: originArgs(m.s, m.origin), Dir: dir, CPUs: m.cores.origin,
	})
	if err != nil {
		clean()
		return nil, err
	}
	stop = func() { p.Stop(); clean() }
	ready := p.Ready
	if m.s.Front == "udp" {
		ready = p.ReadyUDP
	}
	if err := ready(ctx, m.origin); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// player is a proxy that runs.
type player struct {
	proc    *peers.Process
	address string
	admin   string // address of Weir's admin side; "": it is another proxy
}

// withProxy starts a proxy, calls f with it, and stops it.
func (m *match) withProxy(ctx context.Context, p *peers.Peer, f func(*player) error) error {
	dir, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	on := &player{}
	if on.address, err = peers.FreeAddress(); err != nil {
		return err
	}
	if p.Name == report.Subject {
		if on.admin, err = peers.FreeAddress(); err != nil {
			return err
		}
	}
	conns := max(m.s.Connections, slices.Max(append([]int{0}, m.s.Workload.Hold...)))
	job := peers.Job{
		Front: m.s.Front, Address: on.address, Admin: on.admin, Origin: m.origin, Workers: len(m.cores.proxy),
		MaxConns: conns + 500, Bulk: m.out.Unit == report.Gigabytes, Body: int64(m.s.Origin.Body),
	}
	if on.proc, err = p.Start(ctx, filepath.Clean(dir), job, m.cores.proxy); err != nil {
		return err
	}
	defer on.proc.Stop()
	return f(on)
}

// turn is one run of one proxy.
func (m *match) turn(ctx context.Context, p *peers.Peer, out *report.Proxy, round int) error {
	if m.s.Workload.Kind != "idle" {
		return m.once(ctx, p, m.s.Rate, &out.Rounds)
	}
	return m.withProxy(ctx, p, func(on *player) error {
		memory, err := m.hold(ctx, on.proc, on.address, round)
		out.Memory = append(out.Memory, memory...)
		return err
	})
}

// once runs a proxy at a rate, or in a closed loop where due is 0, and adds what
// came of it to out.
func (m *match) once(ctx context.Context, p *peers.Peer, due int, out *[]report.Round) error {
	return m.withProxy(ctx, p, func(on *player) error {
		r, err := m.run(ctx, on, due)
		if err == nil {
			*out = append(*out, *r)
		}
		return err
	})
}
