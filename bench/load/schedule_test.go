package load

import (
	"math"
	"testing"
	"time"
)

// TestScheduleConstant: the shares of a rate interleave to the rate.
func TestScheduleConstant(t *testing.T) {
	const n = 3
	var due [n]schedule
	for i := range due {
		due[i] = newSchedule(1000, false, 0, i, n)
	}
	for k := range 3000 {
		got := due[k%n].take()
		if want := time.Duration(k) * time.Millisecond; got < want-time.Microsecond || got > want+time.Microsecond {
			t.Fatalf("request %d is due at %s, want %s", k, got, want)
		}
	}
}

// TestSchedulePoisson: gaps are exponential, so mean and deviation are equal.
func TestSchedulePoisson(t *testing.T) {
	s, again := newSchedule(1000, true, 7, 0, 1), newSchedule(1000, true, 7, 0, 1)
	const n = 50_000
	last, sum, squares := time.Duration(0), 0.0, 0.0
	for range n {
		at := s.take()
		if at != again.take() {
			t.Fatal("the same seed gave another schedule")
		}
		gap := (at - last).Seconds()
		last, sum, squares = at, sum+gap, squares+gap*gap
	}
	mean := sum / n
	deviation := math.Sqrt(squares/n - mean*mean)
	if math.Abs(mean-0.001) > 0.00003 || math.Abs(deviation-0.001) > 0.00003 {
		t.Fatalf("mean gap %.6f s, deviation %.6f s, want 0.001 of both", mean, deviation)
	}
}

func TestShare(t *testing.T) {
	f := func(total int64, n int) {
		t.Helper()
		sum := int64(0)
		for i := range n {
			sum += share(total, i, n)
		}
		if sum != total {
			t.Errorf("%d in %d shares add up to %d", total, n, sum)
		}
	}
	f(1, 3)
	f(10, 3)
	f(9, 3)
}
