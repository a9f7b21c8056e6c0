package cache

import "time"

// marksPerShard is how many keys a shard remembers as uncacheable: 16,384 in all.
const marksPerShard = 128

// marksPerSet is in how many places a key may stand.
const marksPerSet = 4

// marks remember for a while that what a key stands for cannot be stored, so that those
// who ask for it do not queue behind each other (hit-for-miss). Of a key they know the
// hash alone: where two share one, a fetch too many is made at worst. The oldest mark
// gives way to a new one. Guarded by the shard's lock; allocated with the first mark.
type marks struct {
	set *[marksPerShard]mark
}

type mark struct {
	hash  uint64
	until int64 // unix nanoseconds
}

func (m *marks) places(hash uint64) []mark {
	first := int(uint32(hash)%(marksPerShard/marksPerSet)) * marksPerSet
	return m.set[first : first+marksPerSet]
}

func (m *marks) add(hash uint64, until int64) {
	if m.set == nil {
		m.set = new([marksPerShard]mark)
	}
	places := m.places(hash)
	oldest := &places[0]
	for i := range places {
		p := &places[i]
		if p.hash == hash {
			p.until = until
			return
		}
		if p.until < oldest.until {
			oldest = p
		}
	}
	*oldest = mark{hash, until}
}

func (m *marks) has(hash uint64, now int64) bool {
	if m.set == nil {
		return false
	}
	for _, p := range m.places(hash) {
		if p.hash == hash && now < p.until {
			return true
		}
	}
	return false
}

func (m *marks) remove(hash uint64) {
	if m.set == nil {
		return
	}
	places := m.places(hash)
	for i := range places {
		if places[i].hash == hash {
			places[i] = mark{}
		}
	}
}

// MarkUncacheable remembers until the given time that responses for key are not stored:
// Lookup then answers Uncacheable where it finds nothing, and nobody waits for anybody.
// Something that is stored under the key ends it, as does a purge of the key. Only the
// last 16,384 keys or so are remembered, and none is on disk.
func (s *Store) MarkUncacheable(key []byte, until time.Time) {
	hash := s.hash(key)
	sh := s.shardOf(hash)
	sh.mu.Lock()
	sh.marks.add(hash, until.UnixNano())
	sh.mu.Unlock()
}
