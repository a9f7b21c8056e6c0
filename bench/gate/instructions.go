package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Each benchmark is counted twice, with fewer and with more operations: the
// difference is free of what happens once. What is too slow for the first pair, is
// large enough for the second.
var operations = []struct{ fewer, more int }{{1000, 21_000}, {20, 220}}

const (
	// What differs between equal code: maps and the scheduler have their moods. A change
	// must exceed both to be mentioned.
	tolerance = 0.02
	fewest    = 20
	// countTime bounds one run; what takes longer is not counted.
	countTime = 20 * time.Second
)

// A counter counts the instructions of a program.
type counter struct {
	name  string
	args  func(log string) []string // before the program and its arguments
	found *regexp.Regexp            // the number, in the log
}

func counters() []counter {
	return []counter{
		{
			"perf", func(log string) []string { return []string{"stat", "-x", ",", "-e", "instructions:u", "-o", log} },
			regexp.MustCompile(`(?m)^(\d+),[^,]*,instructions:u`),
		},
		{
			"valgrind",
			func(log string) []string {
				return []string{"--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file=" + log}
			},
			regexp.MustCompile(`Collected : (\d+)`),
		},
	}
}

// count runs a program under the counter.
func (c *counter) count(ctx context.Context, dir string, program string, args ...string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	log, err := os.CreateTemp("", "weir-gate-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(log.Name()) }()
	if err := log.Close(); err != nil {
		return 0, err
	}
	// Without these the collector and preemption by signals come at times of their own.
	env := []string{"GOGC=off", "GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1"}
	all := append(append(c.args(log.Name()), program), args...)
	if _, err := output(ctx, dir, env, c.name, all...); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(log.Name())
	if err != nil {
		return 0, err
	}
	m := c.found.FindSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%s counts nothing here", c.name)
	}
	return strconv.ParseInt(string(m[1]), 10, 64)
}

// pick returns the first counter that works on this machine, or nil.
func pick(ctx context.Context) *counter {
	for _, c := range counters() {
		if _, err := exec.LookPath(c.name); err != nil {
			continue
		}
		if _, err := c.count(ctx, ".", "/bin/true"); err == nil {
			return &c
		}
	}
	return nil
}

// count says where the new code needs more of them. It never fails the gate.
func (g *gate) count(ctx context.Context, packages []string, older, newer *side) error {
	c := pick(ctx)
	if c == nil {
		g.say("instructions: not counted, neither perf nor valgrind can on this machine")
		return nil
	}
	g.say("instructions per operation, by %s (no failure):", c.name)
	for _, pkg := range packages {
		names, err := listBenchmarks(ctx, newer.tests[pkg], filepath.Join(newer.root, pkg), g.bench)
		if err != nil {
			return err
		}
		for _, name := range names {
			was, errWas := perOperation(ctx, c, older, pkg, name)
			is, errIs := perOperation(ctx, c, newer, pkg, name)
			if err := ctx.Err(); err != nil {
				return err
			}
			switch change := is - was; {
			case errWas != nil || errIs != nil || was <= 0:
				g.say("  %s %s: not counted", pkg, name)
			case math.Abs(change) > max(tolerance*was, fewest):
				g.say("  %s %s: %.0f, %.0f before (%+.1f%%)", pkg, name, is, was, 100*change/was)
			default:
				g.say("  %s %s: %.0f, as before", pkg, name, is)
			}
		}
	}
	return nil
}

func perOperation(ctx context.Context, c *counter, s *side, pkg, name string) (n float64, err error) {
	for _, o := range operations {
		var counts [2]int64
		for i, times := range []int{o.fewer, o.more} {
			counts[i], err = c.count(ctx, filepath.Join(s.root, pkg), s.tests[pkg], "-test.run", "^$",
				"-test.bench", "^"+name+"$", "-test.benchtime", strconv.Itoa(times)+"x", "-test.cpu", "1")
			if err != nil {
				break
			}
		}
		if err == nil {
			return float64(counts[1]-counts[0]) / float64(o.more-o.fewer), nil
		}
	}
	return 0, err
}

// listBenchmarks names the benchmarks of a test binary that a pattern finds.
func listBenchmarks(ctx context.Context, binary, dir, pattern string) ([]string, error) {
	text, err := output(ctx, dir, nil, binary, "-test.list", pattern)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(text) {
		if name := strings.TrimSpace(line); strings.HasPrefix(name, "Benchmark") {
			names = append(names, name)
		}
	}
	return names, nil
}
