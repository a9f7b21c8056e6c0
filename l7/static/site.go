// Package static finds files for requests and says what of them is to be sent.
//
// It opens files below one directory and never leaves it: os.Root refuses every
// symbolic link that leads out. Names come from request paths, decoded once, after
// package message has refused dot segments and encoded slashes. What is not a
// regular file is not there. It writes nothing and knows no connection.
package static

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/conf"
	"weir/l7/message"
)

// What Open answers with where it has no file.
var (
	ErrNotFound  = errors.New("there is no such file")
	ErrForbidden = errors.New("the file may not be read")
	// ErrDirectory asks to redirect to the same path with a final slash.
	ErrDirectory = errors.New("the path names a directory and has no final slash")
)

// Site serves one directory. Its methods may be called from any goroutine. It need
// not be closed: the directory is given back once nothing refers to it.
type Site struct {
	conf *conf.Files
	run  func(func())
	dir  atomic.Pointer[directory]

	mu      sync.Mutex
	queue   []*kept // guarded by mu; to be compared beside the requests
	looking bool    // guarded by mu; somebody goes through queue
}

// directory is the root as it was opened last, and what is kept of it.
type directory struct {
	root    *os.Root
	info    fs.FileInfo
	checked atomic.Int64 // when it was last compared with what has its name, Unix nanoseconds
	keep    *keeper      // nil: nothing is kept
}

// recheck is the time after which the directory, and each file that is kept, is compared
// with what has its name: a release that is put in place by turning a link is noticed that
// soon.
const recheck = time.Second

// New opens the directory. run runs a function in a goroutine that its owner waits for, or
// not at all once that has ended.
func New(c *conf.Files, run func(func())) (*Site, error) {
	s := &Site{conf: c, run: run}
	d, err := s.openDirectory()
	if err != nil {
		return nil, err
	}
	s.dir.Store(d)
	return s, nil
}

func (s *Site) openDirectory() (*directory, error) {
	name := s.conf.Root
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("cannot open the directory of files: %w", err)
	}
	info, err := root.Stat(".")
	if err != nil {
		_ = root.Close() // the first error tells more
		return nil, fmt.Errorf("cannot open the directory of files %q: %w", name, err)
	}
	d := &directory{root: root, info: info}
	d.checked.Store(time.Now().UnixNano())
	if s.conf.Memory > 0 {
		d.keep = newKeeper(int64(s.conf.Memory))
	}
	return d, nil
}

// current returns the directory, anew when another one has its name now and it was not
// looked at for so long. The old one is closed by the garbage collector: others may be
// reading from it.
func (s *Site) current(age time.Duration) *directory {
	d := s.dir.Load()
	now, checked := time.Now().UnixNano(), d.checked.Load()
	if now-checked < int64(age) || !d.checked.CompareAndSwap(checked, now) {
		return d
	}
	info, err := os.Stat(s.conf.Root)
	if err != nil || os.SameFile(info, d.info) {
		return d // a directory that is gone is as good as empty
	}
	if fresh, err := s.openDirectory(); err == nil {
		s.dir.Store(fresh)
		return fresh
	}
	return d
}

// Kept returns the file for a canonical path where it is kept and was compared with what
// is in the directory within the last second, else nil. It makes no system call. now is the
// time; what else is as with Open.
func (s *Site) Kept(path []byte, fields []message.Field, now time.Time) *File {
	d := s.dir.Load()
	if d.keep == nil {
		return nil
	}
	e := d.keep.find(path)
	if e == nil {
		return nil
	}
	age := now.UnixNano() - min(e.looked.Load(), d.checked.Load())
	if age >= int64(recheck) {
		return nil
	}
	if age >= int64(lookAhead) && !e.queued.Swap(true) {
		s.enqueue(e)
	}
	return e.choose(s, fields)
}

// enqueue has a file compared beside the requests.
func (s *Site) enqueue(e *kept) {
	s.mu.Lock()
	s.queue = append(s.queue, e)
	begin := !s.looking
	s.looking = true
	s.mu.Unlock()
	if begin {
		s.run(s.look)
	}
}

// look compares the files in the queue until it is empty.
func (s *Site) look() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.looking = false
			s.mu.Unlock()
			return
		}
		e := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		if d := s.current(lookAhead); d.keep == e.in {
			s.lookAt(d, e)
		}
		e.queued.Store(false)
	}
}

// lookAt compares a file, and reports whether it is still the same; else it goes.
func (s *Site) lookAt(d *directory, e *kept) bool {
	now := time.Now().UnixNano()
	if !e.isSame(d.root) {
		d.keep.drop(e)
		return false
	}
	e.looked.Store(now)
	return true
}

// Open finds the file for a canonical path. fields are those of the request, for
// Accept-Encoding. The caller closes the file. Errors are the three of this package
// or an internal one.
func (s *Site) Open(path []byte, fields []message.Field) (*File, error) {
	d := s.current(recheck)
	f, err := s.find(d, path, s.conf.Dotfiles, fields)
	if err == ErrNotFound && s.conf.Fallback != "" && s.conf.Fallback[len(s.conf.Fallback)-1] != '/' {
		return s.find(d, []byte(s.conf.Fallback), true, fields)
	}
	return f, err
}

// find finds the file of a path, in memory or in the directory.
func (s *Site) find(d *directory, path []byte, dotfiles bool, fields []message.Field) (*File, error) {
	keep := d.keep != nil
	if keep {
		if e := d.keep.find(path); e != nil && s.lookAt(d, e) {
			if f := e.choose(s, fields); f != nil {
				return f, nil
			}
			keep = false // it is known to be too long
		}
	}
	name, dir, ok := fileName(path, dotfiles)
	if !ok {
		return nil, ErrNotFound
	}
	f, err := s.open(d.root, name, dir, fields)
	if err != nil || !keep || f.Size > MaxKept {
		return f, err
	}
	if dir { // only of the first index can it be said later that it is the one
		if len(s.conf.Index) == 0 {
			return f, nil
		}
		name = indexIn(name, s.conf.Index[0])
	}
	if e := s.read(d, path, name); e != nil {
		d.keep.add(e)
		if k := e.choose(s, fields); k != nil {
			_ = f.Close() // it was only looked at
			return k, nil
		}
	}
	return f, nil
}

// open opens a file, or the index of a directory.
func (s *Site) open(root *os.Root, name string, dir bool, fields []message.Field) (*File, error) {
	if !dir {
		return s.openFile(root, name, fields)
	}
	for _, index := range s.conf.Index {
		f, err := s.openFile(root, indexIn(name, index), fields)
		switch {
		case err == nil:
			return f, nil
		case err != ErrNotFound && err != ErrDirectory:
			return nil, err
		}
	}
	return nil, ErrNotFound
}

// indexIn is the name of an index in a directory.
func indexIn(dir, index string) string {
	if dir == "." {
		return index
	}
	return dir + "/" + index
}

// openFile opens a regular file, or the compressed form of it that the client takes.
func (s *Site) openFile(root *os.Root, name string, fields []message.Field) (*File, error) {
	base, err := openRegular(root, name)
	if err != nil {
		return nil, err
	}
	base.Type = typeOf(name)
	base.Vary = len(s.conf.Precompressed) > 0
	for tried := uint8(0); ; {
		i := best(fields, s.conf.Precompressed, tried)
		if i < 0 {
			return base, nil
		}
		tried |= 1 << i
		coding := s.conf.Precompressed[i]
		f, err := openRegular(root, name+suffixes[coding])
		if err != nil {
			continue // it is an offer, no promise
		}
		f.Type, f.Vary, f.Encoding = base.Type, true, coding
		_ = base.Close() // it was only read from
		return f, nil
	}
}

var suffixes = map[string]string{"br": ".br", "zstd": ".zst", "gzip": ".gz"}

// openRegular opens a regular file. O_NONBLOCK keeps a FIFO from holding the
// goroutine up until somebody writes to it.
func openRegular(root *os.Root, name string) (*File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, kindOf(err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = ErrDirectory
	case !info.Mode().IsRegular():
		err = ErrNotFound
	default:
		return &File{File: f, Size: info.Size(), ModTime: info.ModTime()}, nil
	}
	_ = f.Close() // it was only looked at
	return nil, err
}

// kindOf tells what a client did wrong from what we did. os.Root gives its refusal
// to leave the directory no errno: whatever has none is "not there".
func kindOf(err error) error {
	errno, ok := errors.AsType[syscall.Errno](err)
	switch {
	case !ok:
		return ErrNotFound
	case errno == syscall.EACCES || errno == syscall.EPERM:
		return ErrForbidden
	case errno == syscall.EMFILE || errno == syscall.ENFILE || errno == syscall.ENOMEM || errno == syscall.EIO:
		return fmt.Errorf("cannot open a file: %w", err)
	}
	return ErrNotFound
}
