package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
)

// pattern is what bodies are made of. Its length is prime, so a body that lost,
// repeated or moved a block does not look right.
var pattern = func() []byte {
	rng := rand.NewChaCha8([32]byte{1})
	b := make([]byte, 65521)
	rng.Read(b)
	return b
}()

// patternReader yields the first n bytes of the endless repetition of pattern.
func patternReader(n int64) io.Reader { return io.LimitReader(&repeat{}, n) }

// patternBytes is a body of n bytes.
func patternBytes(n int) []byte {
	b, _ := io.ReadAll(patternReader(int64(n)))
	return b
}

type repeat struct{ at int }

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, pattern[r.at:])
	r.at = (r.at + n) % len(pattern)
	return n, nil
}

// checkPattern reads r to its end and tells how many bytes came, and whether they
// are the first ones of the pattern. The error is that of the reader.
func checkPattern(r io.Reader) (n int64, right bool, err error) {
	var want repeat
	buf, exp := make([]byte, 32<<10), make([]byte, 32<<10)
	right = true
	for {
		m, err := r.Read(buf)
		for got := buf[:m]; len(got) > 0; {
			k, _ := want.Read(exp[:len(got)])
			right = right && bytes.Equal(got[:k], exp[:k])
			got = got[k:]
		}
		n += int64(m)
		if err == io.EOF {
			return n, right, nil
		}
		if err != nil {
			return n, right, err
		}
	}
}

// wantPattern is an error unless r yields exactly n bytes of the pattern and ends.
func wantPattern(r io.Reader, n int64) error {
	got, right, err := checkPattern(r)
	switch {
	case err != nil:
		return fmt.Errorf("after %d of %d bytes: %w", got, n, err)
	case got != n:
		return fmt.Errorf("%d bytes, want %d", got, n)
	case !right:
		return fmt.Errorf("%d bytes, but not those that were sent", n)
	}
	return nil
}
