package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// faultFS fails calls of the file system below: those with the numbers [from, to).
// Making directories is not counted: a start does it hundreds of times.
type faultFS struct {
	FS
	err      error
	short    bool // writes write half before they fail
	calls    atomic.Int64
	from, to int64
	only     string // the name of a call; empty: all
}

func (f *faultFS) fails(call string) bool {
	if f.only != "" && f.only != call {
		return false
	}
	n := f.calls.Add(1)
	return n >= f.from && n < f.to
}

func (f *faultFS) Open(name string, flags int) (File, error) {
	if f.fails("open") {
		return nil, f.err
	}
	file, err := f.FS.Open(name, flags)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f}, nil
}

func (f *faultFS) Rename(from, to string) error {
	if f.fails("rename") {
		return f.err
	}
	return f.FS.Rename(from, to)
}

func (f *faultFS) Remove(name string) error {
	if f.fails("remove") {
		return f.err
	}
	return f.FS.Remove(name)
}

func (f *faultFS) List(name string) ([]string, error) {
	if f.only == "list" && f.fails("list") {
		return nil, f.err
	}
	return f.FS.List(name)
}

func (f *faultFS) SyncDir(name string) error {
	if f.fails("syncdir") {
		return f.err
	}
	return f.FS.SyncDir(name)
}

type faultFile struct {
	File
	fs *faultFS
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if f.fs.fails("read") {
		return 0, f.fs.err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if f.fs.fails("write") {
		n := 0
		if f.fs.short {
			n, _ = f.File.WriteAt(p[:len(p)/2], off)
		}
		return n, f.fs.err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultFile) Truncate(size int64) error {
	if f.fs.fails("truncate") {
		return f.fs.err
	}
	return f.File.Truncate(size)
}

func (f *faultFile) Size() (int64, error) {
	if f.fs.fails("size") {
		return 0, f.fs.err
	}
	return f.File.Size()
}

func (f *faultFile) Sync() error {
	if f.fs.fails("sync") {
		return f.fs.err
	}
	return f.File.Sync()
}

// history is what was done to a directory, so that what may be in it is known.
type history struct {
	r       *rig
	bodies  map[string][][]byte // by name: what may be there
	present int                 // objects that were seen
}

func (h *history) store(name string, n int) {
	b := body(uint64(n)+7, n)
	// Even one that could not be stored may not be seen in part; that it is there is no error.
	h.bodies[name] = append(h.bodies[name], b)
	_ = h.r.store(item(name, "h"), b)
}

func (h *history) purge(name string) {
	if h.r.Purge(Ban{Label: []byte("k" + name)}) == nil {
		h.bodies[name] = nil
	}
}

func (h *history) refresh(name string) {
	_ = h.r.Refresh([]byte(name), []byte("meta of "+name), []byte("X-Name: "+name+"\r\n"), 0)
}

// check reads everything and reports what it must not have found.
func (h *history) check(when string) {
	h.r.t.Helper()
	for name, bodies := range h.bodies {
		o, ok := h.r.Get([]byte(name))
		if !ok {
			continue
		}
		h.present++
		got := make([]byte, o.Length)
		_, err := o.ReadAt(got, 0)
		if err == nil && !containsBody(bodies, got) {
			h.r.t.Errorf("%s: %q has a body of %d bytes that was never stored, or was purged", when, name, len(got))
		}
		if string(o.Meta) != "meta of "+name || string(o.Head) != "X-Name: "+name+"\r\n" {
			h.r.t.Errorf("%s: %q has another's meta or head", when, name)
		}
		o.Close()
	}
}

func containsBody(bodies [][]byte, b []byte) bool {
	for _, x := range bodies {
		if bytes.Equal(x, b) {
			return true
		}
	}
	return false
}

func (h *history) play(when string) {
	h.store("small", 100)
	h.store("large", 200_000)
	h.check(when)
	h.store("gone", 50)
	h.store("lost", 70_000)
	h.purge("gone")
	h.purge("lost")
	h.refresh("small")
	h.refresh("large")
	h.check(when)
	h.store("small", 120)
	h.store("large", 300)
	h.store("late", 150_000)
	h.r.Drop([]byte("late"))
	h.check(when)
}

// TestRow51_EveryCallFails: whatever call of the file system fails, once or from then
// on, in whatever way: nothing wrong is served then or after a restart.
func TestRow51_EveryCallFails(t *testing.T) {
	dir := t.TempDir()
	present := 0
	// The first way fails each call; the others every third, from another one on, and under
	// the race detector, which slows all of it down, every ninth.
	step, first := int64(1), int64(1)
	f := func(err error, short, forever bool) {
		if raceEnabled {
			step = 9
		}
		defer func() { step, first = 3, first%3+1 }()
		for n := first; ; n += step {
			fs := &faultFS{FS: quick{}, err: err, short: short, from: n, to: n + 1}
			if forever {
				fs.to = 1 << 62
			}
			when := fmt.Sprintf("%v at call %d, short %v, forever %v", err, n, short, forever)
			if present += playFault(t, filepath.Join(dir, "cache"), fs, when); t.Failed() {
				return
			}
			if fs.calls.Load() < n {
				t.Logf("%v, short %v, forever %v: %d calls", err, short, forever, n)
				return // no call has that number: all have failed once
			}
		}
	}
	f(unix.ENOSPC, false, false)
	f(unix.ENOSPC, true, false)
	f(unix.EIO, true, false)
	f(unix.EACCES, false, false)
	f(unix.EMFILE, false, false)
	f(io.ErrShortWrite, true, false)
	f(unix.ENOSPC, true, true)
	f(unix.EIO, false, true)
	if present < 500 && !raceEnabled {
		t.Errorf("%d objects were found in all: the test proves little", present)
	}
}

// playFault plays with a file system that fails, and then looks with one that does not.
func playFault(t *testing.T, dir string, fs *faultFS, when string) (present int) {
	// What is there from before.
	r := open(t, Options{Dir: dir, Size: MinSize})
	h := &history{r: r, bodies: make(map[string][][]byte)}
	h.store("small", 90)
	h.store("large", 90_000)
	h.store("old", 70)
	r.Close()

	o := r.o
	o.FS = fs
	var err error
	if r.Tier, err = Open(o); err == nil {
		eventually(t, when+": ready, or refused by the file system", func() bool {
			return r.Ready() || fs.calls.Load() >= fs.from && r.Stats().Waiting
		})
		h.play(when)
		r.Close()
	} else if !errors.Is(err, fs.err) {
		t.Errorf("%s: open: %v", when, err)
	}

	r.Tier, err = Open(r.o)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, when+": ready after it", r.Ready)
	h.check(when + ", afterwards")
	if names, _ := os.ReadDir(filepath.Join(dir, tmpName)); len(names) != 0 {
		t.Errorf("%s: left over: %v", when, names)
	}
	if used, counted := usage(t, dir), r.Stats().Bytes; used > counted+pageSize {
		t.Errorf("%s: %d bytes are in the directory, %d were counted", when, used, counted)
	}
	r.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	return h.present
}

// usage is what the files of objects in a directory take of the disk.
func usage(t *testing.T, dir string) (n int64) {
	t.Helper()
	for _, sub := range []string{objectsName, segsName, tmpName} {
		err := filepath.WalkDir(filepath.Join(dir, sub), func(name string, d os.DirEntry, err error) error {
			var st unix.Stat_t
			if err == nil && !d.IsDir() && unix.Stat(name, &st) == nil {
				n += st.Blocks * 512
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestRow51_FullDiskGoesOn: a disk that is full takes objects again as soon as it has
// room, and the log says once what the matter is.
func TestRow51_FullDiskGoesOn(t *testing.T) {
	fs := &faultFS{FS: quick{}, err: unix.ENOSPC, only: "write"}
	r := open(t, Options{FS: fs})
	r.put(item("a"), body(1, 100_000))
	fs.calls.Store(0)
	fs.from, fs.to = 1, 1<<62
	for range 3 {
		if err := r.store(item("b"), body(1, 100_000)); err == nil {
			t.Error("stored on a full disk")
		}
	}
	if err := r.store(item("b"), nil); err != ErrResting {
		t.Errorf("right after it: %v", err)
	}
	r.want("a", body(1, 100_000))
	s := r.Stats()
	if s.Errors[NoSpace] == 0 || s.Limit >= r.o.Size {
		t.Errorf("stats %+v", s)
	}
	fs.from = 1 << 62
	eventually(t, "objects are stored again", func() bool { return r.store(item("b"), body(2, 100_000)) == nil })
	r.want("b", body(2, 100_000))
	if out := r.log.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "no_space") {
		t.Errorf("want one line, got\n%s", out)
	}
}

// TestRow51_PurgeThatCannotBeWritten: then everything goes at the next start.
func TestRow51_PurgeThatCannotBeWritten(t *testing.T) {
	fs := &faultFS{FS: quick{}, err: unix.ENOSPC, only: "write"}
	r := open(t, Options{FS: fs})
	r.put(item("a"), body(1, 10))
	r.put(item("b"), body(1, 100_000))
	fs.calls.Store(0)
	fs.from, fs.to = 1, 1<<62
	if err := r.Purge(Ban{Label: []byte("ka")}); err != nil {
		t.Fatal(err)
	}
	r.want("a", nil)
	r.want("b", body(1, 100_000))
	r.Close()
	fs.from = 1 << 62
	tier, err := Open(r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.Tier = tier
	eventually(t, "ready", r.Ready)
	r.want("a", nil)
	if s := r.Stats(); s.Objects != 0 {
		t.Errorf("%d objects are left", s.Objects)
	}
}

func TestOpenFails(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		tier, err := Open(o)
		if err == nil {
			tier.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(Options{Dir: dir, Size: MinSize - 1}, "a size of 16777215 bytes is less than 16777216")
	f(Options{Dir: filepath.Join(dir, "no", "where"), Size: MinSize}, "no such file or directory")
	f(Options{Dir: filepath.Join(dir, "file"), Size: MinSize}, "not a directory")
	f(Options{Dir: dir, Size: MinSize, FS: &faultFS{FS: lockless{}}}, "cannot lock the cache directory")
}

// lockless has no locks.
type lockless struct{ system }

func (lockless) Lock(string) (io.Closer, error) { return nil, unix.EACCES }
