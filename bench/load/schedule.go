package load

import (
	"math/rand/v2"
	"time"
)

// schedule tells when requests are due, in time since the run began. The times
// do not depend on what became of earlier requests. It is its own queue: what is
// overdue is simply not taken yet, so a backlog of any length costs nothing.
type schedule struct {
	start   time.Duration
	gap     float64 // mean, in nanoseconds
	n       int64   // requests taken
	random  *rand.Rand
	elapsed float64 // sum of the random gaps, in nanoseconds
	due     time.Duration
}

// newSchedule makes share i of n equal shares of a rate per second.
func newSchedule(rate float64, poisson bool, seed uint64, i, n int) schedule {
	s := schedule{gap: float64(n) / rate * 1e9}
	if poisson {
		s.random = rand.New(rand.NewPCG(seed, uint64(i)))
		s.elapsed = s.random.ExpFloat64() * s.gap
	} else {
		s.start = time.Duration(s.gap * float64(i) / float64(n))
	}
	s.due = s.start + time.Duration(s.elapsed)
	return s
}

// take moves on to the next request and returns when the last one was due.
func (s *schedule) take() time.Duration {
	due := s.due
	s.n++
	if s.random != nil {
		s.elapsed += s.random.ExpFloat64() * s.gap
		s.due = time.Duration(s.elapsed)
	} else {
		// A product, not a sum: no error adds up over a long run.
		s.due = s.start + time.Duration(float64(s.n)*s.gap)
	}
	return due
}
