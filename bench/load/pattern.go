package load

import (
	"bytes"
	"math/rand/v2"
)

// pattern is what message and request bodies are made of: byte i of a body is
// byte i modulo its length. Its length is a prime, so that bytes that were lost,
// doubled or moved do not fit. It is never written to.
type pattern []byte

const patternLength = 131_071

func newPattern() pattern {
	src := rand.NewChaCha8([32]byte{'w', 'e', 'i', 'r'})
	p := make(pattern, patternLength)
	_, _ = src.Read(p) // never fails
	return p
}

// at is the piece of the pattern that begins at byte off of a body.
func (p pattern) at(off int64) []byte { return p[off%patternLength:] }

// matches reports whether b is what a body holds from byte off on.
func (p pattern) matches(b []byte, off int64) bool {
	for len(b) > 0 {
		want := p.at(off)
		n := min(len(b), len(want))
		if !bytes.Equal(b[:n], want[:n]) {
			return false
		}
		b, off = b[n:], off+int64(n)
	}
	return true
}

// body returns n bytes that hold the start of a body.
func (p pattern) body(n int64) []byte {
	b := make([]byte, 0, n)
	for int64(len(b)) < n {
		piece := p.at(int64(len(b)))
		b = append(b, piece[:min(int64(len(piece)), n-int64(len(b)))]...)
	}
	return b
}
