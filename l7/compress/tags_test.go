package compress

import (
	"bytes"
	"testing"

	"weir/l7/message"
)

func TestTags(t *testing.T) {
	var tags Tags
	f := func(value, want string) {
		t.Helper()
		if got := string(tags.AppendWeak(nil, "app", []byte(value))); got != want {
			t.Errorf("%s: got %s, want %s", value, got, want)
		}
	}
	f(`"v1"`, `W/"v1"`)
	f(`""`, `W/""`)
	f(`W/"v2"`, `W/"v2"`)
	f(`v3`, `v3`)       // not a tag
	f(`"v"4"`, `"v"4"`) // nor this
	f(`"`, `"`)

	r := func(scope, name, value, want string, wantRestored bool) {
		t.Helper()
		fields := []message.Field{{Name: []byte(name), Value: []byte(value), Known: message.Lookup([]byte(name))}}
		restored := tags.Restore(scope, fields)
		if got := string(fields[0].Value); got != want || restored != wantRestored {
			t.Errorf("%s %s: %s: got %s %v, want %s", scope, name, value, got, restored, want)
		}
	}
	r("app", "If-None-Match", `W/"v1"`, `"v1"`, true)
	r("app", "if-none-match", `W/"v2" , W/"v1",,W/""`, `W/"v2" , "v1",,""`, true)
	r("app", "If-Match", `W/"v1"`, `"v1"`, false)
	r("app", "If-None-Match", `"v1"`, `"v1"`, false)
	r("app", "If-None-Match", `*`, `*`, false)
	r("app", "If-None-Match", ``, ``, false)
	r("app", "If-None-Match", `w/"v1"`, `w/"v1"`, false)
	r("app", "If-None-Match", `garbage W/"v1"`, `garbage W/"v1"`, false)
	r("app", "If-None-Match", `W/"v1`, `W/"v1`, false)
	r("app", "If-None-Match", `W/`, `W/`, false)
	r("app", "If-Range", `W/"v1"`, `W/"v1"`, false)
	r("other", "If-None-Match", `W/"v1"`, `W/"v1"`, false)
}

// FuzzRestore: but for the W/ that it takes away, it changes nothing.
func FuzzRestore(f *testing.F) {
	f.Add([]byte(`W/"a", "b",W/"c"`))
	f.Add([]byte(`W/W/"a" W/"`))
	f.Fuzz(func(t *testing.T, list []byte) {
		var tags Tags
		for n := range list { // some of its tags are known
			if size, weak := nextTag(list[n:]); weak && n%2 == 0 {
				tags.AppendWeak(nil, "app", list[n+2:n+size])
			}
		}
		before := bytes.Clone(list)
		got := tags.restore("app", list)
		if string(bytes.ReplaceAll(got, []byte("W/"), nil)) != string(bytes.ReplaceAll(before, []byte("W/"), nil)) &&
			!bytes.Contains(before, []byte("WW//")) && !bytes.Contains(before, []byte("W//")) {
			t.Fatalf("%q became %q", before, got)
		}
		if len(got) > len(before) {
			t.Fatalf("%q grew to %q", before, got)
		}
	})
}
