package disk

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MinSize is the smallest budget.
const MinSize = 16 << 20

// objectPart is the part of the budget that one object may take at most.
const objectPart = 4

// The names in the directory.
const (
	lockName    = "lock"
	journalName = "journal"
	tmpName     = "tmp"
	objectsName = "objects"
	segsName    = "segments"
)

// Errors of what could not be stored or purged. None of them is the caller's fault but
// those of an Item beyond the limits.
var (
	ErrNotReady = errors.New("the directory is not in use yet")
	ErrClosed   = errors.New("the tier is closed")
	ErrTooLarge = errors.New("the object is too large for the tier")
	ErrLength   = errors.New("the body has not the length that was announced")
	ErrResting  = errors.New("the disk rests after an error")
	ErrNoRoom   = errors.New("no room for a longer head")
	ErrGone     = errors.New("the object is not there any more")
	ErrLabel    = errors.New("the beginning of labels to purge is longer than 8 KiB")
	errFull     = errors.New("no room could be made")
)

// Options say where objects are kept. Dir and Size are required.
type Options struct {
	// Dir is the directory. It is made where it is not there; its parent has to be.
	// Names in it that are not this package's are left alone.
	Dir string
	// Size is the budget in bytes for all objects, at least MinSize. Files count in
	// whole pages of 4 KiB and with one more for what the file system keeps of them.
	// The journal comes on top, with at most 33 MiB.
	Size int64
	Log  *slog.Logger
	// FS is the file system; nil is the operating system's.
	FS FS
}

// state is what the tier does.
//
//	waiting ── the lock is ours, files are listed ──> ready ── Close ──> closed
//	   └──────────────────────── Close ─────────────────────────────────────^
type state int32

const (
	waiting state = iota // every Get is a miss, nothing is stored, purges are kept in mind
	ready
	closed
)

// Tier is the disk tier. Its methods may be called from any number of goroutines. The
// zero value is not usable; Open makes one.
type Tier struct {
	fs          FS
	log         *slog.Logger
	dir         string
	size        int64
	segmentSize int64
	mostBody    int64

	state  atomic.Int32
	loaded atomic.Bool
	seq    atomic.Uint64 // the last mark or id that was given

	index   index
	shelf   *shelf
	bans    bans
	trouble troubles
	heads   [indexShards]sync.RWMutex // heads of files, by hash: read, or written anew
	stats   stats

	life sync.RWMutex // held for reading while something is changed in the directory
	lock io.Closer    // set once, under life

	appending sync.Mutex
	active    *segment // guarded by appending

	purging sync.Mutex // guards journal and pending
	journal journal
	pending []Ban

	keeper keeper
}

// stats are the figures that nothing else keeps.
type stats struct {
	hits, misses, stored, refused, evicted, rescued, purged atomic.Uint64
	readBytes, writtenBytes                                 atomic.Uint64
}

// Open begins to use a directory and returns at once. What is in it is found in the
// background; until then it is missed. Where another process has the directory, the
// tier waits until it has let go. An error is one of the options, or of a directory
// that cannot be made or written to.
func Open(o Options) (*Tier, error) {
	if o.Size < MinSize {
		return nil, fmt.Errorf("cannot use %q as a cache: a size of %d bytes is less than %d", o.Dir, o.Size, MinSize)
	}
	t := &Tier{
		fs: o.FS, log: o.Log, dir: filepath.Clean(o.Dir), size: o.Size,
		segmentSize: segmentSize(o.Size), mostBody: o.Size / objectPart, shelf: newShelf(o.Size),
	}
	if t.fs == nil {
		t.fs = system{}
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.trouble.log, t.trouble.dir = t.log, t.dir
	t.seq.Store(1) // a mark from before the journal was read is older than all of its
	if err := t.makeDirs(); err != nil {
		return nil, err
	}
	if err := t.takeLock(); err != nil && !errors.Is(err, errLocked) {
		return nil, fmt.Errorf("cannot lock the cache directory %q: %w", t.dir, err)
	}
	t.keeper.start(t)
	return t, nil
}

// Probe reports whether a directory can be made, if it is not there, and written to. It
// does not look whether another process uses it, and disturbs none.
func Probe(dir string) error {
	t := &Tier{fs: system{}, dir: filepath.Clean(dir)}
	if err := t.makeDirs(); err != nil {
		return err
	}
	f, err := t.fs.Open(filepath.Join(t.dir, lockName), unix.O_RDWR|unix.O_CREAT)
	if err != nil {
		return fmt.Errorf("cannot write to the cache directory %q: %w", t.dir, err)
	}
	return f.Close()
}

// makeDirs makes the directories that are not there.
func (t *Tier) makeDirs() error {
	for _, name := range []string{"", tmpName, objectsName, segsName} {
		if err := t.fs.Mkdir(filepath.Join(t.dir, name)); err != nil {
			return fmt.Errorf("cannot make the cache directory %q: %w", filepath.Join(t.dir, name), err)
		}
	}
	return nil
}

// takeLock takes the directory's lock if no other process has it.
func (t *Tier) takeLock() error {
	l, err := t.fs.Lock(filepath.Join(t.dir, lockName))
	if err != nil {
		return err
	}
	t.life.Lock()
	defer t.life.Unlock()
	t.lock = l
	return nil
}

// Close ends the use of the directory and lets other processes have it. What is being
// written is not stored; Objects that are open can be read to their end. It returns
// when nothing of the tier runs any more.
func (t *Tier) Close() error {
	if state(t.state.Swap(int32(closed))) == closed {
		return nil
	}
	t.keeper.stop()
	t.life.Lock()
	defer t.life.Unlock()
	if t.lock == nil {
		return nil
	}
	t.appending.Lock()
	t.seal()
	t.appending.Unlock()
	t.purging.Lock()
	if err := t.journal.sync(); err != nil {
		t.trouble.met("make purges durable", err)
	}
	t.journal.close()
	t.purging.Unlock()
	for _, s := range t.shelf.closeAll() {
		s.release()
	}
	return t.lock.Close()
}

// enter begins a change of the directory; leave ends it. In between the directory is
// ours. It must not be nested.
func (t *Tier) enter() error {
	t.life.RLock()
	switch state(t.state.Load()) {
	case ready:
		return nil
	case closed:
		t.life.RUnlock()
		return ErrClosed
	}
	t.life.RUnlock()
	return ErrNotReady
}

func (t *Tier) leave() { t.life.RUnlock() }

// next gives an id or a mark that was not given before.
func (t *Tier) next() uint64 { return t.seq.Add(1) }

// Mark is a moment in the order of purges: a purge that begins later hits what is
// stored with this mark. Take it before the request goes to the origin.
func (t *Tier) Mark() uint64 { return t.seq.Load() }

// Dir is the directory.
func (t *Tier) Dir() string { return t.dir }

// Unique returns a number that is given once in the life of a directory. ok is false
// while that is not in use.
func (t *Tier) Unique() (number uint64, ok bool) {
	if state(t.state.Load()) != ready {
		return 0, false
	}
	return t.next(), true
}

// Has reports whether there is something under a key, without asking the disk. True may
// still turn out to be a miss; false is sure, unless the tier has just been opened.
func (t *Tier) Has(key []byte) bool {
	return state(t.state.Load()) == ready && t.index.has(hashKey(key))
}

// Ready reports whether everything in the directory is known.
func (t *Tier) Ready() bool { return state(t.state.Load()) == ready && t.loaded.Load() }

// Stats are figures of a tier. Counts are since Open.
type Stats struct {
	Objects   int // in the index
	Files     int // of them, in files of their own
	Segments  int // files of small ones
	Bytes     int64
	Limit     int64 // the budget, less what the file system turned out not to have
	Bans      int   // purges that may still hit something
	Ready     bool  // everything in the directory is known
	Waiting   bool  // for another process to let go of the directory
	Hits      uint64
	Misses    uint64
	Stored    uint64
	Refused   uint64 // objects that were not stored, for whatever reason
	Evicted   uint64 // for want of room
	Rescued   uint64 // small objects that got a second chance
	Purged    uint64 // found to be purged, and dropped
	ReadBytes uint64 // of bodies
	Written   uint64 // bytes of bodies
	Errors    [Causes]uint64
}

// Stats returns the figures. It does not block.
func (t *Tier) Stats() Stats {
	c := t.shelf.counts()
	s := Stats{
		Objects: t.index.len(), Files: c.files, Segments: c.segments, Bytes: c.bytes, Limit: c.limit,
		Bans: t.bans.len(), Ready: t.Ready(), Waiting: state(t.state.Load()) == waiting,
		Hits: t.stats.hits.Load(), Misses: t.stats.misses.Load(), Stored: t.stats.stored.Load(),
		Refused: t.stats.refused.Load(), Evicted: t.stats.evicted.Load(), Rescued: t.stats.rescued.Load(),
		Purged: t.stats.purged.Load(), ReadBytes: t.stats.readBytes.Load(), Written: t.stats.writtenBytes.Load(),
	}
	for i := range s.Errors {
		s.Errors[i] = t.trouble.count[i].Load()
	}
	return s
}

// segmentName is the path of a segment.
func (t *Tier) segmentName(id uint64, suffix string) string {
	return t.dir + "/" + segsName + "/" + hex16(id) + suffix
}

// temporaryName is the path of an object's file while it is written.
func (t *Tier) temporaryName(id uint64) string { return t.dir + "/" + tmpName + "/" + hex16(id) }

// fileName is the path of an object's file. The name has what a start needs to know.
func (t *Tier) fileName(n *slot) string {
	b := make([]byte, 0, len(t.dir)+64)
	b = append(append(append(b, t.dir...), '/'), objectsName+"/"...)
	b = append(appendHex16(b, n.hash)[:len(b)+2], '/')
	b = append(appendHex16(b, n.hash), '-')
	b = append(appendHex16(b, n.id), '-')
	return string(strconv.AppendInt(b, n.bytes/pageSize, 16))
}

// folderName is the folder of a hash, one of 256.
func (t *Tier) folderName(hash uint64) string {
	return t.dir + "/" + objectsName + "/" + hex16(hash)[:2]
}

// parseFileName is the reverse of fileName. It is pure.
func parseFileName(name string) (n slot, ok bool) {
	parts := strings.Split(name, "-")
	if len(parts) != 3 || len(parts[0]) != 16 || len(parts[1]) != 16 {
		return slot{}, false
	}
	var v [3]uint64
	for i, p := range parts {
		var err error
		if v[i], err = strconv.ParseUint(p, 16, 64); err != nil || strings.ToLower(p) != p || p[0] == '+' {
			return slot{}, false
		}
	}
	if v[2] == 0 || v[2] > maxBody/pageSize*2 {
		return slot{}, false
	}
	return slot{hash: v[0], id: v[1], bytes: int64(v[2]) * pageSize}, true
}

// parseSegmentName is the reverse of segmentName's last part.
func parseSegmentName(name string) (id uint64, suffix string, ok bool) {
	if len(name) != 20 {
		return 0, "", false
	}
	id, err := strconv.ParseUint(name[:16], 16, 64)
	suffix = name[16:]
	if err != nil || hex16(id) != name[:16] || suffix != suffixSegment && suffix != suffixLog {
		return 0, "", false
	}
	return id, suffix, true
}

func hex16(n uint64) string { return string(appendHex16(nil, n)) }

func appendHex16(dst []byte, n uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[n>>shift&15])
	}
	return dst
}
