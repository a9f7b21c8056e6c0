package sniff

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// Sizes of a header of the PROXY protocol, in bytes.
const (
	// ProxyMaxV1 is the longest header of version 1, its CRLF included.
	ProxyMaxV1 = 107
	// ProxyMaxV2 is how long a header of version 2 may be unless told otherwise:
	// the fixed part, the largest addresses, and some 300 bytes of TLVs. Every
	// network takes it in one segment.
	ProxyMaxV2 = 536
)

// Types of TLVs, PROXY protocol section 2.2.
const (
	TLVALPN      = 0x01 // the protocol spoken over the connection
	TLVAuthority = 0x02 // the name the client asked for, as in SNI
	TLVCRC32C    = 0x03 // of the whole header, with zero in the place of the sum
	TLVNoop      = 0x04 // padding
	TLVUniqueID  = 0x05 // names the connection, at most 128 bytes
	TLVTLS       = 0x20 // what is known of the client's TLS, with TLVs of its own
)

const (
	proxyV1Start = "PROXY "
	proxyV2Start = "\r\n\r\n\x00\r\nQUIT\n"

	proxyV2Fixed = len(proxyV2Start) + 4 // up to the length
	proxyUnixLen = 108
)

// The second half of the fixed part of version 2.
const (
	proxyVersion2   = 0x2
	commandLocal    = 0x0
	commandProxy    = 0x1
	familyUnspec    = 0x0
	familyInet      = 0x1
	familyInet6     = 0x2
	familyUnix      = 0x3
	transportStream = 0x1
	transportDgram  = 0x2
)

// ProxyHeader is what a header of the PROXY protocol says.
type ProxyHeader struct {
	// Source is where the client's connection comes from and Destination where it
	// went to; both or none are valid. They are not where the header has no
	// addresses of the internet: LOCAL, UNKNOWN, UNSPEC and unix. The connection
	// then is known only by its peer.
	Source, Destination netip.AddrPort
	// Local tells that the peer speaks for itself: a check of its own.
	Local bool
	// TLVs are the extensions as they arrived, whole ones only, for [NextTLV].
	// They share the memory that was parsed.
	TLVs []byte
}

// Proxy reads a header of the PROXY protocol, version 1 or 2. n is its length,
// known as soon as the verdict is Done. A header of version 2 may be at most most
// bytes long, one of version 1 ProxyMaxV1. Whatever is no header is Malformed.
func Proxy(b []byte, most int, h *ProxyHeader) (n int, v Verdict) {
	*h = ProxyHeader{}
	switch {
	case startsWith(b, proxyV1Start):
		return proxyV1(b, h)
	case startsWith(b, proxyV2Start):
		return proxyV2(b, most, h)
	}
	return 0, Malformed
}

// startsWith reports whether b begins with s, or could once there is more of it.
func startsWith(b []byte, s string) bool {
	n := min(len(b), len(s))
	return string(b[:n]) == s[:n]
}

// ProxyStart says whether b begins like a header of the PROXY protocol: Done if
// it does, Malformed if not, NeedMore if that is open.
func ProxyStart(b []byte) Verdict {
	switch {
	case !startsWith(b, proxyV1Start) && !startsWith(b, proxyV2Start):
		return Malformed
	case len(b) >= len(proxyV2Start), len(b) >= len(proxyV1Start) && b[0] == proxyV1Start[0]:
		return Done
	}
	return NeedMore
}

// proxyV1 reads "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".
func proxyV1(b []byte, h *ProxyHeader) (int, Verdict) {
	end := bytes.IndexByte(b[:min(len(b), ProxyMaxV1)], '\n')
	if end < 0 {
		if len(b) >= ProxyMaxV1 {
			return 0, TooLarge
		}
		return 0, NeedMore
	}
	if end <= len(proxyV1Start) || b[end-1] != '\r' {
		return 0, Malformed
	}
	line := b[len(proxyV1Start) : end-1]
	family, rest, _ := bytes.Cut(line, []byte{' '})
	switch string(family) {
	case "UNKNOWN": // what follows it is to be ignored
		return end + 1, Done
	case "TCP4", "TCP6":
		if proxyV1Addresses(rest, family[3] == '4', h) {
			return end + 1, Done
		}
	}
	*h = ProxyHeader{}
	return 0, Malformed
}

// proxyV1Addresses reads "source destination sourceport destinationport".
func proxyV1Addresses(b []byte, is4 bool, h *ProxyHeader) bool {
	var part [4][]byte
	for i := range 3 {
		var ok bool
		if part[i], b, ok = bytes.Cut(b, []byte{' '}); !ok {
			return false
		}
	}
	part[3] = b
	src, ok1 := proxyV1Addr(part[0], is4)
	dst, ok2 := proxyV1Addr(part[1], is4)
	sport, ok3 := proxyV1Port(part[2])
	dport, ok4 := proxyV1Port(part[3])
	h.Source, h.Destination = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return ok1 && ok2 && ok3 && ok4
}

func proxyV1Addr(b []byte, is4 bool) (netip.Addr, bool) {
	if is4 {
		return parseIPv4(b)
	}
	return parseIPv6(b)
}

func proxyV1Port(b []byte) (uint16, bool) {
	n, ok := decimal(b, 65535)
	return uint16(n), ok
}

// proxyV2 reads the binary form.
func proxyV2(b []byte, most int, h *ProxyHeader) (int, Verdict) {
	if len(b) < proxyV2Fixed {
		return 0, NeedMore
	}
	if b[12]>>4 != proxyVersion2 || b[12]&0xf > commandProxy {
		return 0, Malformed
	}
	size, ok := proxyV2Size(b[13])
	n := proxyV2Fixed + int(binary.BigEndian.Uint16(b[14:]))
	local := b[12]&0xf == commandLocal
	switch {
	case local:
		// The receiver must ignore what a LOCAL header says, its family included.
	case !ok || n < proxyV2Fixed+size:
		return 0, Malformed
	}
	if n > most {
		return 0, TooLarge
	}
	if len(b) < n {
		return 0, NeedMore
	}
	if local {
		h.Local = true
		return n, Done
	}
	tlvs := b[proxyV2Fixed+size : n]
	if !validTLVs(tlvs, b[:n]) {
		return 0, Malformed
	}
	h.TLVs = tlvs
	addr := b[proxyV2Fixed:]
	switch b[13] >> 4 {
	case familyInet:
		h.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte(addr)), binary.BigEndian.Uint16(addr[8:]))
		h.Destination = netip.AddrPortFrom(netip.AddrFrom4([4]byte(addr[4:])), binary.BigEndian.Uint16(addr[10:]))
	case familyInet6:
		src, dst := netip.AddrFrom16([16]byte(addr)), netip.AddrFrom16([16]byte(addr[16:]))
		h.Source = netip.AddrPortFrom(src.Unmap(), binary.BigEndian.Uint16(addr[32:]))
		h.Destination = netip.AddrPortFrom(dst.Unmap(), binary.BigEndian.Uint16(addr[34:]))
	}
	return n, Done
}

// proxyV2Size is the length of the addresses of a family and transport. Only what
// a stream can carry is known: a datagram header on one is a mistake of the peer.
func proxyV2Size(b byte) (size int, ok bool) {
	family, transport := b>>4, b&0xf
	switch {
	case family == familyUnspec && transport <= transportDgram:
		return 0, true
	case transport != transportStream:
		return 0, false
	case family == familyInet:
		return 2*4 + 2*2, true
	case family == familyInet6:
		return 2*16 + 2*2, true
	case family == familyUnix:
		return 2 * proxyUnixLen, true
	}
	return 0, false
}

// validTLVs reports whether b consists of whole TLVs and the checksum, if there is
// one, is that of header.
func validTLVs(b, header []byte) bool {
	for len(b) > 0 {
		kind, value, rest, ok := NextTLV(b)
		if !ok || kind == TLVCRC32C && !validSum(header, value, len(rest)) {
			return false
		}
		b = rest
	}
	return true
}

// validSum checks the sum, which lies after bytes before the end of header.
func validSum(header, sum []byte, after int) bool {
	if len(sum) != crc32.Size {
		return false
	}
	var zero [crc32.Size]byte
	table := crc32.MakeTable(crc32.Castagnoli) // the standard library keeps it
	at := len(header) - after - crc32.Size
	crc := crc32.Update(0, table, header[:at])
	crc = crc32.Update(crc, table, zero[:])
	crc = crc32.Update(crc, table, header[at+crc32.Size:])
	return crc == binary.BigEndian.Uint32(sum)
}

// NextTLV cuts the first TLV off b; ok is false where there is no whole one.
func NextTLV(b []byte) (kind byte, value, rest []byte, ok bool) {
	if len(b) < 3 {
		return 0, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if len(b) < 3+n {
		return 0, nil, nil, false
	}
	return b[0], b[3 : 3+n], b[3+n:], true
}
