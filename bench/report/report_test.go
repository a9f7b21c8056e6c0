package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file")

func fixed(t *testing.T) *Document {
	t.Helper()
	d, err := Read("testdata/fixed.json")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSpread(t *testing.T) {
	f := func(want Spread, values ...float64) {
		t.Helper()
		if got := spread(values); got != want {
			t.Errorf("%v: got %+v, want %+v", values, got, want)
		}
	}
	f(Spread{})
	f(Spread{7, 7, 7}, 7)
	f(Spread{3, 2, 4}, 4, 2)
	f(Spread{2, 1, 9}, 9, 1, 2)
	f(Spread{2.5, 1, 4}, 4, 1, 2, 3)
}

// TestRatios works the fixed document out by hand.
func TestRatios(t *testing.T) {
	d := fixed(t)
	same := func(got, want Spread) bool {
		const e = 1e-9
		return math.Abs(got.Median-want.Median) < e && math.Abs(got.Min-want.Min) < e && math.Abs(got.Max-want.Max) < e
	}
	f := func(scenario, proxy int, cpu, rate Spread) {
		t.Helper()
		got := d.Scenarios[scenario].Figures()[proxy]
		if !same(got.CPURatio, cpu) {
			t.Errorf("%s: CPU ratio %+v, want %+v", got.Name, got.CPURatio, cpu)
		}
		if !same(got.RateRatio, rate) {
			t.Errorf("%s: rate ratio %+v, want %+v", got.Name, got.RateRatio, rate)
		}
	}
	// CPU: the best peer is nginx with 16, 15, 18. Throughput: HAProxy with 55, 53, 54 thousand.
	f(0, 0, Spread{12. / 16, 9. / 18, 15. / 15}, Spread{60. / 55, 50. / 53, 70. / 54})
	f(0, 1, Spread{1, 1, 1}, Spread{50. / 55, 48. / 54, 52. / 53})
	f(0, 2, Spread{20. / 16, 22. / 18, 24. / 15}, Spread{1, 1, 1})
	f(1, 0, Spread{0.8, 0.8, 0.8}, Spread{1.2, 1.2, 1.2})
	// Idle: 1 and 2 KiB a connection against 4.
	f(2, 0, Spread{0.375, 0.25, 0.5}, Spread{})
	f(2, 1, Spread{1, 1, 1}, Spread{})

	if got := d.Scenarios[2].Figures()[0].PerConn; !same(got, Spread{1536, 1024, 2048}) {
		t.Errorf("bytes for a connection: got %+v", got)
	}
	small := d.Scenarios[0].Figures()
	if !small[1].BestCPU || small[2].BestCPU || !small[2].BestRate || small[0].BestCPU {
		t.Errorf("the best peers are wrong: %+v", small)
	}
	if small[0].Failed != 2 || len(small[0].Notes) != 4 {
		t.Errorf("got %d failed and notes %q", small[0].Failed, small[0].Notes)
	}
}

// TestMore works out by hand what stands beside the rounds.
func TestMore(t *testing.T) {
	s := &fixed(t).Scenarios[0]
	if got := s.Slowest(); got != 52_000 { // nginx: 50, 48, 52 thousand
		t.Errorf("the slowest proxy's best: got %g", got)
	}
	if got := (&Scenario{}).Slowest(); got != 0 {
		t.Errorf("nobody's best: got %g", got)
	}
	if got := len(s.At(s.Levels[0]).Proxies[0].Rounds); got != 3 {
		t.Errorf("got %d rounds at one level, want 3", got)
	}
	if got := s.Proxies[0].widened(func(r *Round) float64 { return r.CPU }); got != (Spread{1.25, 1.25, 1.25}) {
		t.Errorf("CPU on more CPUs: got %+v", got)
	}
	if got := len(s.Tables()); got != 3 {
		t.Errorf("got %d tables", got)
	}
	if got := verdicts([]Round{{}, {Verdict: &Verdict{"proxy", "bound by the proxy: x"}}}); len(got) != 1 ||
		got[0] != "bound by the proxy: x" {
		t.Errorf("got the verdicts %q", got)
	}
}

// TestWithoutPeers: a proxy alone has no ratio, and nothing is divided by zero.
func TestWithoutPeers(t *testing.T) {
	s := Scenario{Unit: Requests, Proxies: []Proxy{{Name: Subject, Rounds: []Round{{CPU: 5, Rate: 10}}}, {Name: "nginx"}}}
	f := s.Figures()
	if f[0].CPURatio != (Spread{}) || f[0].RateRatio != (Spread{}) || f[1].BestCPU {
		t.Errorf("got %+v", f)
	}
	s.Proxies[1].Rounds = []Round{{}}
	if f := s.Figures(); f[0].CPURatio != (Spread{}) {
		t.Errorf("a peer that did nothing: got %+v", f)
	}
}

func TestMarkdownGolden(t *testing.T) {
	got := fixed(t).Markdown("go run ./cmd/bench-report fixed.json", "fixed.html")
	const golden = "testdata/fixed.golden"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the page differs from %s (rewrite it with -update):\n%s", golden, got)
	}
}

func TestReadIsStrict(t *testing.T) {
	file := t.TempDir() + "/x.json"
	if err := os.WriteFile(file, []byte(`{"rounds": 1, "round": 2}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil || !strings.Contains(err.Error(), "round") {
		t.Errorf("got %v", err)
	}
}

func TestMerge(t *testing.T) {
	a := &Document{Commit: "c", Scenarios: []Scenario{{Name: "x", Shows: "old"}, {Name: "y"}}, Peers: []Version{{Name: "weir"}}}
	b := &Document{Commit: "c", Scenarios: []Scenario{{Name: "z"}, {Name: "x", Shows: "new"}}, Peers: []Version{{Name: "caddy"}}}
	if err := a.Merge(b); err != nil {
		t.Fatal(err)
	}
	if len(a.Scenarios) != 3 || a.Scenarios[0].Shows != "new" || a.Scenarios[2].Name != "z" || len(a.Peers) != 2 {
		text, _ := json.Marshal(a)
		t.Errorf("got %s", text)
	}
	if err := a.Merge(&Document{Commit: "other"}); err == nil {
		t.Error("results of two commits were merged")
	}
}
