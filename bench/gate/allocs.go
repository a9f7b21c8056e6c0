package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// baselineFile holds a line for each benchmark: package, name, allocations per operation.
const baselineFile = "bench/gate/allocs.txt"

// allocRuns is how often each benchmark is repeated: often enough for what is
// allocated once to vanish in the division.
const allocRuns = "1000x"

const baselineHead = `# Allocations per operation of the micro-benchmarks: more of them fails the gate.
# Written by: go run ./bench/gate -update
`

// counts are allocations per operation by "package benchmark".
type counts map[string]int

func (g *gate) measureAllocs(ctx context.Context, packages []string) (counts, error) {
	args := append([]string{
		"test", "-run", "^$", "-bench", g.bench, "-benchmem", "-benchtime", allocRuns, "-cpu", "1",
	}, packages...)
	text, err := output(ctx, ".", nil, "go", args...)
	if err != nil {
		return nil, err
	}
	return parseAllocs(text), nil
}

// parseAllocs reads what go test -benchmem prints.
func parseAllocs(text string) counts {
	c, pkg := counts{}, ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 2 && words[0] == "pkg:" {
			pkg = words[1]
		}
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") || words[len(words)-1] != "allocs/op" {
			continue
		}
		if n, err := strconv.Atoi(words[len(words)-2]); err == nil {
			c[pkg+" "+words[0]] = n
		}
	}
	return c
}

func parseBaseline(text string) (counts, error) {
	c := counts{}
	s := bufio.NewScanner(strings.NewReader(text))
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		if i < 0 {
			return nil, fmt.Errorf("%s:%d: expected PACKAGE BENCHMARK NUMBER", baselineFile, n)
		}
		v, err := strconv.Atoi(line[i+1:])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %q is not a number of allocations", baselineFile, n, line[i+1:])
		}
		c[line[:i]] = v
	}
	return c, s.Err()
}

// compareAllocs says what is worse than the baseline, and what else is different.
func compareAllocs(baseline, now counts) (worse, notes []string) {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		was, known := baseline[name]
		switch is := now[name]; {
		case !known:
			worse = append(worse, fmt.Sprintf("%s: %d allocations, and no baseline: add it with -update", name, is))
		case is > was:
			worse = append(worse, fmt.Sprintf("%s: %d allocations, %d before", name, is, was))
		case is < was:
			notes = append(notes, fmt.Sprintf("%s: %d allocations, %d before: keep it with -update", name, is, was))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(baseline)) {
		if _, there := now[name]; !there {
			notes = append(notes, name+": in the baseline, and not measured")
		}
	}
	return worse, notes
}

func (g *gate) allocs(ctx context.Context, packages []string) error {
	text, err := os.ReadFile(baselineFile)
	if err != nil {
		return fmt.Errorf("cannot read the baseline: %w", err)
	}
	baseline, err := parseBaseline(string(text))
	if err != nil {
		return err
	}
	now, err := g.measureAllocs(ctx, packages)
	if err != nil {
		return err
	}
	worse, notes := compareAllocs(baseline, now)
	g.say("allocations: %d benchmarks, %d worse", len(now), len(worse))
	for _, line := range worse {
		g.say("  WORSE %s", line)
		g.worse = true
	}
	for _, line := range notes {
		g.say("  %s", line)
	}
	return nil
}

func (g *gate) updateAllocs(ctx context.Context, packages []string) error {
	now, err := g.measureAllocs(ctx, packages)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(baselineHead)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		fmt.Fprintf(&b, "%s %d\n", name, now[name])
	}
	if err := os.WriteFile(baselineFile, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("cannot write the baseline: %w", err)
	}
	g.say("allocations: %d benchmarks written to %s", len(now), baselineFile)
	return nil
}
