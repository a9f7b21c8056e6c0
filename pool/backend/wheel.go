package backend

import (
	"cmp"
	"slices"
)

// wheelSize bounds a wheel, unless there are so many members that each would get
// less than wheelShare places of it.
const (
	wheelSize  = 4096
	wheelShare = 16
)

// newWheel arranges the indices of slots in a cycle in which each stands as often
// as its weight says, its places spread evenly (smooth weighted round robin: no
// heavy member gets a burst). Taken in turn the wheel is a round robin, taken at
// random a weighted choice, both in constant time.
//
// The k-th place of member i of n is at (k + (i+1/2)/n) / weight of the cycle, so
// equal weights give 0, 1, 2 ... Weights are reduced by their greatest common
// divisor, and scaled down where the cycle would be too long.
func newWheel(slots []slot) []uint32 {
	weights := reduceWeights(slots)
	total := 0
	for _, w := range weights {
		total += w
	}
	type place struct {
		at    float64
		index uint32
	}
	places := make([]place, 0, total)
	for i, w := range weights {
		offset := (float64(i) + 0.5) / float64(len(slots))
		for k := range w {
			places = append(places, place{(float64(k) + offset) / float64(w), uint32(i)})
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.index, b.index))
	})
	wheel := make([]uint32, len(places))
	for i, p := range places {
		wheel[i] = p.index
	}
	return wheel
}

// reduceWeights gives small whole numbers in the proportion of the weights; each
// is at least 1.
func reduceWeights(slots []slot) []int {
	weights := make([]int, len(slots))
	divisor, total := 0, 0
	for i, s := range slots {
		weights[i] = int(s.weight)
		divisor = gcd(divisor, weights[i])
		total += weights[i]
	}
	total /= divisor
	limit := max(wheelSize, wheelShare*len(slots))
	for i := range weights {
		weights[i] /= divisor
		if total > limit {
			weights[i] = max(1, (weights[i]*limit+total/2)/total)
		}
	}
	return weights
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
