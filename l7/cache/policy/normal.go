package policy

import (
	"bytes"
	"strconv"

	"weir/l7/message"
)

// maxItems bounds the items of a list that are sorted; a longer one is compared as it
// is written.
const maxItems = 16

// appendNormal appends the values of a field in a form that is the same for values of
// the same meaning.
func appendNormal(dst []byte, id message.ID, name []byte, fields []message.Field) []byte {
	switch {
	case id == message.AcceptEncoding:
		if out, ok := appendCodings(dst, fields); ok {
			return out
		}
	case message.EqualFold(name, "accept-language"), message.EqualFold(name, "accept-charset"):
		if out, ok := appendWeighted(dst, id, name, fields); ok {
			return out
		}
	case isOpaque(id, name):
		return appendLines(dst, id, name, fields, false)
	}
	return appendLines(dst, id, name, fields, true)
}

// isOpaque reports whether a field is no list, so that white space around a comma
// belongs to its value.
func isOpaque(id message.ID, name []byte) bool {
	switch id {
	case message.Authorization, message.Cookie, message.UserAgent:
		return true
	case message.Unknown:
		return message.EqualFold(name, "referer")
	default:
		return false
	}
}

// appendLines appends the lines of a field as one list: lines are joined by commas (RFC
// 9110 section 5.3), and of a list the white space around commas goes that is not within
// quotes.
func appendLines(dst []byte, id message.ID, name []byte, fields []message.Field, list bool) []byte {
	first := true
	for i := range fields {
		if !isField(&fields[i], id, name) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if list {
			dst = appendTight(dst, fields[i].Value)
		} else {
			dst = append(dst, fields[i].Value...)
		}
	}
	return dst
}

// appendTight appends a list without white space around its commas.
func appendTight(dst, b []byte) []byte {
	for len(b) > 0 {
		c := b[0]
		switch c {
		case '"':
			end := quotedEnd(b)
			if end < 0 {
				return append(dst, b...)
			}
			dst, b = append(dst, b[:end]...), b[end:]
			continue
		case ' ', '\t':
			n := 1
			for n < len(b) && (b[n] == ' ' || b[n] == '\t') {
				n++
			}
			if n < len(b) && b[n] == ',' {
				b = b[n:]
				continue
			}
		case ',':
			dst, b = append(dst, c), bytes.TrimLeft(b[1:], " \t")
			continue
		}
		dst, b = append(dst, c), b[1:]
	}
	return dst
}

// item is one of a list with weights: its name, and its weight in thousandths.
type item struct {
	name   []byte
	weight int
}

// appendCodings appends the set of codings that an Accept-Encoding takes, sorted: which
// of them a backend chooses is its choice, and any one is right for both of two requests
// with the same set. identity is always in it unless it is refused.
func appendCodings(dst []byte, fields []message.Field) (out []byte, ok bool) {
	var buf [maxItems]item
	items, ok := readItems(buf[:0], message.AcceptEncoding, nil, fields)
	if !ok {
		return dst, false
	}
	n := 0
	for _, it := range items {
		switch {
		case string(it.name) == "*":
			return appendWeighted(dst, message.AcceptEncoding, nil, fields) // it stands for all others
		case message.EqualFold(it.name, "identity") && it.weight > 0:
			continue // it is taken anyway
		case message.EqualFold(it.name, "x-gzip"):
			it.name = codingGzip
		case message.EqualFold(it.name, "x-compress"):
			it.name = codingCompress
		}
		if it.weight > 0 {
			it.weight = 1000
		}
		n = insertItem(items[:n], it, false)
	}
	return appendItems(dst, items[:n]), true
}

var codingGzip, codingCompress = []byte("gzip"), []byte("compress") // only read

// appendWeighted appends a list with weights in the order of preference, in lower case.
func appendWeighted(dst []byte, id message.ID, name []byte, fields []message.Field) (out []byte, ok bool) {
	var buf [maxItems]item
	items, ok := readItems(buf[:0], id, name, fields)
	if !ok {
		return dst, false
	}
	n := 0
	for _, it := range items {
		n = insertItem(items[:n], it, true)
	}
	return appendItems(dst, items[:n]), true
}

// insertItem inserts an item in order, by weight first where that counts, and returns
// how many there are then; one that is there already is not inserted again. There is
// room behind items.
func insertItem(items []item, it item, byWeight bool) int {
	n := len(items)
	i := n
	for ; i > 0; i-- {
		order := compareItems(items[i-1], it, byWeight)
		if order == 0 {
			return n
		}
		if order < 0 {
			break
		}
	}
	items = items[:n+1]
	copy(items[i+1:], items[i:n])
	items[i] = it
	return n + 1
}

func compareItems(a, b item, byWeight bool) int {
	if byWeight && a.weight != b.weight {
		return b.weight - a.weight
	}
	if order := compareFold(a.name, b.name); order != 0 {
		return order
	}
	return b.weight - a.weight
}

func appendItems(dst []byte, items []item) []byte {
	for i, it := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLower(dst, it.name)
		if it.weight != 1000 {
			dst = strconv.AppendInt(append(dst, ';'), int64(it.weight), 10)
		}
	}
	return dst
}

// readItems reads the lines of a field as one list of tokens with weights. It is not ok
// when there are too many, or something else is in it.
func readItems(items []item, id message.ID, name []byte, fields []message.Field) (out []item, ok bool) {
	for i := range fields {
		if !isField(&fields[i], id, name) {
			continue
		}
		for rest, more := fields[i].Value, true; more; {
			var one []byte
			one, rest, more = cut(rest, ',')
			if one = trim(one); len(one) == 0 {
				continue
			}
			token, params, weighted := cut(one, ';')
			it := item{trim(token), 1000}
			if weighted {
				it.weight = parseWeight(trim(params))
			}
			if len(items) == cap(items) || it.weight < 0 || !message.ValidName(it.name) {
				return nil, false
			}
			items = append(items, it)
		}
	}
	return items, true
}

// parseWeight reads "q=0.5" in thousandths (RFC 9110 section 12.4.2); -1 for what is none.
func parseWeight(b []byte) int {
	if len(b) < 3 || len(b) > len("q=0.999") || lower(b[0]) != 'q' || b[1] != '=' || b[2] != '0' && b[2] != '1' {
		return -1
	}
	n := int(b[2]-'0') * 1000
	if len(b) == 3 {
		return n
	}
	if b[3] != '.' {
		return -1
	}
	scale := 100
	for _, c := range b[4:] {
		if c < '0' || c > '9' {
			return -1
		}
		n += int(c-'0') * scale
		scale /= 10
	}
	if n > 1000 {
		return -1
	}
	return n
}
