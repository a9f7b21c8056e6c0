package load

import (
	"bytes"
	"hash/crc32"
)

// maxHead bounds a response head.
const maxHead = 64 << 10

// A response reads one HTTP/1 response: as little of its head as possible, its
// framing exactly. The bytes may come in any pieces. The zero value is not ready:
// call reset. It allocates for the first head, and for one that comes in pieces.
type response struct {
	headless bool // the answer to a HEAD request has no body
	sums     bool // keep a checksum of the body

	state  responseState
	status int
	close  bool   // the server closes the connection after this response
	length int64  // of the body, so far
	left   int64  // bytes that are missing of the body or chunk, where known
	sum    uint32 // CRC-32C of the body, so far
	head   []byte // a head that is not whole yet
	line   int    // bytes of the current line, in chunked framing
	digits int
	known  knownHead
}

type responseState uint8

const (
	inHead      responseState = iota
	inBody                    // left bytes
	inBodyToEnd               // as long as the connection lasts
	inChunkSize
	inChunkExt // the rest of the line after the size
	inChunk
	inChunkEnd // CR LF after the data
	inTrailer
	responseWhole
)

// maxChunkLine bounds a line of chunk size or trailer.
const maxChunkLine = 4 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// reset prepares for the next response.
func (r *response) reset() {
	r.state, r.status, r.close = inHead, 0, false
	r.length, r.left, r.sum = 0, 0, 0
	r.line, r.digits = 0, 0
	r.head = r.head[:0]
}

// whole reports that the response ended.
func (r *response) whole() bool { return r.state == responseWhole }

// discard is how many bytes of the body come next, none of which anyone looks at.
func (r *response) discard() int64 {
	if r.sums || r.state != inBody && r.state != inChunk {
		return 0
	}
	return r.left
}

// skip counts n bytes of the body that were discarded, at most discard().
func (r *response) skip(n int64) {
	r.length += n
	r.left -= n
	if r.left == 0 {
		r.pieceEnded()
	}
}

// feed takes bytes of the connection and returns how many belong to the response.
func (r *response) feed(b []byte) (n int, f failure) {
	for n < len(b) && r.state != responseWhole {
		var m int
		switch r.state {
		case inHead:
			m, f = r.feedHead(b[n:])
		case inBody, inChunk:
			m = int(min(int64(len(b)-n), r.left))
			r.add(b[n : n+m])
			r.skip(int64(m))
		case inBodyToEnd:
			m = len(b) - n
			r.add(b[n:])
			r.length += int64(m)
		default:
			m, f = r.feedLine(b[n:])
		}
		n += m
		if f != failNone {
			return n, f
		}
	}
	return n, failNone
}

// end is called when the server ended the connection.
func (r *response) end() failure {
	switch r.state {
	case inBodyToEnd:
		r.state = responseWhole
		return failNone
	case inHead:
		return failClosed
	case responseWhole:
		return failNone
	}
	return failLength
}

func (r *response) add(b []byte) {
	if r.sums {
		r.sum = crc32.Update(r.sum, castagnoli, b)
	}
}

func (r *response) pieceEnded() {
	if r.state == inBody {
		r.state = responseWhole
	} else {
		r.state, r.line = inChunkEnd, 0
	}
}

var headEnd = []byte("\r\n\r\n")

func (r *response) feedHead(b []byte) (int, failure) {
	if len(r.head) == 0 {
		if n := r.recall(b); n > 0 {
			return n, failNone
		}
		if i := bytes.Index(b, headEnd); i >= 0 {
			f := r.parse(b[:i+2])
			if f == failNone {
				r.remember(b[:i+len(headEnd)])
			}
			return i + len(headEnd), f
		}
	}
	before := len(r.head)
	r.head = append(r.head, b[:min(len(b), maxHead-before)]...)
	i := bytes.Index(r.head[max(0, before-len(headEnd)):], headEnd)
	if i < 0 {
		if len(r.head) >= maxHead {
			return len(b), failProtocol
		}
		return len(b), failNone
	}
	i += max(0, before-len(headEnd))
	f := r.parse(r.head[:i+2])
	r.head = r.head[:0]
	return i + len(headEnd) - before, f
}

// parse reads a whole head, whose every line ends with CR LF.
func (r *response) parse(head []byte) failure {
	line, rest := cutLine(head)
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return failProtocol
	}
	status, ok := digits(line[9:12])
	if !ok || line[7] != '0' && line[7] != '1' {
		return failProtocol
	}
	r.status = int(status)
	r.close = line[7] == '0'
	chunked, length := false, int64(-1)
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		if !r.field(line, &chunked, &length) {
			return failProtocol
		}
	}
	return r.frame(chunked, length)
}

// field reads one line of a head. Only three names matter.
func (r *response) field(line []byte, chunked *bool, length *int64) bool {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return false
	}
	switch name := line[:i]; {
	case i == 14 && equalFold(name, "content-length"):
		n, ok := digits(bytes.TrimSpace(line[i+1:]))
		if !ok || *length >= 0 && *length != n {
			return false
		}
		*length = n
	case i == 17 && equalFold(name, "transfer-encoding"):
		*chunked = equalFold(bytes.TrimSpace(line[i+1:]), "chunked")
		return *chunked // any other coding is not ours to undo
	case i == 10 && equalFold(name, "connection"):
		if equalFold(bytes.TrimSpace(line[i+1:]), "close") {
			r.close = true
		} else if equalFold(bytes.TrimSpace(line[i+1:]), "keep-alive") {
			r.close = false
		}
	}
	return true
}

// frame decides where the body ends (RFC 9112 section 6.3).
func (r *response) frame(chunked bool, length int64) failure {
	switch {
	case r.status == 101:
		r.state = responseWhole
	case r.status < 200:
		r.state = inHead // an interim response: the final one follows
	case r.headless || r.status == 204 || r.status == 304 || length == 0 && !chunked:
		r.state = responseWhole
	case chunked && length >= 0:
		return failProtocol
	case chunked:
		r.state, r.left, r.line, r.digits = inChunkSize, 0, 0, 0
	case length > 0:
		r.state, r.left = inBody, length
	default:
		r.state, r.close = inBodyToEnd, true
	}
	return failNone
}

// feedLine takes one byte of chunked framing; there are few of them.
func (r *response) feedLine(b []byte) (int, failure) {
	c := b[0]
	if r.line++; r.line > maxChunkLine {
		return 1, failProtocol
	}
	switch r.state {
	case inChunkSize:
		return 1, r.chunkSize(c)
	case inChunkExt:
		if c == '\n' {
			r.chunkBegins()
		}
	case inChunkEnd:
		if c != "\r\n"[min(r.line-1, 1)] {
			return 1, failProtocol
		}
		if c == '\n' {
			r.state, r.line, r.digits, r.left = inChunkSize, 0, 0, 0
		}
	case inTrailer:
		if c == '\n' {
			if r.line <= 2 {
				r.state = responseWhole
			}
			r.line = 0
		}
	}
	return 1, failNone
}

func (r *response) chunkSize(c byte) failure {
	d := hexDigit(c)
	switch {
	case d >= 0 && r.digits < 15:
		r.left = r.left<<4 | int64(d)
		r.digits++
	case r.digits == 0 || c != '\r' && c != ';' && c != ' ' && c != '\t':
		return failProtocol
	default:
		r.state = inChunkExt
	}
	return failNone
}

func (r *response) chunkBegins() {
	r.line = 0
	if r.left == 0 {
		r.state = inTrailer
		return
	}
	r.state = inChunk
}

// cutLine splits b after its first CR LF, which the line is returned without.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), rest
}

// digits reads a decimal number of up to 18 digits.
func digits(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// equalFold compares ASCII without regard to case; lower is lower-case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
