package disk

import (
	"fmt"
	"testing"
)

func TestPurge(t *testing.T) {
	r := open(t, Options{})
	names := []string{"a1", "a2", "b1", "b2"}
	hosts := map[string]string{"a1": "hx", "a2": "hx", "b1": "hy", "b2": "hy"}
	lengths := map[string]int{"a1": 10, "a2": 100_000, "b1": 20, "b2": 200_000}
	// f purges, and says what is left, at once and after a restart. A name in capitals
	// is there and soft.
	f := func(ban Ban, left string) {
		t.Helper()
		for i, name := range names {
			r.put(item(name, hosts[name], "t"+name[1:], "uhttp://"+hosts[name]+"/"+name), body(uint64(i), lengths[name]))
		}
		if err := r.Purge(ban); err != nil {
			t.Fatal(err)
		}
		for restart := range 3 {
			got := ""
			for _, name := range names {
				o, ok := r.Get([]byte(name))
				if !ok {
					continue
				}
				if o.Soft {
					name = string(name[0]-32) + name[1:]
				}
				got += name + " "
				o.Close()
			}
			if got != left {
				t.Errorf("%+v %q, restart %d: left %q, want %q", ban, ban.Label, restart, got, left)
			}
			r.reopen()
		}
		if err := r.Purge(Ban{All: true}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "everything is gone", func() bool { s := r.Stats(); return s.Objects == 0 && s.Bytes == 0 })
	}
	label := func(s string) Ban { return Ban{Label: []byte(s)} }
	f(label("ka1"), "a2 b1 b2 ")
	f(label("hx"), "b1 b2 ")
	f(label("h"), "a1 a2 b1 b2 ")
	f(label("t2"), "a1 b1 ")
	f(Ban{Label: []byte("uhttp://hx/"), Prefix: true}, "b1 b2 ")
	f(Ban{Label: []byte("uhttp://hx/a2"), Prefix: true}, "a1 b1 b2 ")
	f(Ban{Label: []byte("none"), Prefix: true}, "a1 a2 b1 b2 ")
	f(Ban{All: true}, "")
	f(Ban{All: true, Soft: true}, "A1 A2 B1 B2 ")
	f(Ban{Label: []byte("t1"), Soft: true}, "A1 a2 B1 b2 ")
	f(Ban{Label: []byte("uhttp://hy"), Prefix: true, Soft: true}, "a1 a2 B1 B2 ")
	if err := r.Purge(Ban{Label: make([]byte, maxPrefix+1), Prefix: true}); err != ErrLabel {
		t.Errorf("a long prefix: %v", err)
	}
}

// TestPurgeHitsFills: what was begun before a purge is not stored after it.
func TestPurgeHitsFills(t *testing.T) {
	r := open(t, Options{})
	f := func(n int, mark func() uint64, want error) {
		t.Helper()
		it := item("a")
		it.Mark = mark()
		if err := r.Purge(Ban{Label: []byte("ka")}); err != nil {
			t.Fatal(err)
		}
		if err := r.store(it, body(1, n)); err != want {
			t.Errorf("%d bytes: %v, want %v", n, err, want)
		}
		for range 2 {
			if _, ok := r.Get([]byte("a")); ok {
				t.Error("it is there")
			}
			r.reopen()
		}
	}
	f(10, r.Mark, errPurged)
	f(100_000, func() uint64 { return r.Mark() }, errPurged)
	for _, n := range []int{10, 100_000} {
		fill, err := r.Begin(item("a")) // its mark is that of Begin
		if err != nil {
			t.Fatal(err)
		}
		fill.Write(body(1, n))
		if err := r.Purge(Ban{All: true}); err != nil {
			t.Fatal(err)
		}
		if err := fill.Commit(); err != errPurged {
			t.Errorf("%d bytes: %v", n, err)
		}
		r.put(item("a"), body(2, n))
		r.want("a", body(2, n))
	}
}

// TestManyPurges: bans are carried out when there are many, and are forgotten then;
// what they hit stays gone, and what began before is not stored.
func TestManyPurges(t *testing.T) {
	r := open(t, Options{})
	for i := range 20 {
		r.put(item(fmt.Sprint("s", i), "t"+fmt.Sprint(i%2)), body(uint64(i), 10))
		r.put(item(fmt.Sprint("l", i), "t"+fmt.Sprint(i%2)), body(uint64(i), 100_000))
	}
	old := r.Mark()
	if err := r.Purge(Ban{Label: []byte("t1")}); err != nil {
		t.Fatal(err)
	}
	for i := range sweepPrefix + 1 {
		if err := r.Purge(Ban{Label: fmt.Append(nil, "u", i), Prefix: true}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the bans are carried out", func() bool { return r.Stats().Bans <= 1 })
	for range 2 {
		for i := range 20 {
			want := [2][]byte{body(uint64(i), 10), body(uint64(i), 100_000)}
			if i%2 == 1 {
				want = [2][]byte{}
			}
			r.want(fmt.Sprint("s", i), want[0])
			r.want(fmt.Sprint("l", i), want[1])
		}
		r.want("late", nil) // after a restart only a look tells that it was never let in
		if s := r.Stats(); s.Objects != 20 {
			t.Errorf("%d objects, want 20", s.Objects)
		}
		it := item("late", "t1")
		it.Mark = old
		if err := r.store(it, nil); err != errPurged {
			t.Errorf("begun before bans that are forgotten: %v", err)
		}
		if old > 0 {
			r.reopen()
			old = 1 // as a mark that was taken before the directory was ours
			if err := r.Purge(Ban{Label: []byte("t1")}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFarTooManyPurges: everything goes before the bans take memory without bound.
func TestFarTooManyPurges(t *testing.T) {
	var b bans
	b.addEqual(labelKey{1}, 1, false)
	for i := range mostPrefix + 1 {
		b.addPrefix(fmt.Append(nil, i), uint64(i+2), false)
	}
	if n := b.len(); n != 1 {
		t.Errorf("%d bans, want one", n)
	}
	if v := b.judge(nil, 3); v != purged {
		t.Errorf("an object without labels: %v", v)
	}
	if v := b.judge(nil, mostPrefix+2); v != clean {
		t.Errorf("a later one: %v", v)
	}
}

func TestJournal(t *testing.T) {
	var b bans
	b.add(Ban{Label: []byte("a")}, 10)
	b.add(Ban{Label: []byte("a"), Soft: true}, 12)
	b.add(Ban{Label: []byte("p"), Prefix: true}, 11)
	b.add(Ban{All: true, Soft: true}, 9)
	p := b.encode(nil, 7)
	p = appendBan(p, Ban{Label: []byte("b")}, 20)
	p = appendBan(p, Ban{Label: []byte("q"), Prefix: true, Soft: true}, 21)
	var got bans
	if g, err := got.decode(p); err != nil || g != 7 {
		t.Fatalf("generation %d, %v", g, err)
	}
	f := func(label string, mark uint64, want verdict) {
		t.Helper()
		if v := got.judge(appendLabels(nil, [][]byte{[]byte(label)}), mark); v != want {
			t.Errorf("%q at %d: %d, want %d", label, mark, v, want)
		}
	}
	f("a", 9, purged)
	f("a", 10, softly)
	f("a", 12, clean)
	f("x", 8, softly)
	f("x", 9, clean)
	f("pq", 10, purged)
	f("pq", 11, clean)
	f("b", 19, purged)
	f("b", 20, clean)
	f("q", 20, softly)
	f("q", 21, clean)
	for i := range p {
		for _, bit := range []byte{1, 0x80} {
			broken := append([]byte(nil), p...)
			broken[i] ^= bit
			if g, err := new(bans).decode(broken); err == nil {
				t.Errorf("byte %d changed: generation %d and no error", i, g)
			}
		}
	}
	whole := 0
	for i := range p {
		if _, err := new(bans).decode(p[:i]); err == nil {
			whole++ // cut where an entry ends: the purge that follows was not written yet
		}
	}
	if whole != 6 {
		t.Errorf("%d beginnings of the journal are whole, want 6", whole)
	}
}
