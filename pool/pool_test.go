package pool

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// bug calls f and returns the message of its panic, "" where there is none.
func bug(f func()) (msg string) {
	defer func() {
		if p := recover(); p != nil {
			msg = fmt.Sprint(p)
		}
	}()
	f()
	return ""
}

func TestGetSizes(t *testing.T) {
	f := func(size, want int) {
		t.Helper()
		b := Get(size)
		defer b.Release()
		if len(b.B) != want || cap(b.B) != want {
			t.Errorf("Get(%d) has length %d and capacity %d, want %d", size, len(b.B), cap(b.B), want)
		}
	}
	f(-1, 1<<10)
	f(0, 1<<10)
	f(1, 1<<10)
	f(1<<10, 1<<10)
	f(1<<10+1, 4<<10)
	f(4<<10, 4<<10)
	f(16<<10, 16<<10)
	f(16<<10+1, 64<<10)
	f(64<<10, 64<<10)
	f(256<<10, 256<<10)
	f(256<<10+1, 256<<10+1)
	f(1<<20, 1<<20)
}

func TestReleaseRestoresTheWholeBuffer(t *testing.T) {
	drop()
	b := Get(100)
	b.B = b.B[500:510:510]
	b.Release()
	if b.B != nil {
		t.Error("the handle still reaches the bytes after Release")
	}
	for range 3 {
		b := Get(100)
		if len(b.B) != 1<<10 {
			t.Errorf("the next owner got %d bytes, want 1024", len(b.B))
		}
		b.Release()
	}
}

func TestDoubleReleaseIsABug(t *testing.T) {
	f := func(size int) {
		t.Helper()
		b := Get(size)
		b.Release()
		if got := bug(b.Release); !strings.HasPrefix(got, "BUG: ") {
			t.Errorf("second Release of %d bytes: %q, want a panic with BUG", size, got)
		}
	}
	f(1)
	f(256 << 10)
	f(1 << 20)
}

func TestTrackingFindsUseAfterRelease(t *testing.T) {
	Track(true)
	defer Track(false)
	b := Get(1 << 10)
	kept := b.B
	b.Release()
	for i, c := range kept {
		if c != poisonByte {
			t.Fatalf("byte %d is 0x%02x after Release, want the poison", i, c)
		}
	}
	kept[700] = 'x'
	got := bug(func() { Get(1 << 10) })
	if !strings.HasPrefix(got, "BUG: ") || !strings.Contains(got, "byte 700") {
		t.Errorf("Get of a buffer changed after Release: %q, want a panic with BUG that names byte 700", got)
	}
}

func TestStats(t *testing.T) {
	drop()
	before := Stats()
	live := Live()
	a, b, c := Get(10), Get(16<<10), Get(1<<20)
	s := Stats()
	f := func(i, count, bytes int) {
		t.Helper()
		if n := s[i].Live - before[i].Live; n != count {
			t.Errorf("%s: %d more live, want %d", s[i].Class, n, count)
		}
		if n := s[i].LiveBytes - before[i].LiveBytes; n != bytes {
			t.Errorf("%s: %d more live bytes, want %d", s[i].Class, n, bytes)
		}
		if n := s[i].Misses - before[i].Misses; n != uint64(count) {
			t.Errorf("%s: %d more misses, want %d", s[i].Class, n, count)
		}
	}
	f(0, 1, 1<<10)
	f(1, 0, 0)
	f(2, 1, 16<<10)
	f(numClasses, 1, 1<<20)
	if Live() != live+3 {
		t.Errorf("Live = %d, want %d", Live(), live+3)
	}
	a.Release()
	b.Release()
	c.Release()
	if Live() != live {
		t.Errorf("Live = %d after the last Release, want %d", Live(), live)
	}
	if s = Stats(); s[0].IdleBytes != 1<<10 || s[2].IdleBytes != 16<<10 || s[numClasses].IdleBytes != 0 {
		t.Errorf("idle bytes %d, %d, %d; want 1024, 16384, 0", s[0].IdleBytes, s[2].IdleBytes, s[numClasses].IdleBytes)
	}
}

func TestIdleBytesAreBounded(t *testing.T) {
	drop()
	for c := range numClasses {
		size := classBytes(c)
		var held []*Buffer
		for range 2*idleBound(c)/size + 1 {
			held = append(held, Get(size))
		}
		for _, b := range held {
			b.Release()
		}
		if got := Stats()[c].IdleBytes; got > idleBound(c) || got < idleBound(c)/2 {
			t.Errorf("class %d keeps %d bytes, want at most %d and not much less", size, got, idleBound(c))
		}
		drop()
	}
}

// Buffers go round between goroutines, each marked by its owner: no byte may
// ever change hands while it is owned.
func TestConcurrentOwnership(t *testing.T) {
	Track(true)
	defer Track(false)
	live := Live()
	const workers, rounds = 8, 500
	pass := make(chan *Buffer, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range rounds {
				b := Get(rand.IntN(6 << 10))
				b.B[0], b.B[len(b.B)-1] = byte(w), byte(w)
				if b.B[0] != byte(w) || b.B[len(b.B)-1] != byte(w) {
					t.Error("two owners of one buffer")
				}
				select {
				case pass <- b:
				default:
					b.Release()
				}
				select {
				case b := <-pass:
					b.Release()
				default:
				}
			}
		})
	}
	wg.Wait()
	close(pass)
	for b := range pass {
		b.Release()
	}
	if Live() != live {
		t.Errorf("%d buffers leaked", Live()-live)
	}
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f := func(size int) {
		t.Helper()
		Get(size).Release()
		if n := testing.AllocsPerRun(1000, func() { Get(size).Release() }); n != 0 {
			t.Errorf("Get(%d) and Release allocate %v times", size, n)
		}
	}
	f(1)
	f(4 << 10)
	f(16 << 10)
	f(64 << 10)
	f(256 << 10)
	if n := testing.AllocsPerRun(100, func() { Stats() }); n != 0 {
		t.Errorf("Stats allocates %v times", n)
	}
}

func BenchmarkGetRelease(b *testing.B) {
	for b.Loop() {
		Get(16 << 10).Release()
	}
}

func BenchmarkGetReleaseParallel(b *testing.B) {
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			Get(16 << 10).Release()
		}
	})
}
