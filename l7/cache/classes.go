package cache

// slabSize is what pieces are cut from, and the largest piece.
const slabSize = 64 << 10

// pieceAlign is what sizes of pieces are a multiple of, for the numbers that lie in front
// of their bytes.
const pieceAlign = 16

// Sizes of pieces are the parts of a slab that leave nothing over: a half, a third, and so
// on down to 1/1024. From a twentieth on each class is some 5 % smaller than the one before,
// so that a piece of up to maxSingle wastes 3 % in the mean and 11 % at worst; what is
// longer is put together from several pieces (see nextPiece).
const (
	minPiece   = 64
	maxSingle  = slabSize / 8
	maxClasses = 128
)

// classes are the sizes of pieces, from the largest to the smallest, and how many of them
// a slab holds.
var classes = func() (t []struct{ size, count int }) {
	for n, last := 1, 0; last != minPiece; n = max(n+1, n*105/100) {
		size := max(slabSize/n/pieceAlign*pieceAlign, minPiece)
		if size != last {
			t = append(t, struct{ size, count int }{size, slabSize / size})
		}
		last = size
	}
	return t
}()

// classFor returns the class of the smallest pieces that hold n octets, for n from 0 to
// slabSize.
func classFor(n int) uint8 {
	lo, hi := 0, len(classes)-1 // the answer is between them
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if classes[mid].size >= n {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return uint8(lo)
}

// nextPiece returns the class of the next piece where n octets are to be put into pieces:
// one that holds them all if it wastes little, else the largest that they fill.
func nextPiece(n int) uint8 {
	if n >= slabSize {
		return 0
	}
	c := classFor(n)
	if n <= maxSingle || classes[c].size-n <= n/16 {
		return c
	}
	return c + 1
}
