package main

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCompare proves the whole path of a comparison: real proxies, load, results,
// pages. The figures of so short a run mean nothing and are only held to add up.
func TestCompare(t *testing.T) {
	dir := t.TempDir()
	weir := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("weir", args...)
		cmd.Dir = dir
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("weir %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
		}
		return string(out)
	}
	const small = "name = \"small\"\nshows = \"x\"\nfront = \"http\"\nconnections = 8\nopen = [50]\ncurve = [50]\n" +
		"[workload]\nkind = \"http1\"\n[origin]\nkind = \"http\"\n"
	if err := os.WriteFile(filepath.Join(dir, "small.toml"), []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	// A busy machine may keep a process waiting for some hundred milliseconds.
	short := []string{"--peers", "weir,nginx", "--rounds", "1", "-d", "1s", "--warmup", "100ms", "-o", "r.json"}
	out := weir(append([]string{"bench", "compare", "-s", "small.toml,l7-websocket", "--rates", "200"}, short...)...)
	for _, want := range []string{
		"small: ", "CPU per request", "\nweir ", "\nnginx ", "weir: bound by ", "Open loop: ", "/s (50%)",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	weir(append([]string{"bench", "compare", "-s", "l7-https", "--append"}, short...)...)
	checkResults(t, filepath.Join(dir, "r.json"))

	text, err := os.ReadFile(filepath.Join(dir, "r.json"))
	if err != nil {
		t.Fatal(err)
	}
	const again = "weir bench compare --rounds 1 --duration 1s --warmup 100ms --peers weir,nginx"
	if !strings.Contains(string(text), again) {
		t.Error("the results do not say how to measure it again")
	}
	if strings.Contains(string(text), dir) {
		t.Error("the results name a directory of this machine")
	}
}

func checkResults(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Scenarios []struct {
			Name     string
			Duration float64 `json:"duration_s"`
			Proxies  []struct {
				Name          string
				Rounds, Sweep []struct {
					CPU      float64 `json:"cpu_us_per_unit"`
					Rate     float64 `json:"units_per_second"`
					P50      float64 `json:"p50_us"`
					P99      float64 `json:"p99_us"`
					Answered float64
					Failed   int
					Busy     float64 `json:"proxy_cpus"`
					Idle     int64   `json:"idle_pss_bytes"`
					Peak     int64   `json:"peak_rss_bytes"`
				}
			}
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range d.Scenarios {
		names = append(names, s.Name)
		if len(s.Proxies) != 2 || s.Proxies[0].Name != "weir" || s.Proxies[1].Name != "nginx" {
			t.Fatalf("%s: got the proxies %+v", s.Name, s.Proxies)
		}
		for _, p := range s.Proxies {
			if len(p.Rounds) != 1 || len(p.Sweep) > 2 {
				t.Fatalf("%s, %s: got %+v", s.Name, p.Name, p)
			}
			r := p.Rounds[0]
			if r.Answered == 0 || r.Failed != 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Idle <= 0 || r.Peak <= 0 {
				t.Errorf("%s, %s: got %+v", s.Name, p.Name, r)
			}
			// Both sides are the CPU time of the proxy in the window; the window may be a little longer than asked.
			if used := r.CPU * r.Answered / 1e6; used > 1.5*s.Duration*max(1, r.Busy) ||
				math.Abs(used/r.Busy-s.Duration) > s.Duration {
				t.Errorf("%s, %s: %.3f s of CPU at %.2f CPUs in %.1f s", s.Name, p.Name, used, r.Busy, s.Duration)
			}
		}
	}
	if want := []string{"small", "l7-websocket", "l7-https"}; !slices.Equal(names, want) {
		t.Errorf("got the scenarios %q, want %q", names, want)
	}
}
