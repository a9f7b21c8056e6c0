package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// fileMode lets the owner write and a group of log readers read, and nobody else.
const fileMode = 0o640

// pollStep is how long a write waits for room before it looks whether to give up.
const pollStep = 100 * time.Millisecond

// pieceSize is what goes into one write to a pipe, terminal or socket: PIPE_BUF,
// for which poll's "writable" means that a write does not block.
const pieceSize = 4096

var errGaveUp = errors.New("the target takes nothing")

// target is where lines go: a descriptor of our own or one we inherited. Inherited
// ones are not switched to non-blocking mode, because the mode belongs to
// everyone who shares them; polling before each small write does as well.
type target struct {
	fd    int
	owned bool // opened by us
	paced bool // not a regular file: writes can block for as long as the reader likes
	torn  bool // the last write ended inside a line
}

// openTarget opens path for appending; "stdout" and "stderr" are those of the process.
func openTarget(path string) (*target, error) {
	switch path {
	case "stdout":
		return newTarget(unix.Stdout, false), nil
	case "stderr":
		return newTarget(unix.Stderr, false), nil
	}
	// O_NONBLOCK: opening a named pipe without a reader is an error, not a wait.
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_NONBLOCK | unix.O_CLOEXEC
	for {
		fd, err := unix.Open(path, flags, fileMode)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENXIO):
			return nil, fmt.Errorf("cannot open access log %q: nobody reads from the pipe: %w", path, err)
		case err != nil:
			return nil, fmt.Errorf("cannot open access log %q: %w", path, err)
		}
		return newTarget(fd, true), nil
	}
}

func newTarget(fd int, owned bool) *target {
	t := &target{fd: fd, owned: owned, paced: true}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		t.paced = false
	}
	return t
}

func (t *target) close() {
	if t.owned {
		_ = unix.Close(t.fd) // all writes have reported their own errors
	}
}

// write writes whole lines and returns how many bytes of b went out. Between
// pieces it asks giveUp, with the time it has waited for room.
func (t *target) write(b []byte, giveUp func(waited time.Duration) bool) (int, error) {
	if t.torn {
		if _, err := t.writePiece([]byte{'\n'}, giveUp); err != nil {
			return 0, err
		}
		t.torn = false
	}
	done := 0
	for done < len(b) {
		n, err := t.writePiece(t.piece(b[done:]), giveUp)
		done += n
		if err != nil {
			t.torn = done > 0 && b[done-1] != '\n'
			return done, err
		}
	}
	return done, nil
}

// piece returns the part of b for one write: all of it for a file, whole lines up
// to pieceSize otherwise, so that lines of others who share the pipe stay whole too.
func (t *target) piece(b []byte) []byte {
	if !t.paced || len(b) <= pieceSize {
		return b
	}
	if i := bytes.LastIndexByte(b[:pieceSize], '\n'); i >= 0 {
		return b[:i+1]
	}
	return b[:pieceSize]
}

// writePiece does one write, when there is room.
func (t *target) writePiece(b []byte, giveUp func(waited time.Duration) bool) (int, error) {
	var waited time.Duration
	for {
		if t.paced {
			ready, err := t.wait()
			if err != nil {
				return 0, err
			}
			if !ready {
				waited += pollStep
				if giveUp(waited) {
					return 0, errGaveUp
				}
				continue
			}
		}
		n, err := unix.Write(t.fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			// Room for less than a piece, on a descriptor that is non-blocking.
			// poll would say "ready" again at once, so wait by the clock.
			waited += pollStep
			if giveUp(waited) {
				return 0, errGaveUp
			}
			time.Sleep(pollStep) //nolint:forbidigo // see above; only this goroutine waits
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, unix.EIO // a write of nothing without an error would be tried for ever
		}
		return n, nil
	}
}

// wait waits pollStep for room and reports whether a write will say something,
// be it an error.
func (t *target) wait() (bool, error) {
	fds := [1]unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds[:], int(pollStep/time.Millisecond))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return false, fmt.Errorf("cannot wait for room: %w", err)
	}
	return n > 0, nil
}
