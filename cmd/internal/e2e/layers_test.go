package e2e

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An edge is one import: both ends without the module's name, so "l4/loop",
// "net/http" or "github.com/valyala/fasthttp".
type edge struct{ from, to string }

// layerRules is the import law. broken tells whether an edge between two packages
// of ours breaks the rule.
var layerRules = []struct {
	name, reason string
	broken       func(e edge) bool
}{
	{
		"conf is a leaf",
		"a configuration is data: whoever reads the schema need not know what runs on it",
		func(e edge) bool { return top(e.from) == "conf" },
	},
	{
		"imports go right: cmd, l7, l4, pool, conf",
		"a package can be understood, tested and replaced without what stands on top of it",
		func(e edge) bool { return rank(e.from) > rank(e.to) },
	},
	{
		"l7 uses of l4 only l4/loop and l4/sniff",
		"L7 takes over connections; how L4 routes and relays is none of its business",
		func(e edge) bool {
			return top(e.from) == "l7" && top(e.to) == "l4" && e.to != "l4/loop" && e.to != "l4/sniff"
		},
	},
	{
		"a child does not import its parent",
		"glue lives in the parent; a child that needs it is two ideas in one package",
		func(e edge) bool {
			return top(e.from) != "cmd" && strings.HasPrefix(e.from, e.to+"/") && top(e.to) != "pool"
		},
	},
	{
		"a child does not import its sibling",
		"siblings meet in their parent; pool/metric and l7/message are the vocabulary of their folders",
		func(e edge) bool {
			return top(e.from) != "cmd" && e.from != e.to && e.from != top(e.from) && e.to != top(e.to) &&
				top(e.from) == top(e.to) && e.to != "pool/metric" && e.to != "l7/message" &&
				!strings.HasPrefix(e.to, e.from+"/")
		},
	},
	{
		"bench is used by cmd only, and uses l4/loop, pool and conf",
		"a generator that shares the proxy's code would share its mistakes",
		func(e edge) bool {
			if top(e.to) == "bench" && top(e.from) != "bench" {
				return top(e.from) != "cmd"
			}
			return top(e.from) == "bench" && top(e.to) != "bench" && e.to != "l4/loop" &&
				top(e.to) != "pool" && e.to != "conf"
		},
	},
}

// homes lists where an import from outside the module may stand: package prefixes
// of ours. A third-party module that is not listed is not allowed anywhere.
var homes = []struct {
	path, reason string
	in           []string
}{
	{"github.com/valyala/fasthttp", "fasthttp is a codec for HTTP/1 heads, not a framework", []string{"l7"}},
	{"github.com/pelletier/go-toml", "one package knows the syntax of the file", []string{"conf"}},
	{"github.com/alecthomas/kong", "flags are the command's own", []string{"cmd/weir"}},
	{"github.com/VictoriaMetrics/metrics", "one registry, one table of names", []string{"pool/metric"}},
	{"github.com/HdrHistogram/hdrhistogram-go", "latencies of a load, to p99.99, in fixed memory", []string{"bench"}},
	{"gonum.org/v1/plot", "its fonts would cost each running proxy megabytes", []string{"cmd/bench-report"}},
	{"github.com/klauspost/compress", "encoders are lent within one budget of memory", []string{"l7/compress"}},
	{"github.com/molecule-man/go-brrr", "encoders are lent within one budget of memory", []string{"l7/compress"}},
	{"golang.org/x/net/dns/dnsmessage", "names are resolved in one place", []string{"pool/backend"}},
	{"golang.org/x/net/http2", "frames and header compression, under code of our own", []string{"l7", "bench"}},
	{"golang.org/x/sys/unix", "Linux calls that package syscall has frozen", []string{"l4", "l7", "pool", "bench", "cmd"}},
	{
		"net/http", "its server and client are for admin, checks and tests, never for traffic",
		[]string{"cmd", "pool/backend", "bench"},
	},
}

// pure packages are functions of their arguments: no clock, no goroutine, no I/O.
// Time is an argument; a test can then say what happens without waiting for it.
var pure = []string{"l4/sniff", "l7/message", "l7/route", "l7/cache/policy"}

func TestLayerRules(t *testing.T) {
	ours, foreign := imports(t)
	for _, e := range ours {
		for _, r := range layerRules {
			if r.broken(e) {
				t.Errorf("%s imports %s: %s (%s)", e.from, e.to, r.name, r.reason)
			}
		}
	}
	for _, e := range foreign {
		if why := homeless(e); why != "" {
			t.Errorf("%s imports %s: %s", e.from, e.to, why)
		}
	}
}

// TestLayerRulesBite proves that the rules refuse what they are for.
func TestLayerRulesBite(t *testing.T) {
	f := func(from, to, want string) {
		t.Helper()
		var got []string
		for _, r := range layerRules {
			if r.broken(edge{from, to}) {
				got = append(got, r.name)
			}
		}
		if want == "" && len(got) > 0 || want != "" && !slices.Contains(got, want) {
			t.Errorf("%s -> %s: broken %q, want %q", from, to, got, want)
		}
	}
	const leaf, right, l7l4, parent, sibling = "conf is a leaf", "imports go right: cmd, l7, l4, pool, conf",
		"l7 uses of l4 only l4/loop and l4/sniff", "a child does not import its parent",
		"a child does not import its sibling"
	f("cmd/internal/engine", "l7", "")
	f("cmd/weir", "cmd/internal/engine", "")
	f("l7", "l4/loop", "")
	f("l7", "l7/h1", "")
	f("l7/h1", "l7/message", "")
	f("l7/cache", "l7/cache/policy", "")
	f("l4", "pool/backend", "")
	f("pool/backend", "pool/metric", "")
	f("pool/accesslog", "pool", "")
	f("conf", "pool", leaf)
	f("l4", "l7", right)
	f("pool/backend", "l4/loop", right)
	f("l7", "l4", l7l4)
	f("l7/h1", "l7", parent)
	f("l7/cache/policy", "l7/cache", parent)
	f("l4/loop", "l4", parent)
	f("l7/h1", "l7/route", sibling)
	f("pool/backend", "pool/limit", sibling)
	f("l4/loop", "l4/sniff", sibling)
	f("l7", "bench", "bench is used by cmd only, and uses l4/loop, pool and conf")

	for _, e := range []edge{
		{"l4", "github.com/valyala/fasthttp"},
		{"l4", "net/http"},
		{"conf", "github.com/valyala/fasthttp"},
		{"l7", "example.com/new/module"},
	} {
		if homeless(e) == "" {
			t.Errorf("%s -> %s: allowed", e.from, e.to)
		}
	}
}

func TestPurePackages(t *testing.T) {
	for _, pkg := range pure {
		files, err := filepath.Glob(filepath.Join(root(t), pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				checkPure(t, file)
			}
		}
	}
}

func checkPure(t *testing.T, file string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range f.Imports {
		switch path := strings.Trim(imp.Path.Value, `"`); path {
		case "net", "os", "syscall", "log", "log/slog", "sync", "context", "crypto/tls", "golang.org/x/sys/unix":
			t.Errorf("%s: imports %s: the package is pure", fset.Position(imp.Pos()), path)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: starts a goroutine: the package is pure", fset.Position(n.Pos()))
		case *ast.SelectorExpr:
			id, ok := n.X.(*ast.Ident)
			if !ok || id.Name != "time" {
				break
			}
			switch n.Sel.Name {
			case "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick":
				t.Errorf("%s: uses time.%s: time is an argument", fset.Position(n.Pos()), n.Sel.Name)
			}
		}
		return true
	})
}

// TestDependenciesAreRecorded: a module that our code imports has its line, with a
// reason, in docs/decisions.
func TestDependenciesAreRecorded(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root(t), "docs", "decisions", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages in docs/decisions: %v", err)
	}
	var recorded strings.Builder
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		recorded.Write(text)
	}
	_, foreign := imports(t)
	for _, e := range foreign {
		if module := moduleOf(e.to); module != "" && !strings.Contains(recorded.String(), module+" |") {
			t.Errorf("%s imports %s: docs/decisions has no line for it", e.from, module)
		}
	}
}

// imports returns what the packages of this module import outside of tests: edges
// within the module, and edges out of it.
func imports(t *testing.T) (ours, foreign []edge) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return ours, foreign
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		from := strings.TrimPrefix(p.ImportPath, "weir/")
		for _, imp := range p.Imports {
			if to, ok := strings.CutPrefix(imp, "weir/"); ok {
				ours = append(ours, edge{from, to})
			} else {
				foreign = append(foreign, edge{from, imp})
			}
		}
	}
}

// homeless tells why an import from outside the module may not stand where it does,
// or "" where it may.
func homeless(e edge) string {
	for _, h := range homes {
		if !within(e.to, h.path) {
			continue
		}
		if slices.ContainsFunc(h.in, func(home string) bool { return within(e.from, home) }) {
			return ""
		}
		return "it belongs into " + strings.Join(h.in, ", ") + " (" + h.reason + ")"
	}
	if moduleOf(e.to) != "" {
		return "the module has no home in this test"
	}
	return ""
}

// moduleOf guesses the module of an import path from its first elements; the
// standard library has none.
func moduleOf(path string) string {
	parts := strings.Split(path, "/")
	if !strings.Contains(parts[0], ".") {
		return ""
	}
	n := min(3, len(parts))
	if len(parts) > 3 && len(parts[3]) > 1 && parts[3][0] == 'v' && parts[3][1] >= '2' && parts[3][1] <= '9' {
		n = 4
	}
	return strings.Join(parts[:n], "/")
}

func within(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

func top(pkg string) string { first, _, _ := strings.Cut(pkg, "/"); return first }

// rank orders the folders from left to right. bench stands beside, with a rule of
// its own.
func rank(pkg string) int {
	order := []string{"cmd", "bench", "l7", "l4", "pool", "conf"}
	i := slices.Index(order, top(pkg))
	if i < 0 {
		return len(order)
	}
	return i
}

// root is the top of the source tree.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
