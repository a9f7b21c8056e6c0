package conf

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite golden files, wanted problems and docs/config.md")

// TestGood compares the resolved form of each good file with its golden file.
func TestGood(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "/state")
	t.Setenv("RUNTIME_DIRECTORY", "/runtime")
	t.Setenv("WEIR_TEST_TOKEN", " from-the-environment \n")
	for _, name := range testFiles(t, "testdata/good/*.toml") {
		c, err := Load(name)
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
			continue
		}
		got, err := c.JSON()
		if err != nil {
			t.Fatal(err)
		}
		got = []byte(withoutDir(t, name, string(got)))
		golden := strings.TrimSuffix(name, ".toml") + ".json"
		if *update {
			write(t, golden, got)
		}
		if want := read(t, golden); !bytes.Equal(got, want) {
			t.Errorf("%s: the resolved form differs from %s (rewrite it with -update):\n%s",
				name, golden, firstDifference(string(got), string(want)))
		}
	}
}

// TestBad compares all problems of each bad file with the lines at its top:
//
//	# want: LINE:COL message; did you mean suggestion?
func TestBad(t *testing.T) {
	t.Setenv("WEIR_TEST_EMPTY", "")
	files := testFiles(t, "testdata/bad/*.toml")
	if len(files) < 60 {
		t.Errorf("only %d bad files", len(files))
	}
	for _, name := range files {
		if *update {
			updateWants(t, name)
		}
		src := string(read(t, name))
		var want []string
		for line := range strings.Lines(src) {
			w, ok := strings.CutPrefix(line, wantPrefix)
			if !ok {
				break
			}
			want = append(want, strings.TrimSuffix(w, "\n"))
		}
		got := problemLines(t, name, src)
		if len(want) == 0 {
			t.Errorf("%s: the first line says no %q", name, wantPrefix)
		}
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", name, g, w)
		}
	}
}

const wantPrefix = "# want: "

// problemLines parses src and gives each problem on one line.
func problemLines(t *testing.T, name, src string) []string {
	t.Helper()
	_, err := Parse(name, []byte(src))
	var lines []string
	for _, p := range problemsOf(t, err) {
		line := fmt.Sprintf("%d:%d %s", p.Line, p.Col, p.Message)
		if p.Suggestion != "" {
			line += "; did you mean " + p.Suggestion + "?"
		}
		lines = append(lines, withoutDir(t, name, line))
	}
	return lines
}

// updateWants writes the problems a file has now to its top.
func updateWants(t *testing.T, name string) {
	t.Helper()
	body := string(read(t, name))
	for strings.HasPrefix(body, wantPrefix) {
		_, body, _ = strings.Cut(body, "\n")
	}
	// The lines written move what they speak of, so they are counted first.
	n := len(problemLines(t, name, body))
	lines := problemLines(t, name, strings.Repeat("#\n", n)+body)
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(wantPrefix + line + "\n")
	}
	write(t, name, []byte(b.String()+body))
}

// problemsOf gives the problems of an error of Parse or Load; nil for nil.
func problemsOf(t *testing.T, err error) Problems {
	t.Helper()
	var ps Problems
	if err != nil && !errors.As(err, &ps) {
		t.Fatalf("error %v is a %T, not Problems", err, err)
	}
	return ps
}

func testFiles(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files match %s (%v)", pattern, err)
	}
	return files
}

// withoutDir hides where the tests run.
func withoutDir(t *testing.T, name, s string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(s, dir, "DIR")
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// firstDifference gives the first line that differs.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d: got %q, want %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}
