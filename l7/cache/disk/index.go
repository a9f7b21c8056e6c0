package disk

import "sync"

// indexShards is how many locks the index has. A power of two.
const indexShards = 64

// place is where an object lies. It has no pointers, so that the collector passes over
// the index, and takes eight bytes: with its hash and the slack of a map about 25 bytes
// for each object.
type place struct {
	slot uint32 // of the file or segment
	at   uint32 // in a segment: where, in units of 64 bytes; length in pages; whether it was hit
}

// The parts of place.at.
const (
	atBits   = 24 // 1 GiB
	pageBits = 7
	hitBit   = 1 << 31
	pageSize = 4 << 10
	mostHint = 1<<pageBits - 1
)

func placeIn(slot uint32, at, length int64) place {
	pages := min((length+pageSize-1)/pageSize, mostHint)
	return place{slot: slot, at: uint32(at/unitSize) | uint32(pages)<<atBits}
}

// offset is where in the segment the record begins.
func (p place) offset() int64 { return int64(p.at&(1<<atBits-1)) * unitSize }

// hint is a length that is hardly ever less than the record's.
func (p place) hint() int { return int(p.at>>atBits&mostHint) * pageSize }

// same reports whether two places are one, hit or not.
func (p place) same(q place) bool { return p.slot == q.slot && p.at&^hitBit == q.at&^hitBit }

// index finds objects by the hashes of their keys. Two keys with the same hash drive
// each other out; the key in the record tells which one is there.
type index struct {
	shards [indexShards]indexShard
}

type indexShard struct {
	mu sync.Mutex
	m  map[uint64]place
	_  [48]byte // no two shards in one cache line
}

func (x *index) shard(hash uint64) *indexShard { return &x.shards[hash%indexShards] }

// find returns the place of a hash, marks it as hit, and gets its slot off the shelf as
// shelf.get does, before any other can take the object away.
func (x *index) find(hash uint64, on *shelf) (p place, n slot, seg *segment, ok bool) {
	s := x.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok = s.m[hash]
	if !ok {
		return place{}, slot{}, nil, false
	}
	if p.at&hitBit == 0 {
		p.at |= hitBit
		s.m[hash] = p
	}
	n, seg, ok = on.get(p.slot, true)
	return p, n, seg, ok
}

// has reports whether there is something under the hash.
func (x *index) has(hash uint64) bool {
	s := x.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.m[hash]
	return ok
}

// put puts a place under a hash and returns the one that was there.
func (x *index) put(hash uint64, p place) (old place, replaced bool) {
	s := x.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[uint64]place)
	}
	old, replaced = s.m[hash]
	s.m[hash] = p
	return old, replaced
}

// putIf is put where keep says of what is there already that it is to be replaced.
func (x *index) putIf(hash uint64, p place, replace func(old place) bool) (old place, replaced, done bool) {
	s := x.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[uint64]place)
	}
	old, replaced = s.m[hash]
	if replaced && !replace(old) {
		return old, false, false
	}
	s.m[hash] = p
	return old, replaced, true
}

// move puts a place where another one is, and nowhere else.
func (x *index) move(hash uint64, from, to place) bool {
	s := x.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.m[hash]; !ok || !p.same(from) {
		return false
	}
	s.m[hash] = to
	return true
}

// remove removes a hash if it has this place. hit tells whether it was hit.
func (x *index) remove(hash uint64, p place) (hit, removed bool) {
	s := x.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.m[hash]
	if !ok || !q.same(p) {
		return false, false
	}
	delete(s.m, hash)
	return q.at&hitBit != 0, true
}

// at returns the place of a hash and does not count as a hit.
func (x *index) at(hash uint64) (p place, ok bool) {
	s := x.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok = s.m[hash]
	return p, ok
}

// len is the number of objects.
func (x *index) len() int {
	n := 0
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		n += len(s.m)
		s.mu.Unlock()
	}
	return n
}

// reset forgets everything.
func (x *index) reset() {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		s.m = nil
		s.mu.Unlock()
	}
}
