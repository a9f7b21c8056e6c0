package metric

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

func TestReferenceIsCurrent(t *testing.T) {
	const path = "../../docs/metrics.md"
	if *update {
		if err := os.WriteFile(path, Reference(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, Reference()) {
		t.Errorf("%s is stale; run go test ./pool/metric -update", path)
	}
}

// Every Def declared in a defs_*.go file must be in the list of that file, or it
// would be missing from the reference.
func TestEveryDefIsListed(t *testing.T) {
	files, err := filepath.Glob("defs_*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no defs files: %v", err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		var declared, listed []string
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if list, ok := v.Values[0].(*ast.CompositeLit); ok {
					for _, e := range list.Elts {
						listed = append(listed, e.(*ast.Ident).Name)
					}
					continue
				}
				declared = append(declared, v.Names[0].Name)
			}
		}
		slices.Sort(declared)
		slices.Sort(listed)
		if !slices.Equal(declared, listed) {
			t.Errorf("%s declares %v\nbut lists %v", file, declared, listed)
		}
	}
}

func TestDefNames(t *testing.T) {
	name := regexp.MustCompile(`^weir(_[a-z0-9]+)+$`)
	label := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	wrongUnit := regexp.MustCompile(`_(ms|us|ns|sec|secs|milliseconds|microseconds|minutes|kb|mb|kib|mib|percent)(_|$)`)
	seen := make(map[string]bool)
	for _, d := range Defs() {
		bad := func(why string) { t.Errorf("%s: %s", d.Name, why) }
		if seen[d.Name] {
			bad("defined twice")
		}
		seen[d.Name] = true
		if !name.MatchString(d.Name) {
			bad("is not weir_ and snake case")
		}
		if wrongUnit.MatchString(d.Name) {
			bad("units are seconds and bytes")
		}
		if d.Help == "" || !strings.HasSuffix(d.Help, ".") || strings.Contains(d.Help, "\n") {
			bad("wants a help text of one line, ended by a full stop")
		}
		total := strings.HasSuffix(d.Name, "_total")
		switch d.Kind {
		case KindCounter:
			if !total {
				bad("a counter ends in _total")
			}
		case KindGauge:
			if total {
				bad("a gauge does not end in _total")
			}
		case KindHistogram:
			if !strings.HasSuffix(d.Name, "_seconds") {
				bad("a histogram ends in _seconds")
			}
		default:
			bad("has no kind")
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count", "_info_total"} {
			if strings.HasSuffix(d.Name, suffix) {
				bad("ends in a suffix that the text format uses")
			}
		}
		for _, l := range d.Labels {
			if !label.MatchString(l) || l == "le" || l == "quantile" || l == "job" || l == "instance" {
				bad("has the bad label " + l)
			}
		}
	}
}
