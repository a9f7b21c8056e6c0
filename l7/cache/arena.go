package cache

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// A piece is a part of a slab, named by slab, class and place in the slab; zero is none.
// Every piece begins with the number of the entry that owns it, which is zero while nobody
// does.
type piece uint64

const (
	extentSize     = 4 << 20 // what the arena asks the operating system for at a time
	slabsPerExtent = extentSize / slabSize

	ownerSize = 4 // in front of each piece: its owner
)

func (p piece) slab() uint32 { return uint32(p >> 32) }
func (p piece) class() uint8 { return uint8(p >> 24) }
func (p piece) index() int   { return int(p & 0xffffff) }
func (p piece) size() int    { return classes[p.class()].size }

func makePiece(slab uint32, class uint8, index int) piece {
	return piece(slab)<<32 | piece(class)<<24 | piece(index)
}

// slab is what the arena knows of one. Slab 0 is never used, so that zero is no slab.
type slab struct {
	next, prev uint32 // in the list of its class's slabs with room, or of the free slabs
	live       uint16 // pieces in use
	used       uint16 // pieces that were ever in use since the slab got its class
	free       uint16 // 1 + the first free piece among those; the chain goes on in the pieces
	class      uint8
	state      slabState
}

type slabState uint8

const (
	slabCold slabState = iota // free, no page of it is resident
	slabWarm                  // free
	slabRoom                  // has a class and room
	slabFull                  // has a class and no room
)

// arena hands out pieces. Slabs are counted against limit, but no object is evicted here:
// who gets no piece makes room and asks again.
type arena struct {
	extents atomic.Pointer[[][]byte] // only ever grows; what is in it lives until close

	mu     sync.Mutex
	slabs  []slab
	warm   uint32             // head of the free slabs with pages
	cold   uint32             // head of those without
	rooms  [maxClasses]uint32 // heads of the slabs with room, the fullest first as a rule
	inUse  int64              // octets of slabs with a class
	live   int64              // octets of pieces in use
	limit  int64              // for inUse
	poison bool               // free pieces are overwritten, and looked at when they are taken again
}

func newArena(limit int64) *arena {
	a := &arena{limit: limit}
	a.extents.Store(new([][]byte))
	return a
}

// close gives everything back. It reports how many octets of pieces are still in use.
func (a *arena) close() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live == 0 {
		for _, ext := range *a.extents.Load() {
			unmapMemory(ext)
		}
		a.extents.Store(new([][]byte))
		a.slabs, a.warm, a.cold, a.rooms, a.inUse = nil, 0, 0, [maxClasses]uint32{}, 0
	}
	return a.live
}

// bytes returns the whole piece.
func (a *arena) bytes(p piece) []byte {
	slab, size := p.slab(), p.size()
	at := int(slab%slabsPerExtent)*slabSize + p.index()*size
	return (*a.extents.Load())[slab/slabsPerExtent][at : at+size : at+size]
}

// get takes a piece for an owner. Without force it fails where that would take one more
// slab than the limit allows; with it only where the operating system has no memory.
func (a *arena) get(class uint8, owner uint32, force bool) (piece, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.rooms[class]
	if n == 0 {
		if n = a.newSlab(class, force); n == 0 {
			return 0, false
		}
	}
	s := &a.slabs[n]
	var p piece
	if s.free != 0 {
		p = makePiece(n, class, int(s.free-1))
		b := a.bytes(p)
		s.free = binary.LittleEndian.Uint16(b[ownerSize:])
		if a.poison {
			checkPoison(b)
		}
	} else {
		p = makePiece(n, class, int(s.used))
		s.used++
	}
	if s.live++; int(s.live) == classes[class].count {
		a.leave(n, &a.rooms[class])
		s.state = slabFull
	}
	a.live += int64(p.size())
	binary.LittleEndian.PutUint32(a.bytes(p), owner)
	return p, true
}

// put gives a piece back.
func (a *arena) put(p piece) {
	a.mu.Lock()
	a.putLocked(p)
	a.mu.Unlock()
}

func (a *arena) putLocked(p piece) {
	n := p.slab()
	s := &a.slabs[n]
	b := a.bytes(p)
	if binary.LittleEndian.Uint32(b) == 0 || s.class != p.class() {
		panic("BUG: cache: a piece was given back twice")
	}
	if a.poison {
		fillPoison(b)
	}
	binary.LittleEndian.PutUint32(b, 0)
	binary.LittleEndian.PutUint16(b[ownerSize:], s.free)
	s.free = uint16(p.index() + 1)
	a.live -= int64(p.size())
	s.live--
	switch {
	case s.live == 0:
		if s.state == slabRoom {
			a.leave(n, &a.rooms[s.class])
		}
		s.state = slabWarm
		a.enter(n, &a.warm)
		a.inUse -= slabSize
	case s.state == slabFull:
		s.state = slabRoom
		a.enter(n, &a.rooms[s.class])
	}
}

// newSlab gives a free slab a class, and returns its number, or 0 where there is none to
// be had.
func (a *arena) newSlab(class uint8, force bool) uint32 {
	if a.inUse+slabSize > a.limit && !force {
		return 0
	}
	if a.warm == 0 && a.cold == 0 && !a.extend() {
		return 0
	}
	list := &a.warm
	if *list == 0 {
		list = &a.cold
	}
	n := *list
	a.leave(n, list)
	s := &a.slabs[n]
	s.class, s.state, s.live, s.used, s.free = class, slabRoom, 0, 0, 0
	a.enter(n, &a.rooms[class])
	a.inUse += slabSize
	return n
}

// extend gets another extent.
func (a *arena) extend() bool {
	ext, err := mapMemory(extentSize)
	if err != nil {
		return false
	}
	old := *a.extents.Load()
	next := make([][]byte, len(old)+1)
	copy(next, old)
	next[len(old)] = ext
	a.extents.Store(&next)
	for range slabsPerExtent {
		a.slabs = append(a.slabs, slab{})
		if n := uint32(len(a.slabs) - 1); n > 0 {
			a.enter(n, &a.cold)
		}
	}
	return true
}

func (a *arena) enter(n uint32, list *uint32) {
	s := &a.slabs[n]
	s.prev, s.next = 0, *list
	if s.next != 0 {
		a.slabs[s.next].prev = n
	}
	*list = n
}

func (a *arena) leave(n uint32, list *uint32) {
	s := &a.slabs[n]
	if s.prev != 0 {
		a.slabs[s.prev].next = s.next
	} else {
		*list = s.next
	}
	if s.next != 0 {
		a.slabs[s.next].prev = s.prev
	}
}

// chill lets the operating system have the pages of free slabs, and returns how many
// octets that are.
func (a *arena) chill() (n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.warm != 0 {
		i := a.warm
		a.leave(i, &a.warm)
		forgetMemory((*a.extents.Load())[i/slabsPerExtent][int(i%slabsPerExtent)*slabSize:][:slabSize])
		a.slabs[i].state = slabCold
		a.enter(i, &a.cold)
		n += slabSize
	}
	return n
}

// scattered reports whether more than an eighth of the slabs lies unused within slabs that
// are in use: then it is better to empty a slab than to evict what is coldest.
func (a *arena) scattered() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inUse-a.live > a.inUse/8
}

// emptiest appends the owners of the pieces of a slab that has few, the least of those
// that it looks at. Whether they still are, the caller finds out.
func (a *arena) emptiest(owners []uint32) []uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	best, least := uint32(0), 2.0
	if len(a.slabs) < 2 {
		return owners
	}
	for range 64 {
		n := 1 + rand.Uint32N(uint32(len(a.slabs)-1))
		s := &a.slabs[n]
		if s.state != slabRoom {
			continue
		}
		if share := float64(s.live) / float64(classes[s.class].count); share < least {
			best, least = n, share
		}
	}
	if best == 0 {
		return owners
	}
	s := &a.slabs[best]
	for i := range int(s.used) {
		if id := binary.LittleEndian.Uint32(a.bytes(makePiece(best, s.class, i))); id != 0 {
			owners = append(owners, id)
		}
	}
	return owners
}

func (a *arena) setLimit(n int64) {
	a.mu.Lock()
	a.limit = n
	a.mu.Unlock()
}

// usage returns the octets of slabs and of pieces in use.
func (a *arena) usage() (slabs, pieces int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inUse, a.live
}

// over reports by how many octets the slabs in use exceed the limit.
func (a *arena) over() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inUse - a.limit
}

const poisonByte = 0xDB

func fillPoison(b []byte) {
	for i := range b {
		b[i] = poisonByte
	}
}

// checkPoison finds who wrote to a piece after it was given back.
func checkPoison(b []byte) {
	for i, c := range b[ownerSize+2:] {
		if c != poisonByte {
			panic(fmt.Sprintf("BUG: cache: byte %d of a free piece was changed to 0x%02x", i+ownerSize+2, c))
		}
	}
}
