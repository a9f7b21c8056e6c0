package route

import (
	"net/netip"

	"weir/l7/message"
)

// Request is what routes look at: the canonical request and who sent it. Find reads
// it and keeps nothing of it. It may be reused, and then keeps its memory; it
// belongs to one goroutine.
type Request struct {
	Host   []byte // canonical: lower case, no port, no final dot; empty when there is none
	Path   []byte // the Match path
	Method []byte // as received
	Query  []byte // as received, without the question mark
	Fields []message.Field

	// Trusted says that the peer is a trusted proxy: what its fields say about the
	// client counts.
	Trusted bool
	Source  netip.Addr // of the client, not IPv4 in IPv6, without zone; zero on a unix socket

	scratch []byte // a decoded value
}

// sees reports whether conditions count a field: only what is sent on can decide
// where to.
func (r *Request) sees(f *message.Field) bool {
	return !f.Hop && (r.Trusted || !f.IsIdentity())
}
