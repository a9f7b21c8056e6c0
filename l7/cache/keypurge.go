package cache

import "time"

// keyPurgeSlots is how many numbers of purges a shard keeps for its keys: 65,536 in all.
const keyPurgeSlots = 512

// keyPurges remember when keys were last purged, for what was fetched before. There are
// many such purges, for every unsafe request is one, so that of a key there is only a slot,
// which others share: then something is not stored, or expires, that could have been. The
// zero value remembers nothing. Guarded by the shard's lock.
type keyPurges struct {
	slots *[keyPurgeSlots]struct{ hard, soft Epoch }
}

func (k *keyPurges) add(hash uint64, epoch Epoch, soft bool) {
	if k.slots == nil {
		k.slots = new([keyPurgeSlots]struct{ hard, soft Epoch })
	}
	slot := &k.slots[hash%keyPurgeSlots]
	if soft {
		slot.soft = max(slot.soft, epoch)
	} else {
		slot.hard = max(slot.hard, epoch)
	}
}

// hits reports whether a key was purged since o was fetched. Where it was softly, o expires.
func (k *keyPurges) hits(o *Object, hash uint64) bool {
	if k.slots == nil {
		return false
	}
	slot := &k.slots[hash%keyPurgeSlots]
	if slot.soft >= o.Since {
		o.Meta.Expire(time.Unix(0, o.Meta.Received))
	}
	return slot.hard >= o.Since
}

// purgeKey carries out a purge of one key, under the lock of its shard alone.
func (s *Store) purgeKey(sel *Selector, now time.Time) int {
	hash := s.hash(sel.Key)
	sh := s.shardOf(hash)
	var few [8]uint32
	gone := few[:0]
	sh.mu.Lock()
	// Numbered under the lock: what is inserted before has a lower number, what comes after
	// is held against the slot.
	p := purge{Selector: *sel, now: now, epoch: Epoch(s.purges.epoch.Add(1))}
	sh.marks.remove(hash)
	sh.keyPurges.add(hash, p.epoch, sel.Soft)
	if sh.buckets != nil {
		gone = s.sweepBucket(sh, sh.bucket(hash), []*purge{&p}, 0, gone)
	}
	sh.mu.Unlock()
	s.finish(gone)
	return p.hit
}
