package conf

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	scenarioFiles = "../bench/scenarios/*.toml"
	scenarioPage  = "../bench/scenarios/README.md"
)

// TestScenarioFiles loads every scenario of the bench lab.
func TestScenarioFiles(t *testing.T) {
	for _, name := range testFiles(t, scenarioFiles) {
		s, err := LoadScenario(name)
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
			continue
		}
		if want := strings.TrimSuffix(filepath.Base(name), ".toml"); s.Name != want {
			t.Errorf("%s has the name %q", name, s.Name)
		}
		if s.Duration != 5*time.Second || s.Warmup != time.Second {
			t.Errorf("%s runs for %s after %s: files leave that to the default", name, s.Duration, s.Warmup)
		}
	}
}

func TestScenarioReferenceIsFresh(t *testing.T) {
	got := ScenarioReference()
	if *update {
		write(t, scenarioPage, got)
	}
	if want := read(t, scenarioPage); !bytes.Equal(got, want) {
		t.Errorf("%s is stale; write it again with: go test ./conf -run Scenario -update\n%s",
			scenarioPage, firstDifference(string(got), string(want)))
	}
}

const fullScenario = `name = "x"
shows = "Everything."
front = "http"
peers = ["weir", "nginx"]
connections = 64
rate = 500
scale = 4
duration = "3s"
warmup = "500ms"
[workload]
kind = "http1"
send = "64KiB"
reconnect = true
[origin]
kind = "http"
body = "1KiB"
address = "10.0.0.1:9000"
content = "json"
max_age = "1h"
[cores]
generator = [0]
origin = [0]
proxy = [1, 2]
[objective]
p99 = "5ms"
failed = 3
`

func TestScenarioIsWhole(t *testing.T) {
	s, err := ParseScenario("x.toml", []byte(fullScenario))
	if err != nil {
		t.Fatal(err)
	}
	if s.Connections != 64 || s.Rate != 500 || s.Duration != 3*time.Second || s.Warmup != 500*time.Millisecond ||
		s.Workload.Send != 64<<10 || !s.Workload.Reconnect || s.Origin.Body != 1<<10 || s.Origin.MaxAge != time.Hour || s.Origin.Content != "json" ||
		s.Origin.Address.String() != "10.0.0.1:9000" || len(s.Cores.Proxy) != 2 || s.Cores.Proxy[1] != 2 ||
		s.Objective.P99 != 5*time.Millisecond || s.Objective.Failed != 3 || len(s.Peers) != 2 {
		t.Errorf("got %+v", s)
	}
	scenarioTable().info().walk(func(ti tableInfo) {
		for _, k := range ti.keys {
			if !strings.HasSuffix(k.doc, ".") || k.typ == "integer" && k.unit == "" {
				t.Errorf("%s %s: doc %q, unit %q", ti.head, k.name, k.doc, k.unit)
			}
			shown := regexp.MustCompile(`(?m)^(` + k.name + ` = |\[` + k.name + `\])`).MatchString(fullScenario)
			if !shown && k.name != "hold" && k.name != "open" && k.name != "curve" {
				t.Errorf("the full scenario does not show %s", k.name)
			}
		}
	})
}

func TestScenarioProblems(t *testing.T) {
	f := func(old, replacement, want string) {
		t.Helper()
		if !strings.Contains(fullScenario, old) {
			t.Fatalf("no %q", old)
		}
		_, err := ParseScenario("x.toml", []byte(strings.Replace(fullScenario, old, replacement, 1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got\n%v\nwant\n%s", replacement, err, want)
		}
	}
	f(`front =`, `frond =`, "x.toml:3:1: unknown key \"frond\" in the scenario\n  3 | frond = \"http\"\n    | ^^^^^\n"+
		"    = did you mean front?")
	f(`"nginx"`, `"ngnix"`, `is not one of weir, nginx, haproxy, caddy, traefik`)
	f(`"3s"`, `"3 sec"`, `= did you mean "3s"?`)
	f(`name = "x"`, ``, `the scenario needs "name" (name)`)
	f(`kind = "http1"`, `kind = "tcp"`, `kind: "tcp" does not go with front http: expected one of ["http1" "websocket" "idle"]`)
	f(`kind = "http1"`, `kind = "idle"`, `idle also needs hold`)
	f(`rate = 500`, `open = [0]`, `open: 0 `)
	f(`rate = 500`, "rate = 5\nopen = [70]", `open: it is for requests in a closed loop`)
	f(`rate = 500`, "rate = 5\ncurve = [70]", `curve: it is for requests in a closed loop`)
	f("rate = 500\nscale = 4\n", "open = [70]\nrate = 0\nscalee = 4\n", `did you mean scale?`)
	f("kind = \"http1\"\nsend = \"64KiB\"\nreconnect = true", "kind = \"idle\"\nhold = [1]", `scale: the workload idle uses no CPU`)
	f(`reconnect = true`, `hold = [2, 1]`, `hold: the numbers must grow`)
	f(`reconnect = true`, `hold = [2]`, `hold: it is for the workload idle`)
	f("kind = \"http\"\nbody = \"1KiB\"\naddress = \"10.0.0.1:9000\"", `kind = "echo"`, `kind: "echo" does not go with front http`)
	f(`shows = "Everything."`, `body = 1`, `unknown key "body" in the scenario; it belongs in [origin]`)
	f(`[cores]`, `[cores`, `cannot parse TOML`)

	_, err := LoadScenario(filepath.Join(t.TempDir(), "none.toml"))
	if err == nil || !strings.Contains(err.Error(), "cannot read the scenario") {
		t.Errorf("got %v", err)
	}
}
