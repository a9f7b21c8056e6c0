package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"weir/bench/knee"
	"weir/bench/load"
)

type benchKneeCmd struct {
	benchTarget

	Objective string  `default:"p99=5ms,errors=0.1%" placeholder:"BOUNDS" help:"What must hold."`
	From      float64 `default:"100" placeholder:"N" help:"Lowest rate, per second."`
	To        float64 `default:"1000000" placeholder:"N" help:"Highest rate, per second."`
	Precision float64 `default:"0.05" placeholder:"SHARE" help:"How close to the knee, as a share of the rate."`

	Conns    int           `short:"c" default:"64" placeholder:"N" help:"Connections."`
	Duration time.Duration `short:"d" default:"5s" placeholder:"TIME" help:"Length of each trial."`
	Warmup   time.Duration `default:"500ms" placeholder:"TIME" help:"Time before each, not counted."`
	Timeout  time.Duration `default:"5s" placeholder:"TIME" help:"Of one request."`
	Loops    int           `placeholder:"N" help:"Event loops. Default: half of the CPUs."`
	Late     time.Duration `default:"1ms" placeholder:"TIME" help:"How late we may be at the 99th percentile."`
	Even     bool          `help:"Even gaps between requests, instead of exponentially distributed ones."`
	Seed     uint64        `default:"1" placeholder:"N" help:"Of the random gaps."`

	Method    string   `placeholder:"NAME" help:"HTTP method. Default: GET, or POST with --size."`
	Header    []string `short:"H" sep:"none" placeholder:"FIELD" help:"HTTP field to add, NAME:VALUE, repeatable."`
	Size      size     `placeholder:"SIZE" help:"Request body, or message. Default: none; 64 for --tcp and --ws."`
	Status    int      `placeholder:"CODE" help:"The right HTTP status. Default: 200."`
	Reconnect bool     `help:"A new connection for each request."`
	JSON      bool     `name:"json" help:"Print the result as JSON."`
}

func (benchKneeCmd) Help() string {
	return `Raises the rate of an open loop until the objective breaks, then narrows the rate down. Bounds: mean, p50,
p75, p90, p95, p99, p99.9, p99.99 and max as times, errors as a share; without errors none is allowed. Two trials of at
most three decide, so that one hiccup does not. The search ends at a rate that the generator cannot produce.

    weir bench knee --http http://127.0.0.1:8080/ --objective p99=5ms,errors=0.1%

The exit code is 1 when no rate meets the objective.`
}

// Run searches, and prints what it finds.
func (c *benchKneeCmd) Run(o *output) error {
	objective, err := knee.ParseObjective(c.Objective)
	if err != nil {
		return err
	}
	plan, err := c.plan()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := knee.Find(ctx, knee.Search{
		Objective: objective, From: c.From, To: c.To, Precision: c.Precision, Try: trier(plan),
		Progress: func(t knee.Trial) {
			_ = printText(o.stderr, fmt.Sprintf("%.0f/s: %s\n", t.Rate, t.Verdict))
		},
	})
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(o.stdout, result)
	} else {
		err = result.WriteTable(o.stdout)
	}
	if err == nil && result.Last == nil {
		err = fmt.Errorf("no rate was found: %s", result.Line())
	}
	return err
}

func (c *benchKneeCmd) plan() (load.Plan, error) {
	w, err := c.workload()
	w.Method, w.Fields, w.Send, w.Status, w.Reconnect = c.Method, c.Header, int64(c.Size), c.Status, c.Reconnect
	return load.Plan{
		Workload: w, Conns: c.Conns, Loops: c.Loops, Duration: c.Duration, Warmup: c.Warmup, Timeout: c.Timeout,
		Poisson: !c.Even, Seed: c.Seed, LatenessLimit: c.Late,
	}, err
}

// trier makes trials of a plan.
func trier(plan load.Plan) func(context.Context, float64) (knee.Outcome, error) {
	return func(ctx context.Context, rate float64) (knee.Outcome, error) {
		plan.Rate = rate
		plan.Seed++ // a trial that is repeated shall not repeat its own bad luck
		r, err := load.Run(ctx, plan)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return knee.Outcome{}, err
		}
		return outcome(r), nil
	}
}

// outcome is what a trial says of the server. A run in which nothing was answered is
// not valid either, but that is not the generator's doing.
func outcome(r *load.Result) knee.Outcome {
	d := &r.Latency
	out := knee.Outcome{
		Requests: r.Requests, Errors: r.Failed.Total(), Answered: r.Rate, Detail: r,
		Latency: knee.Latency{
			Mean: micros(d.Mean), P50: micros(d.P50), P75: micros(d.P75), P90: micros(d.P90), P95: micros(d.P95),
			P99: micros(d.P99), P999: micros(d.P999), P9999: micros(d.P9999), Max: micros(d.Max),
		},
	}
	if r.Answered > 0 {
		out.Invalid = r.Invalid
	}
	return out
}

func micros(us float64) time.Duration { return time.Duration(us * float64(time.Microsecond)) }
