package disk

import (
	"bytes"
	"crypto/sha256"
	"sync"
)

// Ban is what a purge says: which objects are not to be served any more.
type Ban struct {
	// Label is the label of the objects, or with Prefix the beginning of one, at most
	// 8 KiB long. With All it is not looked at.
	Label  []byte
	Prefix bool
	All    bool
	// Soft leaves the objects where they are: from now on their Soft says that they
	// are to be revalidated before use.
	Soft bool
}

// How many bans are kept. Beyond the first number the keeper looks for all objects that
// they hit, after which they are done with; beyond the second everything is purged,
// which makes all other bans needless.
const (
	sweepEqual, mostEqual   = 1 << 18, 1 << 20
	sweepPrefix, mostPrefix = 1 << 10, 1 << 12
	maxPrefix               = 8 << 10
)

// verdict is what bans make of an object.
type verdict uint8

const (
	clean  verdict = iota
	softly         // to be revalidated
	purged         // not to be served
	tooOld         // begun before bans that are forgotten: nobody can say
)

// labelKey stands for a label; it is long enough that no two labels share one.
type labelKey [16]byte

// stamps are the marks at which something was last purged; 0 is never.
type stamps struct{ hard, soft uint64 }

func (s *stamps) add(mark uint64, soft bool) {
	if soft {
		s.soft = max(s.soft, mark)
	} else {
		s.hard = max(s.hard, mark)
	}
}

func (s stamps) judge(mark uint64) verdict {
	switch {
	case s.hard > mark:
		return purged
	case s.soft > mark:
		return softly
	}
	return clean
}

// newest is the newer mark of the two.
func (s stamps) newest() uint64 { return max(s.hard, s.soft) }

type prefixBan struct {
	prefix []byte
	stamps
}

// bans are the purges that may still hit an object. An object is hit by those that are
// newer than its mark, so nobody has to look for it when one is added, and one that is
// still being written is hit as well. The zero value holds none.
type bans struct {
	mu     sync.RWMutex
	equal  map[labelKey]stamps
	prefix []prefixBan
	all    stamps
	floor  uint64 // bans up to this mark were carried out and may be forgotten
}

func keyOfLabel(label []byte) (k labelKey) {
	sum := sha256.Sum256(label)
	copy(k[:], sum[:])
	return k
}

// add takes a ban into force. It reports whether there are so many now that the keeper
// should carry them out.
func (b *bans) add(ban Ban, mark uint64) (many bool) {
	if ban.Prefix {
		return b.addPrefix(ban.Label, mark, ban.Soft)
	}
	if ban.All {
		b.addAll(mark, ban.Soft)
		return false
	}
	return b.addEqual(keyOfLabel(ban.Label), mark, ban.Soft)
}

func (b *bans) addAll(mark uint64, soft bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.purgeAll(mark, soft)
}

// purgeAll purges everything and forgets what that makes needless. The caller has the lock.
func (b *bans) purgeAll(mark uint64, soft bool) {
	b.all.add(mark, soft)
	if !soft {
		b.forget(mark)
	}
}

func (b *bans) addEqual(k labelKey, mark uint64, soft bool) (many bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.equal == nil {
		b.equal = make(map[labelKey]stamps)
	}
	s := b.equal[k]
	s.add(mark, soft)
	b.equal[k] = s
	many = len(b.equal) > sweepEqual
	if len(b.equal) > mostEqual {
		b.purgeAll(mark, false)
	}
	return many
}

func (b *bans) addPrefix(prefix []byte, mark uint64, soft bool) (many bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.prefix {
		if p := &b.prefix[i]; bytes.Equal(p.prefix, prefix) {
			p.add(mark, soft)
			return len(b.prefix) > sweepPrefix
		}
	}
	p := prefixBan{prefix: bytes.Clone(prefix)}
	p.add(mark, soft)
	b.prefix = append(b.prefix, p)
	many = len(b.prefix) > sweepPrefix
	if len(b.prefix) > mostPrefix {
		b.purgeAll(mark, false)
	}
	return many
}

// forget drops the bans up to a mark, which were carried out. The caller has the lock.
func (b *bans) forget(floor uint64) {
	for k, s := range b.equal {
		if s.newest() <= floor {
			delete(b.equal, k)
		}
	}
	kept := b.prefix[:0]
	for _, p := range b.prefix {
		if p.newest() > floor {
			kept = append(kept, p)
		}
	}
	clear(b.prefix[len(kept):])
	b.prefix = kept
}

// carriedOut tells that no object from before the mark is left that a ban up to it hits.
func (b *bans) carriedOut(mark uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.floor = max(b.floor, mark)
	b.forget(mark)
	if b.all.newest() <= mark {
		b.all = stamps{}
	}
}

// len is how many bans there are.
func (b *bans) len() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	n := len(b.equal) + len(b.prefix)
	if b.all.newest() > 0 {
		n++
	}
	return n
}

// judge tells what the bans make of an object with these labels, as a record holds
// them, and this mark. It allocates nothing.
func (b *bans) judge(labels []byte, mark uint64) verdict {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.judgeLocked(labels, mark)
}

func (b *bans) judgeLocked(labels []byte, mark uint64) verdict {
	v := b.all.judge(mark)
	if len(b.equal) == 0 && len(b.prefix) == 0 {
		return v
	}
	for v != purged {
		label, rest, ok := nextLabel(labels)
		if !ok {
			return v
		}
		labels = rest
		if len(b.equal) > 0 {
			v = max(v, b.equal[keyOfLabel(label)].judge(mark))
		}
		for i := range b.prefix {
			if bytes.HasPrefix(label, b.prefix[i].prefix) {
				v = max(v, b.prefix[i].judge(mark))
			}
		}
	}
	return v
}

// admit calls put where an object with these labels and this mark may be stored, and
// returns why not where it may not. No ban is added and none forgotten meanwhile.
func (b *bans) admit(labels []byte, mark uint64, put func()) verdict {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if mark < b.floor {
		return tooOld
	}
	v := b.judgeLocked(labels, mark)
	if v != purged {
		put()
	}
	return v
}

// reset forgets everything.
func (b *bans) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.equal, b.prefix, b.all, b.floor = nil, nil, stamps{}, 0
}
