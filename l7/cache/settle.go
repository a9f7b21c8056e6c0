package cache

import "bytes"

// How many objects may be stored for one key, and be derived from one. The oldest leaves
// for another.
const (
	MaxVariants = 32
	maxDerived  = 8
)

// same reports whether an entry of the same key stands for the same as e: the same variant,
// or the same derivation of the same parent.
func (s *Store) same(e, other *entry) bool {
	if e.parent != other.parent {
		return false
	}
	a, b := s.arena.bytes(e.first), s.arena.bytes(other.first)
	return bytes.Equal(e.varyOf(a), other.varyOf(b)) && bytes.Equal(e.variantOf(a), other.variantOf(b))
}

// settle makes a fill whose body is complete an object like any other, in place of older
// ones. It reports whether it is stored: not if it was taken out of the index meanwhile,
// or somebody who began later was done before.
func (s *Store) settle(f *Fill) bool {
	e := f.entry
	sh := s.shardOf(e.hash)
	sh.mu.Lock()
	if !e.is(linked) {
		sh.mu.Unlock()
		return false
	}
	e.body = f.written
	e.clear(filling)
	delete(sh.fills, f.id)
	var few [8]uint32
	gone, outdated := s.supplant(sh, f.id, few[:0])
	if outdated {
		gone = s.unlink(sh, f.id, gone)
	}
	sh.mu.Unlock()
	s.finish(gone)
	return !outdated
}

// supplant unlinks the entries for which id stands that are older than it, and appends
// them to gone. outdated says that there is a newer one, which is complete. The shard is
// locked.
func (s *Store) supplant(sh *shard, id uint32, gone []uint32) (_ []uint32, outdated bool) {
	e := s.entries.at(id)
	key := e.keyOf(s.arena.bytes(e.first))
	for {
		older, victim := false, uint32(0)
		for at := s.find(sh.chain(e.hash), e.hash, key); at != 0; at = s.find(s.entries.at(at).next, e.hash, key) {
			switch other := s.entries.at(at); {
			case at == id:
				older = true
			case !s.same(e, other) || other.is(filling):
			case older:
				victim = at
			default:
				outdated = true
			}
		}
		if victim == 0 || outdated {
			return gone, outdated
		}
		gone = s.unlink(sh, victim, gone)
	}
}

// tooMany unlinks the oldest object of a key where there are more than MaxVariants, or the
// oldest that derives from e's parent where there are too many of them. The shard is
// locked.
func (s *Store) tooMany(sh *shard, e *entry, key []byte, gone []uint32) []uint32 {
	n, oldest, limit := 0, uint32(0), MaxVariants
	if e.parent != 0 {
		limit = maxDerived
	}
	for at := s.find(sh.chain(e.hash), e.hash, key); at != 0; at = s.find(s.entries.at(at).next, e.hash, key) {
		if s.entries.at(at).parent == e.parent {
			n, oldest = n+1, at
		}
	}
	if n > limit {
		s.counts.varied.Add(1)
		gone = s.unlink(sh, oldest, gone)
	}
	return gone
}

// keep queues an entry that is complete, after it was made smaller if that is worth it.
// The caller refers to it.
func (s *Store) keep(id uint32) {
	e := s.entries.at(id)
	size := s.size(e)
	s.counts.stored.Add(1)
	used := int64(entrySize+e.prefix()) + e.body
	if size-used > size/8 && e.body <= maxRepack && s.repack(id) {
		return
	}
	s.evictor.add(id, size, noQueue)
}

// maxRepack is the longest body that is copied for a better fit, for which its length has
// to have been unknown: a longer one wastes less than a piece at its end.
const maxRepack = 4 * slabSize

// repack puts a copy with less waste into the index in place of an entry. It reports
// whether it did.
func (s *Store) repack(id uint32) bool {
	e := s.entries.at(id)
	n, ok := s.copyOf(e, e.headOf(s.arena.bytes(e.first)), firstClass(e.prefix(), e.body))
	if !ok {
		return false
	}
	defer s.put(n)
	made := s.entries.at(n)
	if !s.copyBody(e, made, n) || s.size(made) >= s.size(e) {
		return false
	}
	return s.replace(id, n, nil)
}

// copyOf makes an entry like e with another head, no body, and a first piece of the class.
func (s *Store) copyOf(e *entry, head []byte, class uint8) (uint32, bool) {
	b := s.arena.bytes(e.first)
	o := Object{Key: e.keyOf(b), Vary: e.varyOf(b), Variant: e.variantOf(b), Head: head, raw: e.tagsOf(b)}
	id, err := s.newObject(&o, e.hash, class)
	return id, err == nil
}

// copyBody gives the entry to, which has the number id, a copy of from's body.
func (s *Store) copyBody(from, to *entry, id uint32) bool {
	r := Ref{store: s, entry: from, first: s.arena.bytes(from.first), length: from.body}
	f := Fill{store: s, id: id, entry: to, lastEnd: int64(to.inlined)}
	to.body = from.body
	for r.at < r.length {
		b := r.cut(r.length)
		for len(b) > 0 {
			if f.written == f.lastEnd {
				p, ok := s.get(f.nextClass(len(b)), id, false, s.arena.getChain)
				if !ok {
					return false
				}
				f.append(p)
			}
			n := copy(f.room(), b)
			f.written += int64(n)
			b = b[n:]
		}
	}
	return true
}

// replace puts the entry with the number to into the index and the queue where the one
// with the number from was, and what derived from that derives from it. It does nothing
// and reports so where from is not in the index any more, or ok, under the shard's lock,
// says no. The caller refers to both.
func (s *Store) replace(from, to uint32, ok func(from, to *entry) bool) bool {
	old, e := s.entries.at(from), s.entries.at(to)
	sh := s.shardOf(e.hash)
	sh.mu.Lock()
	if !old.is(linked) || old.is(filling) || ok != nil && !ok(old, e) {
		sh.mu.Unlock()
		return false
	}
	if ok == nil {
		e.meta, e.seen = old.meta, old.seen
	}
	e.body, e.parent = old.body, old.parent
	e.freq.Store(old.freq.Load())
	if old.is(derived) {
		e.set(derived)
	}
	e.refs.Add(1)
	for d := sh.chain(e.hash); d != 0; d = s.entries.at(d).next {
		if other := s.entries.at(d); other.parent == from {
			other.parent = to
		}
	}
	sh.insert(s.entries, to)
	sh.unlink(s.entries, from)
	sh.mu.Unlock()
	as := s.evictor.remove(from)
	s.evictor.add(to, s.size(e), as)
	s.put(from)
	return true
}
