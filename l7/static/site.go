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
	dir  atomic.Pointer[directory]
}

// directory is the root as it was opened last.
type directory struct {
	root    *os.Root
	info    fs.FileInfo
	checked atomic.Int64 // when it was last compared with what has its name, Unix nanoseconds
}

// recheck is the time after which the directory is compared with what has its name:
// a release that is put in place by turning a link is noticed that soon.
const recheck = time.Second

// New opens the directory.
func New(c *conf.Files) (*Site, error) {
	d, err := openDirectory(c.Root)
	if err != nil {
		return nil, err
	}
	s := &Site{conf: c}
	s.dir.Store(d)
	return s, nil
}

func openDirectory(name string) (*directory, error) {
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
	return d, nil
}

// root returns the directory, anew when another one has its name now. The old one
// is closed by the garbage collector: others may be reading from it.
func (s *Site) root() *os.Root {
	d := s.dir.Load()
	now, checked := time.Now().UnixNano(), d.checked.Load()
	if now-checked < int64(recheck) || !d.checked.CompareAndSwap(checked, now) {
		return d.root
	}
	info, err := os.Stat(s.conf.Root)
	if err != nil || os.SameFile(info, d.info) {
		return d.root // a directory that is gone is as good as empty
	}
	if fresh, err := openDirectory(s.conf.Root); err == nil {
		s.dir.Store(fresh)
		return fresh.root
	}
	return d.root
}

// Open finds the file for a canonical path. fields are those of the request, for
// Accept-Encoding. The caller closes the file. Errors are the three of this package
// or an internal one.
func (s *Site) Open(path []byte, fields []message.Field) (*File, error) {
	root := s.root()
	name, dir, ok := fileName(path, s.conf.Dotfiles)
	f, err := (*File)(nil), ErrNotFound
	if ok {
		f, err = s.open(root, name, dir, fields)
	}
	if err == ErrNotFound && s.conf.Fallback != "" {
		if name, dir, ok = fileName([]byte(s.conf.Fallback), true); ok && !dir {
			return s.openFile(root, name, fields)
		}
	}
	return f, err
}

// open opens a file, or the index of a directory.
func (s *Site) open(root *os.Root, name string, dir bool, fields []message.Field) (*File, error) {
	if !dir {
		return s.openFile(root, name, fields)
	}
	prefix := name + "/"
	if name == "." {
		prefix = ""
	}
	for _, index := range s.conf.Index {
		f, err := s.openFile(root, prefix+index, fields)
		switch {
		case err == nil:
			return f, nil
		case err != ErrNotFound && err != ErrDirectory:
			return nil, err
		}
	}
	return nil, ErrNotFound
}

// openFile opens a regular file, or the compressed form of it that the client takes.
func (s *Site) openFile(root *os.Root, name string, fields []message.Field) (*File, error) {
	base, err := openRegular(root, name)
	if err != nil {
		return nil, err
	}
	base.Type = typeOf(name)
	base.Vary = len(s.conf.Precompressed) > 0
	for _, coding := range s.conf.Precompressed {
		if !accepts(fields, coding) {
			continue
		}
		f, err := openRegular(root, name+suffixes[coding])
		if err != nil {
			continue // it is an offer, no promise
		}
		f.Type, f.Vary, f.Encoding = base.Type, true, coding
		_ = base.Close() // it was only read from
		return f, nil
	}
	return base, nil
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
