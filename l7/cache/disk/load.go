package disk

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A start lists the directory, which tells all about files of one object, and then
// reads the footers of segments; the segment that was being written when the process
// was killed is walked through. What is broken is removed.

// foundSegment is a segment that a start has found.
type foundSegment struct {
	*segment
	size int64 // of the file
	log  bool  // without a footer
}

// take takes the directory over from the process before. An error says that it cannot
// be used now; then nothing has changed that a second call would mind.
func (k *keeper) take() error {
	t := k.t
	if t.lock == nil {
		if err := t.takeLock(); err != nil {
			return err
		}
	}
	if err := t.makeDirs(); err != nil {
		return err
	}
	t.bans.reset()
	generation, err := readJournal(t.fs, t.dir+"/"+journalName, &t.bans)
	if err != nil {
		t.trouble.met("read its journal, and begins anew", err)
	}
	if err := k.removeTemporary(); err != nil {
		return err
	}
	if generation == 0 {
		if err := k.wipe(); err != nil {
			return err
		}
	} else if err := k.list(generation); err != nil {
		return err
	}
	return k.begin(generation + 1)
}

// begin writes the journal of a new generation, in which purges that were kept in mind
// come first.
func (k *keeper) begin(generation uint64) error {
	t := k.t
	t.purging.Lock()
	defer t.purging.Unlock()
	t.seq.Store(generation << generationBits)
	for _, ban := range t.pending {
		mark := t.next()
		if t.bans.add(ban, mark) {
			k.sweep()
		}
		if ban.All && !ban.Soft {
			k.clearUpTo(mark)
		}
	}
	t.journal.generation = generation
	for {
		err := t.journal.rewrite(t.fs, t.dir, &t.bans)
		if err == nil {
			break
		}
		// The disk may be full of what is ours.
		if causeOf(err) != NoSpace || !t.evictOldest(false) {
			k.unlist()
			return err
		}
	}
	t.pending = nil
	// A purge that comes before the state has changed is kept in mind for nobody.
	t.state.CompareAndSwap(int32(waiting), int32(ready))
	return nil
}

// unlist forgets what list has found.
func (k *keeper) unlist() {
	t := k.t
	for _, s := range t.shelf.reset() {
		s.release()
	}
	t.index.reset()
	k.found = nil
}

// removeTemporary removes what was never finished.
func (k *keeper) removeTemporary() error {
	dir := k.t.dir + "/" + tmpName
	return k.removeAll(dir, func(name string) bool { return isHex16(name) })
}

// removeAll removes the files in a directory whose names are ours.
func (k *keeper) removeAll(dir string, ours func(name string) bool) error {
	names, err := k.t.fs.List(dir)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if k.stopped() {
			return ErrClosed
		}
		if !ours(name) {
			continue
		}
		if err := k.t.fs.Remove(dir + "/" + name); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// wipe removes everything of whose purges nothing is known.
func (k *keeper) wipe() error {
	t := k.t
	t.bans.reset()
	folders, err := k.folders()
	if err != nil {
		return err
	}
	for _, folder := range folders {
		err := k.removeAll(folder, func(name string) bool {
			_, ok := parseFileName(name)
			return ok
		})
		if err != nil {
			return err
		}
	}
	return k.removeAll(t.dir+"/"+segsName, func(name string) bool {
		_, _, ok := parseSegmentName(name)
		return ok
	})
}

// folders returns the paths of the folders that objects lie in.
func (k *keeper) folders() ([]string, error) {
	dir := k.t.dir + "/" + objectsName
	names, err := k.t.fs.List(dir)
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, name := range names {
		if n, err := strconv.ParseUint(name, 16, 8); err == nil && hex16(n)[14:] == name {
			folders = append(folders, dir+"/"+name)
		}
	}
	return folders, nil
}

// list finds all files, oldest first, and puts those of one object into the index.
func (k *keeper) list(generation uint64) error {
	t := k.t
	folders, err := k.folders()
	if err != nil {
		return err
	}
	var all []slot
	for _, folder := range folders {
		found, err := k.listFolder(folder, generation)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	segs, err := k.listSegments(generation)
	if err != nil {
		return err
	}
	byID := make(map[uint64]*segment, len(segs))
	for _, s := range segs {
		byID[s.id] = s.segment
		all = append(all, slot{id: s.id, bytes: roundUp(s.size, pageSize) + pageSize, segment: true})
	}
	slices.SortFunc(all, func(a, b slot) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	slices.SortFunc(segs, func(a, b foundSegment) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	k.found = segs
	for i, number := range t.shelf.addOld(all, byID) {
		if n := &all[i]; !n.segment {
			if old, replaced := t.index.put(n.hash, place{slot: number}); replaced {
				t.discard(n.hash, old) // killed before the older one was removed
			}
		}
	}
	return nil
}

// listFolder finds the files of one folder.
func (k *keeper) listFolder(dir string, generation uint64) ([]slot, error) {
	if k.stopped() {
		return nil, ErrClosed
	}
	names, err := k.t.fs.List(dir)
	if err != nil {
		return nil, err
	}
	found := make([]slot, 0, len(names))
	for _, name := range names {
		n, ok := parseFileName(name)
		if !ok {
			continue // not ours
		}
		if n.id>>generationBits > generation || k.t.folderName(n.hash) != dir {
			if err := k.t.fs.Remove(dir + "/" + name); err != nil {
				return nil, err
			}
			continue
		}
		found = append(found, n)
	}
	return found, nil
}

// listSegments opens the segments.
func (k *keeper) listSegments(generation uint64) ([]foundSegment, error) {
	t := k.t
	names, err := t.fs.List(t.dir + "/" + segsName)
	if err != nil {
		return nil, err
	}
	var found []foundSegment
	for _, name := range names {
		id, suffix, ok := parseSegmentName(name)
		if !ok {
			continue // not ours
		}
		path := t.segmentName(id, suffix)
		var s foundSegment
		err := errNoRecord // of another time
		if id>>generationBits <= generation {
			s, err = k.openSegment(id, path)
		}
		if err != nil {
			t.trouble.met("open a segment", err)
			if err := t.fs.Remove(path); err != nil && !errors.Is(err, unix.ENOENT) {
				return nil, err
			}
			continue
		}
		s.log = suffix == suffixLog
		found = append(found, s)
	}
	return found, nil
}

func (k *keeper) openSegment(id uint64, path string) (foundSegment, error) {
	f, err := k.t.fs.Open(path, unix.O_RDWR)
	if err != nil {
		return foundSegment{}, err
	}
	size, err := f.Size()
	if err == nil && size > maxSegment+maxSegment/2 {
		err = fmt.Errorf("a segment of %d bytes: %w", size, errNoRecord)
	}
	if err != nil {
		_ = f.Close() // nothing was written through it
		return foundSegment{}, err
	}
	s := &segment{id: id, name: path, file: f}
	s.refs.Store(1)
	return foundSegment{segment: s, size: size}, nil
}

// load puts what is in segments into the index, a segment at a time, with rests.
func (k *keeper) load() {
	t := k.t
	if t.loaded.Load() {
		return
	}
	for len(k.found) > 0 {
		begin := time.Now()
		s := k.found[0]
		k.found = k.found[1:]
		k.loadSegment(s)
		k.makeRoom()
		if !k.rest(begin) {
			return
		}
	}
	k.found = nil
	t.loaded.Store(true)
}

// loadSegment puts what is in a segment into the index.
func (k *keeper) loadSegment(s foundSegment) {
	t := k.t
	err := errNoRecord
	if !s.log {
		err = s.readFooter(s.size)
	}
	if err != nil {
		if !s.log {
			t.trouble.met("read the footer of a segment, and walks through it", err)
		}
		if !k.walk(s) {
			return
		}
	}
	base := t.journal.generation << generationBits
	for i, hash := range s.hashes {
		p := place{slot: s.slot, at: s.ats[i]}
		old, replaced, done := t.index.putIf(hash, p, func(old place) bool {
			id, isSegment, ok := t.shelf.who(old.slot)
			return !ok || id < base && (isSegment || id < s.ids[i])
		})
		switch {
		case !done:
			t.tombstone(s.segment, p)
		case replaced:
			t.discard(hash, old)
		}
	}
	if err == nil {
		s.ids = nil
		s.sealed.Store(true)
		return
	}
	if err := s.file.Truncate(s.end); err != nil {
		t.trouble.met("shorten a segment", err)
	}
	t.sealSegment(s.segment)
	if len(s.hashes) == 0 {
		t.evictSegment(s.slot, s.id, false, &t.stats.evicted)
	}
}

// readFooter fills s from its footer.
func (s *segment) readFooter(size int64) error {
	if size < footerTail {
		return fmt.Errorf("a segment of %d bytes: %w", size, errNoRecord)
	}
	var tail [footerTail]byte
	if _, err := s.file.ReadAt(tail[:], size-footerTail); err != nil {
		return err
	}
	at, entries, err := footerAt(tail[:], s.id, size)
	if err != nil {
		return err
	}
	b := make([]byte, size-at)
	if _, err := s.file.ReadAt(b, at); err != nil {
		return err
	}
	return s.parseFooter(b, at, entries)
}

// walk fills s by going from record to record, up to the first that is none. Bodies are
// not read: their checksums are for who asks for them. Nothing but where one record
// ends says where the next begins, so that no body can claim to be a record. It reports
// false where it was stopped.
func (k *keeper) walk(s foundSegment) bool {
	s.hashes, s.ats, s.ids, s.end = nil, nil, nil, 0
	o := &Object{t: k.t, have: -1, from: -1}
	defer o.Close()
	for s.end < s.size {
		if k.stopped() {
			return false
		}
		err := o.readHead(s.file, s.end, firstRead)
		other := o.h.id>>generationBits != s.id>>generationBits
		if err == nil && (other || o.h.body > blockSize || s.end+o.h.size() > s.size) {
			err = errNoRecord
		}
		if err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errNoRecord) {
				k.t.trouble.met("walk through a segment to its end", err)
			}
			return true
		}
		if o.h.dead {
			s.end += o.h.size()
			continue
		}
		s.note(o.h.hash, o.h.id, o.h.size())
	}
	return true
}

func isHex16(name string) bool {
	id, err := strconv.ParseUint(name, 16, 64)
	return err == nil && hex16(id) == name
}
