package cache

import (
	"container/list"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// twinFIFO is S3-FIFO written down as plainly as can be: the slow twin of the evictor.
type twinFIFO struct {
	small, main []uint32 // the oldest first
	freq        map[uint32]int
	ghosts      []uint32
}

func (w *twinFIFO) add(id uint32) {
	w.freq[id] = 0
	for i, g := range w.ghosts {
		if g == id {
			w.ghosts = append(w.ghosts[:i], w.ghosts[i+1:]...)
			w.main = append(w.main, id)
			return
		}
	}
	w.small = append(w.small, id)
}

func (w *twinFIFO) victim() uint32 {
	for {
		if len(w.main) == 0 || len(w.small) > 0 && len(w.small) >= (len(w.small)+len(w.main))/smallShare {
			id := w.small[0]
			w.small = w.small[1:]
			if w.freq[id] >= promoteFrom {
				w.freq[id] = 0
				w.main = append(w.main, id)
				continue
			}
			w.ghosts = append(w.ghosts, id)
			return id
		}
		id := w.main[0]
		w.main = w.main[1:]
		if w.freq[id] > 0 {
			w.freq[id]--
			w.main = append(w.main, id)
			continue
		}
		return id
	}
}

// evictRig is an evictor with entries that nobody else knows of.
type evictRig struct {
	v    evictor
	ids  map[uint64]uint32
	keys map[uint32]uint64
}

func newEvictRig(t testing.TB) *evictRig {
	r := &evictRig{ids: map[uint64]uint32{}, keys: map[uint32]uint64{}}
	r.v.entries = newEntries()
	t.Cleanup(func() {
		for id := range r.keys {
			r.v.entries.put(id)
		}
		if n := r.v.entries.close(); n != 0 {
			t.Errorf("%d entries are left", n)
		}
	})
	return r
}

func (r *evictRig) has(key uint64) bool {
	id, ok := r.ids[key]
	if ok {
		r.v.entries.at(id).touch()
	}
	return ok
}

// add makes room for one among capacity, and adds a key.
func (r *evictRig) add(t testing.TB, key uint64, capacity int) {
	for len(r.ids) >= capacity {
		r.evict()
	}
	id, ok := r.v.entries.get(func(int) bool { return true })
	if !ok {
		t.Fatal("no entry")
	}
	e := r.v.entries.at(id)
	e.hash = mix(key)
	e.refs.Store(1)
	e.set(linked)
	r.ids[key], r.keys[id] = id, key
	r.v.add(id, 16, noQueue)
}

func (r *evictRig) evict() uint64 {
	id := r.v.victim()
	key := r.keys[id]
	delete(r.ids, key)
	delete(r.keys, id)
	r.v.entries.at(id).refs.Store(0)
	r.v.entries.put(id)
	return key
}

// mix spreads a number over 64 bits.
func mix(n uint64) uint64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// TestEvictorMatchesTwin: the queues do what the plain form of the algorithm does.
func TestEvictorMatchesTwin(t *testing.T) {
	r := newEvictRig(t)
	twin := &twinFIFO{freq: map[uint32]int{}}
	rng := rand.New(rand.NewPCG(1, 2))
	const capacity = 50
	known := map[uint64]bool{}
	for range 20_000 {
		key := uint64(math.Abs(rng.NormFloat64()*60)) + 1
		if r.has(key) {
			if twin.freq[uint32(key)] < maxFreq {
				twin.freq[uint32(key)]++
			}
			continue
		}
		for len(known) >= capacity {
			got, want := r.evict(), uint64(twin.victim())
			if got != want {
				t.Fatalf("victim %d, want %d", got, want)
			}
			delete(known, got)
		}
		// The twin remembers ghosts for ever; ours may have forgotten.
		if n := len(twin.ghosts); n > capacity/2 {
			twin.ghosts = twin.ghosts[n-capacity/2:]
		}
		known[key] = true
		ghost := false
		for _, g := range twin.ghosts {
			ghost = ghost || g == uint32(key)
		}
		if !ghost {
			r.v.ghosts.take(mix(key)) // and have ours forget what the twin did
		}
		twin.add(uint32(key))
		r.add(t, key, capacity)
	}
}

// TestScansDriveNothingOut measures hit ratios on a trace of popular keys (Zipf, 0.9) with
// scans over keys that come once: the cache keeps what LRU loses.
func TestScansDriveNothingOut(t *testing.T) {
	const capacity, keys, requests = 2000, 40_000, 400_000
	trace := zipfWithScans(keys, requests, 0.9)
	lru := hitRatioLRU(trace, capacity)
	r := newEvictRig(t)
	hits := 0
	for _, key := range trace {
		if r.has(key) {
			hits++
		} else {
			r.add(t, key, capacity)
		}
	}
	ours := float64(hits) / float64(len(trace))
	t.Logf("hit ratio %.4f, LRU %.4f, room for %d of %d popular keys", ours, lru, capacity, keys)
	if ours < 1.2*lru {
		t.Errorf("hit ratio %.4f, LRU has %.4f", ours, lru)
	}
}

func zipfWithScans(keys, requests int, skew float64) []uint64 {
	rng := rand.New(rand.NewPCG(3, 4))
	sums := make([]float64, keys)
	total := 0.0
	for i := range sums {
		total += 1 / math.Pow(float64(i+1), skew)
		sums[i] = total
	}
	trace := make([]uint64, 0, requests)
	scan := uint64(1 << 32)
	for len(trace) < requests {
		if rng.IntN(2000) == 0 {
			for range 3000 {
				trace = append(trace, scan)
				scan++
			}
		}
		x := rng.Float64() * total
		lo, hi := 0, keys-1
		for lo < hi {
			if mid := (lo + hi) / 2; sums[mid] < x {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		trace = append(trace, uint64(lo)+1)
	}
	return trace
}

func hitRatioLRU(trace []uint64, capacity int) float64 {
	order, at := list.New(), map[uint64]*list.Element{}
	hits := 0
	for _, key := range trace {
		if e := at[key]; e != nil {
			hits++
			order.MoveToFront(e)
			continue
		}
		if order.Len() == capacity {
			delete(at, order.Remove(order.Back()).(uint64))
		}
		at[key] = order.PushFront(key)
	}
	return float64(hits) / float64(len(trace))
}

// TestBudgetHolds stores ten times the budget in bodies of all sizes, whose mix changes as
// it goes: what the store counts never exceeds the budget, and what comes last is there.
func TestBudgetHolds(t *testing.T) {
	const budget = 16 << 20
	s := newStore(t, Options{Budget: budget})
	rng := rand.New(rand.NewPCG(5, 6))
	value := make([]byte, 1<<20)
	stored, refused := int64(0), 0
	for i := 0; stored < 10*budget; i++ {
		most := []int{2000, 500, 200_000, 9000, 64, 1 << 20}[i/2000%6]
		n := rng.IntN(most)
		key := strconv.AppendInt(nil, int64(i), 10)
		binary.LittleEndian.PutUint64(value, uint64(i))
		var ref Ref
		if err := s.Put(&Object{Key: key, Meta: meta(), Head: value[:rng.IntN(400)]}, value[:n], &ref); err != nil {
			refused++
		}
		ref.Release()
		stored += int64(n)
		if got := s.Stats().Bytes; got > budget {
			t.Fatalf("%d bytes after %d objects, the budget is %d", got, i, budget)
		}
		if s.Lookup(key, request(t, "/"), testNow, &ref) != Hit && n < 1<<19 {
			t.Fatalf("object %d with %d bytes is not there", i, n)
		}
		ref.Release()
	}
	st := s.Stats()
	t.Logf("%d stored, %d evicted, %d refused; %d of %d bytes in pieces", st.Stored, st.Evicted, refused, st.Payload, st.Bytes)
	if refused > 0 {
		t.Errorf("%d were refused", refused)
	}
	if st.Payload < st.Bytes*7/10 {
		t.Errorf("only %d of %d bytes are used", st.Payload, st.Bytes)
	}
}
