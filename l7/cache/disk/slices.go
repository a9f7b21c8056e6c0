package disk

import (
	"encoding/binary"
	"iter"
)

// Large media are stored in slices of a fixed size, each an object with a key of its
// own, so that a Range of a long video fetches and keeps no more than it touches. The
// validator is part of a slice's key: slices of two versions can never be put together.
// It has to be a strong one, and the same labels go on every slice, so that a purge
// hits them all.

// DefaultSlice is a good size for slices: long enough for a disk to be read in one go,
// short enough that little is fetched which nobody asked for.
const DefaultSlice = 1 << 20

// AppendSliceKey appends the key of a slice of the object with this key, in the version
// with this validator. size is that of slices. No two objects, versions, sizes or
// numbers have one in common, nor with a key that does not begin with the byte 0xFF.
func AppendSliceKey(dst, key, validator []byte, size int64, number int64) []byte {
	dst = append(dst, 0xFF)
	dst = binary.BigEndian.AppendUint64(dst, uint64(size))
	dst = binary.BigEndian.AppendUint64(dst, uint64(number))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(validator)))
	dst = append(dst, validator...)
	return append(dst, key...)
}

// Span is what a range of an object needs of one slice.
type Span struct {
	Number int64 // of the slice
	Off    int64 // where the slice begins in the object
	Length int64 // of the slice; less than the size of slices for the last one alone
	From   int64 // what is needed of the slice: the bytes [From, To)
	To     int64
}

// Spans yields the slices that the bytes [off, off+length) of an object of total bytes
// lie in, in order. What is beyond the object is left out.
func Spans(off, length, total, size int64) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		if off < 0 || size <= 0 {
			return
		}
		for end := min(total, off+min(length, total)); off < end; {
			n := off / size
			s := Span{Number: n, Off: n * size, From: off - n*size}
			s.Length = min(size, total-s.Off)
			s.To = min(s.Length, end-s.Off)
			if !yield(s) {
				return
			}
			off = s.Off + s.To
		}
	}
}
