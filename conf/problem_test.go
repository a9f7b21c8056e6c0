package conf

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProblemText checks the human form: tabs, several lines, the end of a line.
func TestProblemText(t *testing.T) {
	f := func(src, want string) {
		t.Helper()
		_, err := Parse("weir.toml", []byte(src))
		if err == nil {
			t.Fatalf("no problem in %q", src)
		}
		if got := err.Error(); got != strings.Trim(want, "\n") {
			t.Errorf("%q gives\n%s\nwant\n%s", src, got, want)
		}
	}
	f("log.levl = \"info\"\n", `
weir.toml:1:5: unknown key "levl" in [log]
  1 | log.levl = "info"
    |     ^^^^
    = did you mean level?`)

	f("\n[log]\n\t\tlevel =\t\"info\"\n\tformat\t= \"xml\"", `
weir.toml:4:11: format: "xml" is not one of logfmt, json
  4 | 	format	= "xml"
    | 	      	  ^^^^^`)

	f("[log]\nformat = \"ü\" # ü\nx = 1\n", `
weir.toml:2:10: format: "ü" is not one of logfmt, json
  2 | format = "ü" # ü
    |          ^^^

weir.toml:3:1: unknown key "x" in [log]
  3 | x = 1
    | ^`)

	// A value over several lines is marked on the first.
	f("[log]\nlevel = [\n  1,\n]\n", `
weir.toml:2:9: level: expected a string, got an array
  2 | level = [
    |         ^`)

	f("[log]\r\nlevel =\r\n", `
weir.toml:2:8: cannot parse TOML: the value is missing
  2 | level =
    |        ^`)

	f("[log", `
weir.toml:1:4: cannot parse TOML: expected ']' to close table name
  1 | [log
    |    ^`)

	// What a terminal would act on does not reach it.
	f("[log]\nlevel = \"\x1b[31m\"\n", `
weir.toml:2:10: cannot parse TOML: basic strings cannot have control characters
  2 | level = "�[31m"
    |          ^`)

	// A byte order mark is not part of the text.
	f("\ufeff[log]\nx = 1\n", `
weir.toml:2:1: unknown key "x" in [log]
  2 | x = 1
    | ^`)
}

// TestProblemLongLine checks that the caret stays under the mistake when only a
// part of the line is shown.
func TestProblemLongLine(t *testing.T) {
	for _, before := range []int{0, 10, 90, 500, 5000} {
		for _, after := range []int{0, 30, 200, 5000} {
			src := "[log]\n" + `"` + strings.Repeat("a", before+1) + `" = 1` + " # " + strings.Repeat("z", after)
			if before > 0 {
				src = "[dns]\nservers = [" + strings.Repeat(" ", before) + `"bad"` + "] #" + strings.Repeat("z", after)
			}
			_, err := Parse("x", []byte(src))
			p := problemsOf(t, err)[0]
			lines := strings.Split(p.Error(), "\n")
			quote, caret := []rune(lines[1]), []rune(lines[2])
			from, to := strings.IndexRune(lines[2], '^'), len(caret)
			want := `"bad"`
			if before == 0 {
				want = `"a"`
			}
			if got := string(quote[from:to]); got != want {
				t.Errorf("before %d, after %d: the caret marks %q, want %q:\n%s", before, after, got, want, p.Error())
			}
			if len(quote) > maxSourceRunes+20 {
				t.Errorf("before %d, after %d: %d runes are quoted", before, after, len(quote))
			}
		}
	}
}

func TestProblemJSON(t *testing.T) {
	_, err := Parse("weir.toml", []byte("log.levl = \"info\"\n"))
	got, jerr := json.Marshal(err)
	if jerr != nil {
		t.Fatal(jerr)
	}
	want := `[{"file":"weir.toml","line":1,"column":5,"width":4,` +
		`"message":"unknown key \"levl\" in [log]","suggestion":"level","source":"log.levl = \"info\""}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestProblemLimit(t *testing.T) {
	_, err := Parse("x", []byte("[log]\n"+strings.Repeat("level = 1\n", 1000)))
	ps := problemsOf(t, err)
	if len(ps) != maxProblems+1 {
		t.Fatalf("got %d problems, want %d and one that counts the rest", len(ps), maxProblems)
	}
	// 1000 wrong types, and 999 repetitions.
	if got, want := ps[maxProblems].Error(), "x: 1799 more problems are not shown"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSecretsStayHidden looks for a secret in everything that can be printed.
func TestSecretsStayHidden(t *testing.T) {
	const value = "hunter2-hunter2-hunter2"
	f := func(src string) {
		t.Helper()
		c, err := Parse("x", []byte(strings.ReplaceAll(src, "SECRET", value)))
		var shown string
		if err != nil {
			text, jerr := json.Marshal(err)
			if jerr != nil {
				t.Fatal(jerr)
			}
			shown = err.Error() + string(text)
		} else {
			text, jerr := c.JSON()
			if jerr != nil {
				t.Fatal(jerr)
			}
			plain, jerr := json.Marshal(c)
			if jerr != nil {
				t.Fatal(jerr)
			}
			shown = string(text) + string(plain)
			if c.Admin.Token.Reveal() != value {
				t.Errorf("%q: the token is %q", src, c.Admin.Token.Reveal())
			}
		}
		if strings.Contains(shown, "hunter") {
			t.Errorf("%q shows the secret:\n%s", src, shown)
		}
	}
	f("[admin]\ntoken = 'SECRET'\n")
	f("admin.token = 'SECRET'\n")
	f("admin = { token = 'SECRET', lisen = '127.0.0.1:1' }\n")
	f("admin = { lisen = '127.0.0.1:1', token = 'SECRET' }\n")
	f("[admin]\ntoken = 'SECRET with spaces'\n")
	f("[admin]\ntoken = ['SECRET']\n")
	f("[admin]\ntoken = 'x'\ntoken = 'SECRET'\n")
	f("[admin]\nlisten = ':1'\ntoken = 'SECRET'\n")

	f("[admin]\ntoken = SECRET\n")
	f("[admin]\ntoken = 'SECRET\n")
	f("[admin]\n\"token\" = 'SECRET' 'SECRET'\n")
	f("admin = { token = 'SECRET' listen = 1 }\n")
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	name := filepath.Join(dir, "weir.toml")
	write(t, name, []byte("[process]\nstate_dir = \"here\"\n"))

	c, err := Load("weir.toml")
	if err != nil {
		t.Fatal(err)
	}
	if c.File != name {
		t.Errorf("File is %q, want %q", c.File, name)
	}
	if want := filepath.Join(dir, "here"); c.Process.StateDir != want {
		t.Errorf("state_dir is %q, want %q", c.Process.StateDir, want)
	}

	f := func(path, want string) {
		t.Helper()
		_, err := Load(path)
		ps := problemsOf(t, err)
		if len(ps) != 1 || ps[0].Line != 0 || ps.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f("missing.toml", "missing.toml: cannot read the configuration: no such file or directory")
	f(".", ".: cannot read the configuration: it is a directory")

	big, err := os.Create("big.toml")
	if err != nil {
		t.Fatal(err)
	}
	if err := big.Truncate(maxFile + 1); err != nil {
		t.Fatal(err)
	}
	if err := big.Close(); err != nil {
		t.Fatal(err)
	}
	f("big.toml", "big.toml: the configuration is larger than the allowed 32MiB")
}

// TestDirs checks where state goes when the file does not say.
func TestDirs(t *testing.T) {
	f := func(env map[string]string, p Process, state, runtime string) {
		t.Helper()
		for _, k := range []string{"STATE_DIRECTORY", "RUNTIME_DIRECTORY", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"} {
			t.Setenv(k, env[k])
		}
		p.fillDirs()
		if p.StateDir != state || p.RuntimeDir != runtime {
			t.Errorf("%v gives %q and %q, want %q and %q", env, p.StateDir, p.RuntimeDir, state, runtime)
		}
	}
	f(map[string]string{"STATE_DIRECTORY": "/s:/t", "RUNTIME_DIRECTORY": "/r/"}, Process{}, "/s", "/r")
	f(map[string]string{"STATE_DIRECTORY": "/s", "RUNTIME_DIRECTORY": "/r"},
		Process{StateDir: "/a", RuntimeDir: "/b"}, "/a", "/b")
	if os.Geteuid() == 0 {
		f(nil, Process{}, "/var/lib/weir", "/run/weir")
		f(map[string]string{"STATE_DIRECTORY": "relative"}, Process{}, "/var/lib/weir", "/run/weir")
		return
	}
	f(map[string]string{"XDG_STATE_HOME": "/x", "XDG_RUNTIME_DIR": "/y"}, Process{}, "/x/weir", "/y/weir")
	f(map[string]string{"XDG_STATE_HOME": "/x"}, Process{}, "/x/weir", "/x/weir/run")
}
