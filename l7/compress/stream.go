package compress

import (
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/molecule-man/go-brrr"
)

// Windows. Both are far below what decoders must provide (16 MiB for brotli, 8 MiB for
// zstd by RFC 9659), because a proxy has many streams at once, and each holds its window.
const (
	brotliWindowBits = 18
	zstdWindow       = 256 << 10
)

// maxHint is the longest body that brotli is told of: from 1 MiB on it takes larger tables
// at some levels, twice the memory that costs has, for hardly fewer octets.
const maxHint = 1<<20 - 1

var zstdLevels = [...]zstd.EncoderLevel{
	1: zstd.SpeedFastest, 2: zstd.SpeedDefault, 3: zstd.SpeedBetterCompression,
}

// begin makes the encoder ready for a new stream to e.out.
func (e *Encoder) begin(length int64) {
	hint := uint(max(min(length, maxHint), 0))
	if d := e.from.dictionary; d != nil { // there is room: nothing was written yet
		e.out.n = copy(e.out.buf.B, magic[e.from.coding])
		e.out.n += copy(e.out.buf.B[e.out.n:], d.hash[:])
	}
	switch s := e.stream.(type) {
	case nil:
		e.stream = newStream(e.from, &e.out, hint)
	case *gzip.Writer:
		s.Reset(&e.out)
	case *brrr.Writer:
		s.ResetWithSizeHint(&e.out, hint)
	case *zstd.Encoder:
		s.Reset(&e.out)
	}
}

// newStream makes an encoder of the library. Levels are checked in the configuration.
func newStream(k *class, out *output, hint uint) stream {
	var s stream
	var err error
	switch c, level := k.coding, k.level; c.Base() {
	case Gzip:
		s, err = gzip.NewWriterLevel(out, level)
	case Brotli:
		var w *brrr.Writer
		o := brrr.WriterOptions{LGWin: brotliWindowBits}
		if k.dictionary != nil {
			o.Dictionaries = []*brrr.PreparedDictionary{k.dictionary.prepared}
		}
		w, err = brrr.NewWriterOptions(out, level, o)
		if err == nil {
			w.ResetWithSizeHint(out, hint) // tells it that it will be used again, so that Close keeps its memory
		}
		s = w
	case Zstd:
		o := []zstd.EOption{
			zstd.WithEncoderLevel(zstdLevels[level]), zstd.WithWindowSize(zstdWindow),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		}
		if d := k.dictionary; d != nil {
			o = append(o, zstd.WithWindowSize(d.window()), zstd.WithEncoderDictRaw(0, d.body))
		}
		s, err = zstd.NewWriter(out, o...)
	default:
		panic("BUG: compress: an encoder for " + k.coding.String())
	}
	if err != nil {
		panic("BUG: compress: " + k.coding.String() + ": " + err.Error())
	}
	return s
}
