package backend

import (
	"net/netip"
	"slices"
)

// maxTries is how many members one Query can try. A caller that was turned away
// by so many servers is better served by an error than by more waiting.
const maxTries = 16

// Query is one search for a member: the key to hash and the members it was given
// so far, none of which it gets again. The zero Query is ready for use. It is a
// plain value with no resources and belongs to one goroutine at a time.
type Query struct {
	// Hash is the caller's hash of the client's address, or of what the pool's hash_by
	// names. Only source_hash and hash look at it.
	Hash   uint64
	count  uint32
	tried  [maxTries]uint32 // ids of members
	prefer *Member          // nil: none
}

// Reset makes q ready for a new search.
func (q *Query) Reset(hash uint64) {
	q.Hash = hash
	q.count = 0
	q.prefer = nil
}

// Prefer makes m, a member of the group that q is for, the first that q is given, if
// it takes work and has a free slot.
func (q *Query) Prefer(m *Member) { q.prefer = m }

// Tried reports whether q was given m.
func (q *Query) Tried(m *Member) bool { return q.has(m) }

// Tries says how many members q was given.
func (q *Query) Tries() int { return int(q.count) }

func (q *Query) has(m *Member) bool {
	return slices.Contains(q.tried[:q.count], m.id)
}

// take reserves a slot on m for q, unless q was given m before or m is full.
func (q *Query) take(m *Member) bool {
	if q.has(m) || !m.reserve() {
		return false
	}
	q.note(m)
	return true
}

// note remembers that q was given m.
func (q *Query) note(m *Member) {
	q.tried[q.count] = m.id
	q.count++
}

// HashAddr is the Hash of a client's address: FNV-1a, so that it is the same in
// L4 and L7, after a restart and in every Weir. IPv4 in IPv6 counts as IPv4, and
// the zero Addr gives zero.
func HashAddr(a netip.Addr) uint64 {
	if !a.IsValid() {
		return 0
	}
	h := uint64(14695981039346656037)
	for _, b := range a.As16() {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// HashBytes is the Hash of a value: as HashAddr, the same everywhere.
func HashBytes(value []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range value {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}
