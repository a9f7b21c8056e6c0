package cache

import (
	"bytes"
	"sync"
)

// numShards is the number of locks over the index. A power of two.
const numShards = 128

// shard is one part of the index: a hash table of chains of entries that grows by one
// bucket at a time (linear hashing), so that no insertion pays for all. In a chain newer
// entries come before older ones.
type shard struct {
	mu      sync.Mutex
	buckets []uint32 // heads of chains; nil until the first insertion
	level   uint     // there are at least 1<<level buckets, and fewer than twice as many
	linked  int
	fills   map[uint32]*Fill // of the entries that are filling
	flights map[string]*Flight
	marks   marks

	keyPurges keyPurges

	_ [64]byte // no two shards in one cache line
}

// shardOf returns the shard of a hash.
func (s *Store) shardOf(hash uint64) *shard { return &s.shards[hash>>57] }

// bucket returns the number of the bucket of a hash.
func (sh *shard) bucket(hash uint64) uint32 {
	n := uint32(hash) & (1<<(sh.level+1) - 1)
	if int(n) >= len(sh.buckets) {
		n &= 1<<sh.level - 1
	}
	return n
}

// insert puts an entry in front of its chain.
func (sh *shard) insert(t *entries, id uint32) {
	if sh.buckets == nil {
		sh.buckets = make([]uint32, 1, 8)
	}
	if sh.linked++; sh.linked > len(sh.buckets) {
		sh.split(t)
	}
	e := t.at(id)
	b := sh.bucket(e.hash)
	e.next, sh.buckets[b] = sh.buckets[b], id
	e.set(linked)
}

// split adds a bucket and moves to it what belongs there from the one that it halves.
func (sh *shard) split(t *entries) {
	n := uint32(len(sh.buckets))
	if n == 2<<sh.level {
		sh.level++
	}
	from := n & (1<<sh.level - 1)
	sh.buckets = append(sh.buckets, 0)
	stay, move := &sh.buckets[from], &sh.buckets[n]
	for id := *stay; id != 0; {
		e := t.at(id)
		if sh.bucket(e.hash) == n {
			*move, move = id, &e.next
		} else {
			*stay, stay = id, &e.next
		}
		id = e.next
	}
	*stay, *move = 0, 0
}

// unlink takes an entry out of its chain. The index's reference goes to the caller.
func (sh *shard) unlink(t *entries, id uint32) {
	e := t.at(id)
	at := &sh.buckets[sh.bucket(e.hash)]
	for *at != id {
		at = &t.at(*at).next
	}
	*at, e.next = e.next, 0
	e.clear(linked)
	sh.linked--
}

// find returns the first entry of a key from id on, which is a place in the chain of hash,
// or zero.
func (s *Store) find(id uint32, hash uint64, key []byte) uint32 {
	for id != 0 {
		e := s.entries.at(id)
		if e.hash == hash && bytes.Equal(e.keyOf(s.arena.bytes(e.first)), key) {
			return id
		}
		id = e.next
	}
	return 0
}

// chain returns the first entry of the chain of a hash.
func (sh *shard) chain(hash uint64) uint32 {
	if sh.buckets == nil {
		return 0
	}
	return sh.buckets[sh.bucket(hash)]
}
