// Package bench makes Weir's claims checkable: load is generated and measured by
// bench/load, served by bench/origin, and this package puts them together.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"weir/bench/load"
)

// Calibration says how the generator compares with well-known ones at the same
// job, in turn, against the same kind of server on the same CPU.
type Calibration struct {
	Comparisons []Comparison `json:"comparisons"`
	Proxy       *ProxyShare  `json:"proxy,omitempty"`   // nil where nginx is not installed
	Missing     []string     `json:"missing,omitempty"` // programs that are not installed
	Rounds      int          `json:"rounds"`
	Time        float64      `json:"time_per_run_s"`
	Kernel      string       `json:"kernel"`
	Processor   string       `json:"processor"`
}

// Comparison is one job, done by two generators.
type Comparison struct {
	Job     string   `json:"job"`
	Unit    string   `json:"unit"` // of the rates, per second
	Rival   string   `json:"rival"`
	Server  string   `json:"server,omitempty"` // the rival's own, where it cannot use ours
	Ours    []Sample `json:"ours"`             // one for each round
	Theirs  []Sample `json:"theirs"`           // of the same round
	Command string   `json:"command"`
	Against string   `json:"against"` // the rival's command
	Reason  string   `json:"reason"`  // why the figures differ by more than 5 %, or that they do not
}

// Sample is one run of a generator.
type Sample struct {
	Rate   float64 `json:"rate"`          // units per second
	CPU    float64 `json:"cpu_us"`        // per unit, of the generator: ours while it measures, a rival's process
	Server float64 `json:"server_cpu_us"` // per unit, of the server
	P50    float64 `json:"p50_us,omitempty"`
	P99    float64 `json:"p99_us,omitempty"`

	// How busy the generator's CPU and the server's were, from 0 to 1, and how much
	// of that was not theirs but other programs'.
	Busy         float64 `json:"generator_cpu_busy"`
	Others       float64 `json:"generator_cpu_others"`
	ServerBusy   float64 `json:"server_cpu_busy"`
	ServerOthers float64 `json:"server_cpu_others"`
}

// Options say how to calibrate.
type Options struct {
	Weir   string            // the binary that has the commands bench run and bench origin
	Rounds int               // of each job, default 5
	Time   time.Duration     // of each run, default 2 s
	Say    func(text string) // called with what is being done; may be nil
}

// The bounds of a calibration.
const (
	maxRounds = 100
	maxTime   = 10 * time.Minute
)

// Calibrate runs each job with the generator and its rival in turn. Who begins
// changes with each round, so that a machine that gets faster favours neither.
func Calibrate(ctx context.Context, o Options) (*Calibration, error) {
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if o.Time == 0 {
		o.Time = 2 * time.Second
	}
	if o.Rounds < 0 || o.Rounds > maxRounds || o.Time < time.Second || o.Time > maxTime {
		return nil, fmt.Errorf("cannot calibrate with %d rounds of %s: expected 1 to %d of 1s to %s",
			o.Rounds, o.Time, maxRounds, maxTime)
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	m := machine()
	c := &Calibration{Rounds: o.Rounds, Time: o.Time.Seconds(), Kernel: m.Kernel, Processor: m.CPU}
	for _, j := range jobs {
		if _, err := exec.LookPath(j.rival.program); err != nil {
			c.miss(j.rival.program)
			continue
		}
		o.Say(j.name + " with " + j.rival.program)
		x, err := compare(ctx, &o, j)
		if err != nil {
			return nil, fmt.Errorf("cannot compare %s with %s: %w", j.name, j.rival.program, err)
		}
		c.Comparisons = append(c.Comparisons, x)
	}
	if _, err := exec.LookPath(nginx); err != nil {
		c.miss(nginx)
		return c, nil
	}
	o.Say("http1 through nginx")
	p, err := proxyShare(ctx, &o)
	if err != nil {
		return nil, fmt.Errorf("cannot measure nginx: %w", err)
	}
	c.Proxy = p
	return c, nil
}

func (c *Calibration) miss(program string) {
	if !slices.Contains(c.Missing, program) {
		c.Missing = append(c.Missing, program)
	}
}

// compare does one job in turn.
func compare(ctx context.Context, o *Options, j job) (c Comparison, err error) {
	origin, err := startOrigin(ctx, o.Weir, serverCPU, j.origin...)
	if err != nil {
		return c, err
	}
	defer origin.stop()
	target := origin
	c = Comparison{Job: j.name, Unit: j.unit, Rival: j.rival.program}
	if j.rival.server != nil {
		if target, err = j.rival.server(ctx); err != nil {
			return c, err
		}
		defer target.stop()
		c.Server = j.rival.program
	}
	for i := range o.Rounds {
		turns := []func() error{
			func() error {
				s, command, err := runRival(ctx, o, j, target)
				c.Theirs, c.Against = append(c.Theirs, s), command
				return err
			},
			func() error {
				s, r, err := runOurs(ctx, o, j, origin)
				if err == nil {
					c.Ours, c.Command = append(c.Ours, s), r.command
				}
				return err
			},
		}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(); err != nil {
				return c, err
			}
		}
	}
	c.Reason = c.reason(j.differs)
	return c, nil
}

// runRival runs a rival against a server.
func runRival(ctx context.Context, o *Options, j job, server *service) (s Sample, command string, err error) {
	out, err := run(ctx, server, j.rival.program, j.rival.args(j, server.addr, o.Time)...)
	if err != nil {
		return s, out.command, err
	}
	s, err = j.rival.read(out)
	return s, out.command, err
}

// ourResult is what is kept of a run of ours beside its figures.
type ourResult struct {
	*load.Result
	command string
}

func runOurs(ctx context.Context, o *Options, j job, server *service) (s Sample, r *ourResult, err error) {
	args := []string{"bench", "run", "--json", "--loops=1", "--warmup=0s", "-d", o.Time.String()}
	args = append(args, j.ours(server.addr)...)
	out, err := run(ctx, server, o.Weir, args...)
	if err != nil && len(out.stdout) == 0 {
		return s, nil, err
	}
	r = &ourResult{command: out.command}
	if err := json.Unmarshal(out.stdout, &r.Result); err != nil {
		return s, nil, fmt.Errorf("cannot read the result: %w", err)
	}
	if n := r.Failed.Total(); n > 0 {
		return s, nil, fmt.Errorf("%d requests failed: %s; %s", n, r.Failed, r.Error)
	}
	s = Sample{Rate: r.Rate, P50: r.Latency.P50, P99: r.Latency.P99}
	units := float64(r.Answered)
	if j.unit == megabytes {
		s.Rate, units = (r.RateIn+r.RateOut)/1e6, float64(r.BytesIn+r.BytesOut)/1e6
	}
	if units == 0 {
		return s, nil, errors.New("nothing was answered: " + strings.Join(r.Invalid, "; "))
	}
	s = s.spend(out, units)
	// A second of load would be too short not to count what the program takes to start.
	s.CPU = r.Generator.Seconds * 1e6 / units
	return s, r, nil
}

func medianOf(samples []Sample, pick func(Sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = pick(s)
	}
	return median(values)
}

// typical has the median of each figure.
func typical(samples []Sample) Sample {
	return Sample{
		Rate:         medianOf(samples, func(s Sample) float64 { return s.Rate }),
		CPU:          medianOf(samples, func(s Sample) float64 { return s.CPU }),
		Server:       medianOf(samples, func(s Sample) float64 { return s.Server }),
		P50:          medianOf(samples, func(s Sample) float64 { return s.P50 }),
		P99:          medianOf(samples, func(s Sample) float64 { return s.P99 }),
		Busy:         medianOf(samples, func(s Sample) float64 { return s.Busy }),
		Others:       medianOf(samples, func(s Sample) float64 { return s.Others }),
		ServerBusy:   medianOf(samples, func(s Sample) float64 { return s.ServerBusy }),
		ServerOthers: medianOf(samples, func(s Sample) float64 { return s.ServerOthers }),
	}
}

// median of at least one value.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
