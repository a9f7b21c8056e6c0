package disk

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Cause is why the file system, or what it returned, was of no use.
type Cause uint8

// The causes, in the order of Stats.Errors.
const (
	NoSpace     Cause = iota // ENOSPC, EDQUOT
	IO                       // EIO
	Permission               // EACCES, EPERM, EROFS
	Descriptors              // EMFILE, ENFILE
	Corrupt                  // a record is not what was written: changed, cut, or of another object
	Missing                  // a file is gone
	Other
	Causes // how many there are
)

// String is the cause as metrics and the log have it.
func (c Cause) String() string {
	return [...]string{"no_space", "io", "permission", "descriptors", "corrupt", "missing", "other"}[c]
}

func causeOf(err error) Cause {
	errno, ok := errors.AsType[unix.Errno](err)
	if !ok {
		broken := []error{io.EOF, io.ErrUnexpectedEOF, errNoRecord, errChecksum, errJournal}
		if slices.ContainsFunc(broken, func(e error) bool { return errors.Is(err, e) }) {
			return Corrupt
		}
		return Other
	}
	switch errno {
	case unix.ENOSPC, unix.EDQUOT:
		return NoSpace
	case unix.EIO:
		return IO
	case unix.EACCES, unix.EPERM, unix.EROFS:
		return Permission
	case unix.EMFILE, unix.ENFILE:
		return Descriptors
	case unix.ENOENT, unix.ESTALE:
		return Missing
	}
	return Other
}

const (
	// troubleEvery is how often the log may tell of a cause.
	troubleEvery = 10 * time.Second
	// waitingEvery is how often the log may tell that another process has the directory.
	waitingEvery = time.Minute
	waitingFirst = 2 * time.Second
	// shrinkEvery is how often the budget may shrink.
	shrinkEvery = 10 * time.Second
	// How long nothing is written after a write failed: room can be made at once, other
	// troubles seldom pass as quickly.
	pauseNoSpace = time.Second
	pauseOther   = 5 * time.Second
)

// troubles counts what went wrong, and rests the disk after it.
type troubles struct {
	log     *slog.Logger
	dir     string
	count   [Causes]atomic.Uint64
	next    [Causes]atomic.Int64 // when the log may be told more: Unix time in nanoseconds
	told    [Causes]atomic.Uint64
	shrunk  atomic.Int64 // when the budget may shrink again
	waiting atomic.Int64 // when the log may be told again that the directory is another's
	pause   atomic.Int64 // until when nothing is written: Unix time in nanoseconds
}

// met takes note of an error. doing is what failed, for the log.
func (t *troubles) met(doing string, err error) Cause {
	c := causeOf(err)
	total := t.count[c].Add(1)
	now := time.Now().UnixNano()
	next := t.next[c].Load()
	if now < next || !t.next[c].CompareAndSwap(next, now+int64(troubleEvery)) {
		return c
	}
	t.log.Warn("the cache on disk cannot "+doing+"; such objects are not served from there",
		"directory", t.dir, "cause", c.String(), "count", total-t.told[c].Swap(total), "error", err)
	return c
}

// writing takes note of an error of a write, after which writing rests for a while.
func (t *troubles) writing(doing string, err error) Cause {
	c := t.met(doing, err)
	rest := pauseOther
	if c == NoSpace {
		rest = pauseNoSpace
	}
	t.pause.Store(time.Now().Add(rest).UnixNano())
	return c
}

// mayShrink reports whether the budget may shrink, which it does step by step: a disk
// that others fill for a moment is not to cost the whole cache.
func (t *troubles) mayShrink() bool {
	now := time.Now().UnixNano()
	next := t.shrunk.Load()
	return now >= next && t.shrunk.CompareAndSwap(next, now+int64(shrinkEvery))
}

// resting reports whether nothing is to be written now.
func (t *troubles) resting() bool {
	until := t.pause.Load()
	return until != 0 && time.Now().UnixNano() < until
}

// waits tells the log once in a while that another process has the directory. It says
// nothing at first: a reload opens a directory anew moments before it lets go of it.
func (t *troubles) waits() {
	now := time.Now().UnixNano()
	t.waiting.CompareAndSwap(0, now+int64(waitingFirst))
	if now < t.waiting.Load() {
		return
	}
	t.waiting.Store(now + int64(waitingEvery))
	t.log.Warn("another process has the cache directory; until it has let go, responses are stored in memory alone",
		"directory", t.dir)
}
