package compress

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// collect is a sink that keeps what it gets, and fails once it has got too much.
type collect struct {
	bytes.Buffer
	limit int // 0: none
}

var errFull = errors.New("full")

func (c *collect) WriteBody(p []byte) error {
	if c.limit > 0 && c.Len()+len(p) > c.limit {
		return errFull
	}
	c.Write(p)
	return nil
}

func decoder(t testing.TB, c Coding, r io.Reader) io.Reader {
	t.Helper()
	switch c {
	case Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		return z
	case Brotli:
		return brotli.NewReader(r)
	default:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Close)
		return z
	}
}

// TestEncode writes random pieces with random flushes, with each coding and level: after
// a flush all that was written can be decoded, and the whole is what went in.
func TestEncode(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	e := NewEncoders(1 << 30)
	text := records(1 << 20)
	for _, c := range Codings[:3] {
		for level := 1; level <= Highest(c); level++ {
			for range 6 {
				encodeOnce(t, e, c, level, text[:rnd.IntN(1+len(text)>>rnd.IntN(12))], rnd)
			}
		}
	}
	if n := e.Used(); n != 0 {
		t.Errorf("%d bytes are counted after all were released", n)
	}
}

func encodeOnce(t *testing.T, e *Encoders, c Coding, level int, in []byte, rnd *rand.Rand) {
	t.Helper()
	length := int64(len(in))
	if rnd.IntN(2) == 0 {
		length = -1
	}
	var out collect
	enc := e.Get(c, level, length, &out)
	defer enc.Release()
	for at := 0; at < len(in); {
		n := min(1+rnd.IntN(1+len(in)/4), len(in)-at)
		if err := enc.Write(in[at : at+n]); err != nil {
			t.Fatal(err)
		}
		at += n
		if rnd.IntN(3) > 0 {
			continue
		}
		if err := enc.Flush(); err != nil || enc.Held() {
			t.Fatal(err)
		}
		got := make([]byte, at)
		if _, err := io.ReadFull(decoder(t, c, bytes.NewReader(out.Bytes())), got); err != nil || !bytes.Equal(got, in[:at]) {
			t.Fatalf("%s %d: after a flush at %d of %d: %v", c, level, at, len(in), err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(decoder(t, c, bytes.NewReader(out.Bytes())))
	if err != nil || !bytes.Equal(got, in) {
		t.Fatalf("%s %d: %d octets came back as %d: %v", c, level, len(in), len(got), err)
	}
	if a, b := enc.Counts(); int(a) != len(in) || int(b) != out.Len() {
		t.Errorf("%s %d: counted %d and %d, want %d and %d", c, level, a, b, len(in), out.Len())
	}
}

// TestSinkFails: the sink's error comes back, and the encoder is fit for the next body.
func TestSinkFails(t *testing.T) {
	e := NewEncoders(1 << 30)
	rnd := rand.New(rand.NewPCG(7, 8))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	for _, c := range Codings[:3] {
		enc := e.Get(c, 1, -1, &collect{limit: 50_000})
		err := enc.Write(noise)
		if err == nil {
			err = enc.Flush()
		}
		if !errors.Is(err, errFull) {
			t.Errorf("%s: got %v", c, err)
		}
		enc.Release()
		encodeOnce(t, e, c, 1, noise[:100_000], rnd)
	}
}

// TestBudget: beyond it there are no encoders, until one is released.
func TestBudget(t *testing.T) {
	e := NewEncoders(2 * costOf(Gzip, 5))
	a, b := e.Get(Gzip, 5, -1, &discard{}), e.Get(Gzip, 5, -1, &discard{})
	if a == nil || b == nil || e.Get(Gzip, 1, -1, &discard{}) != nil {
		t.Fatal("the budget is for two")
	}
	a.Release()
	if a = e.Get(Gzip, 5, -1, &discard{}); a == nil {
		t.Fatal("what was given back is not lent again")
	}
	e.SetBudget(0)
	a.Release()
	b.Release()
	if e.Used() != 0 || e.Get(Gzip, 1, -1, &discard{}) != nil {
		t.Errorf("%d bytes are in use, want none, and none to be had", e.Used())
	}
}

// TestEncodersAreUsedAgain: a body costs no allocation once there was one. In a stream
// with flushes the libraries allocate a few octets of their own.
func TestEncodersAreUsedAgain(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would take idle encoders away
	in := records(50 << 10)
	e := NewEncoders(1 << 30)
	for _, c := range Codings[:3] {
		for level := 1; level <= Highest(c); level++ {
			var d discard
			once := func(flush bool) {
				enc := e.Get(c, level, int64(len(in)), &d)
				for _, p := range [][]byte{in[:20_000], in[20_000:]} {
					if err := enc.Write(p); err != nil {
						t.Fatal(err)
					}
					if !flush {
						continue
					}
					if err := enc.Flush(); err != nil {
						t.Fatal(err)
					}
				}
				if err := enc.Close(); err != nil {
					t.Fatal(err)
				}
				enc.Release()
			}
			warm := func() { // zstd has tables in turn, and each grows when it is first needed
				for range 16 {
					once(false)
				}
			}
			if n := testing.AllocsPerRun(1, warm); n > 0 {
				t.Errorf("%s %d: %g allocations in 16 bodies", c, level, n)
			}
			if n := testing.AllocsPerRun(10, func() { once(true) }); n > 4 {
				t.Errorf("%s %d: %g allocations with two flushes", c, level, n)
			}
		}
	}
}

// TestPanicInLibrary: an encoder that panicked is not lent again.
func TestPanicInLibrary(t *testing.T) {
	e := NewEncoders(1 << 30)
	enc := e.Get(Gzip, 1, -1, &collect{})
	enc.stream = broken{}
	func() {
		defer func() { recover() }()
		enc.Write([]byte("x"))
	}()
	enc.Release()
	if e.Get(Gzip, 1, -1, &collect{}) == enc || e.Used() != costOf(Gzip, 1) {
		t.Error("it is")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { panic("a bug") }
func (broken) Flush() error              { return nil }
func (broken) Close() error              { return nil }
