package disk

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// errLocked is what FS.Lock returns where another process has the lock.
var errLocked = errors.New("another process has the lock")

// File is an open file, as far as this package uses one. Its methods may be called from
// several goroutines at a time.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Size() (int64, error)
	Sync() error
}

// FS is the few calls by which this package reaches a file system. Errors are
// unix.Errno or wrap one. Tests put one in place that fails.
type FS interface {
	// Open opens a file with flags as of open(2); what it creates is for the owner alone.
	Open(name string, flags int) (File, error)
	// Mkdir makes a directory; that it is there already is no error.
	Mkdir(name string) error
	Rename(from, to string) error
	Remove(name string) error
	// List returns the names in a directory, in any order.
	List(name string) ([]string, error)
	// SyncDir makes what was renamed in a directory durable.
	SyncDir(name string) error
	// Lock takes the lock that a file stands for, or returns errLocked. It is held
	// until it is closed, or the process ends in whatever way.
	Lock(name string) (io.Closer, error)
}

// system is the operating system's file system.
type system struct{}

func (system) Open(name string, flags int) (File, error) {
	fd, err := openFD(name, flags|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	return &file{fd: fd}, nil
}

func openFD(name string, flags int) (int, error) {
	for {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0o600)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func (system) Mkdir(name string) error {
	if err := unix.Mkdir(name, 0o700); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}

func (system) Rename(from, to string) error { return unix.Rename(from, to) }
func (system) Remove(name string) error     { return unix.Unlink(name) }

func (system) List(name string) ([]string, error) {
	d, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return names, err
}

func (system) SyncDir(name string) error {
	fd, err := openFD(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	err = unix.Fsync(fd)
	_ = unix.Close(fd) // nothing was written through it
	return err
}

func (system) Lock(name string) (io.Closer, error) {
	fd, err := openFD(name, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = unix.Close(fd) // nothing was written through it
		if err == unix.EWOULDBLOCK {
			return nil, errLocked
		}
		return nil, err
	}
	return &file{fd: fd}, nil
}

// file is a descriptor. It is no os.File, which would ask the runtime's poller about
// each file that is opened, and be told that it does not watch files.
type file struct{ fd int }

func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pread(f.fd, p[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case m == 0:
			return n, io.EOF
		default:
			n += m
		}
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		m, err := unix.Pwrite(f.fd, p[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case m == 0:
			return n, io.ErrShortWrite
		default:
			n += m
		}
	}
	return n, nil
}

func (f *file) Truncate(size int64) error { return unix.Ftruncate(f.fd, size) }
func (f *file) Sync() error               { return unix.Fdatasync(f.fd) }
func (f *file) Close() error              { return unix.Close(f.fd) }

func (f *file) Size() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return 0, err
	}
	return st.Size, nil
}
