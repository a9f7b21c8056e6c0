package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// fiveMistakes has one of each kind; the comments say where.
const fiveMistakes = `[pool.app]
servers = ["10.0.0.1:8080"]
balanc = "least_conn"

[[l4]]
name = "db"
listen = ["127.0.0.1:99999"]
pool = "ap"
idle_timeout = "5 parsecs"

[[l7]]
name = "web"
listen = ["127.0.0.1:8080"]
max_conns = "many"
[[l7.route]]
pool = "app"
`

// TestCheckFiveMistakes: every mistake is named in one run, with its place, the line, a
// caret under it, and a suggestion where there is one.
func TestCheckFiveMistakes(t *testing.T) {
	file := write(t, "weir.toml", fiveMistakes)
	code, stdout, stderr := run(t, "check", "-c", file)
	text := stdout + stderr
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	lines := strings.Split(fiveMistakes, "\n")
	f := func(line, col int, suggestion string) {
		t.Helper()
		if place := fmt.Sprintf("weir.toml:%d:%d", line, col); !strings.Contains(text, place) {
			t.Errorf("no problem at %s in\n%s", place, text)
		}
		if !strings.Contains(text, lines[line-1]) {
			t.Errorf("line %d is not shown in\n%s", line, text)
		}
		if suggestion != "" && !strings.Contains(text, suggestion) {
			t.Errorf("line %d: no %q in\n%s", line, suggestion, text)
		}
	}
	f(3, 1, "balance")
	f(7, 11, "65535")
	f(8, 8, `"app"`)
	f(9, 16, "")
	f(14, 13, "")
	if n := strings.Count(text, "^"); n < 5 {
		t.Errorf("%d carets for five mistakes:\n%s", n, text)
	}

	code, stdout, _ = run(t, "check", "-c", file, "--json")
	if code != 1 || !json.Valid([]byte(stdout)) || strings.Count(strings.ToLower(stdout), `"line":`) != 5 {
		t.Errorf("--json: exit code %d\n%s", code, stdout)
	}
}

func TestCheckGood(t *testing.T) {
	file := write(t, "weir.toml", pool("app", "127.0.0.1:1")+web("127.0.0.1:8080", "app"))
	if code, out, errs := run(t, "check", "-c", file); code != 0 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}
