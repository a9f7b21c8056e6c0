package cache

import (
	"encoding/binary"

	"weir/l7/cache/policy"
)

// Object is what a response is stored with. All slices are copied.
type Object struct {
	Key     []byte      // by policy.AppendKey
	Vary    []byte      // the names of its Vary, by policy.AppendVary; empty without one
	Variant []byte      // what the request had for them, by policy.AppendVariant
	Tags    [][]byte    // by which it may be purged, at most 256
	Head    []byte      // what is to be delivered of its fields; opaque for the store
	Meta    policy.Meta // by policy.Judge

	// Length is that of the body, where it is known beforehand; else it is negative.
	Length int64

	// Since is the Epoch of the store before the request was sent: a purge after it that
	// would hit the object keeps it from being stored. Zero: now.
	Since Epoch

	loaded bool   // it comes from the disk
	raw    []byte // the hashes of tags, where they are known already
}

const (
	maxKey  = 32 << 10 // of key, Vary and variant, each
	maxHead = 56 << 10 // of all that stands in front of the body
	maxTags = 256
)

func (o *Object) prefix() int {
	return ownerSize + len(o.Key) + len(o.Vary) + len(o.Variant) + 8*len(o.Tags) + len(o.raw) + len(o.Head)
}

// tooLarge reports whether an object cannot be stored, with a body of n octets.
func (s *Store) tooLarge(o *Object, n int64) bool {
	return n > s.maxObject.Load() || len(o.Key) > maxKey || len(o.Vary) > maxKey || len(o.Variant) > maxKey ||
		len(o.Tags) > maxTags || o.prefix() > maxHead
}

// firstClass returns the class of a first piece: one for all of a prefix and a body of n
// octets, where such a piece wastes little, else one for the prefix and a little of the
// body, so that another head fits into a piece as well (see Refresh).
func firstClass(prefix int, n int64) uint8 {
	if whole := int64(prefix) + n; whole <= slabSize {
		if c := nextPiece(int(whole)); classes[c].size >= int(whole) {
			return c
		}
	}
	return classFor(prefix + int(min(n, 2<<10)))
}

// newObject makes an entry for o that is not in the index yet, with one reference, the
// caller's, and a first piece of the class.
func (s *Store) newObject(o *Object, hash uint64, class uint8) (uint32, error) {
	prefix := o.prefix()
	id, ok := s.newEntry()
	if !ok {
		return 0, ErrFull
	}
	first, ok := s.get(class, id, false, s.arena.get)
	if !ok {
		s.entries.put(id)
		return 0, ErrFull
	}
	e := s.entries.at(id)
	e.hash, e.first, e.meta = hash, first, o.Meta
	e.key, e.vary, e.variant = uint16(len(o.Key)), uint16(len(o.Vary)), uint16(len(o.Variant))
	e.tags, e.head = uint16(8*len(o.Tags)+len(o.raw)), uint32(len(o.Head))
	e.inlined = uint32(first.size() - prefix)
	b := s.arena.bytes(first)
	n := ownerSize
	for _, part := range [...][]byte{o.Key, o.Vary, o.Variant} {
		n += copy(b[n:], part)
	}
	for _, tag := range o.Tags {
		binary.LittleEndian.PutUint64(b[n:], s.hash(tag))
		n += 8
	}
	n += copy(b[n:], o.raw)
	copy(b[n:], o.Head)
	e.refs.Store(1)
	return id, nil
}

// size is what an entry costs.
func (s *Store) size(e *entry) int64 {
	n := int64(entrySize + e.first.size())
	for p := e.chain; p != 0; p = s.arena.next(p) {
		n += int64(p.size())
	}
	return n
}
