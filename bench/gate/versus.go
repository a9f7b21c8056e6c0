package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// benchstat is pinned here and built on use, so that go.mod holds only what Weir needs.
const benchstat = "golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da"

// alpha is the probability with which a change is called significant that is none. With
// benchstat's own 0.05, of a hundred benchmarks five would be.
const alpha = "0.001"

// A side is the old or the new code.
type side struct {
	name  string
	root  string
	tests map[string]string // package -> test binary
	text  strings.Builder   // what the benchmarks have printed
}

// versus measures old code against new.
func (g *gate) versus(ctx context.Context, packages []string) (err error) {
	dir, err := os.MkdirTemp("", "weir-gate-")
	if err != nil {
		return fmt.Errorf("cannot compare: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	base, err := g.baseCommit(ctx)
	if err != nil {
		return err
	}
	tree := filepath.Join(dir, "tree")
	if _, err := output(ctx, ".", nil, "git", "worktree", "add", "--detach", tree, base); err != nil {
		return fmt.Errorf("cannot check out the old code: %w", err)
	}
	defer func() {
		// Also where ctx has ended: a worktree that is left is in everybody's way.
		_, e := output(context.WithoutCancel(ctx), ".", nil, "git", "worktree", "remove", "--force", tree)
		err = errors.Join(err, e)
	}()
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	older, newer := &side{name: "old", root: tree}, &side{name: "new", root: root}
	for _, s := range []*side{older, newer} {
		if err := s.build(ctx, dir, packages); err != nil {
			return err
		}
	}
	packages = both(packages, older, newer)
	if packages, err = g.changed(packages, older, newer); err != nil || len(packages) == 0 {
		return err
	}
	if g.wants("instructions") {
		if err := g.count(ctx, packages, older, newer); err != nil {
			return err
		}
	}
	if g.wants("time") {
		return g.timing(ctx, dir, packages, older, newer, base)
	}
	return nil
}

// baseCommit is the commit of the old code.
func (g *gate) baseCommit(ctx context.Context) (string, error) {
	base := g.base
	if base == "" {
		changed, err := output(ctx, ".", nil, "git", "status", "--porcelain", "--untracked-files=no")
		if err != nil {
			return "", err
		}
		base = "HEAD"
		if strings.TrimSpace(changed) == "" {
			base = "HEAD~1"
		}
	}
	commit, err := output(ctx, ".", nil, "git", "rev-parse", "--verify", base+"^{commit}")
	return strings.TrimSpace(commit), err
}

// build compiles the tests; a package that this side has not is left out.
func (s *side) build(ctx context.Context, dir string, packages []string) error {
	s.tests = map[string]string{}
	for _, pkg := range packages {
		if _, err := os.Stat(filepath.Join(s.root, pkg)); err != nil {
			continue
		}
		binary := filepath.Join(dir, s.name+"-"+strings.NewReplacer("/", "_", ".", "").Replace(pkg))
		if _, err := output(ctx, s.root, nil, "go", "test", "-c", "-trimpath", "-o", binary, pkg); err != nil {
			return fmt.Errorf("cannot build the %s tests: %w", s.name, err)
		}
		if _, err := os.Stat(binary); err == nil { // there is none for a package without tests
			s.tests[pkg] = binary
		}
	}
	return nil
}

func both(packages []string, a, b *side) []string {
	var common []string
	for _, pkg := range packages {
		if a.tests[pkg] != "" && b.tests[pkg] != "" {
			common = append(common, pkg)
		}
	}
	return common
}

// changed leaves out the packages whose tests are the same program on both sides: what
// they depend on is the same as well.
func (g *gate) changed(packages []string, a, b *side) ([]string, error) {
	var list []string
	for _, pkg := range packages {
		old, err := os.ReadFile(a.tests[pkg])
		if err != nil {
			return nil, fmt.Errorf("cannot compare: %w", err)
		}
		text, err := os.ReadFile(b.tests[pkg])
		if err != nil {
			return nil, fmt.Errorf("cannot compare: %w", err)
		}
		if !bytes.Equal(old, text) {
			list = append(list, pkg)
		}
	}
	if n := len(packages) - len(list); n > 0 {
		g.say("%d packages are the same as before, and are not measured", n)
	}
	return list, nil
}

// timing runs old and new in turn, so that what slows the machine down hits both.
func (g *gate) timing(ctx context.Context, dir string, packages []string, older, newer *side, base string) error {
	for range g.rounds {
		for _, pkg := range packages {
			for _, s := range []*side{older, newer} {
				text, err := output(ctx, filepath.Join(s.root, pkg), nil, s.tests[pkg], "-test.run", "^$",
					"-test.bench", g.bench, "-test.benchtime", g.time, "-test.cpu", "1")
				if err != nil {
					return err
				}
				s.text.WriteString(text)
			}
		}
	}
	args := []string{"run", benchstat, "-format", "csv", "-alpha", alpha}
	for _, s := range []*side{older, newer} {
		file := filepath.Join(dir, s.name+".txt")
		if err := os.WriteFile(file, []byte(s.text.String()), 0o600); err != nil {
			return fmt.Errorf("cannot compare: %w", err)
		}
		args = append(args, file)
	}
	text, err := output(ctx, ".", nil, "go", args...)
	if err != nil {
		return err
	}
	changes, err := parseBenchstat(text)
	if err != nil {
		return err
	}
	g.say("time: %d packages in %d rounds against %.12s, %d significant changes", len(packages), g.rounds, base,
		len(changes))
	for _, c := range changes {
		mark := ""
		if c.percent > g.percent {
			mark, g.worse = "WORSE ", true
		}
		g.say("  %s%s %s: %+.2f%% (%s)", mark, c.pkg, c.name, c.percent, c.p)
	}
	return nil
}

// A change is a significant difference in time; a positive one is a slow-down.
type change struct {
	pkg, name, p string
	percent      float64
}

// parseBenchstat reads benchstat's CSV: a table for each package and unit, of which
// those of time matter, with "~" where a difference is not significant.
func parseBenchstat(text string) ([]change, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	var changes []change
	pkg, timed := "", false
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return changes, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read what benchstat says: %w", err)
		}
		switch name, isPkg := strings.CutPrefix(row[0], "pkg: "); {
		case isPkg:
			pkg = name
		case len(row) > 1 && row[0] == "" && strings.Contains(row[1], "/op"):
			timed = row[1] == "sec/op"
		case timed && len(row) >= 7 && row[0] != "" && row[0] != "geomean" && row[5] != "~" && row[5] != "":
			percent, err := strconv.ParseFloat(strings.TrimSuffix(row[5], "%"), 64)
			if err != nil {
				return nil, fmt.Errorf("cannot read what benchstat says: %q is not a change", row[5])
			}
			changes = append(changes, change{pkg, row[0], row[6], percent})
		}
	}
}
