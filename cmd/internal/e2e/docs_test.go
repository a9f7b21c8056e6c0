package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weir/conf"
)

// pages are the documents whose blocks are run: README.md and everything in docs.
func pages(t *testing.T) []string {
	t.Helper()
	found := []string{filepath.Join(root(t), "README.md")}
	for _, dir := range []string{"docs", "docs/decisions"} {
		more, err := filepath.Glob(filepath.Join(root(t), dir, "*.md"))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, more...)
	}
	return found
}

// block is one fenced block of a page.
type block struct {
	page string
	line int
	info string // what stands behind the fence: `toml`, `toml error="..."`, `console`
	text string
}

func blocks(t *testing.T, page string) []block {
	t.Helper()
	var found []block
	var open *block
	n := 0
	for line := range strings.Lines(readFile(t, page)) {
		n++
		fence := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(fence, "```") && open == nil:
			open = &block{page: filepath.Base(page), line: n, info: strings.TrimPrefix(fence, "```")}
		case fence == "```":
			found = append(found, *open)
			open = nil
		case open != nil:
			open.text += line
		}
	}
	if open != nil {
		t.Errorf("%s:%d: the block has no end", page, open.line)
	}
	return found
}

// TestDocsTOML loads every TOML block of the documents. One that is meant to fail
// says with which message: ```toml error="unknown key".
func TestDocsTOML(t *testing.T) {
	t.Parallel()
	wants := regexp.MustCompile(`^toml error="([^"]+)"$`)
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if lang, _, _ := strings.Cut(b.info, " "); lang != "toml" {
				continue
			}
			_, err := conf.Load(blockFile(t, b))
			m := wants.FindStringSubmatch(b.info)
			switch {
			case m == nil && b.info != "toml" && b.info != "toml tour":
				t.Errorf("%s:%d: cannot read the tag %q", b.page, b.line, b.info)
			case m == nil && err != nil:
				t.Errorf("%s:%d: %v", b.page, b.line, err)
			case m != nil && (err == nil || !strings.Contains(err.Error(), m[1])):
				t.Errorf("%s:%d: got %v, want an error with %q", b.page, b.line, err, m[1])
			}
		}
	}
}

// blockFile writes a block to a file that has the files the examples speak of
// beside it.
func blockFile(t *testing.T, b block) string {
	t.Helper()
	dir := t.TempDir()
	ca := newAuthority(t, dir)
	for _, name := range []string{"www", "api", "app", "admin"} {
		ca.issue(t, name, name+".example.com")
	}
	token := []byte("0123456789abcdef0123456789abcdef\n")
	for _, name := range []string{"admin.token", "db.password"} {
		if err := os.WriteFile(filepath.Join(dir, name), token, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "weir.toml")
	if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestDocsCommands: every command that a page shows with a prompt is one that Weir
// has, with flags it knows.
func TestDocsCommands(t *testing.T) {
	for _, page := range pages(t) {
		for _, b := range blocks(t, page) {
			if lang, _, _ := strings.Cut(b.info, " "); lang != "console" {
				continue
			}
			for line := range strings.Lines(b.text) {
				words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "$ "))
				if !strings.HasPrefix(line, "$ ") || filepath.Base(words[0]) != "weir" {
					continue
				}
				args := append(withoutPrompt(words[1:]), "--help")
				if code, out, errs := run(t, args...); code != 0 {
					t.Errorf("%s: %q: exit code %d\n%s%s", b.page, line, code, out, errs)
				} else {
					checkFlags(t, b, words[1:], out)
				}
			}
		}
	}
}

// withoutPrompt keeps the subcommand: what comes before the first flag or argument.
func withoutPrompt(words []string) []string {
	if i := slices.IndexFunc(words, func(w string) bool { return strings.ContainsAny(w, "-./:") }); i >= 0 {
		return words[:i]
	}
	return words
}

func checkFlags(t *testing.T, b block, words []string, help string) {
	t.Helper()
	for _, w := range words {
		if flag, _, _ := strings.Cut(w, "="); strings.HasPrefix(flag, "-") && !strings.Contains(help, flag) {
			t.Errorf("%s:%d: %s is not a flag of weir %s", b.page, b.line, flag, strings.Join(words, " "))
		}
	}
}

// testFunctions are the tests of the tree by name; those of this package are true.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	have := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	walkTree(t, func(path string, text []byte) {
		if strings.HasSuffix(path, "_test.go") {
			for _, m := range function.FindAllSubmatch(text, -1) {
				have[string(m[1])] = strings.HasPrefix(path, "cmd/internal/e2e/")
			}
		}
	})
	return have
}

// testName is how a page names a test.
var testName = regexp.MustCompile("`(Test\\w+)`")

// TestFaultsTable: each row of docs/faults.md names tests, each of them exists, and
// each TestRowNN of the tree has its row; those of this package are named there.
func TestFaultsTable(t *testing.T) {
	have := testFunctions(t)
	row := regexp.MustCompile(`^\| (\d+) \|`)
	rows, listed := make(map[string]bool), make(map[string]string)
	for line := range strings.Lines(readFile(t, filepath.Join(root(t), "docs", "faults.md"))) {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		rows[m[1]] = true
		names := testName.FindAllStringSubmatch(line, -1)
		if len(names) == 0 {
			t.Errorf("row %s has no test", m[1])
		}
		for _, n := range names {
			listed[n[1]] = m[1]
			if _, ok := have[n[1]]; !ok {
				t.Errorf("row %s: there is no test %s", m[1], n[1])
			}
		}
	}
	number := regexp.MustCompile(`^TestRow0*(\d+)\D`)
	for test, ours := range have {
		m := number.FindStringSubmatch(test)
		switch {
		case m == nil:
		case !rows[m[1]]:
			t.Errorf("docs/faults.md has no row %s, for %s", m[1], test)
		case ours && listed[test] != m[1]:
			t.Errorf("%s is not in row %s of docs/faults.md", test, m[1])
		}
	}
}

// TestDocsCachingTable: each row of docs/caching-rfc9111.md has a section and names tests,
// and each of them exists.
func TestDocsCachingTable(t *testing.T) {
	have := testFunctions(t)
	section := regexp.MustCompile(`^\| (RFC \d{4} )?\d[\d. to]* \|`)
	rows := 0
	for line := range strings.Lines(readFile(t, filepath.Join(root(t), "docs", "caching-rfc9111.md"))) {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| section ") {
			continue
		}
		rows++
		names := testName.FindAllStringSubmatch(line, -1)
		if !section.MatchString(line) || len(names) == 0 || strings.Count(line, " | ") != 3 {
			t.Errorf("a row without section, tests or four columns: %s", line)
		}
		for _, n := range names {
			if _, ok := have[n[1]]; !ok {
				t.Errorf("there is no test %s, of the row %s", n[1], line)
			}
		}
	}
	if rows < 60 {
		t.Errorf("the table has %d rows", rows)
	}
}
