package torture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// A body is a function of the id of its request: byte i of body id is always the
// same, and two bodies have next to nothing in common. So a body that is short,
// shifted, spliced or somebody else's cannot look right.

// body yields the bytes of one body, without end.
type body struct {
	id   uint64
	word uint64 // number of the next word
	rest []byte // of the last one
	buf  [8]byte
}

func newBody(id uint64) *body { return &body{id: id} }

// Read fills p. It never fails.
func (b *body) Read(p []byte) (int, error) {
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	for len(p)-n >= 8 {
		binary.LittleEndian.PutUint64(p[n:], mix(b.id, b.word))
		b.word++
		n += 8
	}
	if n < len(p) {
		binary.LittleEndian.PutUint64(b.buf[:], mix(b.id, b.word))
		b.word++
		k := copy(p[n:], b.buf[:])
		b.rest = b.buf[k:]
		n += k
	}
	return n, nil
}

// mix is SplitMix64's output function over both numbers.
func mix(id, word uint64) uint64 {
	x := id*0x9e3779b97f4a7c15 + word*0xd1b54a32d192ed03 + 0x2545f4914f6cdd1d
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// bodyOf is the first n bytes of a body, to be read once.
func bodyOf(id uint64, n int64) io.Reader { return io.LimitReader(newBody(id), n) }

// A checker is written a body and compares it.
type checker struct {
	want *body
	n    int64 // bytes so far
	exp  [4 << 10]byte
}

func newChecker(id uint64) *checker { return &checker{want: newBody(id)} }

// errWrongBytes is what a checker returns, which ends a copy to it.
type errWrongBytes struct{ from, to int64 }

func (e errWrongBytes) Error() string {
	return fmt.Sprintf("wrong bytes between %d and %d of the body", e.from, e.to)
}

func (c *checker) Write(p []byte) (int, error) {
	for n := 0; n < len(p); {
		part := p[n:min(len(p), n+len(c.exp))]
		exp := c.exp[:len(part)]
		_, _ = c.want.Read(exp)
		if !bytes.Equal(part, exp) {
			return n, errWrongBytes{c.n, c.n + int64(len(part))}
		}
		n += len(part)
		c.n += int64(len(part))
	}
	return len(p), nil
}
