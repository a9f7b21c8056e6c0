package cache

import (
	"errors"
	"fmt"
	"testing"
)

// TestManyKeyPurges: unsafe requests purge keys all the time, and others are stored all the
// same.
func TestManyKeyPurges(t *testing.T) {
	s := newStore(t, Options{})
	since := s.Epoch()
	for i := range 2000 {
		s.Purge(&Selector{Key: fmt.Append(nil, "other ", i), Soft: i%2 == 0}, testNow)
	}
	stored := 0
	for i := range 200 {
		req := request(t, fmt.Sprint("/", i))
		o := object(req, "")
		o.Since = since
		f, err := s.Begin(o)
		if errors.Is(err, ErrPurged) {
			continue // shares its slot with one of the others
		} else if err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(); err != nil {
			t.Error(err)
		}
		stored++
		s.Purge(&Selector{Key: keyOf(req)}, testNow)
		if _, err := s.Begin(o); !errors.Is(err, ErrPurged) {
			t.Errorf("%d: purged since, and stored: %v", i, err)
		}
	}
	if stored < 150 {
		t.Errorf("%d of 200 were stored", stored)
	}
}
