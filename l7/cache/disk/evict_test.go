package disk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestBudget: the directory never holds more than its budget, and what was used last is
// what is left.
func TestBudget(t *testing.T) {
	r := open(t, Options{Size: MinSize})
	f := func(n, count int) {
		t.Helper()
		b := body(1, n)
		for i := range count {
			r.put(item(fmt.Sprint(n, "-", i)), b)
			if i%(1+count/40) == 0 {
				if used := usage(t, r.dir); used > MinSize {
					t.Fatalf("%d of %d bytes each: the directory holds %d, the budget is %d", i, n, used, MinSize)
				}
			}
		}
		r.want(fmt.Sprint(n, "-", count-1), b)
		r.want(fmt.Sprint(n, "-", 0), nil)
		eventually(t, "there is headroom", func() bool { return r.shelf.over(r.headroom()) <= 0 })
		if s := r.Stats(); s.Evicted == 0 || s.Bytes > s.Limit {
			t.Errorf("stats %+v", s)
		}
		r.reopen()
		r.want(fmt.Sprint(n, "-", count-1), b)
	}
	f(1000, 16_000)
	f(60_000, 400)
	f(100_000, 300)
	f(3<<20, 16)
	f(10_000, 2000)
}

// TestSmallerBudget: with less than there is, the oldest go.
func TestSmallerBudget(t *testing.T) {
	r := open(t, Options{Size: 4 * MinSize})
	for i := range 300 {
		r.put(item(fmt.Sprint(i)), body(uint64(i), 150_000))
	}
	r.Close()
	r.o.Size = MinSize
	r.reopen()
	eventually(t, "the oldest have gone", func() bool { return r.Stats().Bytes <= MinSize })
	r.want("0", nil)
	r.want("299", body(299, 150_000))
	if used := usage(t, r.dir); used > MinSize {
		t.Errorf("the directory holds %d bytes", used)
	}
}

// TestSecondChance: what is asked for again and again outlives a scan of three times the
// budget, small or large.
func TestSecondChance(t *testing.T) {
	r := open(t, Options{Size: MinSize})
	hot := map[string][]byte{"small": body(1, 500), "large": body(2, 100_000)}
	for name, b := range hot {
		r.put(item(name), b)
	}
	for i := range 16_000 {
		n := 1000
		if i%50 == 0 {
			n = 70_000
		}
		r.put(item(fmt.Sprint("scan", i)), body(3, n))
		if i%20 == 0 {
			// A writer that is never waited for may drop segments before the keeper has looked.
			eventually(t, "the keeper keeps up", func() bool { return r.shelf.over(r.headroom()) <= 0 })
			for name, b := range hot {
				r.want(name, b)
			}
			if t.Failed() {
				t.Fatalf("after %d: %+v", i, r.Stats())
			}
		}
	}
	if s := r.Stats(); s.Rescued == 0 || s.Evicted < 10_000 {
		t.Errorf("stats %+v", s)
	}
	// What was rescued is as it was after a restart, softness too.
	if err := r.Purge(Ban{Label: []byte("ksmall"), Soft: true}); err != nil {
		t.Fatal(err)
	}
	r.want("small", hot["small"])
	rescued := r.Stats().Rescued
	for i := 0; r.Stats().Rescued == rescued; i++ {
		r.put(item(fmt.Sprint("more", i)), body(3, 1000))
		eventually(t, "the keeper keeps up", func() bool { return r.shelf.over(r.headroom()) <= 0 })
	}
	for range 2 {
		o, ok := r.Get([]byte("small"))
		if !ok || !o.Soft {
			t.Fatalf("there %v, soft %v", ok, ok && o.Soft)
		}
		o.Close()
		r.reopen()
	}
}

// TestReadersOfEvicted: who has an object open reads it to its end, whatever becomes of it.
func TestReadersOfEvicted(t *testing.T) {
	r := open(t, Options{Size: MinSize})
	f := func(away func()) {
		t.Helper()
		small, large := body(1, 60_000), body(2, 300_000)
		r.put(item("small"), small)
		r.put(item("large"), large)
		a, ok1 := r.Get([]byte("small"))
		b, ok2 := r.Get([]byte("large"))
		if !ok1 || !ok2 {
			t.Fatal("not there")
		}
		defer a.Close()
		defer b.Close()
		b.Block(0)
		away()
		for _, x := range []struct {
			o    *Object
			want []byte
		}{{a, small}, {b, large}} {
			got := make([]byte, len(x.want))
			if _, err := x.o.ReadAt(got, 0); err != nil || !bytes.Equal(got, x.want) {
				t.Errorf("after it was away: %v", err)
			}
		}
	}
	f(func() { r.Drop([]byte("small")); r.Drop([]byte("large")) })
	f(func() { r.put(item("small"), nil); r.put(item("large"), nil) })
	f(func() {
		if err := r.Purge(Ban{All: true}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all is gone", func() bool { return r.Stats().Objects == 0 })
	})
	f(func() {
		for i := range 30 {
			r.put(item(fmt.Sprint(i)), make([]byte, 1<<20))
		}
	})
	f(func() { r.reopen() })
}

// TestSideBySide does everything at once in a directory that is too small, and finds
// nothing wrong in what it reads.
func TestSideBySide(t *testing.T) {
	r := open(t, Options{Size: MinSize})
	begun := time.Now()
	var wg sync.WaitGroup
	var seen atomic.Int64
	goOn := func() bool {
		took := time.Since(begun)
		return took < 2*time.Second || seen.Load() < 100 && took < 20*time.Second
	}
	for range 8 {
		wg.Go(func() {
			for i := 0; goOn(); i++ {
				k := rand.IntN(200)
				name, b := fmt.Sprint("n", k), body(uint64(k), 1+k*k*5)
				switch n := rand.IntN(30); {
				case n == 0:
					r.Drop([]byte(name))
				case n == 1:
					r.Purge(Ban{Label: []byte("k" + name), Soft: i%2 == 0})
				case n == 2:
					r.Refresh([]byte(name), []byte("meta of "+name), []byte("X-Name: "+name+"\r\n"), r.Mark())
				case n == 3 && i%50 == 0:
					r.Purge(Ban{Label: []byte("kn1"), Prefix: true})
				case n == 4 && i%100 == 0:
					r.Purge(Ban{All: true})
				case n < 15:
					if err := r.store(item(name), b); err != nil && err != errPurged && err != errFull {
						t.Errorf("store: %v", err)
					}
				default:
					if r.Has([]byte(name)) {
						r.want2(name, b, &seen)
					}
				}
			}
		})
	}
	wg.Wait()
	if n := seen.Load(); n < 100 {
		t.Errorf("%d objects were read: the test proves little", n)
	}
	if s := r.Stats(); s.Errors != [Causes]uint64{} || s.Bytes > s.Limit {
		t.Errorf("stats %+v\n%s", s, r.log)
	}
	r.reopen()
	for k := range 200 {
		r.want2(fmt.Sprint("n", k), body(uint64(k), 1+k*k*5), &seen)
	}
	if used := usage(t, r.dir); used > MinSize {
		t.Errorf("the directory holds %d bytes", used)
	}
}

// want2 is want where nothing is right as well.
func (r *rig) want2(name string, b []byte, seen *atomic.Int64) {
	o, ok := r.Get([]byte(name))
	if !ok {
		return
	}
	defer o.Close()
	seen.Add(1)
	got := make([]byte, o.Length)
	if _, err := o.ReadAt(got, 0); err != nil || !bytes.Equal(got, b) || string(o.Meta) != "meta of "+name {
		r.t.Errorf("%q: %v, %d bytes, want %d, meta %q", name, err, len(got), len(b), o.Meta)
	}
}

func TestGetAllocates(t *testing.T) {
	if raceEnabled {
		return // the race detector allocates
	}
	r := open(t, Options{})
	r.put(item("small"), body(1, 1000))
	r.put(item("large"), body(1, 200_000))
	f := func(name string, want float64) {
		t.Helper()
		key := []byte(name)
		got := testing.AllocsPerRun(200, func() {
			o, ok := r.Get(key)
			if ok {
				o.Verify()
				o.Close()
			}
		})
		if got > want {
			t.Errorf("%s: %v allocations, want %v", name, got, want)
		}
	}
	f("none", 0)
	f("small", 1) // the object
	f("large", 6) // with the file and its name}
}
