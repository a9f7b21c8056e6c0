package sniff

import "strings"

// Protocols is a set of protocols that a client's first bytes tell apart. The zero
// value is the empty set, which stands for every protocol that is none of these.
type Protocols uint8

// The protocols of a set.
const (
	TLS        Protocols = 1 << iota // the first byte of a handshake record
	HTTP1                            // a request line of HTTP/1 (RFC 9112 section 3)
	HTTP2                            // the preface of prior knowledge (RFC 9113 section 3.4)
	PostgreSQL                       // a first message in clear, a request for TLS among them
)

// protocolNames has the words of the configuration, in the order of the bits.
var protocolNames = [...]string{"tls", "http1", "http2", "postgres"}

// ProtocolNamed returns the protocol that the configuration calls name, or the
// empty set where there is none.
func ProtocolNamed(name string) Protocols {
	for i, n := range protocolNames {
		if n == name {
			return 1 << i
		}
	}
	return 0
}

// String gives the names in p, "other" for the empty set.
func (p Protocols) String() string {
	if p == 0 {
		return "other"
	}
	var names []string
	for i, n := range protocolNames {
		if p&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ",")
}

// h2Preface is what a client with prior knowledge of HTTP/2 sends first.
const h2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// maxMethod is the longest method in bytes by which HTTP/1 is known. The longest
// registered ones have 17.
const maxMethod = 24

// Protocol says which of the protocols in among the bytes of b begin, or the empty
// set for anything else. The verdict is Done, or NeedMore while b is a proper
// beginning of one in among that another byte could still rule out; 33 bytes
// always decide. Bytes that cannot be one in among are Done at the first of them,
// so an empty set decides at once.
//
// HTTP/1 is a method in capitals of at most 24 bytes, a space, and the start of a
// target: "/", "*", "http://", "https://", or anything visible after CONNECT. What
// follows is for the server to judge. TLS is known by its first byte alone;
// ClientHello reads on.
func Protocol(b []byte, among Protocols) (Protocols, Verdict) {
	if among == 0 {
		return 0, Done
	}
	if len(b) == 0 {
		return 0, NeedMore
	}
	switch first := b[0]; {
	case first == recordHandshake:
		return TLS & among, Done
	case first == 0 && among&PostgreSQL != 0:
		return postgresOrOther(b)
	case isMethodByte(first) && among&(HTTP1|HTTP2) != 0:
		return httpOrOther(b, among)
	}
	return 0, Done
}

func postgresOrOther(b []byte) (Protocols, Verdict) {
	switch _, _, v := Postgres(b); v {
	case NeedMore:
		return 0, NeedMore
	case Done:
		return PostgreSQL, Done
	}
	return 0, Done
}

// httpOrOther tells HTTP/2 from HTTP/1 before it asks whether they are in among:
// the preface looks like a request, and must not be taken for one.
func httpOrOther(b []byte, among Protocols) (Protocols, Verdict) {
	n := min(len(b), len(h2Preface))
	if string(b[:n]) == h2Preface[:n] {
		if n < len(h2Preface) {
			return 0, NeedMore
		}
		return HTTP2 & among, Done
	}
	if among&HTTP1 == 0 {
		return 0, Done
	}
	return http1OrOther(b)
}

func http1OrOther(b []byte) (Protocols, Verdict) {
	n := 0
	for n < len(b) && n <= maxMethod && isMethodByte(b[n]) {
		n++
	}
	switch {
	case n > maxMethod:
		return 0, Done
	case n == len(b):
		return 0, NeedMore
	case b[n] != ' ':
		return 0, Done
	}
	method, target := b[:n], b[n+1:]
	switch {
	case len(target) == 0:
		return 0, NeedMore
	case target[0] == '/', target[0] == '*':
		return HTTP1, Done
	case string(method) == "CONNECT":
		if target[0] > ' ' && target[0] < 0x7f {
			return HTTP1, Done
		}
		return 0, Done
	}
	switch v := absoluteForm(target); v {
	case Done:
		return HTTP1, Done
	case NeedMore:
		return 0, NeedMore
	}
	return 0, Done
}

// absoluteForm looks for the start of a URL of HTTP, whose scheme has no case
// (RFC 3986 section 3.1). Its verdicts are NeedMore, Done and Malformed.
func absoluteForm(target []byte) Verdict {
	for _, scheme := range [...]string{"http://", "https://"} {
		n := min(len(target), len(scheme))
		if !beginsFolded(target, scheme[:n]) {
			continue
		}
		if n == len(scheme) {
			return Done
		}
		return NeedMore
	}
	return Malformed
}

// beginsFolded reports whether b, which is no shorter, begins with lower in any case.
func beginsFolded(b []byte, lower string) bool {
	for i := range len(lower) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// isMethodByte is stricter than a token of RFC 9110 section 9.1: the greeting of an
// SSH client is one.
func isMethodByte(c byte) bool { return 'A' <= c && c <= 'Z' || c == '-' }
