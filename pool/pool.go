// Package pool lends byte buffers by size class. L4 and L7 take every buffer of
// more than a few hundred bytes from here, so that memory follows the traffic
// that is in progress and not the number of connections.
package pool

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// The size classes. What is larger than the last is allocated and left to the
// garbage collector: such sizes are rare, and keeping them would pin memory that
// nobody asks for again.
//
//	class     for                                                       idle bound
//	  1 KiB   short heads, handshake prologues, health checks             2 MiB
//	  4 KiB   access log lines, ordinary request and response heads      16 MiB
//	 16 KiB   body pieces of L7 (one TLS record), ClientHello            32 MiB
//	 64 KiB   relay of L4, batches of the access log, large heads        32 MiB
//	256 KiB   what one session may hold for a peer that stopped reading  16 MiB
//
// The steps are by four, so that a buffer is at most three quarters empty. The
// idle bound is what is kept while nobody uses it, 98 MiB in all, and only after
// that much was in use at one time; beyond the bound the collector gets it.
const (
	minClass   = 1 << 10
	maxClass   = 256 << 10
	numClasses = 5
)

// shards is the number of free lists per class, enough that two cores seldom
// meet on one. A power of two.
const shards = 16

// Buffer is a byte slice on loan. It has one owner at a time: who got it from Get
// either releases it or passes it on, and with it the duty to release it.
type Buffer struct {
	// B has the full capacity of its class when Get returns. The owner may cut
	// it as he likes; an append beyond its capacity leaves the pool's memory.
	// The content is arbitrary.
	B []byte

	mem   []byte // all of it, to restore B
	next  *Buffer
	class int8        // -1: larger than every class
	lent  atomic.Bool // catches a second Release even from another goroutine
}

// class is one size class: its free lists and its counters. The zero value is ready.
type class struct {
	shard [shards]shard
}

type shard struct {
	mu     sync.Mutex
	head   *Buffer
	idle   atomic.Int32 // length of the list; changed under mu, read without
	gets   uint64       // the rest is guarded by mu
	puts   uint64
	misses uint64
	_      [16]byte // no two shards in one cache line
}

// classes is the pool itself, the one piece of global state: a buffer may be
// released where nothing is known of who got it.
var classes [numClasses]class

// oversize counts the buffers that have no class.
var oversize struct {
	gets, puts, live atomic.Int64 // live is in bytes
}

// classBytes returns the size of the buffers of class c.
func classBytes(c int) int { return minClass << (2 * c) }

// idleBound returns how many bytes of class c are kept at most.
func idleBound(c int) int {
	return [numClasses]int{2 << 20, 16 << 20, 32 << 20, 32 << 20, 16 << 20}[c]
}

// Get returns a buffer whose B holds at least size bytes; a size of zero or less
// gets the smallest class. The caller owns it and must call Release.
// Get allocates nothing when a buffer is free.
func Get(size int) *Buffer {
	if size > maxClass {
		return getOversize(size)
	}
	c := 0
	for classBytes(c) < size {
		c++
	}
	b := classes[c].get()
	if b == nil {
		b = &Buffer{mem: make([]byte, classBytes(c)), class: int8(c)}
	} else if tracking.Load() {
		checkPoison(b)
	}
	b.lent.Store(true)
	b.B = b.mem
	return b
}

// Release gives the buffer back. The caller must not touch it afterwards, nor
// any slice of B. To release it twice is a bug and panics.
func (b *Buffer) Release() {
	if !b.lent.CompareAndSwap(true, false) {
		panic("BUG: pool: a buffer was released twice")
	}
	b.B = nil // a late use through the handle fails at once and harms nobody
	if b.class < 0 {
		oversize.puts.Add(1)
		oversize.live.Add(-int64(len(b.mem)))
		return
	}
	if tracking.Load() {
		poison(b)
	}
	classes[b.class].put(b)
}

func getOversize(size int) *Buffer {
	b := &Buffer{mem: make([]byte, size), class: -1}
	b.B = b.mem
	b.lent.Store(true)
	oversize.gets.Add(1)
	oversize.live.Add(int64(size))
	return b
}

// get takes a buffer off the free lists, nil when all are empty. It starts at a
// random list: the runtime's generator is per core and costs less than any way
// to learn the number of the core.
func (c *class) get() *Buffer {
	first := rand.Uint32()
	for i := range uint32(shards) {
		s := &c.shard[(first+i)%shards]
		if s.idle.Load() == 0 {
			continue
		}
		s.mu.Lock()
		if b := s.head; b != nil {
			s.head, b.next = b.next, nil
			s.idle.Add(-1)
			s.gets++
			s.mu.Unlock()
			return b
		}
		s.mu.Unlock()
	}
	s := &c.shard[first%shards]
	s.mu.Lock()
	s.gets++
	s.misses++
	s.mu.Unlock()
	return nil
}

// put puts b on a random free list, or lets go of it when that one is full.
func (c *class) put(b *Buffer) {
	limit := int32(idleBound(int(b.class)) / classBytes(int(b.class)) / shards)
	s := &c.shard[rand.Uint32()%shards]
	s.mu.Lock()
	s.puts++
	if s.idle.Load() < limit {
		b.next, s.head = s.head, b
		s.idle.Add(1)
	}
	s.mu.Unlock()
}
