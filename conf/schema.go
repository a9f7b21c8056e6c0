package conf

// The schema says everything about a key once: its name, type, limits, default,
// unit, documentation and the field it fills. Binding, the canonical JSON form
// and docs/config.md are all driven by it. The tables are in schema_*.go; here
// is only what they are made of.

// table describes one TOML table that fills a T.
type table[T any] struct {
	head    string // as written in a file: "[pool.NAME]"
	doc     string // what the table is for; paragraphs, Markdown
	example string // a whole file that Parse accepts and that shows every key
	keys    []key[T]
}

// key describes one key of a table that fills a T.
type key[T any] struct {
	name     string
	value    value[T]
	def      string // TOML text of the default; "" leaves the field zero
	required bool
	unit     string // of numbers: "connections"
	none     string // what leaving the key out means, where def cannot say it
	doc      string
}

// value is how one key of a T is bound, shown and described.
type value[T any] struct {
	typ    string // "duration", "array of addresses"
	limits string // "100ms to 1h", or the allowed words

	// bind fills the field from what the file has.
	bind func(b *binder, dst *T, name string, n *node)
	// absent completes a table that the file does not have; nil for others.
	absent func(b *binder, dst *T)
	// show gives the field's form in the canonical JSON.
	show func(src *T) any
	// sub describes the table behind the key; nil for others.
	sub func() tableInfo
}

// one is a key with a single value.
func one[T, V any](field func(*T) *V, k kind[V]) value[T] {
	return value[T]{
		typ: k.typ, limits: k.limits,
		bind: func(b *binder, dst *T, name string, n *node) {
			p := field(dst)
			b.mark(p, n)
			bindKind(b, p, name, n, k)
		},
		show: func(src *T) any { return k.show(*field(src)) },
	}
}

// many is a key with an array of values, which may be empty.
func many[T, V any](field func(*T) *[]V, k kind[V]) value[T] {
	return value[T]{
		typ: "array of " + k.plural, limits: k.limits,
		bind: func(b *binder, dst *T, name string, n *node) {
			p := field(dst)
			b.mark(p, n)
			if !b.want(n, formArray, name) {
				return
			}
			*p = make([]V, len(n.items))
			for i, item := range n.items {
				b.mark(&(*p)[i], item)
				bindKind(b, &(*p)[i], name, item, k)
			}
		},
		show: func(src *T) any {
			list := make([]any, 0, len(*field(src)))
			for _, v := range *field(src) {
				list = append(list, k.show(v))
			}
			return list
		},
	}
}

// some is many, but an array that is given must not be empty: "none at all"
// and "any" are told apart by leaving the key out.
func some[T, V any](field func(*T) *[]V, k kind[V]) value[T] {
	v := many(field, k)
	bind := v.bind
	v.bind = func(b *binder, dst *T, name string, n *node) {
		if n.form == formArray && len(n.items) == 0 {
			b.mark(field(dst), n)
			b.add(n.at, "", "%s: the array is empty; give at least one element or leave the key out", name)
			return
		}
		bind(b, dst, name, n)
	}
	return v
}

// sub is a table that is always there: where the file has none, it holds its
// defaults.
func sub[T, S any](field func(*T) *S, t table[S]) value[T] {
	return value[T]{
		typ: "table",
		bind: func(b *binder, dst *T, name string, n *node) {
			t.absent(b, field(dst))
			if b.want(n, formTable, name) {
				t.bind(b, field(dst), n)
			}
		},
		absent: func(b *binder, dst *T) { t.absent(b, field(dst)) },
		show:   func(src *T) any { return t.show(field(src)) },
		sub:    t.info,
	}
}

// part is a table whose presence means something, and whose keys fill the same
// T: begin is called before they are bound.
func part[T any](present func(*T) bool, begin func(*T), t table[T]) value[T] {
	return value[T]{
		typ: "table",
		bind: func(b *binder, dst *T, name string, n *node) {
			begin(dst)
			t.absent(b, dst)
			if b.want(n, formTable, name) {
				t.bind(b, dst, n)
			}
		},
		show: func(src *T) any {
			if !present(src) {
				return nil
			}
			return t.show(src)
		},
		sub: t.info,
	}
}

// list is an array of tables, as [[name]] or inline. Where short is not "", an
// element may also be just the value of that key.
func list[T, S any](field func(*T) *[]S, t table[S], short string) value[T] {
	typ := "array of tables"
	if short != "" {
		typ = "array of strings or tables"
	}
	return value[T]{
		typ: typ,
		bind: func(b *binder, dst *T, name string, n *node) {
			p := field(dst)
			b.mark(p, n)
			if n.form == formTable && n.origin != byValue {
				if n.twin {
					return // that it is there a second time is what is wrong with it
				}
				b.add(n.at, "[["+name+"]]", "%s: expected an array of tables", name)
				return
			}
			if !b.want(n, formArray, name) {
				return
			}
			if len(n.items) == 0 {
				b.add(n.at, "", "%s: the array is empty; it needs at least one element", name)
			}
			var defaults S
			t.absent(b, &defaults)
			*p = make([]S, len(n.items))
			for i, item := range n.items {
				(*p)[i] = defaults
				if short != "" && item.form != formTable {
					b.mark(&(*p)[i], item)
					t.lookup(short).value.bind(b, &(*p)[i], name, item)
				} else if b.want(item, formTable, name) {
					t.bind(b, &(*p)[i], item)
				}
			}
		},
		show: func(src *T) any {
			all := make([]any, 0, len(*field(src)))
			for i := range *field(src) {
				all = append(all, t.show(&(*field(src))[i]))
			}
			return all
		},
		sub: t.info,
	}
}

// named is a table of tables, [name.NAME]; the slice is in file order and each
// element gets its NAME.
func named[T, S any](field func(*T) *[]S, id func(*S) *string, t table[S]) value[T] {
	return value[T]{
		typ: "table of tables",
		bind: func(b *binder, dst *T, name string, n *node) {
			if !b.want(n, formTable, name) {
				return
			}
			p := field(dst)
			var defaults S
			t.absent(b, &defaults)
			*p = make([]S, len(n.keys))
			for i, e := range n.keys {
				s := &(*p)[i]
				*s = defaults
				*id(s) = e.name
				b.markSpan(id(s), e.at)
				if err := checkName(e.name); err != nil {
					b.fault(e.at, name, err)
				}
				b.name = e.name
				if b.want(e.value, formTable, name+"."+e.name) {
					t.bind(b, s, e.value)
				}
				for _, twin := range e.twins {
					t.bindTwin(b, twin)
				}
			}
			b.name = ""
		},
		show: func(src *T) any {
			all := object{}
			for i := range *field(src) {
				s := &(*field(src))[i]
				all = append(all, member{*id(s), t.show(s)})
			}
			return all
		},
		sub: t.info,
	}
}

// show gives src as the canonical JSON has it.
func (t table[T]) show(src *T) any {
	o := make(object, 0, len(t.keys))
	for _, k := range t.keys {
		o = append(o, member{k.name, k.value.show(src)})
	}
	return o
}

// tableInfo is a table without its Go type, for docs and for hints.
type tableInfo struct {
	head, doc, example string
	keys               []keyInfo
}

// keyInfo is a key without its Go type.
type keyInfo struct {
	name, typ, limits, def, unit, none, doc string
	required                                bool
	sub                                     func() tableInfo
}

func (t table[T]) info() tableInfo {
	ti := tableInfo{head: t.head, doc: t.doc, example: t.example}
	for _, k := range t.keys {
		ti.keys = append(ti.keys, keyInfo{
			name: k.name, typ: k.value.typ, limits: k.value.limits, def: k.def,
			unit: k.unit, none: k.none, doc: k.doc, required: k.required, sub: k.value.sub,
		})
	}
	return ti
}

// walk calls visit for ti and every table below it, parents first.
func (ti tableInfo) walk(visit func(tableInfo)) {
	visit(ti)
	for _, k := range ti.keys {
		if k.sub != nil {
			k.sub().walk(visit)
		}
	}
}
