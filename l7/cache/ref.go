package cache

import (
	"errors"
	"io"
	"time"

	"weir/l7/cache/policy"
)

// Ref is a reference to a stored object, which stays as it is for as long as the reference
// is held, whatever is evicted, purged or refreshed meanwhile. The zero value holds
// nothing. A Ref is used by one goroutine at a time and must not be copied while it holds
// something. Slices that its methods return are the store's memory: they are read only,
// and valid until Release.
type Ref struct {
	store  *Store
	entry  *entry
	fill   *Fill // while the body grows, nil otherwise
	first  []byte
	length int64
	id     uint32

	// Where Next goes on: at is the offset in the body, start that of piece.
	at, start int64
	piece     piece

	reading

	meta policy.Meta
}

// Held reports whether the Ref holds something.
func (r *Ref) Held() bool { return r.entry != nil }

// Meta returns what the policy noted of the response: a copy of this Ref's, which the
// caller may change.
func (r *Ref) Meta() *policy.Meta { return &r.meta }

// Head returns the stored head as it was given to Begin, Put or Refresh.
func (r *Ref) Head() []byte { return r.entry.headOf(r.first) }

// Key returns the key.
func (r *Ref) Key() []byte { return r.entry.keyOf(r.first) }

// Vary returns the names by which the variant was chosen, as they were given to Begin:
// empty where the object fits every request.
func (r *Ref) Vary() []byte { return r.entry.varyOf(r.first) }

// Variant returns what the request that caused the fill had for those names. For a derived
// object it is the name that it was stored under.
func (r *Ref) Variant() []byte { return r.entry.variantOf(r.first) }

// Length returns the length of the body, -1 while it is not known. A growing body whose
// length was announced has that one.
func (r *Ref) Length() int64 { return r.length }

// Growing reports whether the body was not complete yet when the Ref last looked: at
// Lookup, or at a Next since. Whoever wants the pieces of an object that was growing
// reads with Next.
func (r *Ref) Growing() bool { return r.fill != nil }

// Release gives the reference back; the Ref is zero then. Releasing a Ref that holds
// nothing does nothing.
func (r *Ref) Release() {
	if r.entry == nil {
		return
	}
	if r.fill != nil {
		r.fill.detach(r)
	}
	s, id := r.store, r.id
	*r = Ref{}
	s.put(id)
}

// free panics where the Ref still holds something: it would never be released.
func (r *Ref) free() {
	if r.entry != nil {
		panic("BUG: cache: a reference is used again before its release")
	}
}

// SeekTo has Next go on at an offset of the body, which is at most its length where that is
// known. In a body that is growing it goes forward only.
func (r *Ref) SeekTo(to int64) {
	if to < r.at && r.fill != nil {
		panic("BUG: cache: back in a body that may be given back meanwhile")
	}
	if to < r.start {
		r.piece, r.start = 0, 0
	}
	r.at = to
}

// Errors of Next.
var (
	// ErrStopped says that the stop channel was closed.
	ErrStopped = errors.New("cannot read on: stopped")
	// ErrSlow says that nothing came for the time that the caller waits.
	ErrSlow = errors.New("cannot read on: the body that is being fetched does not grow")
	// ErrLagged says that the body is too large to be stored, and this reader fell so far
	// behind its fetch that what it needs next was let go.
	ErrLagged = errors.New("cannot read on: too far behind a body that is not stored")
)

// Next returns the next octets of the body, at least one and as many as lie together, or
// io.EOF after the last one. Where the body is still growing and has no more yet, Next
// waits until it has, stop is closed, or patience has passed; zero is no limit. It returns
// the fill's error where that failed: what came before is not the whole body. In a body
// that turned out to be too large to be stored, the slice is valid until the next Next or
// SeekTo only.
func (r *Ref) Next(stop <-chan struct{}, patience time.Duration) ([]byte, error) {
	if r.fill != nil {
		return r.nextGrowing(stop, patience)
	}
	if r.at >= r.length {
		return nil, io.EOF
	}
	return r.cut(r.length), nil
}

// TryNext is Next for those who must not wait: ok is false where Next would.
func (r *Ref) TryNext() (b []byte, ok bool, err error) {
	if r.fill == nil {
		b, err = r.Next(nil, 0)
		return b, true, err
	}
	end, done, err := r.fill.progress(r)
	switch {
	case err != nil:
		return nil, true, err
	case r.at < end:
		return r.cut(end), true, nil
	case done:
		return nil, true, io.EOF
	}
	return nil, false, nil
}

func (r *Ref) nextGrowing(stop <-chan struct{}, patience time.Duration) ([]byte, error) {
	for {
		if b, ok, err := r.TryNext(); ok {
			return b, err
		}
		if err := r.fill.await(r, stop, patience); err != nil {
			return nil, err
		}
	}
}

// cut returns what lies together from r.at on, up to end, which is beyond it, and moves on.
func (r *Ref) cut(end int64) []byte {
	e, a := r.entry, r.store.arena
	inline := int64(e.inlined)
	if r.at < inline {
		from := int64(e.prefix()) + r.at
		n := min(end, inline) - r.at
		r.at += n
		return r.first[from : from+n : from+n]
	}
	r.advance()
	from := r.at - r.start + chainSize
	n := min(end, r.start+int64(r.piece.chainCap())) - r.at
	r.at += n
	return a.bytes(r.piece)[from : from+n : from+n]
}

// advance moves to the piece in which r.at lies: beyond the first, and not beyond the end.
func (r *Ref) advance() {
	if r.piece == 0 {
		r.piece, r.start = r.entry.chain, int64(r.entry.inlined)
	}
	for r.at >= r.start+int64(r.piece.chainCap()) {
		r.start += int64(r.piece.chainCap())
		r.piece = r.store.arena.next(r.piece)
	}
}

// AppendPieces appends the octets from one offset of the body to another, as the pieces in
// which they lie, and allocates nothing where dst has room. The body is complete, and the
// offsets lie in it. Where Next goes on is left as it was.
func (r *Ref) AppendPieces(dst [][]byte, from, to int64) [][]byte {
	if r.fill != nil {
		panic("BUG: cache: pieces of a growing body")
	}
	at, start, piece := r.at, r.start, r.piece
	for r.SeekTo(from); r.at < to; {
		dst = append(dst, r.cut(to))
	}
	r.at, r.start, r.piece = at, start, piece
	return dst
}
