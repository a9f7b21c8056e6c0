package disk

import (
	"maps"
	"slices"
	"sync"
)

// none is no slot.
const none = ^uint32(0)

// slot stands for a file in the directory: a segment, or the file of one object. Slots
// form a line in the order in which they will be evicted. They have no pointers: a
// terabyte of slices makes a million of them.
type slot struct {
	id         uint64 // names the file; grows with time
	hash       uint64 // of the key; of files of one object
	bytes      int64
	prev, next uint32 // in the line; next also in the free list
	used       bool
	hit        bool // files: since it last came to the head of the line
	segment    bool
}

// shelf is all slots and the budget that they share.
//
//	head ── oldest ── ... ── newest ── tail
//	  └ evicted here           put here ┘
//
// Lock order: an index shard before the shelf.
type shelf struct {
	mu       sync.Mutex
	slots    []slot
	segments map[uint32]*segment
	free     uint32
	head     uint32
	tail     uint32
	files    int

	size  int64 // the budget
	limit int64 // of it, what the file system turned out to have
	bytes int64 // taken, with what is being written
}

func newShelf(size int64) *shelf {
	s := &shelf{size: size}
	s.reset()
	return s
}

// reset makes the shelf empty and returns the segments that were on it.
func (s *shelf) reset() []*segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := slices.Collect(maps.Values(s.segments))
	s.segments = make(map[uint32]*segment)
	s.slots, s.free, s.head, s.tail, s.files = nil, none, none, none, 0
	s.limit, s.bytes = s.size, 0
	return old
}

// reserve takes n bytes of the budget if that many are left.
func (s *shelf) reserve(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+n > s.limit {
		return false
	}
	s.bytes += n
	return true
}

// release gives bytes back that no slot has taken over.
func (s *shelf) release(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= n
}

// add puts a slot for reserved bytes at the end of the line.
func (s *shelf) add(n slot, seg *segment) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addLocked(n, seg, s.tail)
}

// addLocked puts a slot behind another one, none being the head.
func (s *shelf) addLocked(n slot, seg *segment, after uint32) uint32 {
	i := s.free
	if i == none {
		i = uint32(len(s.slots))
		s.slots = append(s.slots, slot{})
	} else {
		s.free = s.slots[i].next
	}
	n.used = true
	s.slots[i] = n
	s.link(i, after)
	if seg != nil {
		seg.slot = i
		s.segments[i] = seg
	} else {
		s.files++
	}
	return i
}

func (s *shelf) link(i, after uint32) {
	n := &s.slots[i]
	n.prev, n.next = after, s.head
	if after != none {
		n.next = s.slots[after].next
		s.slots[after].next = i
	} else {
		s.head = i
	}
	if n.next != none {
		s.slots[n.next].prev = i
	} else {
		s.tail = i
	}
}

func (s *shelf) unlink(i uint32) {
	n := &s.slots[i]
	if n.prev != none {
		s.slots[n.prev].next = n.next
	} else {
		s.head = n.next
	}
	if n.next != none {
		s.slots[n.next].prev = n.prev
	} else {
		s.tail = n.prev
	}
}

// take takes a slot off the line if it still is the one with this id. Its bytes and its
// number become free by give only: when the file is gone, and so that no entry of the
// index leads from the old to the new.
func (s *shelf) take(i uint32, id uint64) (n slot, seg *segment, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok = s.getLocked(i)
	if !ok || n.id != id {
		return slot{}, nil, false
	}
	seg = s.segments[i]
	s.unlink(i)
	s.slots[i].used = false
	if seg != nil {
		delete(s.segments, i)
	} else {
		s.files--
	}
	return n, seg, true
}

// give makes the number and the bytes of a slot that was taken free for others.
func (s *shelf) give(i uint32, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= bytes
	s.slots[i] = slot{next: s.free}
	s.free = i
}

// addOld puts slots that were found at a start before all others, oldest first, and
// counts what they hold. It returns their numbers.
func (s *shelf) addOld(old []slot, segs map[uint64]*segment) []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	numbers := make([]uint32, len(old))
	after := none
	for k, n := range old {
		after = s.addLocked(n, segs[n.id], after)
		numbers[k] = after
		s.bytes += n.bytes
	}
	return numbers
}

// who returns the id of a slot and whether it is a segment.
func (s *shelf) who(i uint32) (id uint64, isSegment, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.getLocked(i)
	return n.id, n.segment, ok
}

// get returns a slot, and its segment with a reader more. hit marks it as hit.
func (s *shelf) get(i uint32, hit bool) (n slot, seg *segment, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok = s.getLocked(i)
	seg = s.segments[i]
	if !ok || n.segment && seg == nil { // gone, or all are closed
		return slot{}, nil, false
	}
	if seg != nil {
		seg.retain()
	} else if hit {
		s.slots[i].hit = true
	}
	return n, seg, true
}

func (s *shelf) getLocked(i uint32) (n slot, ok bool) {
	if int(i) >= len(s.slots) || !s.slots[i].used {
		return slot{}, false
	}
	return s.slots[i], true
}

// oldest returns the slot at the head of the line, passing over the segment that is
// being written.
func (s *shelf) oldest() (i uint32, n slot, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i = s.head; i != none; i = s.slots[i].next {
		if seg := s.segments[i]; seg == nil || seg.sealed.Load() {
			return i, s.slots[i], true
		}
	}
	return none, slot{}, false
}

// again puts a file that was hit at the end of the line for a second chance, and
// reports whether it was.
func (s *shelf) again(i uint32, id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.getLocked(i)
	if !ok || n.id != id || !n.hit {
		return false
	}
	s.slots[i].hit = false
	if s.tail != i {
		s.unlink(i)
		s.link(i, s.tail)
	}
	return true
}

// resize changes what a slot has of the budget.
func (s *shelf) resize(i uint32, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += bytes - s.slots[i].bytes
	s.slots[i].bytes = bytes
}

// How far the limit is lowered at a time, and how many steps of it stay.
const (
	shrinkPart  = 16
	shrinkLeast = 4
)

// over returns by how much the limit is exceeded if n bytes more, yet no more than a
// quarter of it, are to be free.
func (s *shelf) over(n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes + min(n, s.limit/4) - s.limit
}

// shrink lowers the limit below what there is, by a part of it and at least by step,
// because the file system has no room for more. It stays above a few steps. grow
// raises it again, up to the budget.
func (s *shelf) shrink(step int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = max(min(s.limit, s.bytes-max(s.bytes/shrinkPart, step)), shrinkLeast*step)
}

func (s *shelf) grow(by int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = min(s.limit+by, s.size)
}

// ids returns the numbers and ids of all slots, oldest first.
func (s *shelf) ids() []slotID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []slotID
	for i := s.head; i != none; i = s.slots[i].next {
		all = append(all, slotID{i, s.slots[i].id})
	}
	return all
}

type slotID struct {
	slot uint32
	id   uint64
}

// closeAll returns all segments, which are not the shelf's any more.
func (s *shelf) closeAll() []*segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Collect(maps.Values(s.segments))
	clear(s.segments)
	return all
}

// shelfCounts is what there is on a shelf.
type shelfCounts struct {
	files, segments int
	bytes, limit    int64
}

func (s *shelf) counts() shelfCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return shelfCounts{s.files, len(s.segments), s.bytes, s.limit}
}
