package l7

import (
	"weir/l4/sniff"
	"weir/l7/upstream"
)

// connect gets a connection to the member. Where the pool wants a PROXY header it
// is one of this exchange alone: a connection that was introduced as one client's
// must not carry the requests of another.
func (x *exchange) connect(fresh bool) (up *upstream.Conn, reused bool, err error) {
	c := sniff.ProxyClient{Source: x.client, Destination: x.c.destination, TLVs: x.c.tlvs}
	if !c.Destination.IsValid() {
		c.Destination = x.c.nc.LocalAddrPort()
	}
	switch x.member.Group().Conf().ProxyProtocol {
	case "v1":
		return x.s.transport.GetFor(x.member, c.AppendV1(nil))
	case "v2":
		c.Authority, c.ALPN, c.UniqueID = []byte(x.c.sni), []byte("http/1.1"), x.requestID()
		return x.s.transport.GetFor(x.member, c.AppendV2(nil))
	}
	return x.s.transport.Get(x.member, fresh)
}
