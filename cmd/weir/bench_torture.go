package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"weir/bench/torture"
)

type benchTortureCmd struct {
	Duration time.Duration `short:"d" default:"30s" placeholder:"TIME" help:"Length of the torture."`
	Seed     uint64        `placeholder:"N" help:"What is done, and in which order. Default: another one each time."`
	Slack    float64       `default:"1" placeholder:"N" help:"Factor on each promised time, for a busy machine."`
	JSON     bool          `name:"json" help:"Print the report as JSON."`
}

func (benchTortureCmd) Help() string {
	return `Starts this program as a child, on free ports of 127.0.0.1, before backends that are killed, stalled and
misbehave in every way, with clients of every kind, reloads with valid and broken files, and bystanders who must not
notice. Every body is compared with what it has to be, and what has side effects is counted at the backends.

What is printed: the rows of docs/faults.md that were played, with the worst times beside the promised ones. A time
may exceed its promise by what the machine does to requests that do not go through Weir. The exit code is 1 on any
failure. The seed decides what is done; when exactly it happens is up to the machine.`
}

// Run tortures this program.
func (c *benchTortureCmd) Run(o *output) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find this program: %w", err)
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	_ = printText(o.stderr, fmt.Sprintf("seed %d\n", c.Seed))
	report, err := torture.Run(ctx, torture.Options{
		Weir: []string{exe}, Duration: c.Duration, Seed: c.Seed, Slack: c.Slack,
		Progress: func(line string) { _ = printText(o.stderr, line+"\n") },
	})
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(o.stdout, report)
	} else {
		err = report.WriteTable(o.stdout)
	}
	if err == nil && !report.Pass {
		err = errors.New("the torture found a failure")
	}
	return err
}
