package sniff

import "math/bits"

// Frames that a client's Initial may hold (RFC 9000 section 12.4, table 3).
const (
	quicFramePadding = 0x00
	quicFramePing    = 0x01
	quicFrameACK     = 0x02
	quicFrameACKECN  = 0x03
	quicFrameCrypto  = 0x06
	quicFrameClose   = 0x1c
)

// quicStream is the beginning of the handshake, put together from CRYPTO frames in
// any order. Clients cut the hello into many small frames and shuffle them on
// purpose, so that nobody on the path gets used to how it looks.
type quicStream struct {
	buf  []byte
	have []uint64 // a bit per byte of buf
	run  int      // so many bytes from the start are there
}

// frames reads all frames of a packet.
func (s *quicStream) frames(b []byte, limit int) Verdict {
	if len(b) == 0 {
		return Malformed // RFC 9000 section 12.4: at least one frame
	}
	r := quicReader{b: b}
	for len(r.b) > 0 {
		kind := r.b[0]
		r.b = r.b[1:]
		switch kind {
		case quicFramePadding, quicFramePing:
		case quicFrameACK, quicFrameACKECN:
			r.ack(kind == quicFrameACKECN)
		case quicFrameCrypto:
			off := r.varint()
			data := r.bytes(r.varint())
			if r.bad {
				return Malformed
			}
			if off > uint64(limit) || int(off)+len(data) > limit {
				return TooLarge
			}
			if !s.put(int(off), data) {
				return Malformed
			}
		case quicFrameClose:
			r.varint()
			r.varint()
			r.bytes(r.varint())
		default:
			return Malformed
		}
		if r.bad {
			return Malformed
		}
	}
	return NeedMore
}

// put stores data. It reports false where bytes that came before say otherwise: two
// readers could then take the hello for two.
func (s *quicStream) put(off int, data []byte) bool {
	end := off + len(data)
	if end > len(s.buf) {
		buf := make([]byte, max(end, min(2*len(s.buf), 64<<10), 2<<10))
		copy(buf, s.buf)
		s.buf = buf
		have := make([]uint64, (len(buf)+63)/64)
		copy(have, s.have)
		s.have = have
	}
	for i, c := range data {
		at := off + i
		bit := uint64(1) << (at % 64)
		if s.have[at/64]&bit != 0 && s.buf[at] != c {
			return false
		}
		s.have[at/64] |= bit
		s.buf[at] = c
	}
	for s.run/64 < len(s.have) {
		// Ones from run upwards; a full word goes on in the next.
		n := bits.TrailingZeros64(^(s.have[s.run/64] >> (s.run % 64)))
		n = min(n, 64-s.run%64)
		if n == 0 {
			break
		}
		s.run += n
	}
	return true
}

// verdict reads the hello once it is whole. Each check is made at the first byte
// that allows it.
func (s *quicStream) verdict(limit int, h *Hello) Verdict {
	b := s.buf[:s.run]
	if len(b) > 0 && b[0] != typeClientHello {
		return Malformed
	}
	if len(b) < handshakeHdrLen {
		return NeedMore
	}
	need := handshakeHdrLen + int(b[1])<<16 + int(b[2])<<8 + int(b[3])
	if need > limit {
		return TooLarge
	}
	if len(b) < need {
		return NeedMore
	}
	return handshakeHello(b[:need], h)
}

// handshakeHello reads a whole ClientHello that no record surrounds.
func handshakeHello(msg []byte, h *Hello) Verdict {
	h.ECH, h.ALPNCut, h.nameLen, h.alpnLen = false, false, 0, 0
	r := reader{b: msg, rec: len(msg), left: len(msg)}
	r.skip(handshakeHdrLen)
	if !r.hello(h) {
		h.nameLen, h.alpnLen = 0, 0
		return Malformed
	}
	return Done
}

// quicReader reads fields of frames. After the first that does not fit it is bad and
// gives zeros.
type quicReader struct {
	b   []byte
	bad bool
}

func (r *quicReader) varint() uint64 {
	n, size := quicVarint(r.b)
	if size == 0 {
		r.bad = true
		r.b = nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *quicReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad = true
		r.b = nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// ack skips an ACK frame (RFC 9000 section 19.3). Each range takes at least two
// bytes, so a large count ends the frame and not the loop.
func (r *quicReader) ack(ecn bool) {
	r.varint() // largest
	r.varint() // delay
	count := r.varint()
	r.varint() // first range
	for ; count > 0 && !r.bad; count-- {
		r.varint()
		r.varint()
	}
	if ecn {
		for range 3 {
			r.varint()
		}
	}
}
