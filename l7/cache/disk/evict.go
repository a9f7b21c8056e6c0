package disk

import (
	"bytes"
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"weir/pool"
)

// Files are evicted in the order in which they were written. A file that was hit since
// goes to the end of the line once more; of a segment the records that were hit are
// written again, up to half of it. The keeper does so ahead of time, for headroom; a
// writer that finds no room although drops segments as they are.

// rescuePart is the part of a segment that may be written again.
const rescuePart = 2

// headroom is what the keeper keeps free.
func (t *Tier) headroom() int64 { return 2*t.segmentSize + t.size/64 }

// room reserves n bytes of the budget, and makes room for them where there is none.
// The caller has entered.
func (t *Tier) room(n int64) bool {
	for !t.shelf.reserve(n) {
		if n > t.size || !t.evictOldest(false) {
			return false
		}
	}
	if t.shelf.over(t.headroom()) > 0 {
		t.keeper.wake()
	}
	return true
}

// evictOldest takes the oldest file away, or reports that there is none. With rescue
// it writes what was hit of a segment once more.
func (t *Tier) evictOldest(rescue bool) bool {
	i, n, ok := t.shelf.oldest()
	if !ok {
		return false
	}
	if n.segment {
		t.evictSegment(i, n.id, rescue, &t.stats.evicted)
		return true
	}
	if t.shelf.again(i, n.id) {
		return true
	}
	if _, removed := t.index.remove(n.hash, place{slot: i}); removed {
		t.stats.evicted.Add(1)
	}
	t.removeFile(i, n.id)
	return true
}

// removeFile takes an object's file away that the index does not lead to any more.
func (t *Tier) removeFile(i uint32, id uint64) {
	n, _, ok := t.shelf.take(i, id)
	if !ok {
		return
	}
	if err := t.fs.Remove(t.fileName(&n)); err != nil && !errors.Is(err, unix.ENOENT) {
		t.trouble.met("remove an object", err)
	}
	t.shelf.give(i, n.bytes)
}

// evictSegment takes a sealed segment away with all that is in it, and counts that.
func (t *Tier) evictSegment(i uint32, id uint64, rescue bool, count *atomic.Uint64) {
	_, s, ok := t.shelf.get(i, false)
	if !ok || s == nil {
		return
	}
	defer s.release()
	if s.id != id {
		return
	}
	rescued := int64(0)
	for k, hash := range s.hashes {
		p := place{slot: i, at: s.ats[k]}
		if rescue && rescued < s.end/rescuePart && t.wasHit(hash, p) {
			if size := t.rescue(s, hash, p); size > 0 {
				rescued += size
				continue
			}
		}
		if _, removed := t.index.remove(hash, p); removed {
			count.Add(1)
		}
	}
	n, _, ok := t.shelf.take(i, id)
	if !ok {
		return
	}
	if err := t.fs.Remove(s.name); err != nil && !errors.Is(err, unix.ENOENT) {
		t.trouble.met("remove a segment", err)
	}
	s.release()
	t.shelf.give(i, n.bytes)
}

// wasHit reports whether the object at a place was hit.
func (t *Tier) wasHit(hash uint64, p place) bool {
	q, ok := t.index.at(hash)
	return ok && q.same(p) && q.at&hitBit != 0
}

// rescue writes a record of a segment once more and returns its length, 0 where it did
// not.
func (t *Tier) rescue(s *segment, hash uint64, p place) int64 {
	o := &Object{t: t, at: p, id: s.id, seg: s, have: -1, from: -1}
	s.retain()
	defer o.Close()
	mark := t.Mark()
	if err := o.readSmall(); err != nil {
		t.unreadable(hash, p, s.id, err)
		return 0
	}
	if o.h.dead || o.h.hash != hash {
		return 0
	}
	v := t.bans.judge(o.h.labelsOf(o.first.B), o.h.mark)
	if v == purged {
		t.stats.purged.Add(1)
		return 0
	}
	h := o.h
	if v == softly {
		h.flags |= flagSoft
	}
	// Whatever was purged until the mark was taken has had its say.
	h.mark, h.id = max(mark, h.mark), t.next()
	rec := pool.Get(int(h.size()))
	defer rec.Release()
	b := h.record(rec.B[:0], o.first.B[headerSize:headerSize+h.used()], o.body())
	if err := t.append(&h, b, &p); err != nil {
		return 0
	}
	t.stats.rescued.Add(1)
	return h.size()
}

// drop takes the object at a place out of the index and off the disk, for good.
func (t *Tier) drop(hash uint64, p place) {
	if t.enter() != nil {
		return
	}
	defer t.leave()
	t.dropEntered(hash, p)
}

func (t *Tier) dropEntered(hash uint64, p place) {
	if _, removed := t.index.remove(hash, p); removed {
		t.discard(hash, p)
	}
}

// discard takes what was at a place off the disk. The index does not lead there any
// more, and the caller has entered.
func (t *Tier) discard(hash uint64, p place) {
	n, s, ok := t.shelf.get(p.slot, false)
	if !ok {
		return
	}
	if s != nil {
		t.tombstone(s, p)
		s.release()
		return
	}
	if n.hash == hash {
		t.removeFile(p.slot, n.id)
	}
}

// unreadable takes note of an object that could not be read, and drops it unless the
// fault is another's: for want of descriptors or of rights nothing is lost.
func (t *Tier) unreadable(hash uint64, p place, id uint64, err error) {
	if n, s, ok := t.shelf.get(p.slot, false); !ok || n.id != id {
		if s != nil {
			s.release()
		}
		return // evicted or replaced meanwhile: nothing is wrong
	} else if s != nil {
		s.release()
	}
	switch t.trouble.met("read an object", err) {
	case Descriptors, Permission:
	default:
		t.drop(hash, p)
	}
}

// writeFailed takes note of an error of a write. Where the file system is full, the
// budget shrinks to what there is, and grows again slowly.
func (t *Tier) writeFailed(doing string, err error) {
	if t.trouble.writing(doing, err) == NoSpace {
		if t.trouble.mayShrink() {
			t.shelf.shrink(t.segmentSize)
		}
		t.keeper.wake()
	}
}

// Drop drops the object of a key, and only that, for good.
func (t *Tier) Drop(key []byte) {
	if t.enter() != nil {
		return
	}
	defer t.leave()
	hash := hashKey(key)
	if p, ok := t.index.at(hash); ok {
		t.dropEntered(hash, p)
	}
}

// Refresh gives the object of a key another meta and head, as after a 304, and the mark
// that was taken before the request for it. It is not soft any more. Where that cannot
// be done the object is as before, or dropped; the error says why.
func (t *Tier) Refresh(key, meta, head []byte, mark uint64) error {
	if len(meta) > maxMeta || len(head) > maxHead {
		return ErrTooLarge
	}
	o, ok := t.get(key)
	if !ok {
		return ErrGone
	}
	defer o.Close()
	if mark == 0 {
		mark = t.Mark()
	}
	h := o.h
	h.flags, h.mark, h.meta, h.head = 0, mark, uint32(len(meta)), uint32(len(head))
	vars := bytes.Join([][]byte{h.keyOf(o.first.B), h.labelsOf(o.first.B), meta, head}, nil)
	if err := t.enter(); err != nil {
		return err
	}
	defer t.leave()
	if o.seg != nil {
		h.id, h.room = t.next(), uint32(h.used())
		return t.append(&h, h.record(nil, vars, o.body()), &o.at)
	}
	return t.rewriteHead(o, &h, vars)
}

// rewriteHead writes another head over that of an object's file, if it has the room.
// A kill in the middle leaves a wrong checksum, and so a miss.
func (t *Tier) rewriteHead(o *Object, h *header, vars []byte) error {
	if h.used() > int(h.room) {
		t.dropEntered(h.hash, o.at)
		return ErrNoRoom
	}
	b := append(make([]byte, headerSize, headerSize+len(vars)), vars...)
	h.put(b)
	lock := &t.heads[h.hash%indexShards]
	lock.Lock()
	defer lock.Unlock()
	n, s, ok := t.shelf.get(o.at.slot, false)
	if !ok || s != nil || n.id != o.id {
		if s != nil {
			s.release()
		}
		return ErrGone
	}
	f, err := t.fs.Open(t.fileName(&n), unix.O_RDWR)
	if err == nil {
		_, err = f.WriteAt(b, 0)
		_ = f.Close() // an error that comes late is found by the checksum
	}
	if err != nil {
		t.writeFailed("write a head", err)
		t.dropEntered(h.hash, o.at)
	}
	return err
}
