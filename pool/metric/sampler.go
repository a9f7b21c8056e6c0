package metric

import "math/rand/v2"

// SampleEvery is how many events stand behind one sample of a stage histogram.
// Reading the clock at every stage of every exchange would cost more than the
// stages on a loop take.
const SampleEvery = 64

// Sampler decides which events are timed. The zero value takes one of
// SampleEvery at random, so that a rhythm in the traffic cannot hide from it.
// It holds no state and may be shared.
type Sampler struct {
	Every uint32 // 0 means SampleEvery, 1 takes all
}

// Take reports whether this event is to be timed.
func (s Sampler) Take() bool {
	n := s.Every
	if n == 0 {
		n = SampleEvery
	}
	return rand.Uint32N(n) == 0
}
