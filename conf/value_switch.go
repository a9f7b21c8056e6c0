package conf

import (
	"strconv"
	"strings"
	"time"
)

// switched is optional, and may also be written as true, which is the table with its
// defaults, or as false, which is no table.
func switched[T, S any](field func(*T) **S, t table[S]) value[T] {
	v := optional(field, t)
	bindTable := v.bind
	v.typ, v.limits = "boolean or table", "true, false, or its keys"
	v.bind = func(b *binder, dst *T, name string, n *node) {
		switch {
		case n.form == formTable:
			bindTable(b, dst, name, n)
		case n.form == formBool && n.text == "true":
			s := new(S)
			*field(dst) = s
			b.mark(field(dst), n)
			t.absent(b, s)
		case n.form != formBool:
			b.mark(field(dst), n)
			b.add(n.at, "", "%s: expected true, false or a table, got %s", name, n.form)
		}
	}
	return v
}

// statusTTLs is a table whose keys are status codes and whose values are durations.
func statusTTLs[T any](field func(*T) *[]StatusTTL, status kind[int], ttl kind[time.Duration]) value[T] {
	return value[T]{
		typ: "table of " + ttl.plural, limits: "status codes " + status.limits + ", and " + ttl.limits,
		bind: func(b *binder, dst *T, key string, n *node) {
			p := field(dst)
			b.mark(p, n)
			if !b.want(n, formTable, key) {
				return
			}
			*p = make([]StatusTTL, len(n.keys))
			for i, e := range n.keys {
				s := &(*p)[i]
				b.markSpan(&s.Status, e.at)
				if strings.Trim(e.name, "0123456789") != "" || len(e.name) != 3 {
					b.add(e.at, "", "%s: %q is not a status code", key, e.name)
				} else {
					bindKind(b, &s.Status, key, &node{form: formInteger, text: e.name, at: e.at}, status)
				}
				b.mark(&s.TTL, e.value)
				bindKind(b, &s.TTL, key+"."+e.name, e.value, ttl)
			}
		},
		show: func(src *T) any {
			all := object{}
			for _, s := range *field(src) {
				all = append(all, member{strconv.Itoa(s.Status), ttl.show(s.TTL)})
			}
			return all
		},
	}
}
