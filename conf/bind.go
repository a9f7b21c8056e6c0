package conf

import (
	"errors"
	"slices"
	"strings"
)

// binder carries what binding one file needs beside the schema.
type binder struct {
	*report
	dir  string           // relative files are relative to it
	root func() tableInfo // the schema of the whole file, for hints
	name string           // the NAME of the table that is being bound

	// marks remembers which node filled a field, by the field's address. The
	// structs stay free of positions, and the checks can still point at them.
	marks map[any]span
}

func (b *binder) mark(field any, n *node) { b.marks[field] = n.at }

func (b *binder) markSpan(field any, at span) { b.marks[field] = at }

// has reports whether the file gives this field, rightly or wrongly.
func (b *binder) has(field any) bool {
	_, ok := b.marks[field]
	return ok
}

// at returns the place of the first of the fields that the file gives.
func (b *binder) at(fields ...any) span {
	for _, f := range fields {
		if s, ok := b.marks[f]; ok {
			return s
		}
	}
	return span{}
}

// fault reports err as the problem of a key.
func (b *binder) fault(at span, name string, err error) {
	suggestion := ""
	if f, ok := errors.AsType[*fault](err); ok {
		suggestion = f.suggestion
	}
	b.add(at, suggestion, "%s: %v", name, err)
}

// want reports whether n has the wanted form, and the problem if not.
func (b *binder) want(n *node, f form, name string) bool {
	if n.form == f {
		return true
	}
	suggestion := ""
	if f == formArray && (n.form == formString || n.form == formInteger) {
		if raw := string(b.src.text[n.at.pos:n.at.end]); len(raw) < 80 {
			suggestion = "[" + raw + "]"
		}
	}
	b.add(n.at, suggestion, "%s: expected %s, got %s", name, f, n.form)
	return false
}

// bindKind parses n into p, or reports why it cannot; p then keeps its default.
func bindKind[V any](b *binder, p *V, name string, n *node, k kind[V]) {
	if k.secret {
		b.src.mask(n.at)
	}
	v, err := k.parse(b, n)
	if err != nil {
		b.fault(n.at, name, err)
		return
	}
	*p = v
}

// absent gives dst the defaults of t.
func (t table[T]) absent(b *binder, dst *T) {
	for _, k := range t.keys {
		if k.value.absent != nil {
			k.value.absent(b, dst)
		}
		if k.def != "" {
			k.bindDefault(dst)
		}
	}
}

// bindDefault binds the default as if it stood in a file of its own.
func (k key[T]) bindDefault(dst *T) {
	rep := &report{src: newSource("default", []byte(k.name+" = "+k.def))}
	root, ok := decode(rep)
	if ok {
		k.value.bind(&binder{report: rep, marks: map[any]span{}}, dst, k.name, root.get(k.name).value)
	}
	if ps := rep.problems(); ps != nil {
		panic("BUG: " + ps.Error())
	}
}

// bind fills dst, which has its defaults, from the table n.
func (t table[T]) bind(b *binder, dst *T, n *node) {
	if !b.has(dst) { // the place of a struct is that of its own table, not of a part
		b.mark(dst, n)
	}
	var meant []string
	for _, e := range n.keys {
		k := t.lookup(e.name)
		if k == nil {
			meant = append(meant, t.unknown(b, e))
			continue
		}
		k.value.bind(b, dst, k.name, e.value)
		for _, twin := range e.twins {
			// Only its problems are of interest.
			var scratch T
			k.value.bind(b, &scratch, k.name, twin)
		}
	}
	if n.twin {
		return
	}
	for _, k := range t.keys {
		if k.required && n.get(k.name) == nil && !slices.Contains(meant, k.name) {
			b.add(n.at, "", "%s needs %q (%s)", b.title(t.head), k.name, k.value.typ)
		}
	}
}

// title gives the head of a table as this file has it.
func (b *binder) title(head string) string {
	if b.name == "" {
		return head
	}
	return strings.Replace(head, "NAME", b.name, 1)
}

// bindTwin looks for problems in a forbidden second definition.
func (t table[T]) bindTwin(b *binder, n *node) {
	if n.form != formTable {
		return
	}
	var scratch T
	t.absent(b, &scratch)
	t.bind(b, &scratch, n)
}

func (t table[T]) lookup(name string) *key[T] {
	for i := range t.keys {
		if t.keys[i].name == name {
			return &t.keys[i]
		}
	}
	return nil
}

// manyProblems is how many problems are worth the search for what was meant: a file
// of something else altogether has as many as it has lines.
const manyProblems = 10 * maxProblems

// unknown reports a key that t does not have, and returns the key that was
// probably meant, or "".
func (t table[T]) unknown(b *binder, e *entry) string {
	what, where := "key", " in "+b.title(t.head)
	if t.head == "" {
		where = ""
	}
	if e.value.origin == byHeader || e.value.origin == byPath {
		what = "table"
	}
	if len(b.found) > manyProblems {
		b.add(e.at, "", "unknown %s %q%s", what, e.name, where)
		return ""
	}
	names := make([]string, len(t.keys))
	for i, k := range t.keys {
		names[i] = k.name
	}
	if s := near(e.name, names); s != "" {
		b.add(e.at, s, "unknown %s %q%s", what, e.name, where)
		return s
	}
	hint := ""
	b.root().walk(func(ti tableInfo) {
		for _, k := range ti.keys {
			if hint == "" && k.name == e.name && ti.head != "" {
				hint = "; it belongs in " + b.title(ti.head)
			}
		}
	})
	b.add(e.at, "", "unknown %s %q%s%s", what, e.name, where, hint)
	return ""
}
