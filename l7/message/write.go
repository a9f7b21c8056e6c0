package message

import "strconv"

// AppendRequestLine appends a request line with CRLF. target is written as it is.
func AppendRequestLine(dst, method, target []byte) []byte {
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, target...)
	return append(dst, " HTTP/1.1\r\n"...)
}

// AppendStatusLine appends a status line with CRLF. The reason may be empty.
func AppendStatusLine(dst []byte, status int, reason []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, reason...)
	return append(dst, '\r', '\n')
}

// AppendField appends a field line with CRLF. Name and value must be valid: parsed
// ones are, values from elsewhere are checked with ValidValue.
func AppendField(dst, name, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}

// AppendFields appends every field that is not hop-by-hop, as it was received.
func AppendFields(dst []byte, fields []Field) []byte {
	for i := range fields {
		if f := &fields[i]; !f.Hop {
			dst = AppendField(dst, f.Name, f.Value)
		}
	}
	return dst
}

// ValidValue reports whether b may be written as a field value: no control octet but HTAB.
func ValidValue(b []byte) bool { return validValue(b) }

// ValidName reports whether b may be written as a field name or a method: a token.
func ValidName(b []byte) bool { return len(b) > 0 && all(b, isToken) }

// MaxChunkHeader is the most that AppendChunkHeader appends.
const MaxChunkHeader = 16 + 2

// AppendChunkHeader appends the size line of a chunk of n > 0 octets. The data and
// then CRLF must follow (RFC 9112 section 7.1).
func AppendChunkHeader(dst []byte, n int) []byte {
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(dst, '\r', '\n')
}

// AppendLastChunk appends the last chunk and the trailer section, which ends the body.
func AppendLastChunk(dst []byte, trailers []Field) []byte {
	dst = append(dst, '0', '\r', '\n')
	dst = AppendFields(dst, trailers)
	return append(dst, '\r', '\n')
}
