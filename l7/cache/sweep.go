package cache

import "time"

// sweepStep is how many buckets a sweep looks at before it lets others have the shard.
const sweepStep = 64

// carryOut removes what the purges hit, which are all that are pending, and takes them off
// the list of those in force. The lock purges.sweep is held.
func (s *Store) carryOut(list []*purge) {
	if len(list) == 0 {
		return
	}
	last := uint32(list[len(list)-1].epoch)
	s.purges.stored.begin()
	for i := range s.shards {
		s.sweepShard(&s.shards[i], list, last)
	}
	s.purges.stored.end()
	s.purges.end(list)
	for _, p := range list {
		p.swept = true
	}
}

func (s *Store) sweepShard(sh *shard, list []*purge, last uint32) {
	var gone []uint32
	for b := uint32(0); ; {
		sh.mu.Lock()
		end := min(b+sweepStep, uint32(len(sh.buckets)))
		for ; b < end; b++ {
			gone = s.sweepBucket(sh, b, list, last, gone)
		}
		// A bucket that is halved meanwhile gives entries to one that is still to come, if
		// it was to come itself.
		done := b == uint32(len(sh.buckets))
		sh.mu.Unlock()
		s.finish(gone)
		gone = gone[:0]
		if done {
			return
		}
	}
}

// sweepBucket carries out purges in one bucket and appends what it unlinked to gone. With
// the list, entries have been held against all purges up to last. The shard is locked.
func (s *Store) sweepBucket(sh *shard, b uint32, list []*purge, last uint32, gone []uint32) []uint32 {
	for id := sh.buckets[b]; id != 0; {
		e := s.entries.at(id)
		if e.is(derived) || s.suffer(e, list, true) {
			e.seen = max(e.seen, last)
			s.purges.stored.keep(e.tagsOf(s.arena.bytes(e.first)))
			id = e.next
			continue
		}
		gone = s.unlink(sh, id, gone)
		id = sh.buckets[b] // what was next may have been derived from it
	}
	return gone
}

// purgeAll removes everything, when the store is closed.
func (s *Store) purgeAll() { s.Purge(&Selector{All: true}, time.Time{}) }
