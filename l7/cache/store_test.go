package cache

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestBodiesOfAnySize(t *testing.T) {
	s := newStore(t, Options{Budget: 64 << 20})
	for _, n := range []int{0, 1, 100, 1023, 4096, 8191, 8192, 8193, 30_000, 65_535, 65_536, 65_537, 300_000, 5 << 20} {
		for _, known := range []bool{true, false} {
			for _, step := range []int{1 << 30, 1000, 65_536} {
				req := request(t, fmt.Sprintf("/%d/%v/%d", n, known, step))
				o := object(req, "")
				if known {
					o.Length = int64(n)
				}
				want := body(n, string(req.Target))
				f, err := s.Begin(o)
				if err != nil {
					t.Fatal(err)
				}
				for rest := want; rest != ""; {
					k := min(step, len(rest))
					if err := f.Write([]byte(rest[:k]), nil); err != nil {
						t.Fatal(err)
					}
					rest = rest[k:]
				}
				if err := f.Commit(); err != nil {
					t.Fatal(err)
				}
				if got := found(t, s, req); got != want {
					t.Errorf("%d bytes, known %v, in steps of %d: got %d bytes", n, known, step, len(got))
				}
				checkPieces(t, s, keyOf(req), want)
			}
		}
	}
}

func checkPieces(t *testing.T, s *Store, key []byte, want string) {
	t.Helper()
	var ref Ref
	if s.Lookup(key, request(t, "/"), testNow, &ref) != Hit {
		t.Fatal("not found")
	}
	defer ref.Release()
	if ref.Length() != int64(len(want)) || ref.Growing() {
		t.Errorf("length %d, growing %v", ref.Length(), ref.Growing())
	}
	for _, r := range [][2]int{{0, len(want)}, {len(want) / 3, len(want) / 2}, {len(want) - len(want)/5, len(want)}} {
		var b strings.Builder
		for _, p := range ref.AppendPieces(nil, int64(r[0]), int64(r[1])) {
			b.Write(p)
		}
		if b.String() != want[r[0]:r[1]] {
			t.Errorf("range %d of %d bytes differs", r, len(want))
		}
	}
}

func TestVariants(t *testing.T) {
	s := newStore(t, Options{Budget: 8 << 20})
	de, en := request(t, "/v", "Accept-Language: de"), request(t, "/v", "Accept-Language: en")
	f := func(req, want string, lines ...string) {
		t.Helper()
		if got := found(t, s, request(t, req, lines...)); got != want {
			t.Errorf("%s %q: got %q, want %q", req, lines, got, want)
		}
	}
	f("/v", "-")
	mustPut(t, s, object(de, "Accept-Language"), "deutsch")
	f("/v", "deutsch", "Accept-Language: de")
	f("/v", "-", "Accept-Language: en")
	f("/v", "-")
	mustPut(t, s, object(en, "Accept-Language"), "english")
	f("/v", "deutsch", "Accept-Language: de")
	f("/v", "english", "Accept-Language: en")
	mustPut(t, s, object(de, "Accept-Language"), "neu")
	f("/v", "neu", "Accept-Language: de")
	f("/v", "english", "Accept-Language: en")
	// A newer response that varies by something else is found by that.
	mustPut(t, s, object(request(t, "/v", "X: 1", "Accept-Language: fr"), "X"), "one")
	f("/v", "one", "X: 1", "Accept-Language: de")
	f("/v", "neu", "X: 2", "Accept-Language: de")
	// One that does not vary fits everything.
	mustPut(t, s, object(de, ""), "all")
	f("/v", "all", "X: 1", "Accept-Language: en")

	for i := range 3 * MaxVariants {
		mustPut(t, s, object(request(t, "/many", fmt.Sprintf("X: %d", i)), "X"), fmt.Sprint(i))
	}
	f("/many", "-", fmt.Sprintf("X: %d", 2*MaxVariants-1))
	f("/many", fmt.Sprint(2*MaxVariants), fmt.Sprintf("X: %d", 2*MaxVariants))
	f("/many", fmt.Sprint(3*MaxVariants-1), fmt.Sprintf("X: %d", 3*MaxVariants-1))
}

func TestTooLarge(t *testing.T) {
	s := newStore(t, Options{Budget: 8 << 20, MaxObject: 100_000})
	f := func(change func(o *Object)) {
		t.Helper()
		o := object(request(t, "/large"), "")
		change(o)
		if _, err := s.Begin(o); !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
	}
	f(func(o *Object) { o.Length = 100_001 })
	f(func(o *Object) { o.Key = make([]byte, maxKey+1) })
	f(func(o *Object) { o.Vary = make([]byte, maxKey+1) })
	f(func(o *Object) { o.Variant = make([]byte, maxKey+1) })
	f(func(o *Object) { o.Head = make([]byte, maxHead) })
	f(func(o *Object) { o.Tags = make([][]byte, maxTags+1) })
	var ref Ref
	if err := s.Put(object(request(t, "/large"), ""), make([]byte, 100_001), &ref); !errors.Is(err, ErrTooLarge) || ref.Held() {
		t.Errorf("got %v, held %v", err, ref.Held())
	}
}
