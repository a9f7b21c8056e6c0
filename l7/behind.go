package l7

import (
	"bytes"
	"net/netip"

	"weir/l7/message"
)

// behind is the address of the client that the request comes from: of the peer, or where
// that is a trusted proxy, the last address in X-Forwarded-For that is no trusted proxy.
// A proxy appends who it got the request from, so what comes before an address that
// nobody vouches for may be made up. Forwarded counts where there is no X-Forwarded-For.
// It is the zero Addr for a peer on a unix socket that nobody speaks for.
func (x *exchange) behind() netip.Addr {
	peer := x.client.Addr()
	if !x.trusted {
		return peer
	}
	var found netip.Addr
	switch {
	case x.req.Has(message.XForwardedFor):
		found = x.forwardedFor()
	case x.req.Has(message.Forwarded):
		found = x.forwarded()
	}
	if !found.IsValid() {
		return peer
	}
	return found
}

// forwardedFor reads X-Forwarded-For from its end. The zero Addr: it says nothing.
func (x *exchange) forwardedFor() (found netip.Addr) {
	for i := len(x.req.Fields) - 1; i >= 0; i-- {
		f := &x.req.Fields[i]
		if f.Known != message.XForwardedFor {
			continue
		}
		for list := f.Value; list != nil; {
			at := bytes.LastIndexByte(list, ',') // -1: it is the first
			node := bytes.Trim(list[at+1:], " \t")
			list = list[:max(at, 0)]
			if at < 0 {
				list = nil
			}
			if len(node) == 0 {
				continue
			}
			addr, ok := message.NodeAddr(node)
			if !ok {
				return found // what is before came from who has no address
			}
			if found = addr; !x.l.isTrusted(addr) {
				return found
			}
		}
	}
	return found
}

// forwarded reads Forwarded in the same way, but from its beginning: quotes can only be
// told so.
func (x *exchange) forwarded() (found netip.Addr) {
	for i := range x.req.Fields {
		f := &x.req.Fields[i]
		if f.Known != message.Forwarded {
			continue
		}
		for list := f.Value; len(list) > 0; {
			node, rest, ok := message.NextForwarded(list)
			if !ok {
				return netip.Addr{}
			}
			list = rest
			switch addr, ok := message.NodeAddr(node); {
			case !ok:
				found = netip.Addr{}
			case !found.IsValid(), !x.l.isTrusted(addr):
				found = addr
			}
		}
	}
	return found
}
