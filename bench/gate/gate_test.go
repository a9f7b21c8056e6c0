package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestParseAllocs(t *testing.T) {
	got := parseAllocs("goos: linux\npkg: weir/a\nBenchmarkX/n=1 \t 1000\t 12.5 ns/op\t 0 B/op\t 3 allocs/op\n" +
		"BenchmarkY \t 1000\t 1 ns/op\t 9.1 MB/s\t 16 B/op\t 0 allocs/op\nPASS\npkg: weir/b\nBenchmarkX 1 2 ns/op\n" +
		"BenchmarkX \t 1\t 1 ns/op\t 8 B/op\t 1 allocs/op\n")
	want := counts{"weir/a BenchmarkX/n=1": 3, "weir/a BenchmarkY": 0, "weir/b BenchmarkX": 1}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCompareAllocs(t *testing.T) {
	f := func(baseline, now counts, worse, notes string) {
		t.Helper()
		w, n := compareAllocs(baseline, now)
		if got := strings.Join(w, "; "); got != worse {
			t.Errorf("worse: got %q, want %q", got, worse)
		}
		if got := strings.Join(n, "; "); got != notes {
			t.Errorf("notes: got %q, want %q", got, notes)
		}
	}
	f(counts{"a": 1}, counts{"a": 1}, "", "")
	f(counts{"a": 1}, counts{"a": 2}, "a: 2 allocations, 1 before", "")
	f(counts{"a": 2}, counts{"a": 1}, "", "a: 1 allocations, 2 before: keep it with -update")
	f(counts{}, counts{"a": 0}, "a: 0 allocations, and no baseline: add it with -update", "")
	f(counts{"a": 0}, counts{}, "", "a: in the baseline, and not measured")
}

func TestBaseline(t *testing.T) {
	text, err := os.ReadFile("allocs.txt")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseBaseline(string(text))
	if err != nil || len(c) < 20 {
		t.Errorf("got %d benchmarks, %v", len(c), err)
	}
	f := func(line, want string) {
		t.Helper()
		if _, err := parseBaseline("# x\n\n" + line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", line, err)
		}
	}
	f("x", "allocs.txt:3: expected PACKAGE BENCHMARK NUMBER")
	f("a b c", `allocs.txt:3: "c" is not a number`)
}

const stats = `pkg: weir/x
,old.txt,,new.txt,,,
,sec/op,CI,sec/op,CI,vs base,P
Slow,1.01e-08,1%,1.21e-08,1%,+19.80%,p=0.000 n=10
Fast,1.01e-08,1%,0.5e-08,1%,-50.00%,p=0.000 n=10
Same,1.01e-08,∞,1.21e-08,∞,~,p=1.000 n=10
geomean,1.0e-08,,1.2e-08,,+19.80%,

,old.txt,,new.txt,,,
,B/op,CI,B/op,CI,vs base,P
Slow,1,0%,2,0%,+100.00%,p=0.000 n=10

pkg: weir/y
,old.txt,,new.txt,,,
,sec/op,CI,sec/op,CI,vs base,P
Slow,1.01e-08,1%,1.05e-08,1%,+3.96%,p=0.001 n=10
`

func TestParseBenchstat(t *testing.T) {
	got, err := parseBenchstat(stats)
	want := []change{
		{"weir/x", "Slow", "p=0.000 n=10", 19.8},
		{"weir/x", "Fast", "p=0.000 n=10", -50},
		{"weir/y", "Slow", "p=0.001 n=10", 3.96},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseBenchstat(strings.Replace(stats, "+19.80%", "much", 1)); err == nil {
		t.Error("a change that is no number was accepted")
	}
}

func TestBenchmarked(t *testing.T) {
	got, err := benchmarked("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"./l4/sniff", "./l7", "./pool"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	if slices.Contains(got, "./conf") {
		t.Errorf("conf has no benchmark: %q", got)
	}
}

func TestUsage(t *testing.T) {
	f := func(args ...string) {
		t.Helper()
		if err := execute(context.Background(), args, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%q: got %v", args, err)
		}
	}
	f("-only", "memory")
	f("more")
	f("-rounds", "0")
	f("-nothing")
}

// TestBaselineIsWhole: each benchmark of the tree has its allocations in the baseline, and
// each in the baseline is there.
func TestBaselineIsWhole(t *testing.T) {
	const root = "../.."
	packages, err := benchmarked(root)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Benchmark\w+)\(b \*testing\.B\)`)
	for _, pkg := range packages {
		files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range declared.FindAllSubmatch(text, -1) {
				have["weir/"+strings.TrimPrefix(pkg, "./")+" "+string(m[1])] = true
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(root, baselineFile))
	if err != nil {
		t.Fatal(err)
	}
	baseline, err := parseBaseline(string(text))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for line := range baseline {
		pkg, name, _ := strings.Cut(line, " ")
		name, _, _ = strings.Cut(name, "/") // of a part
		known[pkg+" "+name] = true
	}
	if !maps.Equal(have, known) {
		t.Errorf("%s has\n%q, and there are\n%q: run go run ./bench/gate -only allocs -update",
			baselineFile, slices.Sorted(maps.Keys(known)), slices.Sorted(maps.Keys(have)))
	}
}
