package cache

import (
	"encoding/binary"
	"sync/atomic"
)

// tagPurgeSlots is how many numbers of purges by tag are kept.
const tagPurgeSlots = 1 << 13

// tagPurges are keyPurges for tags: unsafe requests purge by them as well, where the key
// alone does not find all that there is for a URL. Guarded by the lock of purges.
type tagPurges struct {
	slots *[tagPurgeSlots]struct{ hard, soft Epoch }
}

func (t *tagPurges) add(tag uint64, epoch Epoch, soft bool) {
	if t.slots == nil {
		t.slots = new([tagPurgeSlots]struct{ hard, soft Epoch })
	}
	slot := &t.slots[tag%tagPurgeSlots]
	if soft {
		slot.soft = epoch
	} else {
		slot.hard = epoch
	}
}

// hits reports whether one of the tags was purged since an epoch, and whether one was
// softly.
func (t *tagPurges) hits(tags []byte, since Epoch) (hard, soft bool) {
	if t.slots == nil {
		return false, false
	}
	for ; len(tags) >= 8; tags = tags[8:] {
		slot := &t.slots[binary.LittleEndian.Uint64(tags)%tagPurgeSlots]
		hard, soft = hard || slot.hard >= since, soft || slot.soft >= since
	}
	return hard, soft
}

// tagFilter knows of which tags there may be objects in the index, so that a purge by one
// of which there are none looks at no object. It is a Bloom filter of two numbers for a
// tag: beyond some 100,000 tags it says yes ever more often. A sweep makes it anew.
type tagFilter struct {
	bits atomic.Pointer[tagBits]
	next atomic.Pointer[tagBits] // that a sweep under way makes; nil: there is none
}

// tagBits are 128 KiB.
type tagBits [1 << 14]atomic.Uint64

func (b *tagBits) add(tag uint64) {
	for _, n := range [...]uint64{tag, tag >> 32} {
		word, bit := &b[n>>6%uint64(len(b))], uint64(1)<<(n&63)
		if word.Load()&bit == 0 {
			word.Or(bit)
		}
	}
}

func (b *tagBits) has(tag uint64) bool {
	other := tag >> 32
	return b[tag>>6%uint64(len(b))].Load()>>(tag&63)&1 != 0 && b[other>>6%uint64(len(b))].Load()>>(other&63)&1 != 0
}

// add takes in the tags of an object that is about to be put into the index. The shard is
// locked, so that a sweep either finds the object later or has made its filter before: that
// one comes first here, since it takes the place of the other.
func (f *tagFilter) add(tags []byte) {
	if len(tags) == 0 {
		return
	}
	f.keep(tags)
	bits := f.bits.Load()
	if bits == nil {
		f.bits.CompareAndSwap(nil, new(tagBits))
		bits = f.bits.Load()
	}
	for ; len(tags) >= 8; tags = tags[8:] {
		bits.add(binary.LittleEndian.Uint64(tags))
	}
}

// keep takes the tags of an object that a sweep leaves in the index into its filter.
func (f *tagFilter) keep(tags []byte) {
	next := f.next.Load()
	if next == nil {
		return
	}
	for ; len(tags) >= 8; tags = tags[8:] {
		next.add(binary.LittleEndian.Uint64(tags))
	}
}

// has reports whether there may be objects with a tag.
func (f *tagFilter) has(tag uint64) bool {
	bits := f.bits.Load()
	return bits != nil && bits.has(tag)
}

// begin begins to make the filter anew, where there is one. One sweep does so at a time.
func (f *tagFilter) begin() {
	if f.bits.Load() != nil {
		f.next.Store(new(tagBits))
	}
}

// end has what the sweep has made take the place of what was there.
func (f *tagFilter) end() {
	if next := f.next.Load(); next != nil {
		f.bits.Store(next)
		f.next.Store(nil)
	}
}
