package l7

import (
	"weir/l7/compress"
)

// collecting is a response that is to become a dictionary, see [compress.Shelf].
type collecting struct {
	on       bool
	body     []byte
	reserved int64 // of the budget of encoders
}

// firstCollected is the memory for a body whose length is not known, at first.
const firstCollected = 64 << 10

// origin is what dictionaries are kept by: they are never used across it.
func (x *exchange) origin() string { return x.clientScheme() + "://" + string(x.req.Authority) }

// findDictionary finds the dictionary that the client says it has.
func (x *exchange) findDictionary(p *compress.Policy) *compress.Dictionary {
	if p.Dictionary() == nil {
		return nil
	}
	hash, ok := compress.Available(x.req.Fields)
	if !ok {
		return nil
	}
	return x.s.shelf.Find(x.origin(), hash)
}

// beginCollecting decides whether the response becomes a dictionary: one that comes from a
// server, since what is stored was one when it came.
func (x *exchange) beginCollecting(p *compress.Policy) {
	if x.cached.serving.on && x.cached.fetch == nil || !p.Collects(&x.req, &x.res) {
		return
	}
	if x.coder.collecting = (collecting{on: true}); !x.growCollected(max(x.res.ContentLength, firstCollected)) {
		x.dropCollected()
	}
}

// growCollected makes room for so many octets in all.
func (x *exchange) growCollected(n int64) bool {
	k := &x.coder.collecting
	if n = min(n, compress.MaxDictionary); n <= k.reserved || !x.s.encoders.Reserve(n-k.reserved) {
		return false
	}
	k.reserved = n
	k.body = append(make([]byte, 0, n), k.body...)
	return true
}

// collect takes in a piece of the body.
func (x *exchange) collect(p []byte) {
	k := &x.coder.collecting
	if !k.on {
		return
	}
	if need := int64(len(k.body) + len(p)); need > k.reserved && (need > compress.MaxDictionary ||
		!x.growCollected(2*need)) {
		x.dropCollected()
		return
	}
	k.body = append(k.body, p...)
}

// endCollecting makes a dictionary of the whole body.
func (x *exchange) endCollecting() {
	if k := &x.coder.collecting; k.on {
		x.s.shelf.Add(x.origin(), k.body)
		x.dropCollected()
	}
}

// dropCollected gives back what was collected.
func (x *exchange) dropCollected() {
	if n := x.coder.collecting.reserved; n > 0 {
		x.s.encoders.Free(n)
	}
	x.coder.collecting = collecting{}
}
