package static

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"weir/l7/message"
)

// Small files that are asked for are kept in memory, with their precompressed forms, and
// compared with what is in the directory once in a second at most: by device, inode, size
// and the times of the last change. While one is asked for all the time, that happens
// beside the requests, before the second is over; so a request for a file that is kept
// makes no system call for it.

const (
	// MaxKept is the longest file that is kept.
	MaxKept = 64 << 10
	// inHeap is the longest form that is kept as a slice. Longer ones are files of the
	// kernel without a name (memfd_create(2)), from which they are sent without being
	// copied: from there on that is cheaper.
	inHeap = 16 << 10
	// maxOpen is how many of those there are at most for a directory.
	maxOpen = 128
	// keptCost is what a kept file takes beside its octets.
	keptCost = 1 << 10
	// lookAhead is the age of a comparison at which the next one is made beside requests.
	lookAhead = recheck / 2
	// settled is for how long a file must have been left alone: another change within one
	// tick of the file system's clock would leave no trace.
	settled = 100 * time.Millisecond
)

// keeper holds the files of one directory within a budget. Its methods may be called from
// any goroutine.
//
// Room is made by a hand that goes round and takes what was not asked for since it came by
// last.
type keeper struct {
	mu     sync.RWMutex
	budget int64
	used   int64
	open   int // files without a name
	byPath map[string]*kept
	ring   []*kept
	hand   int
}

// kept is a file that is kept, with its forms. But for its counters it is immutable.
type kept struct {
	path   string // of requests
	forms  []form // the file itself first, then one for each coding of the site
	in     *keeper
	place  int          // in ring; -1: not there any more. Guarded by keeper.mu
	cost   int64        // guarded by keeper.mu
	looked atomic.Int64 // when it was compared last, Unix nanoseconds
	asked  atomic.Bool  // since the hand came by
	queued atomic.Bool  // is to be compared beside the requests

	made [len(codings)]atomic.Pointer[[]byte] // encoded forms that others made, see File.Keep
}

// form is a file, or one that is not there.
type form struct {
	name  string
	file  *File // nil: it is not there
	state state
}

// state tells whether a file is still the one that was read.
type state struct {
	dev, ino, size int64
	mtime, ctime   syscall.Timespec
}

var codings = [...]string{"gzip", "br", "zstd"}

func indexOf(coding string) int {
	for i, c := range codings {
		if c == coding {
			return i
		}
	}
	return -1
}

func newKeeper(budget int64) *keeper {
	return &keeper{budget: budget, byPath: make(map[string]*kept)}
}

func (k *keeper) find(path []byte) *kept {
	k.mu.RLock()
	e := k.byPath[string(path)]
	k.mu.RUnlock()
	if e != nil && !e.asked.Load() {
		e.asked.Store(true)
	}
	return e
}

// add takes a file in, in place of one with the same path. One that does not fit at all
// stays outside.
func (k *keeper) add(e *kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old := k.byPath[e.path]; old != nil {
		k.remove(old)
	}
	if e.cost > k.budget {
		e.close()
		return
	}
	e.place, k.byPath[e.path] = len(k.ring), e
	k.ring = append(k.ring, e)
	k.used += e.cost
	for i := range e.forms {
		if f := e.forms[i].file; f != nil && f.File != nil {
			k.open++
		}
	}
	k.shrink()
}

// drop lets go of a file.
func (k *keeper) drop(e *kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.remove(e)
}

// grow counts what a file that is kept takes more, and reports whether it is kept still.
func (k *keeper) grow(e *kept, bytes int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e.place < 0 {
		return false
	}
	e.cost, k.used = e.cost+bytes, k.used+bytes
	k.shrink()
	return e.place >= 0
}

// remove is drop. mu is held.
func (k *keeper) remove(e *kept) {
	if e.place < 0 {
		return
	}
	last := k.ring[len(k.ring)-1]
	k.ring[e.place], last.place = last, e.place
	k.ring[len(k.ring)-1] = nil
	k.ring = k.ring[:len(k.ring)-1]
	delete(k.byPath, e.path)
	k.used -= e.cost
	k.open -= e.close()
	e.place = -1
}

// shrink makes room. mu is held.
func (k *keeper) shrink() {
	for k.used > k.budget || k.open > maxOpen {
		if k.hand >= len(k.ring) {
			k.hand = 0
		}
		if e := k.ring[k.hand]; e.asked.Swap(false) {
			k.hand++
		} else {
			k.remove(e)
		}
	}
}

// choose returns the form that the client takes, nil where that is too long to be kept.
func (e *kept) choose(s *Site, fields []message.Field) *File {
	list := s.conf.Precompressed
	for tried := uint8(0); ; {
		i := best(fields, list, tried)
		if i < 0 {
			break
		}
		if f := e.forms[1+i].file; f != nil {
			return f.orNil()
		}
		tried |= 1 << i
	}
	return e.forms[0].file.orNil()
}

// orNil is the file for one more user, nil where it is too long to be kept, or goes this
// moment.
func (f *File) orNil() *File {
	if f.Body != nil {
		return f
	}
	for f.File != nil {
		n := f.users.Load()
		if n == 0 {
			break
		}
		if f.users.CompareAndSwap(n, n+1) {
			return f
		}
	}
	return nil
}

// close lets go of what the forms hold, in its turn.
func (e *kept) close() (files int) {
	for i := range e.forms {
		if f := e.forms[i].file; f != nil && f.File != nil {
			files++
			_ = f.Close() // it is in memory
		}
	}
	return files
}

// read reads a path's file with its forms, nil where they are not to be kept.
func (s *Site) read(d *directory, path []byte, name string) *kept {
	began := time.Now()
	e := &kept{path: string(path), in: d.keep, place: -1, cost: keptCost + int64(len(path))}
	e.looked.Store(began.UnixNano())
	list := s.conf.Precompressed
	for i := range 1 + len(list) {
		f, coding := form{name: name}, ""
		if i > 0 {
			coding = list[i-1]
			f.name += suffixes[coding]
		}
		if !f.read(d.root, began) || f.file == nil && i == 0 {
			e.close()
			return nil
		}
		if f.file != nil {
			f.file.describe(e, name, coding, len(list) > 0)
			if f.file.IsKept() {
				e.cost += f.file.Size
			}
		}
		e.forms = append(e.forms, f)
	}
	return e
}

// read reads the file of a form; false where what is there is not to be kept.
func (f *form) read(root *os.Root, now time.Time) bool {
	opened, err := openRegular(root, f.name)
	if err != nil {
		return err == ErrNotFound
	}
	defer func() { _ = opened.Close() }() // it was only read from
	info, err := opened.Stat()
	if err != nil {
		return false
	}
	f.state = stateOf(info)
	if now.Sub(time.Unix(f.state.ctime.Unix())) < settled {
		return false
	}
	f.file = &File{Size: opened.Size, ModTime: opened.ModTime}
	if opened.Size > MaxKept {
		return true // that it is there, and how long it is
	}
	body := make([]byte, opened.Size)
	if n, err := io.ReadFull(opened, body); int64(n) != opened.Size || err != nil && opened.Size > 0 {
		return false
	}
	if after, err := opened.Stat(); err != nil || stateOf(after) != f.state {
		return false
	}
	if len(body) > inHeap {
		f.file.File = newMemory(body)
		f.file.users.Store(1)
	}
	if f.file.File == nil {
		f.file.Body = body
	}
	return true
}

// newMemory makes a file without a name, nil where the kernel gives none.
func newMemory(body []byte) *os.File {
	fd, err := unix.MemfdCreate("weir-file", unix.MFD_CLOEXEC)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), "file in memory")
	if _, err := f.Write(body); err != nil {
		_ = f.Close() // the heap takes its place
		return nil
	}
	return f
}

// describe sets what the client is told of a file that is kept.
func (f *File) describe(e *kept, name, coding string, vary bool) {
	f.Type, f.Encoding, f.Vary = typeOf(name), coding, vary
	f.tag = f.AppendETag(nil)
	f.modified = f.AppendModified(nil)
	f.kept = e
}

// isSame reports whether what is in the directory is what was read.
func (e *kept) isSame(root *os.Root) bool {
	for i := range e.forms {
		f := &e.forms[i]
		info, err := root.Stat(f.name)
		switch {
		case err != nil && f.file == nil && kindOf(err) == ErrNotFound:
		case err != nil || f.file == nil || !info.Mode().IsRegular() || stateOf(info) != f.state:
			return false
		}
	}
	return true
}

func stateOf(info os.FileInfo) (s state) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok { // it always is, on Linux
		s = state{int64(st.Dev), int64(st.Ino), st.Size, st.Mtim, st.Ctim}
	}
	return s
}

// Encoded returns the file as it was encoded before, nil where it has to be done.
func (f *File) Encoded(coding string) []byte {
	if i := indexOf(coding); f.kept != nil && i >= 0 {
		if p := f.kept.made[i].Load(); p != nil {
			return *p
		}
	}
	return nil
}

// Keep keeps an encoded form of a file that is kept itself, and takes it over; it goes
// when the file changes. For other files it does nothing.
func (f *File) Keep(coding string, body []byte) {
	e, i := f.kept, indexOf(coding)
	if e == nil || i < 0 || e.made[i].Load() != nil {
		return
	}
	if body = bytes.Clone(body); e.in.grow(e, int64(len(body))) {
		e.made[i].Store(&body)
	}
}

// appendTag appends the entity tag of a file with that time, size and coding.
func appendTag(dst []byte, modified time.Time, size int64, coding string) []byte {
	dst = append(dst, '"')
	dst = strconv.AppendInt(dst, modified.UnixNano(), 36)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, size, 36)
	if coding != "" {
		dst = append(dst, '-')
		dst = append(dst, coding...)
	}
	return append(dst, '"')
}
