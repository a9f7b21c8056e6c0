package cache

import "encoding/binary"

// A chain is what of a body lies beyond its object's first piece: pieces that each begin
// with owner, shares and the next piece, and are full but the last one. Where a head is
// exchanged for another (Refresh), the old and the new object share one chain; the shares
// stand in its first piece and are guarded by the arena's lock.
const chainSize = ownerSize + 4 + 8

// chainCap is how many octets of a body a piece of a chain holds.
func (p piece) chainCap() int { return p.size() - chainSize }

func (a *arena) next(p piece) piece {
	return piece(binary.LittleEndian.Uint64(a.bytes(p)[ownerSize+4:]))
}

func (a *arena) setNext(p, next piece) {
	binary.LittleEndian.PutUint64(a.bytes(p)[ownerSize+4:], uint64(next))
}

// getChain takes a piece for a chain; it is its own chain, with one share, until it is
// appended to another.
func (a *arena) getChain(class uint8, owner uint32, force bool) (piece, bool) {
	p, ok := a.get(class, owner, force)
	if !ok {
		return 0, false
	}
	b := a.bytes(p)
	binary.LittleEndian.PutUint32(b[ownerSize:], 1)
	binary.LittleEndian.PutUint64(b[ownerSize+4:], 0)
	return p, true
}

// share takes another share of a chain for its new owner.
func (a *arena) share(p piece, owner uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.bytes(p)
	binary.LittleEndian.PutUint32(b[ownerSize:], binary.LittleEndian.Uint32(b[ownerSize:])+1)
	for ; p != 0; p = a.next(p) {
		binary.LittleEndian.PutUint32(a.bytes(p), owner)
	}
}

// putChain gives a share of a chain back, and with the last one its pieces.
func (a *arena) putChain(p piece) {
	if p == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.bytes(p)
	shares := binary.LittleEndian.Uint32(b[ownerSize:]) - 1
	binary.LittleEndian.PutUint32(b[ownerSize:], shares)
	if shares > 0 {
		return
	}
	for p != 0 {
		next := a.next(p)
		a.putLocked(p)
		p = next
	}
}
