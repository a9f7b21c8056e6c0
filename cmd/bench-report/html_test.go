package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weir/bench/report"
)

// TestHTML: the page has all tables and plots, and asks nobody for anything.
func TestHTML(t *testing.T) {
	d, err := report.Read("../../bench/report/testdata/fixed.json")
	if err != nil {
		t.Fatal(err)
	}
	d.Scenarios[0].Shows = `<script>alert(1)</script>`
	html, err := htmlPage(d, "bench-report fixed.json")
	if err != nil {
		t.Fatal(err)
	}
	text := string(html)
	for pattern, want := range map[string]int{
		`<svg `: 5, `<table>`: 3, `<h2 id="l7-small">`: 1, `12\.0 µs`: 1, `weir bench compare --rounds 3 `: 3,
		`latency distribution \(closed loop\)`: 1, `throughput against latency`: 1, `memory of idle connections`: 1, `CPU per request<`: 1,
	} {
		if n := len(regexp.MustCompile(pattern).FindAllString(text, -1)); n < want {
			t.Errorf("%q is there %d times, want %d", pattern, n, want)
		}
	}
	if m := regexp.MustCompile(`(?i)<(script|link|iframe|img|image|object|embed|base)\b|@import|url\(|\b(src|href)\s*=`).
		FindString(text); m != "" {
		t.Errorf("the page refers to something: %q", m)
	}
	// A namespace is a name, not an address that is asked.
	for _, m := range regexp.MustCompile(`[^"' ]*://[^"' <]*`).FindAllString(text, -1) {
		if !strings.HasPrefix(m, "http://www.w3.org/") && !strings.HasPrefix(m, "http://ADDRESS/") {
			t.Errorf("the page has the address %q", m)
		}
	}
}

// TestEmptyHTML: what was not measured is not drawn.
func TestEmptyHTML(t *testing.T) {
	html, err := htmlPage(&report.Document{Scenarios: []report.Scenario{{Name: "x", Unit: report.Requests}}}, "x")
	if err != nil || bytes.Contains(html, []byte("latency distribution")) {
		t.Errorf("got %v, %s", err, html)
	}
}

func TestExecute(t *testing.T) {
	dir := t.TempDir()
	md, html := filepath.Join(dir, "x.md"), filepath.Join(dir, "x.html")
	f := func(code int, want string, args ...string) {
		t.Helper()
		var stderr bytes.Buffer
		if got := execute(args, &stderr); got != code || !strings.Contains(stderr.String(), want) {
			t.Errorf("%q: got %d, %s", args, got, stderr.String())
		}
	}
	f(0, "", "--markdown", md, "--html", html, "../../bench/report/testdata/fixed.json")
	f(1, "cannot read the results", filepath.Join(dir, "none.json"))
	f(1, "cannot write the page", "--markdown", md, "--html", dir, "../../bench/report/testdata/fixed.json")
	f(2, "usage: bench-report")
	for _, file := range []string{md, html} {
		if text, err := os.ReadFile(file); err != nil || !bytes.Contains(text, []byte("go run ./cmd/bench-report fixed.json")) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
