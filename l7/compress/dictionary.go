package compress

import (
	"crypto/sha256"

	"github.com/molecule-man/go-brrr"
)

// Hash is the SHA-256 of a dictionary, by which client and server speak of it.
type Hash [sha256.Size]byte

// Dictionary is an earlier response that a client has as well, to encode against (RFC
// 9842). It is immutable and may be shared; idle encoders for it are kept with it.
type Dictionary struct {
	hash     Hash
	body     []byte
	prepared *brrr.PreparedDictionary
	classes  [numCodings][maxLevel + 1]class
}

// The octets that a stream begins with, before the hash (RFC 9842 sections 4 and 5).
var magic = [numCodings]string{
	DCB: "\xffDCB",
	DCZ: "\x5e\x2a\x4d\x18\x20\x00\x00\x00",
}

// newDictionary makes a dictionary, which keeps body.
func newDictionary(body []byte, hash Hash, of *Encoders) *Dictionary {
	d := &Dictionary{hash: hash, body: body}
	d.prepared, _ = brrr.PrepareDictionary(body) // it fails for an empty one alone, see Shelf.Add
	for _, c := range [...]Coding{DCB, DCZ} {
		for level := 1; level <= Highest(c); level++ {
			k := &d.classes[c][level]
			k.of, k.coding, k.level, k.dictionary = of, c, level, d
			k.cost = costOf(c, level) + 2*int64(len(body))
		}
	}
	return d
}

// Hash returns the hash of the dictionary.
func (d *Dictionary) Hash() Hash { return d.hash }

// window returns the window of a zstd stream that reaches back over the dictionary, a
// power of two. RFC 9842 section 5 has clients provide 8 MiB, or 1.25 of a larger one.
func (d *Dictionary) window() int {
	w := zstdWindow
	for w < 2*len(d.body) && w < 8<<20 {
		w *= 2
	}
	return w
}

// GetWith is Get for a coding that uses a dictionary.
func (e *Encoders) GetWith(d *Dictionary, c Coding, level int, length int64, sink Sink) *Encoder {
	return e.lend(&d.classes[c][min(max(level, lowestWith(c)), Highest(c))], length, sink)
}

// lowestWith is the lowest level that makes use of a dictionary.
func lowestWith(c Coding) int {
	if c == DCB {
		return 3
	}
	return 1
}
