package message

import "bytes"

// trailer collects the trailer section of a chunked body. It owns a copy of the
// octets, because the input they came in is gone by the time they are wanted.
type trailer struct {
	lim    Limits
	plain  bool // leave out names that requests may not have either
	buf    []byte
	line   int // where the line that is being read starts in buf
	count  int
	ends   []int32
	fields []Field
}

// keepTrailer is the largest buffer that is kept for the next message.
const keepTrailer = 4 << 10

func (t *trailer) reset(limits *Limits, plain bool) {
	clear(t.fields)
	*t = trailer{lim: limits.orDefault(), plain: plain, buf: t.buf[:0], ends: t.ends[:0], fields: t.fields[:0]}
	if cap(t.buf) > keepTrailer {
		t.buf = nil
	}
}

// take uses octets of in up to the empty line that ends the section.
func (t *trailer) take(in []byte) (n int, end bool, why reason) {
	for n < len(in) {
		rest := in[n:]
		i := bytes.IndexByte(rest, '\n')
		used := i + 1
		if i < 0 {
			used = len(rest)
		}
		if len(t.buf)+used > t.lim.MaxHead {
			return n, false, headTooLarge
		}
		t.buf = append(t.buf, rest[:used]...)
		n += used
		if i < 0 {
			return n, false, ok
		}
		cr := len(t.buf) - 2
		if cr < t.line || t.buf[cr] != '\r' {
			return n, false, bareLF
		}
		if cr == t.line {
			return n, true, t.parse()
		}
		if t.count++; t.count > t.lim.MaxFields {
			return n, false, tooManyFields
		}
		t.ends = append(t.ends, int32(cr))
		t.line = len(t.buf)
	}
	return n, false, ok
}

func (t *trailer) parse() reason {
	start := 0
	for _, end := range t.ends {
		name, value, class, why := parseField(t.buf[start:end])
		if why != ok {
			return why
		}
		start = int(end) + 2
		id := Lookup(name)
		if !isForbiddenTrailer(id, name) && (class&isPlain != 0 || !t.plain) {
			t.fields = append(t.fields, Field{Name: name, Value: value, Known: id})
		}
	}
	return ok
}
