package sniff

// Sizes of RFC 8446 sections 4 and 5.1.
const (
	recordHandshake  = 0x16
	recordHeaderLen  = 5
	recordMaxLen     = 1 << 14
	typeClientHello  = 1
	handshakeHdrLen  = 4
	helloFixedLen    = 2 + 32 // legacy_version, random
	extServerName    = 0x0000
	extALPN          = 0x0010
	extECH           = 0xfe0d
	nameTypeHostName = 0
)

// Limits of a Hello.
const (
	// MaxName is the longest server name in bytes, as DNS has it (RFC 1035 section 2.3.4).
	MaxName = 253
	// MaxALPN is how many bytes of the ALPN list, length bytes included, a Hello keeps.
	MaxALPN = 256
)

// Hello is what routing needs to know of a ClientHello. The zero value is ready
// and may be used again; it holds copies, so it does not keep the buffer alive.
type Hello struct {
	// ECH reports that the client sent an encrypted ClientHello. SNI is then the
	// outer name, the only one that can be seen without the key.
	ECH bool
	// ALPNCut reports that the ALPN list was longer than MaxALPN and that ALPN
	// gives only its first names.
	ALPNCut bool

	nameLen int
	alpnLen int
	name    [MaxName]byte
	alpn    [MaxALPN]byte
}

// SNI returns the server name: a valid DNS name in lower case without a final
// dot, or nothing when the client sent none. The bytes are valid until h is used again.
func (h *Hello) SNI() []byte { return h.name[:h.nameLen] }

// ALPN calls yield with each protocol name the client offers, in its order, until
// yield returns false. The bytes are valid until h is used again.
func (h *Hello) ALPN(yield func(protocol []byte) bool) {
	for list := h.alpn[:h.alpnLen]; len(list) > 0; {
		n := int(list[0])
		if !yield(list[1 : 1+n]) {
			return
		}
		list = list[1+n:]
	}
}

// ClientHello looks for a whole TLS ClientHello at the start of b, which may span
// several records (RFC 8446 section 5.1), and fills in h on Done. A message that
// does not end within the first limit bytes of the connection is TooLarge, which
// is said as soon as its length is known. Bytes after the message are not looked at.
//
// Only what decides the route is judged: the framing of records, message and
// extensions, the server name and the ALPN list. A server name that is not a DNS
// name (a NUL, a space, an empty or overlong label, an IPv6 address), and a second
// server name are Malformed, so that no two readers can take it for two names.
func ClientHello(b []byte, limit int, h *Hello) Verdict {
	cut := len(b) >= limit
	if cut {
		b = b[:max(limit, 0)]
	}
	r, v := wholeMessage(b, limit)
	if v == NeedMore && cut {
		return TooLarge
	}
	if v != Done {
		return v
	}
	h.ECH, h.ALPNCut, h.nameLen, h.alpnLen = false, false, 0, 0
	if !r.hello(h) {
		h.nameLen, h.alpnLen = 0, 0
		return Malformed
	}
	return Done
}

// wholeMessage walks the records of b until it has seen one handshake message and
// returns a reader on its body. Each check is made at the first byte that allows
// it, which is what makes verdicts independent of how the bytes arrive.
func wholeMessage(b []byte, limit int) (reader, Verdict) {
	var (
		off     int  // of the next record header
		have    int  // handshake bytes in the records before off
		need    = -1 // length of the whole message, -1 while unknown
		hdr     [handshakeHdrLen]byte
		nothing reader
	)
	for {
		n, v := recordLen(b[off:], off == 0)
		if v != Done {
			return nothing, v
		}
		off += recordHeaderLen
		payload := b[off:min(off+n, len(b))]
		if have < handshakeHdrLen {
			copy(hdr[have:], payload)
		}
		off += n
		have += len(payload)
		if have > 0 && hdr[0] != typeClientHello {
			return nothing, Malformed
		}
		if need < 0 && have >= handshakeHdrLen {
			need = handshakeHdrLen + int(hdr[1])<<16 + int(hdr[2])<<8 + int(hdr[3])
			if need+recordHeaderLen > limit {
				return nothing, TooLarge
			}
		}
		if need >= 0 && have >= need {
			r := reader{b: b, left: need}
			r.skip(handshakeHdrLen)
			return r, Done
		}
		if off > len(b) {
			return nothing, NeedMore
		}
	}
}

// recordLen checks a record header and returns the length of its payload.
func recordLen(b []byte, first bool) (int, Verdict) {
	if len(b) == 0 {
		return 0, NeedMore
	}
	if b[0] != recordHandshake {
		if first {
			return 0, NotTLS
		}
		return 0, Malformed
	}
	// Every version from SSL 3.0 to TLS 1.3 has 3 here; the minor byte is noise
	// (RFC 8446 section 5.1: "MUST be ignored for all purposes").
	if len(b) > 1 && b[1] != 3 {
		return 0, Malformed
	}
	if len(b) < recordHeaderLen {
		return 0, NeedMore
	}
	n := int(b[3])<<8 | int(b[4])
	if n == 0 || n > recordMaxLen {
		return 0, Malformed
	}
	return n, Done
}
