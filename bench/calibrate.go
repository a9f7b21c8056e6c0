// Package bench makes Weir's claims checkable: load is generated and measured by
// bench/load, served by bench/origin, and this package puts them together.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
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
}

// Comparison is one job, done by two generators.
type Comparison struct {
	Job     string   `json:"job"`
	Unit    string   `json:"unit"` // of the rates, per second
	Rival   string   `json:"rival"`
	Ours    []Sample `json:"ours"`   // one for each round
	Theirs  []Sample `json:"theirs"` // of the same round
	Command string   `json:"command"`
	Against string   `json:"against"` // the rival's command
	Notes   []string `json:"notes,omitempty"`
}

// Sample is one run of a generator.
type Sample struct {
	Rate float64 `json:"rate"`   // units per second
	CPU  float64 `json:"cpu_us"` // per unit, of the generator's whole process
	P50  float64 `json:"p50_us,omitempty"`
	P99  float64 `json:"p99_us,omitempty"`
}

// ProxyShare compares the generator's CPU with that of a proxy which it drives.
type ProxyShare struct {
	Proxy     string    `json:"proxy"`
	Generator []float64 `json:"generator_us_per_request"` // one for each round
	Target    []float64 `json:"proxy_us_per_request"`
	Command   string    `json:"command"`
}

// Options say how to calibrate.
type Options struct {
	Weir   string            // the binary that has the commands bench run and bench origin
	Rounds int               // of each job, default 3
	Time   time.Duration     // of each run, default 2 s
	Say    func(text string) // called with what is being done; may be nil
}

// The bounds of a calibration.
const (
	maxRounds = 100
	maxTime   = 10 * time.Minute
)

// Calibrate runs each job with the generator and its rival in turn (A B A B ...).
func Calibrate(ctx context.Context, o Options) (*Calibration, error) {
	if o.Rounds == 0 {
		o.Rounds = 3
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
	c := &Calibration{Rounds: o.Rounds, Time: o.Time.Seconds()}
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
	target := origin.addr
	if j.rival.server != nil {
		s, err := j.rival.server(ctx)
		if err != nil {
			return c, err
		}
		defer s.stop()
		target = s.addr
	}
	c = Comparison{Job: j.name, Unit: j.unit, Rival: j.rival.program}
	for range o.Rounds {
		args := j.rival.args(j, target, o.Time)
		out, err := run(ctx, j.rival.program, args...)
		if err != nil {
			return c, err
		}
		theirs, err := j.rival.read(out)
		if err != nil {
			return c, err
		}
		ours, result, err := runOurs(ctx, o, j, origin.addr)
		if err != nil {
			return c, err
		}
		c.Theirs, c.Ours = append(c.Theirs, theirs), append(c.Ours, ours)
		c.Against = out.command
		c.Command = result.command
		for _, why := range result.invalid {
			if !slices.Contains(c.Notes, why) {
				c.Notes = append(c.Notes, why)
			}
		}
	}
	return c, nil
}

// ourResult is what is kept of a run of ours beside its figures.
type ourResult struct {
	*load.Result
	command string
	invalid []string
}

func runOurs(ctx context.Context, o *Options, j job, addr string) (Sample, *ourResult, error) {
	args := []string{"bench", "run", "--json", "--loops=1", "--warmup=0s", "-d", o.Time.String()}
	args = append(args, j.ours(addr)...)
	out, err := run(ctx, o.Weir, args...)
	if err != nil && len(out.stdout) == 0 {
		return Sample{}, nil, err
	}
	r := &ourResult{command: "weir " + strings.Join(args, " ")}
	if err := json.Unmarshal(out.stdout, &r.Result); err != nil {
		return Sample{}, nil, fmt.Errorf("cannot read the result: %w", err)
	}
	if n := r.Failed.Total(); n > 0 {
		return Sample{}, nil, fmt.Errorf("%d requests failed: %s; %s", n, r.Failed, r.Error)
	}
	r.invalid = r.Invalid
	s := Sample{Rate: r.Rate, P50: r.Latency.P50, P99: r.Latency.P99}
	units := float64(r.Answered)
	if j.unit == megabytes {
		s.Rate, units = (r.RateIn+r.RateOut)/1e6, float64(r.BytesIn+r.BytesOut)/1e6
	}
	if units == 0 {
		return Sample{}, nil, errors.New("nothing was answered: " + strings.Join(r.Invalid, "; "))
	}
	s.CPU = out.cpu.Seconds() * 1e6 / units
	return s, r, nil
}

// WriteTable writes the calibration for people.
func (c *Calibration) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) } // Flush tells of errors
	line("job\tagainst\tours\ttheirs\tratio\tspread\tCPU ours\tCPU theirs\tratio")
	for _, x := range c.Comparisons {
		ratios := make([]float64, len(x.Ours))
		for i := range ratios {
			ratios[i] = x.Ours[i].Rate / x.Theirs[i].Rate
		}
		ours, theirs := medianOf(x.Ours, Sample.rate), medianOf(x.Theirs, Sample.rate)
		cpu, theirCPU := medianOf(x.Ours, Sample.cpu), medianOf(x.Theirs, Sample.cpu)
		line("%s\t%s\t%.0f %s/s\t%.0f\t%.3f\t%.3f-%.3f\t%.2f µs\t%.2f µs\t%.2f", x.Job, x.Rival, ours, x.Unit, theirs,
			median(ratios), slices.Min(ratios), slices.Max(ratios), cpu, theirCPU, cpu/theirCPU)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if p := c.Proxy; p != nil {
		ours, theirs := median(p.Generator), median(p.Target)
		line("\nCPU per request: generator %.2f µs, %s as a proxy %.2f µs, ratio %.2f",
			ours, p.Proxy, theirs, ours/theirs)
	}
	line("\nMedians of %d rounds of %g s each, in turn; the spread is that of the rounds' ratios.", c.Rounds, c.Time)
	for _, x := range c.Comparisons {
		line("%s: %s\n  against: %s", x.Job, x.Command, x.Against)
		for _, n := range x.Notes {
			line("  note: %s", n)
		}
	}
	if c.Proxy != nil {
		line("proxy: %s", c.Proxy.Command)
	}
	if len(c.Missing) > 0 {
		line("left out, because not installed: %s", strings.Join(c.Missing, ", "))
	}
	return t.Flush()
}

func (s Sample) rate() float64 { return s.Rate }
func (s Sample) cpu() float64  { return s.CPU }

func medianOf(samples []Sample, pick func(Sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = pick(s)
	}
	return median(values)
}

// median of at least one value.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
