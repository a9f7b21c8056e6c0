package disk

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/pool"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// rig is a tier in a directory of its own.
type rig struct {
	*Tier
	t    *testing.T
	o    Options
	log  *logBuffer
	live int
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// quick is the operating system's file system, which it does not wait for: what a
// process wrote is there after its end without a sync, and only for power is there one.
type quick struct{ system }

type quickFile struct{ File }

func (quick) SyncDir(string) error { return nil }
func (quickFile) Sync() error      { return nil }
func (quick) Open(name string, flags int) (File, error) {
	f, err := system{}.Open(name, flags)
	if err != nil {
		return nil, err
	}
	return quickFile{f}, nil
}

func open(t *testing.T, o Options) *rig {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "cache")
	}
	if o.Size == 0 {
		o.Size = 64 << 20
	}
	if o.FS == nil {
		o.FS = quick{}
	}
	r := &rig{t: t, log: &logBuffer{}, live: pool.Live()}
	o.Log = slog.New(slog.NewTextHandler(r.log, nil))
	r.o = o
	r.reopen()
	t.Cleanup(func() {
		r.Close()
		if n := pool.Live() - r.live; n != 0 {
			t.Errorf("%d buffers were not given back", n)
		}
	})
	return r
}

// reopen opens the directory (again) and waits until everything in it is known.
func (r *rig) reopen() {
	r.t.Helper()
	if r.Tier != nil {
		if err := r.Close(); err != nil {
			r.t.Fatal(err)
		}
	}
	tier, err := Open(r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Tier = tier
	eventually(r.t, "the tier is ready", r.Ready)
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// body is n bytes that follow from a seed.
func body(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.NewPCG(seed, 1)
	for i := 0; i < n; i += 8 {
		v := rng.Uint64()
		for j := i; j < min(n, i+8); j++ {
			b[j] = byte(v)
			v >>= 8
		}
	}
	return b
}

// item is an object by a name: its key, its labels.
func item(name string, labels ...string) Item {
	it := Item{Key: []byte(name), Meta: []byte("meta of " + name), Head: []byte("X-Name: " + name + "\r\n"), Length: -1}
	for _, l := range append([]string{"k" + name}, labels...) {
		it.Labels = append(it.Labels, []byte(l))
	}
	return it
}

// store stores an object and returns the error.
func (r *rig) store(it Item, b []byte) error {
	f, err := r.Begin(it)
	if err != nil {
		return err
	}
	for len(b) > 0 {
		n := min(len(b), 10_000)
		if _, err := f.Write(b[:n]); err != nil {
			f.Abort()
			return err
		}
		b = b[n:]
	}
	return f.Commit()
}

func (r *rig) put(it Item, b []byte) {
	r.t.Helper()
	if err := r.store(it, b); err != nil {
		r.t.Fatalf("cannot store %q: %v", it.Key, err)
	}
}

// want says what is stored under a name; nil is nothing.
func (r *rig) want(name string, b []byte) {
	r.t.Helper()
	o, ok := r.Get([]byte(name))
	if !ok {
		if b != nil {
			r.t.Errorf("%q is not there", name)
		}
		return
	}
	defer o.Close()
	if b == nil {
		r.t.Errorf("%q is there, %d bytes", name, o.Length)
		return
	}
	got := make([]byte, o.Length)
	if n, err := o.ReadAt(got, 0); err != nil || !bytes.Equal(got, b) {
		r.t.Errorf("%q: read %d bytes of %d (%v), checksum %08x, want %d and %08x", name, n, o.Length, err,
			crc32.ChecksumIEEE(got), len(b), crc32.ChecksumIEEE(b))
	}
	if want := "meta of " + name; string(o.Meta) != want {
		r.t.Errorf("%q: meta is %q, want %q", name, o.Meta, want)
	}
	if want := "X-Name: " + name + "\r\n"; string(o.Head) != want {
		r.t.Errorf("%q: head is %q, want %q", name, o.Head, want)
	}
}

// sizes are lengths of bodies at which something changes.
var sizes = []int{
	0, 1, 1000, blockSize - 1, blockSize, blockSize + 1, 2 * blockSize, 3*blockSize + 7,
	sumsRead * blockSize / 64, 1 << 20,
}

func TestStoreAndRestart(t *testing.T) {
	r := open(t, Options{})
	for i, n := range sizes {
		r.put(item(fmt.Sprint("a", n)), body(uint64(i), n))
	}
	check := func() {
		t.Helper()
		for i, n := range sizes {
			r.want(fmt.Sprint("a", n), body(uint64(i), n))
		}
		r.want("b", nil)
		if s := r.Stats(); s.Objects != len(sizes) || s.Files != 5 || s.Errors != [Causes]uint64{} {
			t.Errorf("stats %+v", s)
		}
	}
	check()
	for range 3 {
		r.reopen()
		check()
	}
	if out := r.log.String(); out != "" {
		t.Errorf("logged: %s", out)
	}
}

func TestReplace(t *testing.T) {
	r := open(t, Options{})
	for i, n := range []int{10, 100_000, 20, 30, 200_000, 300_000, 0} {
		b := body(uint64(i), n)
		r.put(item("a"), b)
		r.want("a", b)
		r.reopen()
		r.want("a", b)
		if s := r.Stats(); s.Objects != 1 {
			t.Errorf("%d objects after %d writes, want 1", s.Objects, i+1)
		}
	}
}

func TestDrop(t *testing.T) {
	r := open(t, Options{})
	for _, n := range []int{10, 100_000} {
		r.put(item("a"), body(1, 20))
		r.put(item("a"), body(2, n))
		r.Drop([]byte("a"))
		r.want("a", nil)
		r.reopen()
		r.want("a", nil)
		r.reopen()
		r.want("a", nil)
	}
}

func TestFillEnds(t *testing.T) {
	r := open(t, Options{})
	it := item("a")
	it.Length = 10
	if err := r.store(it, make([]byte, 9)); err != ErrLength {
		t.Errorf("short: %v", err)
	}
	if err := r.store(it, make([]byte, 100_000)); err != ErrLength {
		t.Errorf("long: %v", err)
	}
	f, err := r.Begin(item("a"))
	if err != nil {
		t.Fatal(err)
	}
	f.Write(make([]byte, 200_000))
	r.want("a", nil) // not before Commit
	f.Abort()
	f.Abort()
	r.want("a", nil)
	if err := r.store(item("a"), make([]byte, 17<<20)); err != ErrTooLarge {
		t.Errorf("larger than a quarter: %v", err)
	}
	it.Length = 17 << 20
	if _, err := r.Begin(it); err != ErrTooLarge {
		t.Errorf("announced: %v", err)
	}
	if s := r.Stats(); s.Bytes != 0 || s.Objects != 0 {
		t.Errorf("left over: %+v", s)
	}
	if names, _ := os.ReadDir(filepath.Join(r.dir, tmpName)); len(names) != 0 {
		t.Errorf("left over: %v", names)
	}
}

func TestItemLimits(t *testing.T) {
	r := open(t, Options{})
	f := func(it Item, want bool) {
		t.Helper()
		err := r.store(it, []byte("x"))
		if (err == nil) != want {
			t.Errorf("key %d, meta %d, head %d: %v", len(it.Key), len(it.Meta), len(it.Head), err)
		}
		if err == nil {
			if o, ok := r.Get(it.Key); !ok || !bytes.Equal(o.Head, it.Head) {
				t.Errorf("not there")
			} else {
				o.Close()
			}
		}
	}
	f(Item{Key: []byte("k"), Length: -1}, true)
	f(Item{Key: body(1, maxKey), Length: 1}, true)
	f(Item{Key: body(1, maxKey), Labels: [][]byte{body(2, maxLabels-2)}, Meta: body(3, maxMeta), Head: body(4, maxHead), Length: 1}, true)
	f(Item{Length: -1}, false)
	f(Item{Key: body(1, maxKey+1), Length: 1}, false)
	f(Item{Key: body(1, 10), Labels: [][]byte{body(2, maxLabels-1)}, Length: 1}, false)
	f(Item{Key: body(1, 10), Meta: body(3, maxMeta+1), Length: 1}, false)
	f(Item{Key: body(1, 10), Head: body(3, maxHead+1), Length: 1}, false)
}

func TestRefresh(t *testing.T) {
	r := open(t, Options{})
	f := func(n, head int, want error) {
		t.Helper()
		b := body(1, n)
		r.put(item("a"), b)
		if err := r.Purge(Ban{Label: []byte("ka"), Soft: true}); err != nil {
			t.Fatal(err)
		}
		h := body(2, head)
		if err := r.Refresh([]byte("a"), []byte("new"), h, r.Mark()); err != want {
			t.Fatalf("body %d, head %d: %v, want %v", n, head, err, want)
		}
		for range 2 {
			o, ok := r.Get([]byte("a"))
			if ok != (want == nil) {
				t.Fatalf("body %d, head %d: there %v", n, head, ok)
			}
			if !ok {
				return
			}
			got := make([]byte, n)
			o.ReadAt(got, 0)
			if !bytes.Equal(o.Head, h) || string(o.Meta) != "new" || o.Soft || !bytes.Equal(got, b) {
				t.Errorf("body %d, head %d: another object", n, head)
			}
			o.Close()
			r.reopen()
		}
	}
	f(10, 0, nil)
	f(10, 10_000, nil)
	f(100_000, 0, nil)
	f(100_000, 1000, nil)
	f(100_000, 10_000, ErrNoRoom)
	if err := r.Refresh([]byte("none"), nil, nil, 0); err != ErrGone {
		t.Errorf("of nothing: %v", err)
	}
}

func TestBlocks(t *testing.T) {
	r := open(t, Options{Size: 256 << 20})
	const n = (sumsRead+3)*blockSize + 5
	b := body(1, n)
	r.put(item("a"), b)
	o, ok := r.Get([]byte("a"))
	if !ok {
		t.Fatal("not there")
	}
	defer o.Close()
	f := func(off, want int64) {
		t.Helper()
		piece, err := o.Block(off)
		if want == 0 {
			if err == nil || piece != nil {
				t.Errorf("at %d: %d bytes, %v", off, len(piece), err)
			}
			return
		}
		if err != nil || int64(len(piece)) != want || !bytes.Equal(piece, b[off:off+want]) {
			t.Errorf("at %d: %d bytes, %v, want %d", off, len(piece), err, want)
		}
	}
	f(0, blockSize)
	f(1, blockSize-1)
	f(blockSize-1, 1)
	f(n-1, 1)
	f(n-5, 5)
	f(n, 0)
	f(-1, 0)
	f(sumsRead*blockSize, blockSize)
	f(5*blockSize, blockSize)
	if !o.Verify() {
		t.Error("not verified")
	}
	var labels []string
	for l := range o.Labels() {
		labels = append(labels, string(l))
	}
	if fmt.Sprint(labels) != "[ka]" {
		t.Errorf("labels %q", labels)
	}
}

// TestOpenSegmentIsWalkedThrough: what is in the segment that a killed process was writing
// is there after it, up to the first record that is not whole.
func TestOpenSegmentIsWalkedThrough(t *testing.T) {
	r := open(t, Options{})
	slow, err := r.Begin(item("slow")) // begun before the segment, and put into it
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		r.put(item(fmt.Sprint(i)), body(uint64(i), 1000))
	}
	slow.Write(body(99, 500))
	if err := slow.Commit(); err != nil {
		t.Fatal(err)
	}
	r.Drop([]byte("3"))
	logs, _ := filepath.Glob(filepath.Join(r.dir, segsName, "*"+suffixLog))
	if len(logs) != 1 {
		t.Fatalf("segments %v", logs)
	}
	b, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	f := func(cut int, there int, slow bool) {
		t.Helper()
		r.Close()
		segs, _ := filepath.Glob(filepath.Join(r.dir, segsName, "*"))
		for _, name := range segs {
			os.Remove(name)
		}
		if err := os.WriteFile(logs[0], b[:len(b)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r.reopen()
			for i := range 20 {
				if i < there && i != 3 {
					r.want(fmt.Sprint(i), body(uint64(i), 1000))
				} else {
					r.want(fmt.Sprint(i), nil)
				}
			}
			if slow {
				r.want("slow", body(99, 500))
			} else {
				r.want("slow", nil)
			}
		}
	}
	f(0, 20, true)
	f(1, 20, false)
	f(700, 19, false)
	f(len(b), 0, false)
}
