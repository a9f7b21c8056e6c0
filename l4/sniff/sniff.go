// Package sniff reads the first bytes of a connection and says what they are:
// the server name of a TLS ClientHello, the kind of a PostgreSQL prologue.
//
// It is pure: bytes in, verdict out, with no clock, no I/O and no goroutine. The
// caller keeps what it has read in one buffer, calls again with the whole buffer
// when more has arrived, and forwards it unchanged afterwards: nothing is consumed.
// How the bytes were split on the way never changes a verdict, nothing is
// allocated, and the work of one call is linear in the length of the buffer.
package sniff

import "strconv"

// Verdict says what is known about the bytes seen so far. Every verdict except
// NeedMore is final: more bytes cannot change it.
type Verdict uint8

const (
	// NeedMore means that the bytes so far are a proper beginning.
	NeedMore Verdict = iota
	// Done means that the message is complete and the result is filled in.
	Done
	// NotTLS means that the first byte does not start a TLS handshake, so that
	// another protocol may be assumed.
	NotTLS
	// Malformed means that the bytes began well and then broke the rules. The
	// connection must be closed: a default route would be a way around the rules.
	Malformed
	// TooLarge means that the message does not fit into the limit. The connection
	// must be closed, as for Malformed.
	TooLarge
)

// String gives the name used in logs and metrics.
func (v Verdict) String() string {
	switch v {
	case NeedMore:
		return "need_more"
	case Done:
		return "done"
	case NotTLS:
		return "not_tls"
	case Malformed:
		return "malformed"
	case TooLarge:
		return "too_large"
	}
	return "verdict(" + strconv.Itoa(int(v)) + ")"
}
