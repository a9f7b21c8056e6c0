package policy

import (
	"encoding/binary"
	"time"
)

// Flags are what a Meta says yes or no to.
type Flags uint16

// The flags.
const (
	NoCache         Flags = 1 << iota // must be validated before each use
	MustRevalidate                    // must-revalidate or proxy-revalidate: never used when stale
	SharedAge                         // s-maxage: used when stale only as the response itself says
	Immutable                         // does not change while fresh (RFC 8246)
	Heuristic                         // nothing said how long it lives
	SaysRevalidate                    // the response itself has stale-while-revalidate
	SaysOnError                       // the response itself has stale-if-error
	HasETag                           // the head has an entity tag
	HasLastModified                   // LastModified counts
	StrongDate                        // LastModified is a strong validator (RFC 9110 section 8.8.2.2)
	allFlags        = 1<<iota - 1
)

// Meta is what a cache has to know of a stored response beside its head and body. It
// has no pointers and a fixed size, and is only changed as a whole.
type Meta struct {
	Requested int64 // when the request went out, Unix nanoseconds
	Received  int64 // when the response came in, Unix nanoseconds

	InitialAge time.Duration // its age when it came in (RFC 9111 section 4.2.3, corrected_initial_age)
	Lifetime   time.Duration // how old it may get and be fresh

	WhileRevalidate time.Duration // how long after Lifetime it may be used and validated meanwhile
	OnError         time.Duration // how long after Lifetime it may be used if the backend fails

	Date         int64 // of the response, Unix seconds
	LastModified int64 // Unix seconds; see HasLastModified

	Status uint16
	Flags  Flags
}

// Has reports whether all of the flags are set.
func (m *Meta) Has(f Flags) bool { return m.Flags&f == f }

// Age returns how old the response is: since its backend made it, as far as can be
// known (RFC 9111 section 4.2.3). A clock that was set back does not make it younger
// than it was when it came in.
func (m *Meta) Age(now time.Time) time.Duration {
	return m.InitialAge + time.Duration(max(now.UnixNano()-m.Received, 0))
}

// TTL returns for how long the response is fresh from now on; negative: for how long it
// has been stale.
func (m *Meta) TTL(now time.Time) time.Duration { return m.Lifetime - m.Age(now) }

// Expire makes the response stale from now on: a soft purge, or what a HEAD has shown
// to be outdated. It may then be used as a stale one may.
func (m *Meta) Expire(now time.Time) { m.Lifetime = min(m.Lifetime, m.Age(now)) }

const (
	metaVersion = 1
	// MetaSize is how many octets Append appends.
	MetaSize = 1 + 2 + 2 + 8*8
)

// Append appends the encoded form of m: MetaSize octets, the same on every machine.
func (m *Meta) Append(dst []byte) []byte {
	dst = append(dst, metaVersion)
	dst = binary.LittleEndian.AppendUint16(dst, m.Status)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(m.Flags))
	for _, n := range m.numbers() {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(*n))
	}
	return dst
}

// ParseMeta reads what Append wrote from the front of b. What another version wrote, or
// nobody, is not ok: the response is to be treated as not stored.
func ParseMeta(b []byte) (m Meta, ok bool) {
	if len(b) < MetaSize || b[0] != metaVersion {
		return Meta{}, false
	}
	m.Status = binary.LittleEndian.Uint16(b[1:])
	m.Flags = Flags(binary.LittleEndian.Uint16(b[3:]))
	b = b[5:]
	for i, n := range m.numbers() {
		*n = int64(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return m, m.isSane()
}

// numbers lists the 64-bit fields in the order of their encoding.
func (m *Meta) numbers() [8]*int64 {
	return [...]*int64{
		&m.Requested, &m.Received, (*int64)(&m.InitialAge), (*int64)(&m.Lifetime),
		(*int64)(&m.WhileRevalidate), (*int64)(&m.OnError), &m.Date, &m.LastModified,
	}
}

// isSane reports whether m is one that Judge could have made, so that no sum of its
// times overflows.
func (m *Meta) isSane() bool {
	const limit = 2 * maxDelta * time.Second
	for _, d := range [...]time.Duration{m.InitialAge, m.Lifetime, m.WhileRevalidate, m.OnError} {
		if d < 0 || d > limit {
			return false
		}
	}
	return m.Status >= 200 && m.Status <= 599 && m.Flags&^allFlags == 0 && m.Received >= 0 && m.Requested <= m.Received
}
