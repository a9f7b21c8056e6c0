package sniff

import "encoding/binary"

// PGKind is the first message a PostgreSQL client sends.
type PGKind uint8

const (
	// PGNone means that the kind is not known (yet).
	PGNone PGKind = iota
	// PGSSLRequest asks for TLS; one byte 'S' accepts, 'N' declines. Bytes that
	// follow it before the answer must not be trusted (CVE-2021-23214): a caller
	// that answers closes the connection when it holds more than n bytes.
	PGSSLRequest
	// PGGSSENCRequest asks for GSSAPI encryption; 'N' declines.
	PGGSSENCRequest
	// PGCancel is a CancelRequest; nothing follows it.
	PGCancel
	// PGStartup is a StartupMessage of protocol 3, in clear.
	PGStartup
	// PGDirectTLS is a ClientHello without SSLRequest (sslnegotiation=direct,
	// PostgreSQL 17); n is 0 and ClientHello reads the same bytes.
	PGDirectTLS
)

// Request codes and lengths of PostgreSQL's src/include/libpq/pqcomm.h.
const (
	pgHeaderLen     = 8
	pgCancelCode    = 80877102
	pgSSLCode       = 80877103
	pgGSSENCCode    = 80877104
	pgProtocolMajor = 3
	pgStartupMax    = 10000
	pgCancelMin     = pgHeaderLen + 4 + 4   // process id, key
	pgCancelMax     = pgHeaderLen + 4 + 256 // protocol 3.2 has keys of up to 256 bytes
)

// Postgres says how a PostgreSQL client begins. n is the length of its first
// message in bytes; it is known as soon as the verdict is Done, which for
// PGStartup and PGCancel may be before all of the message has arrived. Verdicts
// are NeedMore, Done and Malformed; protocol 2, gone since PostgreSQL 14, is Malformed.
func Postgres(b []byte) (kind PGKind, n int, v Verdict) {
	if len(b) == 0 {
		return PGNone, 0, NeedMore
	}
	if b[0] == recordHandshake {
		return PGDirectTLS, 0, Done
	}
	if b[0] != 0 { // longer than 16 MiB: another protocol
		return PGNone, 0, Malformed
	}
	if len(b) < 4 {
		return PGNone, 0, NeedMore
	}
	n = int(binary.BigEndian.Uint32(b))
	if n < pgHeaderLen || n > pgStartupMax {
		return PGNone, 0, Malformed
	}
	if len(b) < pgHeaderLen {
		return PGNone, 0, NeedMore
	}
	if kind = pgKind(binary.BigEndian.Uint32(b[4:]), n); kind == PGNone {
		return PGNone, 0, Malformed
	}
	return kind, n, Done
}

// pgKind is PGNone for an unknown code and for a length that does not fit the code.
func pgKind(code uint32, n int) PGKind {
	switch {
	case code == pgSSLCode && n == pgHeaderLen:
		return PGSSLRequest
	case code == pgGSSENCCode && n == pgHeaderLen:
		return PGGSSENCRequest
	case code == pgCancelCode && n >= pgCancelMin && n <= pgCancelMax:
		return PGCancel
	case code>>16 == pgProtocolMajor && n > pgHeaderLen:
		return PGStartup
	}
	return PGNone
}
