package cache

import "weir/l7/cache/policy"

// Refresh gives the object that ref holds another Meta and head, as after a 304: the body
// stays, also that of what derives from it. It returns true, and ref holds the refreshed
// object then; readers of the old one go on with what they have. It returns false, and
// changes nothing, where the object is not in the store any more, was purged since, even
// softly, or is still growing, or where there is no memory. since is the Epoch before the
// request was sent, zero for now.
//
// The head may have another length; with what stands in front of it, it must not be
// larger than Begin allows.
func (s *Store) Refresh(ref *Ref, meta *policy.Meta, head []byte, since Epoch) bool {
	from := ref.entry
	if ref.fill != nil || from.prefix()-int(from.head)+len(head) > maxHead {
		return false
	}
	room := ref.length
	if from.chain != 0 {
		room = int64(from.inlined) // the chain goes on where the first piece ends
	}
	whole := from.prefix() - int(from.head) + len(head) + int(room)
	if whole > slabSize {
		return false
	}
	id, ok := s.copyOf(from, head, classFor(whole))
	if !ok {
		return false
	}
	defer s.put(id)
	e := s.entries.at(id)
	e.inlined = uint32(room)
	copy(s.arena.bytes(e.first)[e.prefix():], ref.first[from.prefix():][:room])
	if from.chain != 0 {
		e.chain = from.chain
		s.arena.share(e.chain, id)
	}
	sp := s.refreshFor(from)
	sp.announce()
	replaced := s.replace(ref.id, id, func(*entry, *entry) bool {
		o := Object{Key: ref.Key(), Meta: *meta, Since: since, raw: from.tagsOf(ref.first)}
		seen, hit := s.purges.hits(s, &o, e.hash, o.raw)
		e.meta, e.seen = *meta, seen
		return !hit && o.Meta == *meta
	})
	sp.write(id, replaced)
	if !replaced {
		return false
	}
	ref.Release()
	sh := s.shardOf(e.hash)
	sh.mu.Lock()
	s.hold(id, ref)
	sh.mu.Unlock()
	s.counts.refreshed.Add(1)
	return true
}
