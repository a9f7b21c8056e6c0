package conf

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const referenceFile = "../docs/config.md"

func TestReferenceIsFresh(t *testing.T) {
	got := Reference()
	if *update {
		write(t, referenceFile, got)
	}
	if want := read(t, referenceFile); !bytes.Equal(got, want) {
		t.Errorf("%s is stale; write it again with: go test ./conf -run Reference -update\n%s",
			referenceFile, firstDifference(string(got), string(want)))
	}
}

// TestSchemaIsComplete checks that every key says what a reader needs.
func TestSchemaIsComplete(t *testing.T) {
	heads := map[string]bool{}
	schema().info().walk(func(ti tableInfo) {
		if heads[ti.head] {
			t.Errorf("two tables have the head %q", ti.head)
		}
		heads[ti.head] = true
		if ti.head != "" && (ti.doc == "" || ti.example == "") {
			t.Errorf("%s has no doc or no example", ti.head)
		}
		names := map[string]bool{}
		for _, k := range ti.keys {
			at := ti.head + " " + k.name
			if names[k.name] {
				t.Errorf("%s is there twice", at)
			}
			names[k.name] = true
			if !strings.HasSuffix(k.doc, ".") {
				t.Errorf("%s: doc %q is not a sentence", at, k.doc)
			}
			if k.typ == "integer" && k.unit == "" && k.name != "port" {
				t.Errorf("%s is a number without a unit", at)
			}
			if k.sub != nil {
				continue
			}
			ways := 0
			for _, given := range []bool{k.required, k.def != "", k.none != ""} {
				if given {
					ways++
				}
			}
			if ways != 1 {
				t.Errorf("%s needs exactly one of required, def and none", at)
			}
		}
	})
}

// TestExamples checks that each example is a file without a problem, and that
// every key of a table is in its example.
func TestExamples(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"www.pem", "www.key", "api.pem", "api.key", "admin.pem", "admin.key", "ca.pem", "db.password"} {
		write(t, filepath.Join(dir, name), []byte("-"))
	}
	write(t, filepath.Join(dir, "admin.token"), []byte("0123456789abcdef\n"))
	if err := os.Mkdir(filepath.Join(dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	schema().info().walk(func(ti tableInfo) {
		if ti.head == "" {
			return
		}
		if _, err := Parse(filepath.Join(dir, "weir.toml"), []byte(strings.TrimSpace(ti.example))); err != nil {
			t.Errorf("the example of %s:\n%v", ti.head, err)
		}
		for _, k := range ti.keys {
			if k.sub != nil {
				continue
			}
			if !regexp.MustCompile(`(?m)(^|[\s{,])` + k.name + ` = `).MatchString(ti.example) {
				t.Errorf("the example of %s does not show %s", ti.head, k.name)
			}
		}
	})
	if _, err := Parse("weir.toml", []byte(referenceExample)); err != nil {
		t.Error(err)
	}
}

// TestReferenceLinks checks that links lead to a heading.
func TestReferenceLinks(t *testing.T) {
	text := string(Reference())
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^## (.*)$").FindAllStringSubmatch(text, -1) {
		targets[anchor(m[1])] = true
	}
	links := regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(text, -1)
	if len(links) < 20 {
		t.Errorf("only %d links", len(links))
	}
	for _, m := range links {
		if !targets[m[1]] {
			t.Errorf("no heading for #%s", m[1])
		}
	}
}

// TestReferenceProblem checks the problem that the reference shows.
func TestReferenceProblem(t *testing.T) {
	src := "[pool.app]\nservers = [\"127.0.0.1:3000\"]\nblance = \"least_conn\"\n"
	if _, err := Parse("weir.toml", []byte(src)); err == nil || err.Error() != referenceProblem {
		t.Errorf("got\n%v\nwant\n%s", err, referenceProblem)
	}
}
