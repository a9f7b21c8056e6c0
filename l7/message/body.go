package message

// Body finds the end of a body as its octets come in, and takes chunked framing
// off. The states of a chunked body:
//
//	size -> ext -> sizeLF -> data -> dataCR -> dataLF -> size ...
//	                     \-> trailer -> done                      (size 0)
//
// It does no I/O and allocates for trailers only. The zero value is a body that
// has ended. A Body belongs to one goroutine.
type Body struct {
	framing   Framing
	side      Side
	state     bodyState
	digits    int8  // hex digits of the size line read so far
	space     bool  // white space was seen after the size: only an extension may follow
	left      int64 // octets of the body or the chunk to come
	extension int   // octets of chunk extensions seen in this message
	size      int64 // octets of data delivered
	trailer   trailer
}

type bodyState uint8

const (
	bodyDone bodyState = iota
	bodyData           // left octets of data, or all there are with Close
	chunkSize
	chunkExt
	chunkSizeLF
	chunkDataCR
	chunkDataLF
	chunkTrailer
	bodyBroken
)

const (
	maxSizeDigits = 16
	maxExtension  = 4 << 10 // per message; what CVE-2023-39326 was about
)

// Reset makes b ready for a body with the given framing; length counts for Length
// only. Errors will be of the given side. It keeps its memory.
func (b *Body) Reset(f Framing, length int64, side Side, limits *Limits) {
	t := b.trailer
	t.reset(limits, side == Client)
	*b = Body{framing: f, side: side, trailer: t}
	switch f {
	case None:
	case Length:
		if b.left = max(length, 0); b.left > 0 {
			b.state = bodyData
		}
	case Chunked:
		b.state = chunkSize
	case Close:
		b.state = bodyData
	}
}

// Done reports whether the body is complete: what follows in the input belongs to
// the next message. A body framed by Close is complete only after EOF.
func (b *Body) Done() bool { return b.state == bodyDone }

// Remaining returns how many octets of data are still to come, -1 if that is not known.
func (b *Body) Remaining() int64 {
	switch {
	case b.state == bodyDone:
		return 0
	case b.framing == Length:
		return b.left
	default:
		return -1
	}
}

// Size returns how many octets of data Next has delivered.
func (b *Body) Size() int64 { return b.size }

// Trailers returns the fields of the trailer section once the body is done, those
// left out that a trailer must not carry. They live until Reset.
func (b *Body) Trailers() []Field {
	if b.state != bodyDone {
		return nil
	}
	return b.trailer.fields
}

// Next takes octets from the start of in. It returns the next piece of data, a slice
// of in, and how many octets of in were used; the rest must be given again. A call
// returns at most one piece. When data is empty and the body is not done, all of in
// was used and more is needed. After an error it returns the same kind of error.
func (b *Body) Next(in []byte) (data []byte, n int, err error) {
	for n < len(in) && b.state != bodyDone {
		if b.state == bodyData {
			data = b.takeData(in[n:])
			return data, n + len(data), nil
		}
		used, why := b.step(in[n:])
		if why != ok {
			b.state = bodyBroken
			return nil, n, why.from(b.side)
		}
		n += used
	}
	return nil, n, nil
}

// EOF tells b that the input ended. It returns an *Error if the body is cut short,
// and makes a body framed by Close done.
func (b *Body) EOF() error {
	switch {
	case b.state == bodyDone:
		return nil
	case b.framing == Close && b.state == bodyData:
		b.state = bodyDone
		return nil
	}
	b.state = bodyBroken
	return truncated.from(b.side)
}

func (b *Body) takeData(in []byte) []byte {
	if b.framing == Close {
		b.size += int64(len(in))
		return in
	}
	if int64(len(in)) > b.left {
		in = in[:b.left]
	}
	b.left -= int64(len(in))
	b.size += int64(len(in))
	if b.left == 0 {
		b.state = bodyDone
		if b.framing == Chunked {
			b.state = chunkDataCR
		}
	}
	return in
}

// step takes one octet of chunked framing, or the trailer section as far as it is there.
func (b *Body) step(in []byte) (int, reason) {
	c := in[0]
	switch b.state {
	case chunkSize:
		return 1, b.sizeOctet(c)
	case chunkExt:
		if c == '\r' {
			b.state = chunkSizeLF
			return 1, ok
		}
		if b.extension++; b.extension > maxExtension {
			return 0, chunkExtension
		}
		if c < 0x20 && c != '\t' || c == 0x7f {
			return 0, badChunk
		}
	case chunkSizeLF:
		if c != '\n' {
			return 0, badChunk
		}
		b.endSize()
	case chunkDataCR:
		if c != '\r' {
			return 0, noChunkEnd
		}
		b.state = chunkDataLF
	case chunkDataLF:
		if c != '\n' {
			return 0, noChunkEnd
		}
		b.startSize()
	case chunkTrailer:
		n, end, why := b.trailer.take(in)
		if end {
			b.state = bodyDone
		}
		return n, why
	case bodyDone, bodyData, bodyBroken:
		return 0, badChunk
	}
	return 1, ok
}

func (b *Body) startSize() { b.state, b.digits, b.left, b.space = chunkSize, 0, 0, false }

// sizeOctet takes an octet of 1*HEXDIG [ BWS ";" ... ] CR (RFC 9112 section 7.1).
func (b *Body) sizeOctet(c byte) reason {
	switch {
	case octets[c]&isHex != 0 && !b.space:
		if b.digits++; b.digits > maxSizeDigits || b.left > 1<<58 {
			return badChunk
		}
		b.left = b.left<<4 | int64(unhex(upper(c)))
	case b.digits == 0:
		return badChunk
	case c == '\r' && !b.space:
		b.state = chunkSizeLF
	case c == ';':
		b.state = chunkExt
	case c == ' ' || c == '\t':
		b.space = true
		if b.extension++; b.extension > maxExtension {
			return chunkExtension
		}
	default:
		return badChunk
	}
	return ok
}

func (b *Body) endSize() {
	b.state = bodyData
	if b.left == 0 {
		b.state = chunkTrailer
	}
}
