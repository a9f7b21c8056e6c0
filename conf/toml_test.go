package conf

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// TestDefinitions checks which definitions may follow each other. go-toml's own
// Unmarshal, which forgets places but knows the rules, must agree on each.
func TestDefinitions(t *testing.T) {
	f := func(src string, want int) {
		t.Helper()
		src = strings.ReplaceAll(src, "; ", "\n")
		rep := &report{src: newSource("x", []byte(src))}
		_, ok := decode(rep)
		if !ok || len(rep.found) != want {
			t.Errorf("%q gives %d problems, want %d:\n%v", src, len(rep.found), want, rep.problems())
		}
		var v any
		if err := toml.Unmarshal([]byte(src), &v); (err == nil) != (want == 0) {
			t.Errorf("%q: go-toml says %v", src, err)
		}
	}
	f("", 0)
	f("a = 1; b = 1", 0)
	f("a = 1; a = 1", 1)
	f("a = 1; 'a' = 1; \"\\u0061\" = 1", 2)
	f("a.b = 1; a.c = 1", 0)
	f("a.b = 1; a.b = 1", 1)
	f("a.b = 1; a.b.c = 1", 1)
	f("a = 1; a.b = 1", 1)
	f("a.b.c = 1; a.b.d = 1; a.e = 1", 0)
	f("a.b = 1; a = 1", 1)

	f("[a]; [b]", 0)
	f("[a]; [a]", 1)
	f("[a]; [a.b]; [a.c]", 0)
	f("[a.b]; [a]", 0)
	f("[a.b]; [a]; [a]", 1)
	f("[a.b.c]; [a.b]; x = 1; [a]; y = 1", 0)
	f("[a]; b = 1; [a.b]", 1)
	f("[a]; b = 1; [a.b.c]", 1)
	f("[a.b]; [a]; b = 1", 1)
	f("[a.b.c]; [a]; b.d = 1", 1)
	f("[a]; b.c = 1; [a.b]", 1)
	f("[a]; b.c = 1; [a.b.d]", 0)
	f("a.b = 1; [a]", 1)
	f("a.b = 1; [a.c]", 0)

	f("a = {}; [a]", 1)
	f("a = {}; [a.b]", 1)
	f("a = {}; a.b = 1", 1)
	f("a = { b = 1, b = 1 }", 1)
	f("a = { b.c = 1, b.d = 1 }", 0)
	f("a = { b.c = 1, b = 1 }", 1)
	f("a = { b = {}, b.c = 1 }", 1)
	f("a = [{ b = 1, b = 2 }, { b = 1 }]", 1)

	f("[[a]]; [[a]]", 0)
	f("[[a]]; x = 1; [[a]]; x = 1", 0)
	f("[[a]]; x = 1; x = 1", 1)
	f("[[a]]; [a.b]; [[a]]; [a.b]", 0)
	f("[[a]]; [a.b]; [a.b]", 1)
	f("[[a.b]]; [[a.b]]; [a]", 0)
	f("[[a]]; [[a.b]]; [[a.b]]; [[a]]; [[a.b]]", 0)
	f("[[a]]; [a]", 1)
	f("[a]; [[a]]", 1)
	f("[a.b]; [[a]]", 1)
	f("a = []; [[a]]", 1)
	f("a = [{}]; [[a]]", 1)
	f("a = [{}]; [a.b]", 1)
	f("a = 1; [[a]]; [[a]]", 2)
	f("[[a]]; [a.b.c]; [[a.b]]", 1)

	// One mistake is one problem, whatever follows under the wrong header.
	f("a = 1; [a.b]; c = 1; c = 2; [d]; e = 1", 2)
	f("[a]; b = 1; [a]; b = 2; c = 3", 1)
}

// TestPlaces checks where values are found, by the text at their places.
func TestPlaces(t *testing.T) {
	f := func(src, path, want string) {
		t.Helper()
		rep := &report{src: newSource("x", []byte(src))}
		n, ok := decode(rep)
		if !ok {
			t.Fatal(rep.problems())
		}
		for part := range strings.SplitSeq(path, "/") {
			var i int
			if _, err := fmt.Sscanf(part, "%d", &i); err == nil {
				n = n.items[i]
			} else {
				n = n.get(part).value
			}
		}
		if got := src[n.at.pos:n.at.end]; got != want {
			t.Errorf("%s of %q is at %q, want %q", path, src, got, want)
		}
	}
	f(`a = 1`, "a", `1`)
	f(`a  =	'x' # y`, "a", `'x'`)
	f(`"a" . b = "\n"`, "a/b", `"\n"`)
	f(`a = """x
y"""`, "a", "\"\"\"x\ny\"\"\"")
	f(`a = 1979-05-27 07:32:00 # c`, "a", `1979-05-27 07:32:00`)
	f(`a = [ 1, [2, 3 ] , [ ], ]`, "a", `[ 1, [2, 3 ] , [ ], ]`)
	f(`a = [ 1, [2, 3 ] , [ ], ]`, "a/1", `[2, 3 ]`)
	f(`a = [ 1, [2, 3 ] , [ ], ]`, "a/1/1", `3`)
	f(`a = [ 1, [2, 3 ] , [ ], ]`, "a/2", `[ ]`)
	f("a = [ # ] [\n # ,\r\n\t[ ] # ]\n, { b.c = [1] } ]", "a/0", `[ ]`)
	f("a = [ # ] [\n # ,\r\n\t[ ] # ]\n, { b.c = [1] } ]", "a/1", `{ b.c = [1] }`)
	f("a = [ # ] [\n # ,\r\n\t[ ] # ]\n, { b.c = [1] } ]", "a/1/b/c", `[1]`)
	f("[a . \"b\"]", "a/b", `"b"`)
	f("[a . \"b\"]", "a", `a`)
	f("[a.b]\n[ a ]", "a", `a`)
	f("[[ a ]]\n[[a]]\nx=true", "a/1/x", `true`)
}

// plainValue gives a node as go-toml decodes it; ok is false if it holds
// numbers or times, whose text is not checked before it is bound.
func plainValue(n *node) (v any, ok bool) {
	switch n.form {
	case formString:
		return n.text, true
	case formBool:
		return n.text == "true", true
	case formArray:
		list := []any{}
		for _, item := range n.items {
			v, ok := plainValue(item)
			if !ok {
				return nil, false
			}
			list = append(list, v)
		}
		return list, true
	case formTable:
		m := map[string]any{}
		for _, e := range n.keys {
			v, ok := plainValue(e.value)
			if !ok {
				return nil, false
			}
			m[e.name] = v
		}
		return m, true
	}
	return nil, false
}

// checkTree checks one tree against go-toml and its places against the text.
func checkTree(t *testing.T, src []byte) {
	t.Helper()
	rep := &report{src: newSource("x", src)}
	root, ok := decode(rep)
	var v any
	err := toml.Unmarshal(src, &v)
	if err == nil && (!ok || len(rep.found) > 0) {
		t.Fatalf("go-toml accepts %q, we say:\n%v", src, rep.problems())
	}
	if !ok {
		return
	}
	checkPlaces(t, src, root)
	want, plain := plainValue(root)
	if !plain || len(rep.found) > 0 {
		return
	}
	if err != nil {
		t.Fatalf("go-toml refuses %q, we do not: %v", src, err)
	}
	if v == nil {
		v = map[string]any{}
	}
	if !reflect.DeepEqual(v, want) {
		t.Fatalf("%q is\n%v, go-toml says\n%v", src, want, v)
	}
}

func checkPlaces(t *testing.T, src []byte, n *node) {
	t.Helper()
	if n.at.pos < 0 || n.at.end > len(src) || n.at.pos > n.at.end {
		t.Fatalf("%q: %v is outside of the text", src, n.at)
	}
	text := src[n.at.pos:n.at.end]
	brackets := map[form]string{formArray: "[]", formTable: "{}"}[n.form]
	if brackets != "" && n.origin == byValue && (text[0] != brackets[0] || text[len(text)-1] != brackets[1]) {
		t.Fatalf("%q: %s is at %q", src, n.form, text)
	}
	for _, item := range n.items {
		checkPlaces(t, src, item)
	}
	for _, e := range n.keys {
		checkPlaces(t, src, e.value)
	}
}
