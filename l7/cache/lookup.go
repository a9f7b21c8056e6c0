package cache

import (
	"bytes"
	"time"

	"weir/l7/cache/policy"
	"weir/l7/message"
)

// Found says what Lookup found.
type Found uint8

const (
	// Miss is nothing that fits. The Ref holds nothing.
	Miss Found = iota
	// Hit says that the Ref holds what fits. Whether it may be used, policy.Reuse says.
	Hit
	// Uncacheable is nothing that fits, and what comes will not be stored: see
	// MarkUncacheable. The Ref holds nothing.
	Uncacheable
	// OtherVariant is nothing that fits, but something for other values of the fields that
	// its Vary names. The Ref holds nothing.
	OtherVariant
)

// maxNames is how much of a variant is made without an allocation.
const maxNames = 512

// Lookup finds what is stored under key, as policy.AppendKey makes it, and fits the
// request by its Vary: of several the newest. It takes a reference to it into ref, which
// must be zero or released, and which the caller releases. What is found may still be
// growing. Lookup never blocks for longer than others hold the shard's lock, some hundred
// nanoseconds, and allocates nothing.
func (s *Store) Lookup(key []byte, req *message.Request, now time.Time, ref *Ref) Found {
	ref.free()
	hash := s.hash(key)
	sh := s.shardOf(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if id := s.fitting(sh, hash, key, req); id != 0 {
		s.take(sh, id, ref)
		return Hit
	}
	if sh.marks.has(hash, now.UnixNano()) {
		return Uncacheable
	}
	for id := s.find(sh.chain(hash), hash, key); id != 0; id = s.find(s.entries.at(id).next, hash, key) {
		if !s.entries.at(id).is(derived) {
			return OtherVariant
		}
	}
	return Miss
}

// fitting returns the newest entry of a key that fits a request and that no purge has hit,
// or zero. The shard is locked. What a pending purge hits is unlinked or made stale.
func (s *Store) fitting(sh *shard, hash uint64, key []byte, req *message.Request) uint32 {
	var buf [maxNames]byte
	var names, variant []byte
	for id := s.find(sh.chain(hash), hash, key); id != 0; {
		e := s.entries.at(id)
		if e.is(derived) || !s.spared(id) {
			id = s.find(e.next, hash, key)
			continue
		}
		if e.vary == 0 {
			return id
		}
		first := s.arena.bytes(e.first)
		if v := e.varyOf(first); !bytes.Equal(v, names) {
			names, variant = v, policy.AppendVariant(buf[:0], v, req.Fields)
		}
		if bytes.Equal(variant, e.variantOf(first)) {
			return id
		}
		id = s.find(e.next, hash, key)
	}
	return 0
}

// take fills in a Ref of who found an entry. The shard is locked.
func (s *Store) take(sh *shard, id uint32, ref *Ref) {
	s.hold(id, ref)
	ref.entry.touch()
	if ref.entry.is(filling) {
		sh.fills[id].attach(ref)
	}
}

// hold fills in a Ref with a reference of its own. The shard is locked.
func (s *Store) hold(id uint32, ref *Ref) {
	e := s.entries.at(id)
	e.refs.Add(1)
	ref.store, ref.id, ref.entry = s, id, e
	ref.first = s.arena.bytes(e.first)
	ref.meta, ref.length = e.meta, e.body
	ref.at, ref.start, ref.piece = 0, 0, 0
}
