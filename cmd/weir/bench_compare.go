package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"weir/bench"
	"weir/bench/peers"
	results "weir/bench/report"
	"weir/cmd/internal/engine"
	"weir/conf"
)

type benchCompareCmd struct {
	Scenario   []string          `short:"s" placeholder:"NAME" help:"Built-in ones, or files NAME.toml. Default: all."`
	Peers      []string          `placeholder:"NAME" help:"Which proxies. Default: who is found."`
	Binary     map[string]string `mapsep:"," placeholder:"NAME=FILE" help:"Binaries, as traefik=/opt/traefik."`
	BuildCaddy bool              `help:"Build Caddy from its Go module into the cache directory, if it is not there."`
	Rounds     int               `default:"3" placeholder:"N" help:"Rounds, in each of which every proxy has its turn."`
	Duration   time.Duration     `short:"d" placeholder:"TIME" help:"Length of each run, instead of the scenario's."`
	Warmup     time.Duration     `default:"-1s" placeholder:"TIME" help:"Time before it, instead of the scenario's."`
	Rates      []int             `placeholder:"N" help:"Also one run at each rate: latency at a given throughput."`
	Cores      int               `placeholder:"N" help:"Also the rounds with the proxies on so many CPUs."`
	Output     string            `short:"o" default:"weir-bench.json" placeholder:"FILE" help:"The results, as JSON."`
	Append     bool              `help:"Add to the results that are there, in place of scenarios of the same name."`
	Commit     string            `placeholder:"ID" help:"What Weir was built from, where the binary does not know."`
	List       bool              `help:"List the built-in scenarios and end."`
}

func (benchCompareCmd) Help() string {
	return `Each proxy does the same job in front of the same origin, in turn, a new process for each run, and
is alone on its CPU where there are two. Proxies: weir, nginx, haproxy, caddy, traefik, and varnish where answers are
kept. The results are written after each scenario; in the source tree, go run ./cmd/bench-report makes pages with
tables and plots of them.

    weir bench compare --scenario l7-small,l4-churn --rounds 5
    weir bench compare --binary traefik=/opt/traefik/traefik`
}

// Run compares, and prints the tables.
func (c *benchCompareCmd) Run(o *output) error {
	if c.List {
		return printText(o.stdout, strings.Join(bench.Scenarios(), "\n")+"\n")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	contest, err := c.contest(ctx, o)
	if err != nil {
		return err
	}
	before, err := c.before()
	if err != nil {
		return err
	}
	shown := 0
	contest.Done = func(d *results.Document) error {
		var b strings.Builder
		for ; shown < len(d.Scenarios); shown++ {
			d.Scenarios[shown].WriteText(&b)
			b.WriteByte('\n')
		}
		return errors.Join(printText(o.stdout, b.String()), c.write(before, d))
	}
	_, err = bench.Compare(ctx, contest)
	return err
}

// before reads the results that are to be added to; nil: there are none.
func (c *benchCompareCmd) before() (*results.Document, error) {
	if !c.Append {
		return nil, nil
	}
	d, err := results.Read(c.Output)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return d, err
}

func (c *benchCompareCmd) write(before, d *results.Document) error {
	if before != nil {
		if err := before.Merge(d); err != nil {
			return err
		}
		d = before
	}
	var b bytes.Buffer
	if err := d.Write(&b); err != nil {
		return err
	}
	if err := os.WriteFile(c.Output, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	return nil
}

func (c *benchCompareCmd) contest(ctx context.Context, o *output) (bench.Contest, error) {
	self, err := os.Executable()
	if err != nil {
		return bench.Contest{}, fmt.Errorf("cannot find this program: %w", err)
	}
	contest := bench.Contest{
		Weir: self, Rounds: c.Rounds, Rates: c.Rates, Commit: c.commit(), Command: c.again(),
		Say: func(text string) { _ = printText(o.stderr, "weir: "+text+"\n") },
	}
	if contest.Scenarios, err = c.scenarios(); err != nil {
		return contest, err
	}
	contest.Peers, err = c.peers(ctx, self, contest.Say)
	return contest, err
}

// commit is what Weir was built from.
func (c *benchCompareCmd) commit() string {
	build := engine.ReadBuild()
	switch {
	case c.Commit != "":
		return c.Commit
	case build.Revision == "":
		return build.Version
	case build.Modified:
		return build.Revision + ", with changes"
	}
	return build.Revision
}

// again is the command that measures the same, without what names this machine.
func (c *benchCompareCmd) again() string {
	b := strings.Builder{}
	fmt.Fprintf(&b, "weir bench compare --rounds %d", c.Rounds)
	if c.Duration > 0 {
		fmt.Fprintf(&b, " --duration %s", c.Duration)
	}
	if c.Warmup >= 0 {
		fmt.Fprintf(&b, " --warmup %s", c.Warmup)
	}
	if len(c.Peers) > 0 {
		fmt.Fprintf(&b, " --peers %s", strings.Join(c.Peers, ","))
	}
	if c.BuildCaddy {
		b.WriteString(" --build-caddy")
	}
	if c.Cores > 0 {
		fmt.Fprintf(&b, " --cores %d", c.Cores)
	}
	for i, r := range c.Rates {
		b.WriteString([]string{",", " --rates "}[btoi(i == 0)] + strconv.Itoa(r))
	}
	return b.String()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (c *benchCompareCmd) scenarios() ([]*conf.Scenario, error) {
	names := c.Scenario
	if len(names) == 0 {
		names = bench.Scenarios()
	}
	var all []*conf.Scenario
	for _, name := range names {
		s, err := bench.Scenario(name)
		if err != nil {
			return nil, err
		}
		if c.Duration > 0 {
			s.Duration = c.Duration
		}
		if c.Warmup >= 0 {
			s.Warmup = c.Warmup
		}
		if c.Cores > 0 && s.Workload.Kind != "idle" {
			s.Scale = c.Cores
		}
		all = append(all, s)
	}
	return all, nil
}

// peers finds the proxies. Those that were asked for must be there.
func (c *benchCompareCmd) peers(ctx context.Context, self string, say func(string)) ([]*peers.Peer, error) {
	names := c.Peers
	if len(names) == 0 {
		names = peers.Names()
	}
	for name := range c.Binary {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("a binary of %q: expected one of %q", name, names)
		}
	}
	var all []*peers.Peer
	for _, name := range names {
		binary := c.Binary[name]
		switch {
		case name == results.Subject && binary == "":
			binary = self
		case name == "caddy" && binary == "" && c.BuildCaddy:
			var err error
			if binary, err = bench.BuildCaddy(ctx); err != nil {
				return nil, err
			}
		}
		p, err := peers.Find(ctx, name, binary)
		if err != nil && len(c.Peers) == 0 && binary == "" {
			say(err.Error())
			continue
		}
		if err != nil {
			return nil, err
		}
		say(p.Name + " " + p.Version)
		all = append(all, p)
	}
	return all, nil
}
