package compress

import (
	"runtime"
	"testing"
)

// TestMemoryOfEncoders measures what an encoder holds in the middle of a long body,
// and holds costOf to it: not below, since the budget is a promise, and not far above.
// What a server says of the length must not make a difference beyond that.
func TestMemoryOfEncoders(t *testing.T) {
	const many = 4
	in := records(1 << 20)
	lengths := map[Coding][]int64{Gzip: {-1}, Brotli: {-1, 4 << 20, 1 << 60}, Zstd: {-1}} // brotli takes a hint
	for _, c := range Codings[:3] {
		for level := 1; level <= Highest(c); level++ {
			most, want := int64(0), costOf(c, level)
			for _, length := range lengths[c] {
				e := NewEncoders(1 << 40)
				lent := make([]*Encoder, many)
				before := heap()
				for i := range lent {
					lent[i] = e.Get(c, level, length, &discard{})
					for rest := in; len(rest) > 0; {
						n := min(len(rest), 64<<10)
						if err := lent[i].Write(rest[:n]); err != nil {
							t.Fatal(err)
						}
						rest = rest[n:]
					}
				}
				got := (heap() - before) / many
				t.Logf("%s %d, length %d: %d KiB, counted as %d KiB", c, level, length, got>>10, want>>10)
				if most = max(most, got); got > want {
					t.Errorf("%s %d, length %d: an encoder holds %d bytes and is counted as %d", c, level, length, got, want)
				}
				for _, enc := range lent {
					enc.Release()
				}
				if used := e.Used(); used != 0 {
					t.Errorf("%s %d: %d bytes are counted after all were released", c, level, used)
				}
			}
			if most < want/2 {
				t.Errorf("%s %d: an encoder holds %d bytes at most and is counted as %d", c, level, most, want)
			}
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what a pool held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
