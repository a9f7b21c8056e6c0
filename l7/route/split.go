package route

import (
	"fmt"
	"math/bits"
)

// Split spreads requests over a few sides by weight. It is immutable.
type Split struct {
	upTo []uint64 // the sum of the weights up to and with each side
}

// NewSplit makes a split of sides with these weights, of which at least one must be
// above 0.
func NewSplit(weights []int) (*Split, error) {
	s := &Split{}
	sum := uint64(0)
	for _, w := range weights {
		if w < 0 {
			return nil, fmt.Errorf("cannot split by weight %d: expected 0 or more", w)
		}
		sum += uint64(w)
		s.upTo = append(s.upTo, sum)
	}
	if sum == 0 {
		return nil, fmt.Errorf("cannot split over %d sides: all weights are 0", len(weights))
	}
	return s, nil
}

// Side returns the side that point falls on, which must come from Hash or be random.
// The sides share the range of points in their order and by weight, so that a change
// of weights moves no more points than it must, and more weight for the last side
// takes none from it.
func (s *Split) Side(point uint64) int {
	at, _ := bits.Mul64(point, s.upTo[len(s.upTo)-1])
	for i, end := range s.upTo {
		if at < end {
			return i
		}
	}
	panic("BUG: a point beyond the sides of a split")
}

// Hash gives the point of a value. It is the same in every Weir and after a restart:
// FNV-1a, then the finaliser of MurmurHash3, since it is the high bits that decide.
func Hash(value []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range value {
		h = (h ^ uint64(b)) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// Share is the part of all points that fall on a side, 0 to 1.
func (s *Split) Share(side int) float64 {
	weight := s.upTo[side]
	if side > 0 {
		weight -= s.upTo[side-1]
	}
	return float64(weight) / float64(s.upTo[len(s.upTo)-1])
}
