package conf

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// decoder turns the expressions of go-toml's parser into one tree with a place
// on every value. The parser knows TOML's syntax; which definitions may follow
// each other is checked here (see origin), because Unmarshal, which checks it
// too, stops at the first mistake and forgets where values stood.
type decoder struct {
	parser unstable.Parser
	rep    *report
	root   *node
	table  *node // the one the last header opened
}

// decode reads the whole source. It returns false after a syntax error, which
// is then the only finding of the report.
func decode(rep *report) (*node, bool) {
	text := rep.src.text
	d := &decoder{rep: rep, root: newTable(span{}, byHeader)}
	d.table = d.root
	// The capacity is clipped because the parser computes places from it.
	d.parser.Reset(slices.Clip(text))
	for d.parser.NextExpression() {
		switch n := d.parser.Expression(); n.Kind {
		case unstable.KeyValue:
			d.keyValue(d.table, n)
		case unstable.Table:
			d.header(n, false)
		case unstable.ArrayTable:
			d.header(n, true)
		}
	}
	if err := d.parser.Error(); err != nil {
		d.syntax(err)
		return nil, false
	}
	return d.root, true
}

func (d *decoder) syntax(err error) {
	d.rep.found = nil
	var perr *unstable.ParserError
	if !errors.As(err, &perr) {
		d.rep.add(span{}, "", "cannot parse TOML: %v", err)
		return
	}
	at := rangeSpan(d.parser.Range(perr.Highlight))
	message, suggestion := perr.Message, ""
	for _, r := range reworded {
		if strings.HasPrefix(message, r.begins) {
			message = r.message
		}
	}
	if strings.HasPrefix(message, "strings must be quoted") || strings.HasPrefix(message, "unexpected character") {
		suggestion = unquoted(d.rep.src, at.pos)
	}
	d.rep.add(at, suggestion, "cannot parse TOML: %s", message)
}

// reworded says what is wrong where the parser says what it saw.
var reworded = []struct{ begins, message string }{
	{"unexpected character U+000A at start of value", "the value is missing"},
	{"unexpected character U+000D at start of value", "the value is missing"},
	{"expected value, not end of input", "the value is missing"},
	{"basic strings cannot have new lines", "the string is not closed on its line"},
	{"literal strings cannot have new lines", "the string is not closed on its line"},
	{"unterminated", "the string is not closed"},
	{"expected newline but got", "expected the end of the line"},
}

// bareWord finds a value that was written without quotes.
var bareWord = regexp.MustCompile(`=\s*([A-Za-z0-9_.:/*@%+-]+)\s*(?:#.*)?$`)

// unquoted returns the value on the line of pos with quotes, if the missing
// quotes are the likely mistake.
func unquoted(src *source, pos int) string {
	line := src.lineSpan(src.line(min(pos, len(src.text))))
	m := bareWord.FindSubmatchIndex(src.text[line.pos:line.end])
	if m == nil || pos < line.pos+m[2] || pos >= line.pos+m[3] {
		return ""
	}
	return `"` + string(src.text[line.pos+m[2]:line.pos+m[3]]) + `"`
}

// header opens the table of [a.b] or [[a.b]].
func (d *decoder) header(n *unstable.Node, array bool) {
	parts := keyParts(n)
	last := parts[len(parts)-1]
	parent := d.root
	for i, k := range parts[:len(parts)-1] {
		e := parent.get(k.name)
		if e == nil {
			e = parent.put(k, newTable(k.at, byPath))
		}
		next := e.value
		if next.form == formArray && next.origin == byHeader {
			next = next.items[len(next.items)-1]
		}
		if next.form != formTable || next.origin == byValue {
			d.rep.add(k.at, "", "cannot extend %q: it is %s defined on line %d",
				join(parts[:i+1]), closedForm(e.value), d.rep.src.line(e.at.pos))
			// What follows belongs nowhere; it must not cause more problems.
			d.table = newTable(last.at, byHeader)
			return
		}
		parent = next
	}
	if array {
		d.table = d.arrayElement(parent, last, join(parts))
	} else {
		d.table = d.tableOnce(parent, last, join(parts))
	}
}

// tableOnce returns the table a [header] fills.
func (d *decoder) tableOnce(parent *node, k keyPart, path string) *node {
	e := parent.get(k.name)
	if e == nil {
		return parent.put(k, newTable(k.at, byHeader)).value
	}
	if t := e.value; t.form == formTable && t.origin == byPath {
		t.origin, t.at, e.at = byHeader, k.at, k.at
		return t
	}
	suggestion := ""
	if e.value.form == formArray && e.value.origin == byHeader {
		suggestion = "[[" + path + "]]"
	}
	d.rep.add(k.at, suggestion, "table [%s] is already defined on line %d", path, d.rep.src.line(e.at.pos))
	twin := newTable(k.at, byHeader)
	twin.twin = true
	e.twins = append(e.twins, twin)
	return twin
}

// arrayElement returns the new element a [[header]] fills.
func (d *decoder) arrayElement(parent *node, k keyPart, path string) *node {
	element := newTable(k.at, byHeader)
	e := parent.get(k.name)
	switch {
	case e == nil:
		parent.put(k, &node{form: formArray, at: k.at, origin: byHeader, items: []*node{element}})
	case e.value.form == formArray && e.value.origin == byHeader:
		e.value.items = append(e.value.items, element)
	default:
		d.rep.add(k.at, "", "cannot add an element to %q: it is %s defined on line %d",
			path, closedForm(e.value), d.rep.src.line(e.at.pos))
		element.twin = true
		e.twins = append(e.twins, &node{
			form: formArray, at: k.at, origin: byHeader, items: []*node{element}, twin: true,
		})
	}
	return element
}

// keyValue adds key = value, or a.b.key = value, to table and returns the
// offset behind it.
func (d *decoder) keyValue(table *node, n *unstable.Node) int {
	parts := keyParts(n)
	last := parts[len(parts)-1]
	value, end := d.value(n.Value(), d.valueStart(last.at.end))
	for i, k := range parts[:len(parts)-1] {
		e := table.get(k.name)
		if e == nil {
			e = table.put(k, newTable(k.at, byDots))
		}
		if e.value.form != formTable || e.value.origin != byDots {
			d.rep.add(k.at, "", "cannot extend %q: it is %s defined on line %d",
				join(parts[:i+1]), closedForm(e.value), d.rep.src.line(e.at.pos))
			return end
		}
		table = e.value
	}
	if e := table.get(last.name); e != nil {
		d.rep.add(last.at, "", "key %q is already defined on line %d", join(parts), d.rep.src.line(e.at.pos))
		value.twin = true
		e.twins = append(e.twins, value)
		return end
	}
	table.put(last, value)
	return end
}

// value converts the value that starts at pos and returns the offset behind it.
// Places are computed on the way because the parser gives none for arrays.
func (d *decoder) value(n *unstable.Node, pos int) (*node, int) {
	switch n.Kind {
	case unstable.Array:
		v := &node{form: formArray}
		end := pos + 1
		for it := n.Children(); it.Next(); {
			var item *node
			item, end = d.value(it.Node(), d.skip(end))
			v.items = append(v.items, item)
		}
		v.at = span{pos, d.skip(end) + 1}
		return v, v.at.end
	case unstable.InlineTable:
		v := newTable(span{}, byValue)
		end := pos + 1
		for it := n.Children(); it.Next(); {
			end = d.keyValue(v, it.Node())
		}
		v.at = span{pos, d.skip(end) + 1}
		return v, v.at.end
	}
	v := &node{form: scalarForm(n.Kind), at: rangeSpan(n.Raw), text: string(n.Data)}
	return v, v.at.end
}

// valueStart returns where the value of a key that ends at pos starts.
func (d *decoder) valueStart(pos int) int {
	text := d.rep.src.text
	for text[pos] == ' ' || text[pos] == '\t' || text[pos] == '=' {
		pos++
	}
	return pos
}

// skip returns the offset of the first byte from pos on that is not white
// space, a comma or a comment.
func (d *decoder) skip(pos int) int {
	text := d.rep.src.text
	for {
		switch text[pos] {
		case ' ', '\t', '\r', '\n', ',':
			pos++
		case '#':
			for text[pos] != '\n' {
				pos++
			}
		default:
			return pos
		}
	}
}

func scalarForm(k unstable.Kind) form {
	switch k {
	case unstable.String:
		return formString
	case unstable.Bool:
		return formBool
	case unstable.Float:
		return formFloat
	case unstable.Integer:
		return formInteger
	case unstable.LocalDate, unstable.LocalTime, unstable.LocalDateTime, unstable.DateTime:
		return formTime
	}
	panic(fmt.Sprintf("BUG: TOML value of unexpected kind %s", k))
}

func keyParts(n *unstable.Node) []keyPart {
	var parts []keyPart
	for it := n.Key(); it.Next(); {
		k := it.Node()
		parts = append(parts, keyPart{string(k.Data), rangeSpan(k.Raw)})
	}
	return parts
}

func rangeSpan(r unstable.Range) span {
	return span{int(r.Offset), int(r.Offset + r.Length)}
}

// join writes the parts of a key as the file would.
func join(parts []keyPart) string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	return strings.Join(names, ".")
}

// closedForm says why something cannot be added to a value.
func closedForm(n *node) string {
	switch {
	case n.form == formTable && n.origin == byValue:
		return "an inline table"
	case n.form == formArray && n.origin == byHeader:
		return "an array of tables"
	}
	return n.form.String()
}
