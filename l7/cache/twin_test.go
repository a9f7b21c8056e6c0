package cache

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"weir/l7/message"
)

// twin is the store as it would be with all the memory there is: for each key the variants
// with their bodies, the newest last.
type twin struct {
	keys map[string][]twinObject
}

type twinObject struct {
	x     string // the request's field X, "*" for one without Vary
	body  string
	tag   string
	fresh bool
}

func (w *twin) put(target string, o twinObject) {
	list := w.keys[target][:0:0]
	for _, old := range w.keys[target] {
		if old.x != o.x {
			list = append(list, old)
		}
	}
	w.keys[target] = append(list, o)
}

func (w *twin) find(target, x string) (twinObject, bool) {
	for _, o := range slices.Backward(w.keys[target]) {
		if o.x == "*" || o.x == x {
			return o, true
		}
	}
	return twinObject{}, false
}

func (w *twin) purge(soft bool, hit func(target string, o twinObject) bool) (n int) {
	for target, list := range w.keys {
		var left []twinObject
		for _, o := range list {
			if hit(target, o) {
				n++
				if !soft {
					continue
				}
				o.fresh = false
			}
			left = append(left, o)
		}
		w.keys[target] = left
	}
	return n
}

// TestStoreMatchesTwin does random things to a store that is large enough for all of them,
// and to its twin, and compares what is found.
func TestStoreMatchesTwin(t *testing.T) {
	seeds := uint64(20)
	if raceEnabled {
		seeds = 4
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 7))
		s := newStore(t, Options{Budget: 64 << 20})
		w := &twin{keys: map[string][]twinObject{}}
		for step := range 600 {
			target, x := fmt.Sprintf("/%c/%d", 'a'+rng.IntN(2), rng.IntN(4)), fmt.Sprint(rng.IntN(4))
			req := request(t, target, "X: "+x)
			switch op := rng.IntN(20); {
			case op < 6:
				o := twinObject{x, body(rng.IntN(40_000), fmt.Sprint(step)), fmt.Sprint(rng.IntN(3)), true}
				vary := "X"
				if rng.IntN(8) == 0 {
					vary, o.x = "", "*"
				}
				obj := object(req, vary)
				obj.Tags = [][]byte{[]byte(o.tag)}
				twinFill(t, rng, s, obj, o.body)
				w.put(target, o)
			case op == 6:
				f, err := s.Begin(object(req, "X"))
				if err != nil {
					t.Fatal(err)
				}
				if err := f.Write(make([]byte, rng.IntN(10_000)), nil); err != nil {
					t.Fatal(err)
				}
				f.Abort(nil)
			case op == 7:
				twinRefresh(t, s, w, req, target, x)
			case op == 8:
				twinPurge(t, rng, s, w)
			}
			twinCompare(t, s, w, req, target, x)
		}
		n := 0
		for _, list := range w.keys {
			n += len(list)
		}
		if got := s.Stats().Objects; got != n {
			t.Errorf("seed %d: %d objects, the twin has %d", seed, got, n)
		}
	}
}

func twinFill(t *testing.T, rng *rand.Rand, s *Store, o *Object, body string) {
	t.Helper()
	if rng.IntN(2) == 0 {
		mustPut(t, s, o, body)
		return
	}
	f, err := s.Begin(o)
	if err != nil {
		t.Fatal(err)
	}
	for rest := body; rest != ""; {
		n := min(1+rng.IntN(9000), len(rest))
		if err := f.Write([]byte(rest[:n]), nil); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
}

func twinRefresh(t *testing.T, s *Store, w *twin, req *message.Request, target, x string) {
	t.Helper()
	var ref Ref
	if s.Lookup(keyOf(req), req, testNow, &ref) != Hit {
		return
	}
	m := meta()
	if !s.Refresh(&ref, &m, ref.Head(), 0) {
		t.Error("not refreshed")
	}
	ref.Release()
	o, _ := w.find(target, x)
	o.fresh = true
	w.put(target, o)
}

func twinPurge(t *testing.T, rng *rand.Rand, s *Store, w *twin) {
	t.Helper()
	soft := rng.IntN(2) == 0
	sel := Selector{Soft: soft}
	var hit func(target string, o twinObject) bool
	switch rng.IntN(4) {
	case 0:
		target := fmt.Sprintf("/a/%d", rng.IntN(4))
		sel.Key = keyOf(request(t, target))
		hit = func(at string, _ twinObject) bool { return at == target }
	case 1:
		sel.Host, sel.Path = []byte("a.example"), []byte("/a/")
		hit = func(at string, _ twinObject) bool { return at[:3] == "/a/" }
	case 2:
		sel.Tag = []byte("1")
		hit = func(_ string, o twinObject) bool { return o.tag == "1" }
	case 3:
		sel.Tag = []byte("never")
		hit = func(string, twinObject) bool { return false }
	}
	if got, want := s.Purge(&sel, testNow), w.purge(soft, hit); got != want {
		t.Errorf("%+v: %d hit, the twin says %d", sel, got, want)
	}
}

func twinCompare(t *testing.T, s *Store, w *twin, req *message.Request, target, x string) {
	t.Helper()
	want, ok := w.find(target, x)
	var ref Ref
	hit := s.Lookup(keyOf(req), req, testNow, &ref) == Hit
	if hit != ok {
		t.Fatalf("%s %s: found %v, the twin says %v", target, x, hit, ok)
	}
	if !hit {
		return
	}
	if got := readAll(t, &ref); got != want.body {
		t.Errorf("%s %s: %d bytes, the twin has %d", target, x, len(got), len(want.body))
	}
	if fresh := ref.Meta().TTL(testNow) > 0; fresh != want.fresh {
		t.Errorf("%s %s: fresh %v, the twin says %v", target, x, fresh, want.fresh)
	}
	ref.Release()
}

// TestTorture has goroutines fill, read, refresh, derive, purge, shrink and abort in a store
// that is much too small, with memory that is overwritten when it is given back. Every body
// tells its key and version in each of its octets, so that a reader sees whether what it
// reads belongs together.
func TestTorture(t *testing.T) {
	s := newStore(t, Options{Budget: 6 << 20, MaxObject: 400_000})
	end := time.Now().Add(2 * time.Second)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 11))
			for time.Now().Before(end) {
				torture(t, rng, s)
			}
		})
	}
	all.Wait()
	st := s.Stats()
	t.Logf("%+v", st)
	if st.Waiting != 0 || st.Flights != 0 {
		t.Errorf("%d wait, %d flights", st.Waiting, st.Flights)
	}
}

func torture(t *testing.T, rng *rand.Rand, s *Store) {
	target := fmt.Sprintf("/%d", rng.IntN(60))
	req := request(t, target, fmt.Sprintf("X: %d", rng.IntN(3)))
	key := keyOf(req)
	var ref Ref
	if s.Lookup(key, req, testNow, &ref) == Hit {
		tortureHit(t, rng, s, &ref, target)
		return
	}
	flight, role := s.Join(key, req, testNow, &ref)
	switch role {
	case Waiter:
		flight.Wait(nil, time.Duration(rng.IntN(3))*time.Millisecond+1)
	case Leader:
		defer flight.End(Failed)
		o := object(req, []string{"", "X"}[rng.IntN(2)])
		o.Tags, o.Since = [][]byte{[]byte(target)}, flight.Since()
		f, err := s.Begin(o)
		if err != nil {
			if !errors.Is(err, ErrFull) && !errors.Is(err, ErrPurged) {
				t.Error(err)
			}
			return
		}
		size := []int{100, 3000, 20_000, 300_000, 390_000, 700_000}[rng.IntN(6)]
		if size < 400_000 && rng.IntN(2) == 0 { // or the writer would wait for itself
			f.Read(&ref)
			defer func() {
				checkBody(t, &ref, target, rng)
				ref.Release()
			}()
		}
		flight.End(Stored)
		tortureFill(t, rng, f, target, size)
	}
}

// pattern is the body of a target: each octet follows from the target and the offset.
func pattern(b []byte, target string, at int64) {
	for i := range b {
		b[i] = target[(at+int64(i))%int64(len(target))]
	}
}

func tortureFill(t *testing.T, rng *rand.Rand, f *Fill, target string, size int) {
	buf := make([]byte, 30_000)
	for at := 0; at < size; {
		n := min(1+rng.IntN(len(buf)), size-at)
		pattern(buf[:n], target, int64(at))
		if err := f.Write(buf[:n], nil); err != nil {
			if !errors.Is(err, ErrUnread) && !errors.Is(err, ErrFull) {
				t.Error(err)
			}
			f.Abort(err)
			return
		}
		at += n
		if rng.IntN(100) == 0 {
			f.Abort(nil)
			return
		}
	}
	if err := f.Commit(); err != nil {
		t.Error(err)
	}
}

// checkBody reads what a Ref holds, as a rule to its end.
func checkBody(t *testing.T, ref *Ref, target string, rng *rand.Rand) {
	want := make([]byte, slabSize)
	at := int64(0)
	for rng.IntN(50) > 0 {
		b, err := ref.Next(nil, 20*time.Second)
		if err != nil {
			if errors.Is(err, ErrSlow) || errors.Is(err, ErrLagged) {
				t.Error(err)
			}
			return
		}
		pattern(want[:len(b)], target, at)
		if !bytes.Equal(b, want[:len(b)]) {
			t.Errorf("%s: wrong octets in %d from %d on", target, len(b), at)
			return
		}
		at += int64(len(b))
	}
}

func tortureHit(t *testing.T, rng *rand.Rand, s *Store, ref *Ref, target string) {
	defer func() { ref.Release() }()
	switch rng.IntN(12) {
	case 0:
		m := meta()
		if s.Refresh(ref, &m, []byte(target), s.Epoch()) && string(ref.Head()) != target {
			t.Errorf("%s: head %q", target, ref.Head())
		}
	case 1:
		s.Purge(&Selector{Tag: []byte(target), Soft: rng.IntN(2) == 0}, testNow)
	case 2:
		s.Purge(&Selector{Key: ref.Key()}, testNow)
	case 3:
		if f, err := s.BeginDerived(ref, "half"); err == nil {
			tortureFill(t, rng, f, target, rng.IntN(50_000))
		}
	case 4:
		var out Ref
		if s.Derived(ref, "half", &out) {
			checkBody(t, &out, target, rng)
			out.Release()
		}
	case 5:
		s.SetOptions(Options{Budget: int64(4+rng.IntN(4)) << 20, MaxObject: 400_000})
	}
	checkBody(t, ref, target, rng)
}
