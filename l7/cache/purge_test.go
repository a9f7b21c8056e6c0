package cache

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// purgeRig stores a few objects under hosts, paths and tags.
func purgeRig(t *testing.T) *Store {
	s := newStore(t, Options{})
	f := func(target, tags string, lines ...string) {
		o := object(request(t, target, lines...), "X")
		for _, tag := range tags {
			o.Tags = append(o.Tags, []byte{byte(tag)})
		}
		mustPut(t, s, o, target)
	}
	f("/a/1", "xy")
	f("/a/1", "y", "X: 1")
	f("/a/2", "")
	f("/b/1", "xz")
	return s
}

func TestPurge(t *testing.T) {
	f := func(sel Selector, n int, left ...string) {
		t.Helper()
		for _, soft := range []bool{false, true} {
			s := purgeRig(t)
			sel.Soft = soft
			if got := s.Purge(&sel, testNow); got != n {
				t.Errorf("%+v: %d hit, want %d", sel, got, n)
			}
			fresh := 0
			for _, target := range []string{"/a/1", "/a/1 1", "/a/2", "/b/1"} {
				req := request(t, target[:4], "X: 1")
				if len(target) == 4 {
					req = request(t, target)
				}
				var ref Ref
				hit := s.Lookup(keyOf(req), req, testNow, &ref) == Hit
				if soft && !hit {
					t.Errorf("%+v: %s is gone", sel, target)
				}
				stays := hit && ref.Meta().TTL(testNow) > 0
				if stays {
					fresh++
				}
				if want := slices.Contains(left, target); stays != want {
					t.Errorf("%+v: %s stays %v, want %v", sel, target, stays, want)
				}
				ref.Release()
			}
			if fresh != len(left) {
				t.Errorf("%+v: %d stay", sel, fresh)
			}
		}
	}
	f(Selector{Key: keyOf(request(t, "/a/1"))}, 2, "/a/2", "/b/1")
	f(Selector{Key: []byte("no key")}, 0, "/a/1", "/a/1 1", "/a/2", "/b/1")
	f(Selector{Host: []byte("a.example")}, 4)
	f(Selector{Host: []byte("b.example")}, 0, "/a/1", "/a/1 1", "/a/2", "/b/1")
	f(Selector{Host: []byte("a.example"), Path: []byte("/a/")}, 3, "/b/1")
	f(Selector{Host: []byte("a.example"), Path: []byte("/b/1")}, 1, "/a/1", "/a/1 1", "/a/2")
	f(Selector{Tag: []byte("x")}, 2, "/a/1 1", "/a/2")
	f(Selector{Tag: []byte("y")}, 2, "/a/2", "/b/1")
	f(Selector{Tag: []byte("-")}, 0, "/a/1", "/a/1 1", "/a/2", "/b/1")
	f(Selector{All: true}, 4)
}

// TestPurgeHitsWhatIsFetched: what was asked for before a purge is not stored after it.
func TestPurgeHitsWhatIsFetched(t *testing.T) {
	req := request(t, "/a/1")
	for _, sel := range []Selector{
		{Key: keyOf(req)},
		{Host: []byte("a.example")},
		{Host: []byte("a.example"), Path: []byte("/a")},
		{Tag: []byte("x")},
		{All: true},
	} {
		s := newStore(t, Options{})
		o := object(req, "")
		o.Tags = [][]byte{[]byte("x")}
		o.Since = s.Epoch()
		s.Purge(&Selector{Tag: []byte("other")}, testNow)
		if f, err := s.Begin(o); err != nil {
			t.Errorf("%+v: %v", sel, err)
		} else {
			f.Abort(nil)
		}
		f, err := s.Begin(o) // its head came before the purge
		if err != nil {
			t.Fatal(err)
		}
		s.Purge(&sel, testNow)
		if err := f.Commit(); err != nil {
			t.Error(err)
		}
		if got := found(t, s, req); got != "-" {
			t.Errorf("%+v: found %q", sel, got)
		}
		if _, err := s.Begin(o); !errors.Is(err, ErrPurged) {
			t.Errorf("%+v: got %v", sel, err)
		}
		soft := sel
		soft.Soft = true
		o.Since = s.Epoch()
		s.Purge(&soft, testNow)
		f, err = s.Begin(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		var ref Ref
		if s.Lookup(keyOf(req), req, testNow, &ref) != Hit || ref.Meta().TTL(testNow) > 0 {
			t.Errorf("%+v: not stale", soft)
		}
		ref.Release()
		o.Since = s.Epoch()
		for range recentPurges + 1 {
			s.Purge(&Selector{Host: []byte("other")}, testNow)
		}
		if f, err := s.Begin(o); !errors.Is(err, ErrPurged) {
			f.Abort(nil)
			t.Errorf("after more purges than are remembered: %v", err)
		}
	}
}

func TestRefresh(t *testing.T) {
	for _, n := range []int{0, 10, 2000, 8000, 60_000, 500_000} {
		s := newStore(t, Options{Budget: 32 << 20})
		req := request(t, "/r", "X: 1")
		want := body(n, "r")
		o := object(req, "X")
		o.Tags = [][]byte{[]byte("tag")}
		mustPut(t, s, o, want)
		var old Ref
		s.Lookup(keyOf(req), req, testNow, &old)
		d, err := s.BeginDerived(&old, "gzip")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Write([]byte("zipped"), nil); err != nil {
			t.Fatal(err)
		}
		if err := d.Commit(); err != nil {
			t.Fatal(err)
		}
		var ref Ref
		s.Lookup(keyOf(req), req, testNow, &ref)
		for _, head := range []string{"short", body(3000, "head"), "x", ""} {
			m := meta()
			m.Lifetime += time.Minute
			if !s.Refresh(&ref, &m, []byte(head), 0) {
				t.Fatalf("%d bytes: not refreshed", n)
			}
			if string(ref.Head()) != head || ref.Meta().Lifetime != 2*time.Minute || readAll(t, &ref) != want {
				t.Errorf("%d bytes: head %q", n, ref.Head())
			}
			if got := found(t, s, req); got != want {
				t.Errorf("%d bytes: found %d", n, len(got))
			}
			var zip Ref
			if !s.Derived(&ref, "gzip", &zip) || readAll(t, &zip) != "zipped" {
				t.Errorf("%d bytes: what was derived is gone", n)
			}
			zip.Release()
		}
		if got := readAll(t, &old); got != want || string(old.Head()) != string(o.Head) {
			t.Errorf("%d bytes: the old one has changed", n)
		}
		if m := meta(); s.Refresh(&old, &m, nil, 0) {
			t.Error("what was refreshed is refreshed again")
		}
		old.Release()

		since := s.Epoch()
		s.Purge(&Selector{Tag: []byte("tag"), Soft: true}, testNow)
		if m := meta(); s.Refresh(&ref, &m, nil, since) {
			t.Error("what was purged softly meanwhile is refreshed")
		}
		if m := meta(); !s.Refresh(&ref, &m, nil, s.Epoch()) {
			t.Error("what was purged softly before is not refreshed")
		}
		s.Purge(&Selector{Tag: []byte("tag")}, testNow)
		if m := meta(); s.Refresh(&ref, &m, nil, 0) {
			t.Error("what was purged is refreshed")
		}
		if got := readAll(t, &ref); got != want {
			t.Errorf("%d bytes: the purge has changed what is read", n)
		}
		ref.Release()
		if n := s.Stats().Objects; n != 0 {
			t.Errorf("%d objects are left", n)
		}
	}
}

func TestDerived(t *testing.T) {
	s := newStore(t, Options{})
	req := request(t, "/d")
	mustPut(t, s, object(req, ""), "plain")
	var ref, out Ref
	s.Lookup(keyOf(req), req, testNow, &ref)
	derive := func(name string) error {
		f, err := s.BeginDerived(&ref, name)
		if err != nil {
			return err
		}
		if err := f.Write([]byte(name), nil); err != nil {
			t.Fatal(err)
		}
		if s.Derived(&ref, name, &out) {
			t.Error("found before it is complete")
			out.Release()
		}
		return f.Commit()
	}
	for i := range 2 * maxDerived {
		if err := derive(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 * maxDerived {
		if got := s.Derived(&ref, fmt.Sprint(i), &out); got != (i >= maxDerived) {
			t.Errorf("%d: found %v", i, got)
		}
		out.Release()
	}
	if got := found(t, s, req); got != "plain" {
		t.Errorf("got %q", got)
	}
	s.Purge(&Selector{Key: keyOf(req)}, testNow)
	if s.Derived(&ref, fmt.Sprint(maxDerived), &out) {
		t.Error("found after the purge of what it derives from")
	}
	if err := derive("late"); !errors.Is(err, ErrPurged) {
		t.Errorf("got %v", err)
	}
	ref.Release()
	if n := s.Stats().Objects; n != 0 {
		t.Errorf("%d objects are left", n)
	}
}
