package conf

import (
	"path/filepath"
	"reflect"
	"testing"
	"unicode/utf8"
)

// FuzzParse checks that no text makes Parse panic, that the same text always
// gives the same result, that problems are inside the file, and that the tree
// below it is the one go-toml sees.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.toml", "testdata/bad/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no files match %s (%v)", pattern, err)
		}
		for _, name := range files {
			f.Add(read(f, name))
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		checkTree(t, src)
		c, err := Parse("testdata/good/fuzz.toml", src)
		again, errAgain := Parse("testdata/good/fuzz.toml", src)
		if !reflect.DeepEqual(c, again) || !reflect.DeepEqual(err, errAgain) {
			t.Fatalf("two results:\n%v, %v\n%v, %v", c, err, again, errAgain)
		}
		if err != nil {
			checkProblems(t, src, problemsOf(t, err))
			return
		}
		text, err := c.JSON()
		if err != nil || len(text) == 0 {
			t.Fatalf("no JSON: %v", err)
		}
	})
}

func checkProblems(t *testing.T, src []byte, ps Problems) {
	t.Helper()
	if len(ps) == 0 {
		t.Fatal("an error without a problem")
	}
	s := newSource("x", src)
	for _, p := range ps {
		if p.Line == 0 && len(ps) > maxProblems {
			continue
		}
		if p.Line < 1 || p.Line > len(s.lines) {
			t.Fatalf("line %d of %d: %v", p.Line, len(s.lines), p)
		}
		line := s.lineSpan(p.Line)
		if length := utf8.RuneCount(src[line.pos:line.end]); p.Col < 1 || p.Col > length+1 || p.Col+p.Width > length+2 {
			t.Fatalf("column %d, width %d of %d: %v", p.Col, p.Width, length, p)
		}
		if p.Message == "" || !utf8.ValidString(p.Error()) {
			t.Fatalf("bad text %q", p.Error())
		}
	}
}
