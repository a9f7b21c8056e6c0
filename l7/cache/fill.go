package cache

import (
	"errors"
	"sync"
	"time"
)

// Fill is a response on its way into the store. Others read it while it grows. It belongs
// to one goroutine, the writer, who ends it with Commit or Abort exactly once.
//
//	growing ──Commit──> complete: stored
//	   │ └──Abort──> failed: readers get the error, nobody else finds it
//	   └──too large, or no memory──> passing ──Commit──> ended: not stored
//	                                    └──Abort──> failed
//
// The writer of a growing body never waits for readers. A passing one is out of the index:
// those who read it already go on, what all of them have read is given back, and the
// writer waits for the slowest while that one has more than Window octets before it that
// came since the body passes. Who makes no progress for as long as the writer waits at
// most is left behind (ErrLagged), so that one client holds up others for a bounded time,
// and memory is bounded by Options.MaxObject and a Window for a fill.
type Fill struct {
	store *Store
	id    uint32
	entry *entry

	mu      sync.Mutex
	written int64
	last    piece // of the chain
	lastEnd int64 // the offset in the body at which what there is room for ends
	state   fillState
	since   int64   // the offset from which on the body passes
	begins  int64   // the offset of the chain's first piece; what came before was given back
	orphans piece   // pieces out of the chain that readers who were left behind may still look at
	behind  []piece // what those look at
	passed  bool
	err     error
	wake    chan struct{} // closed when there is news for readers; made by who waits
	moves   chan struct{} // closed when a reader moved; made by the writer
	readers *Ref
	spill   *spill // nil where it is not for the disk
}

type fillState uint8

const (
	growing fillState = iota
	passing
	complete // also of a passing body: its readers get io.EOF
	failed
)

// Window is how far a body that is not stored may be ahead of its slowest reader.
const Window = 256 << 10

// patience is how long the writer of a passing body waits for a reader that does not move.
const patience = 10 * time.Second

// errAborted is what readers get where Abort was given no error.
var errAborted = errors.New("cannot read on: the fetch of the body was given up")

// errShort says that a body does not have the length that was announced.
var errShort = errors.New("cannot store the response: its body has another length than was announced")

// Begin starts to store a response, of which everything but the body is known. From now on
// Lookup finds it, before the older ones with the same key and variant, which stay until
// Commit. An error, one of ErrTooLarge, ErrFull, ErrPurged and ErrClosed, means that it
// cannot be stored and is to be delivered otherwise.
func (s *Store) Begin(o *Object) (*Fill, error) {
	return s.begin(o, s.hash(o.Key), 0)
}

// begin does so for an object, and for one that derives from a parent.
func (s *Store) begin(o *Object, hash uint64, parent uint32) (*Fill, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if s.tooLarge(o, o.Length) {
		s.counts.tooLarge.Add(1)
		return nil, ErrTooLarge
	}
	id, err := s.newObject(o, hash, firstClass(o.prefix(), max(o.Length, 0)))
	if err != nil {
		s.counts.full.Add(1)
		return nil, err
	}
	e := s.entries.at(id)
	f := &Fill{store: s, id: id, entry: e, begins: int64(e.inlined), spill: s.spillFor(o, parent)}
	f.lastEnd = int64(e.inlined)
	e.body, e.parent = max(o.Length, -1), parent
	e.set(filling)
	if parent != 0 {
		e.set(derived)
	}
	if err := s.publish(o, f); err != nil {
		s.put(id)
		return nil, err
	}
	s.counts.fills.Add(1)
	return f, nil
}

// publish puts the entry of a new fill into the index, unless a purge has hit it. The
// oldest variants leave where there are too many.
func (s *Store) publish(o *Object, f *Fill) error {
	e := f.entry
	sh := s.shardOf(e.hash)
	sh.mu.Lock()
	if e.parent != 0 && !s.entries.at(e.parent).is(linked) {
		sh.mu.Unlock()
		return ErrPurged
	}
	held, tags := *o, e.tagsOf(s.arena.bytes(e.first))
	s.purges.stored.add(tags)
	seen, hit := s.purges.hits(s, &held, e.hash, tags)
	if hit {
		sh.mu.Unlock()
		return ErrPurged
	}
	if s.closed.Load() {
		sh.mu.Unlock()
		return ErrClosed
	}
	e.seen, e.meta = seen, held.Meta
	e.refs.Add(1)
	sh.insert(s.entries, f.id)
	if sh.fills == nil {
		sh.fills = make(map[uint32]*Fill)
	}
	sh.fills[f.id] = f
	var few [8]uint32
	gone := s.tooMany(sh, e, o.Key, few[:0])
	sh.marks.remove(e.hash)
	sh.mu.Unlock()
	s.finish(gone)
	return nil
}

// Write takes in more of the body, which it copies. It fails where the body is longer than
// was announced, and where nobody reads what is not stored (ErrUnread); the writer then
// calls Abort. stop ends the wait for readers of a body that is not stored.
func (f *Fill) Write(p []byte, stop <-chan struct{}) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(p) > 0 {
		if n := f.entry.body; n >= 0 && f.written+int64(len(p)) > n {
			return errShort
		}
		if f.state == passing {
			if err := f.waitForReaders(stop); err != nil {
				return err
			}
		}
		if f.written == f.lastEnd {
			if err := f.extend(len(p)); err != nil {
				return err
			}
		}
		n := min(len(p), int(f.lastEnd-f.written))
		copy(f.room(), p[:n])
		f.written += int64(n)
		p = p[n:]
		f.news()
	}
	return nil
}

// room is where the next octets of the body belong.
func (f *Fill) room() []byte {
	n := int(f.lastEnd - f.written)
	if f.last == 0 {
		b := f.store.arena.bytes(f.entry.first)[:f.entry.prefix()+int(f.entry.inlined)]
		return b[len(b)-n:]
	}
	b := f.store.arena.bytes(f.last)
	return b[len(b)-n:]
}

// extend adds a piece for n octets that are there, or as many as are still to come. The
// lock is given up meanwhile: eviction takes others.
func (f *Fill) extend(n int) error {
	s := f.store
	if f.state == growing && f.written+int64(n) > s.maxObject.Load() {
		f.pass()
	}
	class, force := f.nextClass(n), f.state == passing
	f.mu.Unlock()
	p, ok := s.get(class, f.id, force, s.arena.getChain)
	f.mu.Lock()
	if !ok && !force {
		s.counts.full.Add(1)
		f.pass()
		p, ok = s.arena.getChain(class, f.id, true)
	}
	if !ok {
		return ErrFull
	}
	f.append(p)
	return nil
}

// nextClass is the class of the next piece, for n octets that are there at least.
func (f *Fill) nextClass(n int) uint8 {
	want := int64(max(n, min(int(f.written), slabSize), minChain))
	if f.entry.body >= 0 {
		want = f.entry.body - f.written
	}
	return nextPiece(int(min(want+chainSize, slabSize)))
}

// append adds a piece to the chain. The lock is held, where others know of the fill.
func (f *Fill) append(p piece) {
	if f.last == 0 {
		f.entry.chain = p
	} else {
		f.store.arena.setNext(f.last, p)
	}
	f.last = p
	f.lastEnd += int64(p.chainCap())
}

// minChain is the least that a body of unknown length grows by.
const minChain = 4 << 10

// Commit ends the fill: the body is complete by its framing. It is stored from now on, in
// place of older objects with the same key and variant, unless it was purged, passed or
// turned out to be shorter than announced, of which only the last is an error.
func (f *Fill) Commit() error {
	if n := f.entry.body; n >= 0 && f.written != n {
		f.Abort(errShort)
		return errShort
	}
	f.spill.announce()
	stored := f.store.settle(f)
	f.mu.Lock()
	f.state = complete
	f.adopt()
	f.news()
	f.mu.Unlock()
	if stored {
		f.store.keep(f.id)
	}
	f.spill.write(f.id, stored)
	f.store.put(f.id)
	return nil
}

// Abort ends the fill without an object: readers get err, or one of ours if that is nil,
// when they have read what there is. After Commit or Abort it does nothing.
func (f *Fill) Abort(err error) {
	if f.state >= complete {
		return
	}
	s := f.store
	s.drop(f.id, nil)
	f.mu.Lock()
	if err == nil {
		err = errAborted
	}
	f.state, f.err = failed, err
	f.adopt()
	f.news()
	f.mu.Unlock()
	s.counts.aborted.Add(1)
	s.put(f.id)
}

// Read takes a reference to what is filled into ref, for the client on whose behalf it is,
// from the first octet on. It is called before the first Write, by the writer.
func (f *Fill) Read(ref *Ref) {
	ref.free()
	sh := f.store.shardOf(f.entry.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f.store.hold(f.id, ref)
	f.attach(ref)
}
