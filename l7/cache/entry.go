package cache

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"unsafe"

	"weir/l7/cache/policy"
)

// entry is what the index knows of an object. It lies outside the Go heap and holds no
// pointer; entries name each other by number, and zero is none.
//
// An entry is filled in by who made it, then published with refs. From there on hash,
// first and the lengths of what lies in first never change; the rest says what guards it.
type entry struct {
	// What a lookup that finds another key reads, and then what one that finds it does.
	hash    uint64
	first   piece  // owner, key, vary, variant, tags, head, and as much of the body as fits
	next    uint32 // in its bucket or in the list of free entries; guarded by the shard's lock
	parent  uint32 // of a derived object; guarded by the shard's lock
	key     uint16 // lengths of the parts of first
	vary    uint16
	variant uint16
	tags    uint16 // octets: eight for each tag
	head    uint32
	inlined uint32        // how much of the body first holds, or has room for if it has that much
	flags   atomic.Uint32 // see below; changed under the shard's lock
	refs    atomic.Int32  // the index, each Ref, each Fill, and whoever looks at it for a moment
	freq    atomic.Uint32 // how often it was found, up to maxFreq
	seen    uint32        // the last purge that it was held against; guarded by the shard's lock
	body    int64         // length of the body, -1 while it is not known; guarded by the shard's lock
	meta    policy.Meta   // guarded by the shard's lock

	chain        piece  // the rest of the body; while it is filled guarded by the fill's lock
	qnext, qprev uint32 // in its queue; guarded by the evictor's lock
	size         uint32 // what it costs in octets, in units of 16; set when it is queued
	queue        queueName
}

const entrySize = int(unsafe.Sizeof(entry{}))

// The flags of an entry.
const (
	linked  = 1 << iota // it is in the index
	filling             // its body is not complete
	stale               // it was purged softly
	derived             // it is another encoding of its parent's body
)

func (e *entry) is(flag uint32) bool { return e.flags.Load()&flag != 0 }

func (e *entry) set(flag uint32)   { e.flags.Store(e.flags.Load() | flag) }
func (e *entry) clear(flag uint32) { e.flags.Store(e.flags.Load() &^ flag) }

// prefix is where the body begins in the first piece.
func (e *entry) prefix() int {
	return ownerSize + int(e.key) + int(e.vary) + int(e.variant) + int(e.tags) + int(e.head)
}

// The parts of the first piece, of which b is all.

func (e *entry) keyOf(b []byte) []byte { return b[ownerSize:][:e.key:e.key] }

func (e *entry) varyOf(b []byte) []byte { return b[ownerSize+int(e.key):][:e.vary:e.vary] }

func (e *entry) variantOf(b []byte) []byte {
	return b[ownerSize+int(e.key)+int(e.vary):][:e.variant:e.variant]
}

func (e *entry) tagsOf(b []byte) []byte {
	return b[ownerSize+int(e.key)+int(e.vary)+int(e.variant):][:e.tags:e.tags]
}

func (e *entry) headOf(b []byte) []byte { return b[e.prefix()-int(e.head):][:e.head:e.head] }

// hasTag reports whether one of the hashes of tags is t.
func hasTag(tags []byte, t uint64) bool {
	for ; len(tags) >= 8; tags = tags[8:] {
		if binary.LittleEndian.Uint64(tags) == t {
			return true
		}
	}
	return false
}

// entriesPerChunk is how many entries are asked for at a time, and chunkCost what they are
// counted with: the tables of buckets and of ghosts grow with them, by up to 8 and 16
// octets each.
const (
	entriesPerChunk = 512
	chunkCost       = entriesPerChunk * (entrySize + 24)
)

type entryChunk = [entriesPerChunk]entry

// entries hands out entries. Their memory is kept until close.
type entries struct {
	chunks atomic.Pointer[[]*entryChunk]

	mu   sync.Mutex
	mem  [][]byte
	free uint32
	live int
}

func newEntries() *entries {
	t := new(entries)
	t.chunks.Store(new([]*entryChunk))
	return t
}

// at returns the entry with this number.
func (t *entries) at(id uint32) *entry {
	return &(*t.chunks.Load())[id/entriesPerChunk][id%entriesPerChunk]
}

// get takes an entry of zeros. mayGrow says whether there may be one more chunk; ok is
// false where one is needed and may not, or cannot, be had.
func (t *entries) get(mayGrow func(n int) bool) (id uint32, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free == 0 && !t.grow(mayGrow) {
		return 0, false
	}
	id = t.free
	e := t.at(id)
	t.free, e.next = e.next, 0
	t.live++
	return id, true
}

func (t *entries) grow(mayGrow func(n int) bool) bool {
	if !mayGrow(chunkCost) {
		return false
	}
	b, err := mapMemory(entriesPerChunk * entrySize)
	if err != nil {
		return false
	}
	old := *t.chunks.Load()
	next := make([]*entryChunk, len(old)+1)
	copy(next, old)
	next[len(old)] = (*entryChunk)(unsafe.Pointer(&b[0]))
	t.mem = append(t.mem, b)
	t.chunks.Store(&next)
	for i := entriesPerChunk - 1; i >= 0; i-- {
		if id := uint32(len(old)*entriesPerChunk + i); id != 0 {
			next[len(old)][i].next = t.free
			t.free = id
		}
	}
	return true
}

// put gives an entry back that nobody refers to.
func (t *entries) put(id uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.at(id)
	e.hash, e.first, e.chain, e.body, e.parent, e.size, e.seen = 0, 0, 0, 0, 0, 0, 0
	e.qnext, e.qprev, e.inlined, e.head, e.key, e.vary, e.variant, e.tags, e.queue = 0, 0, 0, 0, 0, 0, 0, 0, 0
	e.meta = policy.Meta{}
	e.flags.Store(0)
	e.freq.Store(0)
	e.next, t.free = t.free, id
	t.live--
}

// pin takes a reference to an entry that may be gone, or may be another one by now. The
// caller finds out, and gives the reference back.
func (t *entries) pin(id uint32) bool {
	refs := &t.at(id).refs
	for {
		n := refs.Load()
		if n <= 0 {
			return false
		}
		if refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// usage returns how many entries are in use and what all of them take.
func (t *entries) usage() (live int, octets int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live, int64(len(t.mem) * chunkCost)
}

// close gives the memory back if no entry is in use, and returns how many are.
func (t *entries) close() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.live == 0 {
		for _, b := range t.mem {
			unmapMemory(b)
		}
		t.mem, t.free = nil, 0
		t.chunks.Store(new([]*entryChunk))
	}
	return t.live
}
