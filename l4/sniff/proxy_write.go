package sniff

import (
	"encoding/binary"
	"net/netip"
)

// Headers for a connection of the proxy itself, such as a check.
const (
	// ProxyLocalV1 says no more than that a connection is there: version 1 has no LOCAL.
	ProxyLocalV1 = "PROXY UNKNOWN\r\n"
	// ProxyLocalV2 is the LOCAL command without addresses.
	ProxyLocalV2 = proxyV2Start + "\x20\x00\x00\x00"
)

// AppendProxyV1 appends a header of version 1, at most ProxyMaxV1 bytes. Without
// both addresses it says UNKNOWN.
func AppendProxyV1(b []byte, src, dst netip.AddrPort) []byte {
	if !src.IsValid() || !dst.IsValid() {
		return append(b, ProxyLocalV1...)
	}
	s, d, is4 := sameFamily(src.Addr(), dst.Addr())
	if is4 {
		b = append(b, "PROXY TCP4 "...)
	} else {
		b = append(b, "PROXY TCP6 "...)
	}
	b = append(s.AppendTo(b), ' ')
	b = append(d.AppendTo(b), ' ')
	b = appendPort(b, src.Port())
	b = append(b, ' ')
	b = appendPort(b, dst.Port())
	return append(b, "\r\n"...)
}

func appendPort(b []byte, port uint16) []byte {
	var digits [5]byte
	i := len(digits) - 1
	for ; port >= 10; i-- {
		digits[i] = '0' + byte(port%10)
		port /= 10
	}
	digits[i] = '0' + byte(port)
	return append(b, digits[i:]...)
}

// AppendProxyV2 appends a header of version 2 with the PROXY command. Without both
// addresses its family is UNSPEC. TLVs are appended to the result by [AppendTLV],
// each of which keeps the header's length true; at is where the header begins.
func AppendProxyV2(b []byte, src, dst netip.AddrPort) (out []byte, at int) {
	at = len(b)
	b = append(b, proxyV2Start...)
	b = append(b, proxyVersion2<<4|commandProxy, familyUnspec, 0, 0)
	if !src.IsValid() || !dst.IsValid() {
		return b, at
	}
	s, d, is4 := sameFamily(src.Addr(), dst.Addr())
	if is4 {
		s4, d4 := s.As4(), d.As4()
		b[at+13] = familyInet<<4 | transportStream
		b = append(append(b, s4[:]...), d4[:]...)
	} else {
		s16, d16 := s.As16(), d.As16()
		b[at+13] = familyInet6<<4 | transportStream
		b = append(append(b, s16[:]...), d16[:]...)
	}
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	return setProxyLength(b, at), at
}

// AppendTLV appends a TLV to the header of version 2 that begins at b[at] and ends
// with b. One that would make the header longer than most bytes is left out.
func AppendTLV(b []byte, at int, kind byte, value []byte, most int) []byte {
	if len(b)-at+3+len(value) > most {
		return b
	}
	b = append(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return setProxyLength(append(b, value...), at)
}

func setProxyLength(b []byte, at int) []byte {
	binary.BigEndian.PutUint16(b[at+14:], uint16(len(b)-at-proxyV2Fixed))
	return b
}

// sameFamily gives both addresses the same family: IPv4 where both are, else IPv6.
// Zones are dropped, they mean nothing to another machine.
func sameFamily(s, d netip.Addr) (src, dst netip.Addr, is4 bool) {
	s, d = s.Unmap().WithZone(""), d.Unmap().WithZone("")
	if s.Is4() && d.Is4() {
		return s, d, true
	}
	return netip.AddrFrom16(s.As16()), netip.AddrFrom16(d.As16()), false
}

// ProxyClient is what a header says of the client it introduces.
type ProxyClient struct {
	Source, Destination netip.AddrPort
	// TLS is of a client whose TLS the proxy ended; nil: it did not. It takes the
	// place of the one in TLVs.
	TLS *ProxyTLS
	// TLVs are those that the client's connection came with, to be passed on.
	TLVs []byte
	// Authority and ALPN take the place of those in TLVs; UniqueID is for a
	// connection that has none there. Empty ones are left out.
	Authority, ALPN, UniqueID []byte
}

// AppendV1 appends the header in version 1, which has no TLVs.
func (c *ProxyClient) AppendV1(b []byte) []byte { return AppendProxyV1(b, c.Source, c.Destination) }

// AppendV2 appends the header in version 2, at most ProxyMaxV2 bytes. TLVs that do
// not fit are left out, those passed on first; checksums and padding are not passed on.
func (c *ProxyClient) AppendV2(b []byte) []byte {
	b, at := AppendProxyV2(b, c.Source, c.Destination)
	add := func(kind byte, value []byte) {
		if len(value) > 0 {
			b = AppendTLV(b, at, kind, value, ProxyMaxV2)
		}
	}
	add(TLVAuthority, c.Authority)
	add(TLVALPN, c.ALPN)
	if c.TLS != nil {
		add(TLVTLS, c.TLS.append(nil))
	}
	hasID := false
	for rest := c.TLVs; ; {
		kind, value, after, ok := NextTLV(rest)
		if !ok {
			break
		}
		rest = after
		switch {
		case kind == TLVCRC32C, kind == TLVNoop:
		case kind == TLVAuthority && len(c.Authority) > 0, kind == TLVALPN && len(c.ALPN) > 0,
			kind == TLVTLS && c.TLS != nil:
		default:
			hasID = hasID || kind == TLVUniqueID
			b = AppendTLV(b, at, kind, value, ProxyMaxV2)
		}
	}
	if !hasID {
		add(TLVUniqueID, c.UniqueID)
	}
	return b
}
