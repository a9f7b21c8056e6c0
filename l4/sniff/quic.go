package sniff

import "encoding/binary"

// QUIC packets as far as a client's first ones go (RFC 9000 section 17, RFC 9369).
const (
	quicV1          = 0x00000001
	quicV2          = 0x6b3343cf
	quicMinDatagram = 1200 // RFC 9000 section 14.1: what carries an Initial is never smaller
	quicMinFirstCID = 8    // section 7.2: of the ID that a client makes up
	quicMaxCID      = 20
	quicLongHeader  = 0x80
	quicFixedBit    = 0x40
	quicSampleLen   = 16
	quicMaxPN       = 4
)

// quicKind is the type of a packet with a long header.
type quicKind uint8

const (
	quicInitial quicKind = iota
	quicZeroRTT
	quicHandshake
	quicRetry
)

// quicPacket is the part of a long header that can be read without keys.
type quicPacket struct {
	version uint32
	kind    quicKind
	dcid    []byte
	pnAt    int // where the packet number begins
	end     int // of the packet
}

// QUIC puts the ClientHello of one QUIC connection together from the client's first
// datagrams: today's spans two of them. Initial packets are encrypted with keys that
// everyone on the path can derive (RFC 9001 section 5.2); what this reads is no more
// secret than a TLS hello on TCP. Versions 1 and 2 are known.
//
// The zero value is ready, for one connection. It holds what it has read of the
// handshake, at most as much as the limit given to Add, and unlike the other parsers
// it allocates: keys are objects of the standard library.
type QUIC struct {
	version uint32
	dcid    [quicMaxCID]byte
	dcidLen int
	keys    *quicKeys
	stream  quicStream
	opened  bool   // a packet was authentic
	plain   []byte // a decrypted packet
	header  []byte // a header without its protection
}

// Size is about how many bytes q holds, its keys included.
func (q *QUIC) Size() int {
	const keys = 2 << 10
	return keys + cap(q.stream.buf) + 8*cap(q.stream.have) + cap(q.plain) + cap(q.header)
}

// Add looks at one more datagram of the client and fills in h on Done. NotTLS means
// that the first datagram is no QUIC Initial, NeedMore that the hello goes on in
// another datagram. Datagrams that carry nothing of the hello, or that nobody can
// decrypt, are passed over once the first one has been read. A first Initial of a
// version that is not known is Malformed, as no one can say what it asks for; so is
// an Initial that a server has to discard or to refuse.
// A hello of more than limit bytes is TooLarge. The datagram is only read.
func (q *QUIC) Add(datagram []byte, limit int, h *Hello) Verdict {
	if q.keys == nil {
		if v := q.start(datagram); v != Done {
			return v
		}
	}
	for at := 0; at < len(datagram); {
		var p quicPacket
		if !readQUICPacket(datagram[at:], &p) {
			break // a short header, padding or noise: nothing after it can be told apart
		}
		if v := q.packet(datagram[at:at+p.end], len(datagram), &p, limit); v != NeedMore {
			return v
		}
		if !q.opened {
			return Malformed // nobody encrypted it with the keys of its own ID
		}
		at += p.end
	}
	return q.stream.verdict(limit, h)
}

// start judges the first packet of the first datagram and derives the keys.
func (q *QUIC) start(b []byte) Verdict {
	const long = quicLongHeader | quicFixedBit
	if len(b) < 5 || b[0]&long != long {
		return NotTLS
	}
	switch binary.BigEndian.Uint32(b[1:]) {
	case quicV1, quicV2:
	default:
		if len(b) < quicMinDatagram {
			return NotTLS // too short for a first datagram of any QUIC (RFC 9000 section 14.1)
		}
		return Malformed
	}
	var p quicPacket
	if !readQUICPacket(b, &p) || p.kind != quicInitial || len(b) < quicMinDatagram || len(p.dcid) < quicMinFirstCID {
		return Malformed
	}
	keys, err := newQUICKeys(p.version, p.dcid)
	if err != nil {
		return Malformed // cannot happen: lengths are constants
	}
	q.version, q.keys = p.version, keys
	q.dcidLen = copy(q.dcid[:], p.dcid)
	return Done
}

// packet reads the frames of one packet, b, which came in a datagram of size bytes.
func (q *QUIC) packet(b []byte, size int, p *quicPacket, limit int) Verdict {
	switch {
	case p.kind == quicRetry:
		return NeedMore // only servers send it: noise
	case p.kind != quicInitial, p.version != q.version, string(p.dcid) != string(q.dcid[:q.dcidLen]),
		size < quicMinDatagram:
		return NeedMore
	}
	if !q.open(b, p) {
		return NeedMore
	}
	// Both reserved bits are zero under the protection (RFC 9000 section 17.2).
	if q.header[0]&0x0c != 0 {
		return Malformed
	}
	return q.stream.frames(q.plain, limit)
}

// open decrypts one Initial into q.plain (RFC 9001 sections 5.3 and 5.4). It reports
// false where the packet is not authentic.
func (q *QUIC) open(b []byte, p *quicPacket) bool {
	sampleAt := p.pnAt + quicMaxPN
	if sampleAt+quicSampleLen > len(b) {
		return false
	}
	var mask [quicSampleLen]byte
	q.keys.protection.Encrypt(mask[:], b[sampleAt:sampleAt+quicSampleLen])
	pnLen := int((b[0]^mask[0])&3) + 1
	q.header = append(q.header[:0], b[:p.pnAt+pnLen]...)
	q.header[0] ^= mask[0] & 0x0f
	// The packet number is small, and what was cut off of it is zero: a client has
	// sent nothing before.
	nonce := q.keys.iv
	for i := range pnLen {
		q.header[p.pnAt+i] ^= mask[1+i]
		nonce[len(nonce)-pnLen+i] ^= q.header[p.pnAt+i]
	}
	plain, err := q.keys.aead.Open(q.plain[:0], nonce[:], b[len(q.header):], q.header)
	if err != nil {
		return false
	}
	q.plain, q.opened = plain, true
	return true
}

// readQUICPacket reads the long header at the start of b. It reports false for
// anything else, and for a packet that does not fit into b.
func readQUICPacket(b []byte, p *quicPacket) bool {
	const long = quicLongHeader | quicFixedBit
	if len(b) < 6 || b[0]&long != long {
		return false
	}
	p.version = binary.BigEndian.Uint32(b[1:])
	switch p.version {
	case quicV1:
		p.kind = quicKind(b[0] >> 4 & 3)
	case quicV2: // RFC 9369 section 3.2: one further
		p.kind = quicKind((b[0]>>4 + 3) & 3)
	default:
		return false
	}
	at := 5
	for i := range 2 { // destination, source
		n := int(b[at])
		if n > quicMaxCID || at+1+n >= len(b) {
			return false
		}
		if i == 0 {
			p.dcid = b[at+1 : at+1+n]
		}
		at += 1 + n
	}
	if p.kind == quicRetry {
		p.end = len(b)
		return true
	}
	if p.kind == quicInitial {
		n, size := quicVarint(b[at:])
		if size == 0 || n > uint64(len(b)-at-size) {
			return false
		}
		at += size + int(n) // the token
	}
	n, size := quicVarint(b[at:])
	if size == 0 || n > uint64(len(b)-at-size) {
		return false
	}
	p.pnAt = at + size
	p.end = p.pnAt + int(n)
	return true
}

// quicVarint reads a number and says how many bytes it took, 0 where b is too short
// (RFC 9000 section 16).
func quicVarint(b []byte) (n uint64, size int) {
	if len(b) == 0 {
		return 0, 0
	}
	size = 1 << (b[0] >> 6)
	if len(b) < size {
		return 0, 0
	}
	n = uint64(b[0] & 0x3f)
	for _, c := range b[1:size] {
		n = n<<8 | uint64(c)
	}
	return n, size
}
