package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/metrics"
)

// memoryGauge measures what counts against a memoryLimit. Its files stay open: it has
// to work when descriptors have run out as well. It is for one goroutine.
type memoryGauge struct {
	limit   memoryLimit
	usage   *os.File // of the cgroup
	stat    *os.File
	statm   *os.File // of the process, where there is no cgroup
	page    int64
	samples []metrics.Sample
	buf     [8 << 10]byte
}

// Of the memory that the Go runtime holds: what has no use at present, all objects,
// and those that the last collection left.
const (
	goFree    = "/memory/classes/heap/free:bytes"
	goObjects = "/memory/classes/heap/objects:bytes"
	goLive    = "/gc/heap/live:bytes"
)

// openMemoryGauge opens the files. The gauge must be closed.
func openMemoryGauge(limit memoryLimit) (*memoryGauge, error) {
	g := &memoryGauge{limit: limit, page: int64(os.Getpagesize())}
	g.samples = []metrics.Sample{{Name: goFree}, {Name: goObjects}, {Name: goLive}}
	var err error
	if limit.group.limit == 0 {
		g.statm, err = os.Open("/proc/self/statm")
		return g, err
	}
	g.usage, err = os.Open("/" + limit.group.usage)
	if err == nil {
		g.stat, err = os.Open("/" + limit.group.stat)
	}
	if err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

func (g *memoryGauge) close() {
	for _, f := range []*os.File{g.usage, g.stat, g.statm} {
		if f != nil {
			_ = f.Close() // it was only read
		}
	}
}

// used is how many bytes are in use and cannot be had back without giving something up.
// It does not allocate.
func (g *memoryGauge) used() (int64, error) {
	if g.statm != nil {
		text, err := g.read(g.statm)
		if err != nil {
			return 0, err
		}
		_, text, _ = bytes.Cut(text, []byte(" "))
		pages, ok := number(text)
		if !ok {
			return 0, errUnreadable
		}
		n := pages * g.page
		if g.limit.soft {
			n -= g.reclaimable()
		}
		return max(n, 0), nil
	}
	text, err := g.read(g.usage)
	if err != nil {
		return 0, err
	}
	n, ok := number(text)
	if !ok {
		return 0, errUnreadable
	}
	if float64(n) < calmBelow*float64(g.limit.bytes) {
		return n, nil // to sum up the statistics costs the kernel more
	}
	if text, err = g.read(g.stat); err != nil {
		return 0, err
	}
	// Pages of files are given up by the kernel before it ends anyone.
	for _, name := range [...]string{g.limit.group.file1, g.limit.group.file2} {
		files, _ := field(text, name)
		n -= files
	}
	return max(n, 0), nil
}

// reclaimable is what the runtime holds and does not need: free memory and garbage.
func (g *memoryGauge) reclaimable() int64 {
	metrics.Read(g.samples)
	n := int64(0)
	if g.samples[0].Value.Kind() == metrics.KindUint64 {
		n = int64(g.samples[0].Value.Uint64())
	}
	if g.samples[1].Value.Kind() == metrics.KindUint64 && g.samples[2].Value.Kind() == metrics.KindUint64 {
		n += max(int64(g.samples[1].Value.Uint64())-int64(g.samples[2].Value.Uint64()), 0)
	}
	return n
}

var errUnreadable = errors.New("it holds no number where one is expected")

// read gives the beginning of a file of the kernel, valid until the next read.
func (g *memoryGauge) read(f *os.File) ([]byte, error) {
	n, err := f.ReadAt(g.buf[:], 0)
	if n == 0 && err != nil {
		return nil, fmt.Errorf("cannot read %q: %w", f.Name(), err)
	}
	return g.buf[:n], nil
}

// number reads the digits that text begins with.
func number(text []byte) (n int64, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' || n > unlimited {
			break
		}
		n, ok = n*10+int64(c-'0'), true
	}
	return n, ok
}

// field finds a line "name number".
func field(text []byte, name string) (int64, bool) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte("\n"))
		if len(line) > len(name) && line[len(name)] == ' ' && string(line[:len(name)]) == name {
			return number(line[len(name)+1:])
		}
	}
	return 0, false
}
