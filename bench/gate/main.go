// Command gate tells whether a change makes the micro-benchmarks worse:
//
//	go run ./bench/gate                  allocations, instructions and time
//	go run ./bench/gate -only allocs     one of them
//	go run ./bench/gate -update          write the baseline of allocations
//
// Allocations per operation are exact: more than in the baseline fails. Instructions
// are counted by perf or, where the machine has no counters, by valgrind, in the old
// and the new code: more is said, and does not fail. Time is measured in old and new
// code in turn and judged by benchstat: only a significant slow-down above the limit
// fails. The old code is that of the base commit, in a worktree of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

type options struct {
	only    string
	update  bool
	base    string
	rounds  int
	time    string
	percent float64
	bench   string
}

// errWorse is what the gate is for.
var errWorse = errors.New("the benchmarks got worse")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "gate: "+err.Error())
		os.Exit(1)
	}
}

func execute(ctx context.Context, args []string, out, stderr io.Writer) error {
	var o options
	flags := flag.NewFlagSet("gate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.only, "only", "", "allocs, instructions or time; default: all")
	flags.BoolVar(&o.update, "update", false, "write "+baselineFile)
	flags.StringVar(&o.base, "base", "", "the old commit; default: HEAD where files differ from it, else HEAD~1")
	flags.IntVar(&o.rounds, "rounds", 10, "rounds of the time measurement, in turn")
	flags.StringVar(&o.time, "time", "100ms", "length of each benchmark in a round")
	flags.Float64Var(&o.percent, "percent", 5, "the slow-down that fails, in percent, if it is significant")
	flags.StringVar(&o.bench, "bench", ".", "which benchmarks, a pattern")
	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp
	}
	known := []string{"", "allocs", "instructions", "time"}
	if !slices.Contains(known, o.only) || flags.NArg() > 0 || o.rounds < 1 {
		flags.Usage()
		return flag.ErrHelp
	}
	g := &gate{options: o, out: out}
	return g.run(ctx)
}

type gate struct {
	options
	out   io.Writer
	worse bool
}

func (g *gate) say(format string, args ...any) { _, _ = fmt.Fprintf(g.out, format+"\n", args...) }

func (g *gate) wants(what string) bool { return g.only == "" || g.only == what }

func (g *gate) run(ctx context.Context) error {
	packages, err := benchmarked(".")
	if err != nil {
		return err
	}
	if g.update {
		return g.updateAllocs(ctx, packages)
	}
	if g.wants("allocs") {
		if err := g.allocs(ctx, packages); err != nil {
			return err
		}
	}
	if g.wants("instructions") || g.wants("time") {
		if err := g.versus(ctx, packages); err != nil {
			return err
		}
	}
	if g.worse {
		return errWorse
	}
	return nil
}
