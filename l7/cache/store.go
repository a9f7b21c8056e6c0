package cache

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Options say what a store may take. The zero value of each field has a default.
type Options struct {
	// Budget is how much memory the store takes at most, everything counted: heads,
	// bodies, what is not used of their pieces, and the index. At least 4 MiB, which is
	// also the step in which the address space grows. 0: 256 MiB.
	Budget int64
	// MaxObject is the largest body that is stored. At most a quarter of the budget, which
	// is what a larger value means. 0: 16 MiB, or that quarter.
	MaxObject int64
}

const (
	defaultBudget    = 256 << 20
	minBudget        = 4 << 20
	defaultMaxObject = 16 << 20

	fixedCost = 1 << 20 // shards, locks, full tables of marks and of purges of keys
)

func (o Options) orDefault() Options {
	if o.Budget == 0 {
		o.Budget = defaultBudget
	}
	o.Budget = max(o.Budget, minBudget)
	if o.MaxObject == 0 {
		o.MaxObject = defaultMaxObject
	}
	o.MaxObject = min(o.MaxObject, o.Budget/4)
	return o
}

// Store keeps responses in memory. It is safe for use by any number of goroutines.
type Store struct {
	seed      maphash.Seed
	maxObject atomic.Int64
	arena     *arena
	entries   *entries
	evictor   evictor
	purges    purges
	counts    counts
	closed    atomic.Bool
	disk      atomic.Pointer[onDisk]

	sizing    sync.Mutex // guards the two below; taken before every other lock
	budget    int64
	allowance int64 // what of the budget may be used just now, see Squeeze

	shards [numShards]shard
}

// New returns an empty store. Close ends it.
func New(o Options) *Store {
	o = o.orDefault()
	s := &Store{seed: maphash.MakeSeed(), arena: newArena(o.Budget - fixedCost), entries: newEntries()}
	s.evictor.entries = s.entries
	s.budget, s.allowance = o.Budget, o.Budget
	s.maxObject.Store(o.MaxObject)
	return s
}

// MaxObject is the length of the longest body that is stored.
func (s *Store) MaxObject() int64 { return s.maxObject.Load() }

// SetOptions changes what the store may take while it is in use, as a reload does. A
// smaller budget evicts before it returns.
func (s *Store) SetOptions(o Options) {
	o = o.orDefault()
	s.maxObject.Store(o.MaxObject)
	s.sizing.Lock()
	defer s.sizing.Unlock()
	if o.Budget != s.budget {
		s.budget, s.allowance = o.Budget, o.Budget
		s.fit()
	}
}

// Close forgets every object and gives the memory back. Nothing is found or stored from
// then on. References, fills and flights end first: an error says how many did not, and
// then the memory stays, so that whoever holds one reads no other's.
func (s *Store) Close() error {
	s.closed.Store(true)
	derr := s.SetDisk(nil, nil)
	s.purgeAll()
	octets := s.arena.close()
	if n := s.entries.close(); n != 0 || octets != 0 {
		return fmt.Errorf("cannot give back the memory of the cache: %d objects with %d bytes are in use", n, octets)
	}
	return derr
}

func (s *Store) hash(key []byte) uint64 { return maphash.Bytes(s.seed, key) }

// Why something is not stored.
var (
	// ErrTooLarge says that a body is larger than Options.MaxObject, a key, Vary or variant
	// larger than 32 KiB, a head larger than 56 KiB with them, or that there are more
	// than 256 tags.
	ErrTooLarge = errors.New("cannot store the response: it is too large")
	// ErrFull says that there is no memory for it: all of it is in use by fills and readers.
	ErrFull = errors.New("cannot store the response: the cache's memory is in use")
	// ErrPurged says that a purge hit it while it was fetched.
	ErrPurged = errors.New("cannot store the response: it was purged while it was fetched")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("cannot store the response: the cache is closed")
)

// maxTries is how many objects an allocation evicts at most before it gives up: enough to
// empty several slabs of the smallest pieces that are worth emptying.
const maxTries = 4096

// get takes a piece for a first piece or a chain, and evicts what it needs to.
func (s *Store) get(class uint8, owner uint32, force bool, take func(uint8, uint32, bool) (piece, bool)) (piece, bool) {
	for try := 0; ; try++ {
		if p, ok := take(class, owner, false); ok {
			return p, true
		}
		if try == maxTries || !s.makeRoom(try) {
			if force {
				return take(class, owner, true)
			}
			return 0, false
		}
	}
}

// newEntry takes an entry, and evicts where there is no memory for more of them.
func (s *Store) newEntry() (uint32, bool) {
	for try := 0; ; try++ {
		if id, ok := s.entries.get(s.mayGrow); ok {
			return id, true
		}
		if try == maxTries || !s.makeRoom(try) {
			return 0, false
		}
	}
}

// mayGrow says whether n octets more may be had for entries, and then takes them away from
// the slabs.
func (s *Store) mayGrow(n int) bool {
	s.arena.mu.Lock()
	defer s.arena.mu.Unlock()
	if s.arena.inUse+int64(n) > s.arena.limit {
		return false
	}
	s.arena.limit -= int64(n)
	return true
}

// makeRoom evicts something: what is coldest, or, where much memory lies unused between
// pieces, what stands in the slab that is emptied with the least loss. It reports whether
// there was anything.
func (s *Store) makeRoom(try int) bool {
	if try%16 == 0 && s.arena.scattered() && s.emptySlab() {
		return true
	}
	return s.evict()
}

// evict has the evictor's next victim leave.
func (s *Store) evict() bool {
	id := s.evictor.victim()
	if id == 0 {
		return false
	}
	if s.drop(id, nil) {
		s.counts.evicted.Add(1)
	}
	s.put(id)
	return true
}

// emptySlab has the owners of the pieces of one slab leave. It reports whether there was
// one.
func (s *Store) emptySlab() (any bool) {
	var few [64]uint32
	for _, id := range s.arena.emptiest(few[:0]) {
		if !s.entries.pin(id) {
			continue
		}
		if e := s.entries.at(id); !e.is(filling) && s.drop(id, nil) {
			s.counts.evicted.Add(1)
			any = true
		}
		s.put(id)
	}
	return any
}

// drop unlinks the entry with all that derives from it, if it is in the index and ok, where
// given, says so under the shard's lock. The caller refers to it. It reports whether it
// did.
func (s *Store) drop(id uint32, ok func(e *entry) bool) bool {
	e := s.entries.at(id)
	sh := s.shardOf(e.hash)
	sh.mu.Lock()
	if !e.is(linked) || ok != nil && !ok(e) {
		sh.mu.Unlock()
		return false
	}
	var few [8]uint32
	gone := s.unlink(sh, id, few[:0])
	sh.mu.Unlock()
	s.finish(gone)
	return true
}

// unlink takes an entry out of the index, and with it what derives from it, and appends
// them to gone. The shard is locked; finish is to be called when it is not.
func (s *Store) unlink(sh *shard, id uint32, gone []uint32) []uint32 {
	e := s.entries.at(id)
	sh.unlink(s.entries, id)
	delete(sh.fills, id)
	gone = append(gone, id)
	if e.is(derived) {
		return gone
	}
	for d := sh.chain(e.hash); d != 0; {
		next := s.entries.at(d).next
		if s.entries.at(d).parent == id {
			sh.unlink(s.entries, d)
			delete(sh.fills, d)
			gone = append(gone, d)
		}
		d = next
	}
	return gone
}

// finish takes what was unlinked out of the queues and gives up the index's references.
func (s *Store) finish(gone []uint32) {
	for _, id := range gone {
		s.evictor.remove(id)
		s.put(id)
	}
}

// put gives up a reference, and with the last one the memory.
func (s *Store) put(id uint32) {
	e := s.entries.at(id)
	switch n := e.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("BUG: cache: a reference was given up twice")
	}
	first, chain := e.first, e.chain
	s.entries.put(id)
	s.arena.putChain(chain)
	if first != 0 {
		s.arena.put(first)
	}
}
