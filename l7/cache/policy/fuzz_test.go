package policy

import (
	"bytes"
	"strings"
	"testing"

	"weir/l7/message"
)

// FuzzDirectives: no octets make the parser stop short or go on for ever; what it reads
// does not depend on white space around commas; and what forbids storing is found by a
// twin that knows nothing but commas, as long as there are no quotes.
func FuzzDirectives(f *testing.F) {
	for _, s := range []string{"", "max-age=60, no-store", "a=\"b, no-store\", private=\"x\"", "no-cache=\"", "=,\"", "s-maxage=1 2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		c := newControl()
		c.readControl([]byte(in))
		spaced := newControl()
		spaced.readControl([]byte("\t " + in + " ,"))
		if c.show() != spaced.show() && !strings.Contains(in, "\"") {
			t.Errorf("%q: %s, with space around it %s", in, c.show(), spaced.show())
		}
		if strings.Contains(in, "\"") {
			return
		}
		for item := range strings.SplitSeq(strings.ToLower(in), ",") {
			name, _, _ := strings.Cut(strings.Trim(item, " \t"), "=")
			if name == "no-store" && !c.noStore || name == "private" && !c.private && c.nNamed == 0 {
				t.Errorf("%q: %s", in, c.show())
			}
		}
	})
}

// FuzzTarget: a dictionary that is taken means the same when it is cut into lines at its
// commas, as long as these are not in strings or lists, and never more than Cache-Control
// does about storing.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"max-age=60, no-store", "a=(1 2);b, c=:YQ==:, d=?0", "private=\"x, y\"", "a=1.5;q=*x", "a,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if strings.ContainsAny(in, "\r\n\x00") {
			return
		}
		field := func(values ...string) (out []message.Field) {
			for _, v := range values {
				out = append(out, message.Field{Name: []byte("X-Cache-Control"), Value: trim([]byte(v))})
			}
			return out
		}
		c, ok := readTarget(field(in), "x-cache-control")
		if !ok || strings.ContainsAny(in, "\"(") {
			return
		}
		lines, again := readTarget(field(strings.Split(in, ",")...), "x-cache-control")
		if !again || lines.show() != c.show() {
			t.Errorf("%q: %s, on lines of their own: %v %s", in, c.show(), again, lines.show())
		}
	})
}

// FuzzVary: the set of names does not depend on order, case and lines, and requests that
// differ in no named field are one variant.
func FuzzVary(f *testing.F) {
	for _, s := range []string{"", "a, B,a", "*", "accept-encoding, accept-language, x"} {
		f.Add(s, "gzip, br;q=0.5", "x, \"y, z\"")
	}
	f.Fuzz(func(t *testing.T, vary, a, b string) {
		fields := func(values ...string) (out []message.Field) {
			for _, v := range values {
				out = append(out, message.Field{Name: []byte("Vary"), Value: trim([]byte(v)), Known: message.Vary})
			}
			return out
		}
		names, ok := AppendVary(nil, fields(vary))
		if !ok {
			return
		}
		items := strings.Split(strings.ToUpper(vary), ",")
		for i, j := 0, len(items)-1; i < j; i, j = i+1, j-1 {
			items[i], items[j] = items[j], items[i]
		}
		if again, ok := AppendVary(nil, fields(items...)); !ok || !bytes.Equal(again, names) {
			t.Errorf("%q: %q, the other way round %q", vary, names, again)
		}
		var req []message.Field
		for name := range strings.SplitSeq(string(names), ",") {
			for _, v := range []string{a, b} {
				req = append(req, message.Field{Name: []byte(name), Value: trim([]byte(v)), Known: message.Lookup([]byte(name))})
			}
		}
		one := AppendVariant(nil, names, req)
		other := append([]message.Field{{Name: []byte("!"), Value: []byte("1")}}, req...)
		if two := AppendVariant(nil, names, other); !strings.Contains(","+string(names)+",", ",!,") && !bytes.Equal(one, two) {
			t.Errorf("%q: %q and %q", vary, one, two)
		}
	})
}

// FuzzMeta: what is taken can be written and read again, and its times can be added.
func FuzzMeta(f *testing.F) {
	m := Meta{Status: 200, Flags: HasETag, Received: 5, Lifetime: 7}
	f.Add(m.Append(nil))
	f.Add(bytes.Repeat([]byte{1}, MetaSize))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, ok := ParseMeta(in)
		if !ok {
			return
		}
		if !bytes.Equal(m.Append(nil), in[:MetaSize]) {
			t.Errorf("%x becomes %x", in[:MetaSize], m.Append(nil))
		}
		w := Wish{maxAge: none, maxStale: none, minFresh: none, onError: none}
		if d := Reuse(&Config{}, &m, &w, now); d.Age < 0 || d.Age < m.InitialAge {
			t.Errorf("%+v: %+v", m, d)
		}
	})
}

// FuzzReference: a reference that is taken makes a key of this host, whatever it is.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"/a/../b?c#d", "//example.com", "http://example.com/..", "g;x=1/./y", "?", "http:"} {
		f.Add(s)
	}
	k := NewKeyPolicy(KeyParts{})
	f.Fuzz(func(t *testing.T, ref string) {
		req := request(t, "POST /x/y HTTP/1.1")
		start := AppendKey(nil, k, "http", req)
		start = start[:bytes.Index(start, []byte("example.com"))+len("example.com")]
		if key, ok := AppendReferenceKey(nil, k, "http", req, []byte(ref)); ok && !bytes.HasPrefix(key, start) {
			t.Errorf("%q: %q", ref, key)
		}
	})
}

// FuzzConditions: no value makes a condition hold that a stored tag is not in.
func FuzzConditions(f *testing.F) {
	for _, s := range []string{"*", "\"a\", W/\"b\"", "a,b", "\"", "W/"} {
		f.Add(s, "\"a\"")
	}
	f.Fuzz(func(t *testing.T, list, tag string) {
		weak := message.HasTag([]byte(list), []byte(tag), false)
		if strong := message.HasTag([]byte(list), []byte(tag), true); strong && !weak {
			t.Errorf("%q has %q strongly and not weakly", list, tag)
		}
		if weak && strings.Trim(list, " \t") != "*" && !strings.Contains(list, strings.TrimPrefix(tag, "W/")) {
			t.Errorf("%q is said to have %q", list, tag)
		}
	})
}
