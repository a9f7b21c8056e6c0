package cache

import (
	"strconv"
	"testing"
)

func fillUp(t *testing.T, s *Store, from, n int) {
	t.Helper()
	value := body(4000, "s")
	for i := range n {
		mustPut(t, s, &Object{Key: strconv.AppendInt(nil, int64(from+i), 10), Meta: meta()}, value)
	}
}

func TestSqueeze(t *testing.T) {
	const budget = 32 << 20
	s := newStore(t, Options{Budget: budget})
	s.Relax() // does nothing
	fillUp(t, s, 0, 10_000)
	full := s.Stats()
	if full.Bytes < budget*9/10 {
		t.Fatalf("%d bytes of %d", full.Bytes, budget)
	}
	before := resident(t)
	s.Squeeze()
	st := s.Stats()
	if st.Bytes > full.Bytes*8/9 || st.Budget > full.Bytes*8/9 {
		t.Errorf("after one: %d bytes of %d, budget %d", st.Bytes, full.Bytes, st.Budget)
	}
	for range 30 {
		s.Squeeze()
	}
	if st = s.Stats(); st.Bytes > minBudget || st.Objects == 0 {
		t.Errorf("after all: %d bytes, %d objects", st.Bytes, st.Objects)
	}
	if gone := before - resident(t); gone < budget/2 && !raceEnabled {
		t.Errorf("only %d bytes went back to the operating system", gone)
	}
	fillUp(t, s, 10_000, 2000)
	if st = s.Stats(); st.Bytes > minBudget {
		t.Errorf("it grew to %d bytes before Relax", st.Bytes)
	}
	for range 20 {
		s.Relax()
	}
	fillUp(t, s, 20_000, 10_000)
	if st = s.Stats(); st.Budget != budget || st.Bytes < budget*9/10 || st.Bytes > budget {
		t.Errorf("after Relax: %d bytes of %d", st.Bytes, st.Budget)
	}
	s.SetOptions(Options{Budget: budget / 4})
	if st = s.Stats(); st.Bytes > budget/4 {
		t.Errorf("a smaller budget: %d bytes of %d", st.Bytes, st.Budget)
	}
}
