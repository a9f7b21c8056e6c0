package l7

import (
	"weir/l4/sniff"
	"weir/l7/upstream"
	"weir/pool/backend"
)

// connect gets a connection to a member, within the time that the exchange has left.
// Where the pool wants a PROXY header it is one of this exchange alone: a connection
// that was introduced as one client's must not carry the requests of another.
func (x *exchange) connect(m *backend.Member, fresh bool) (up *upstream.Conn, reused bool, err error) {
	how := x.how(m, fresh)
	how.Leaver = x
	return x.s.transport.GetBy(m, how)
}

// Watch implements [upstream.Leaver].
func (x *exchange) Watch() <-chan struct{} {
	x.c.await()
	return x.whenGone()
}

// Unwatch implements [upstream.Leaver].
func (x *exchange) Unwatch() {
	x.c.awaited()
	x.forgetGone()
}

// how is how to connect to a member for this exchange.
func (x *exchange) how(m *backend.Member, fresh bool) upstream.How {
	how := upstream.How{Fresh: fresh, Limit: x.timeLeft()}
	if version := m.Group().Conf().ProxyProtocol; version == "v1" || version == "v2" {
		how.Header = x.introduction(version)
	}
	return how
}

// introduction is the PROXY header that tells of the exchange's client.
func (x *exchange) introduction(version string) []byte {
	c := sniff.ProxyClient{Source: x.client, Destination: x.c.from.Destination, TLVs: x.c.from.TLVs}
	if !c.Destination.IsValid() {
		c.Destination = x.c.from.Local
	}
	if version == "v1" {
		return c.AppendV1(nil)
	}
	c.Authority, c.ALPN, c.UniqueID = []byte(x.c.from.SNI), []byte("http/1.1"), x.requestID()
	return c.AppendV2(nil)
}
