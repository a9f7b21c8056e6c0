package conf

// optional is a table whose presence means something and that fills a struct of
// its own: nil where the file has none.
func optional[T, S any](field func(*T) **S, t table[S]) value[T] {
	return value[T]{
		typ: "table",
		bind: func(b *binder, dst *T, name string, n *node) {
			s := new(S)
			*field(dst) = s
			b.mark(field(dst), n)
			t.absent(b, s)
			if b.want(n, formTable, name) {
				t.bind(b, s, n)
			}
		},
		show: func(src *T) any {
			if *field(src) == nil {
				return nil
			}
			return t.show(*field(src))
		},
		sub: t.info,
	}
}

// fieldValues is a table whose keys are names of header fields: an open set, so
// not a table of the schema.
func fieldValues[T any](field func(*T) *[]FieldValue, name kind[string], k kind[Template]) value[T] {
	return value[T]{
		typ: "table of " + k.plural, limits: "field names and their values",
		bind: func(b *binder, dst *T, key string, n *node) {
			p := field(dst)
			b.mark(p, n)
			if !b.want(n, formTable, key) {
				return
			}
			*p = make([]FieldValue, len(n.keys))
			for i, e := range n.keys {
				v := &(*p)[i]
				b.markSpan(&v.Name, e.at)
				b.mark(&v.Value, e.value)
				bindKind(b, &v.Name, key, &node{form: formString, text: e.name, at: e.at}, name)
				bindKind(b, &v.Value, key+"."+e.name, e.value, k)
			}
		},
		show: func(src *T) any {
			all := object{}
			for _, v := range *field(src) {
				all = append(all, member{v.Name, k.show(v.Value)})
			}
			return all
		},
	}
}
