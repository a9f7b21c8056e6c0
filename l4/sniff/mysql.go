package sniff

import (
	"bytes"
	"encoding/binary"
)

// Capability flags of MySQL's handshake ("Client/Server Protocol", Capabilities Flags).
const (
	mysqlConnectWithDB = 1 << 3
	mysqlProtocol41    = 1 << 9
	mysqlSSL           = 1 << 11
	mysqlSecureConn    = 1 << 15
	mysqlPluginAuth    = 1 << 19
	mysqlAuthLenEnc    = 1 << 21
)

// Sizes of packets.
const (
	mysqlHeaderLen = 4  // length of the payload, 3 bytes, and number
	mysqlFixedLen  = 32 // of a client's first packet: flags, largest packet, character set, filler
	mysqlLoginMin  = mysqlFixedLen + 2
	mysqlVersion   = 10
	mysqlErr       = 0xff

	// MySQLGreetingMax is how long a server's first packet may be, header included.
	MySQLGreetingMax = 4 << 10
)

// MySQLKind is what a MySQL client answers to the server's greeting.
type MySQLKind uint8

const (
	// MySQLNone means that the kind is not known (yet).
	MySQLNone MySQLKind = iota
	// MySQLSSLRequest asks for TLS, and a ClientHello follows at once.
	MySQLSSLRequest
	// MySQLLoginPacket is a HandshakeResponse41: a login, in clear unless it came through TLS.
	MySQLLoginPacket
)

// MySQLLogin is a client's HandshakeResponse41. Its slices point into the packet it
// was read from.
type MySQLLogin struct {
	// PluginAuth reports that the client knows authentication plugins by name, as
	// all since MySQL 5.5 do. Without it [MySQLLogin.AppendAsking] cannot be used.
	PluginAuth bool

	flags    uint32
	fixed    []byte // from the largest packet to the end of the filler
	user, db []byte
	rest     []byte // after the name of the plugin: attributes and what newer clients add
}

// MySQLClient reads a client's first packet, or the one after TLS, whose number is
// seq. A packet longer than limit is TooLarge. On Done n is its length, header
// included, and login is filled in for a MySQLLoginPacket; NotTLS is never said.
// Clients older than MySQL 4.1 are Malformed.
func MySQLClient(b []byte, seq byte, limit int, login *MySQLLogin) (kind MySQLKind, n int, v Verdict) {
	n, v = mysqlPacket(b, seq, limit)
	if v == Malformed || v == TooLarge {
		return MySQLNone, 0, v
	}
	if n > 0 && n < mysqlHeaderLen+mysqlFixedLen {
		return MySQLNone, 0, Malformed
	}
	if len(b) < mysqlHeaderLen+4 {
		return MySQLNone, 0, NeedMore
	}
	flags := binary.LittleEndian.Uint32(b[mysqlHeaderLen:])
	asks, ssl := n == mysqlHeaderLen+mysqlFixedLen, flags&mysqlSSL != 0
	switch {
	case flags&mysqlProtocol41 == 0, asks && (!ssl || seq != 1), !asks && ssl && seq == 1:
		return MySQLNone, 0, Malformed
	}
	if v == NeedMore {
		return MySQLNone, 0, NeedMore
	}
	if asks {
		return MySQLSSLRequest, n, Done
	}
	if !login.read(b[mysqlHeaderLen:n], flags) {
		return MySQLNone, 0, Malformed
	}
	return MySQLLoginPacket, n, Done
}

// mysqlPacket looks at the header of a packet: n is its length with the header, 0
// while that is not known, and v is Done where all of it is there.
func mysqlPacket(b []byte, seq byte, limit int) (n int, v Verdict) {
	if len(b) < 3 {
		return 0, NeedMore
	}
	n = mysqlHeaderLen + int(b[0]) + int(b[1])<<8 + int(b[2])<<16
	switch {
	case n > limit:
		return 0, TooLarge
	case len(b) > 3 && b[3] != seq:
		return 0, Malformed
	case len(b) < n || len(b) < mysqlHeaderLen:
		return n, NeedMore
	}
	return n, Done
}

// read takes the payload of a login apart.
func (l *MySQLLogin) read(p []byte, flags uint32) bool {
	*l = MySQLLogin{}
	if len(p) < mysqlLoginMin || flags&mysqlSecureConn == 0 {
		return false
	}
	l.flags, l.PluginAuth = flags, flags&mysqlPluginAuth != 0
	l.fixed, p = p[4:mysqlFixedLen], p[mysqlFixedLen:]
	var ok bool
	if l.user, p, ok = bytes.Cut(p, zero); !ok {
		return false
	}
	proof, size, ok := mysqlLength(p, flags&mysqlAuthLenEnc != 0)
	if !ok || proof > len(p)-size {
		return false
	}
	p = p[size+proof:]
	if flags&mysqlConnectWithDB != 0 {
		if l.db, p, ok = bytes.Cut(p, zero); !ok {
			return false
		}
	}
	if l.PluginAuth {
		_, p, _ = bytes.Cut(p, zero) // the last field of some has no NUL
	}
	l.rest = p
	return true
}

// zero ends a string.
var zero = []byte{0}

// mysqlLength reads the length of a string, which stands in one byte or is encoded
// in up to four; longer ones are in no login.
func mysqlLength(p []byte, encoded bool) (n, size int, ok bool) {
	switch {
	case len(p) == 0:
		return 0, 0, false
	case !encoded || p[0] < 0xfb:
		return int(p[0]), 1, true
	case p[0] == 0xfc && len(p) >= 3:
		return int(p[1]) | int(p[2])<<8, 3, true
	case p[0] == 0xfd && len(p) >= 4:
		return int(p[1]) | int(p[2])<<8 | int(p[3])<<16, 4, true
	}
	return 0, 0, false
}

// mysqlAsk is the name of a plugin that nobody has. A server that is told that the
// client used it answers with an AuthSwitchRequest, which names the plugin of the
// account and carries the nonce to answer to.
const mysqlAsk = "weir_asks"

// AppendAsking appends the login as packet seq, for the same user and database but
// without a proof, so that the server asks for one with a nonce of its own: the one
// that the client has computed is for a nonce that this server does not know. TLS
// says whether the server is reached through TLS.
func (l *MySQLLogin) AppendAsking(b []byte, seq byte, tls bool) []byte {
	start := len(b)
	flags := l.flags &^ mysqlSSL
	if tls {
		flags |= mysqlSSL
	}
	b = append(b, 0, 0, 0, seq)
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = append(b, l.fixed...)
	b = append(append(b, l.user...), 0)
	b = append(b, 0) // no proof, whichever way its length is written
	if flags&mysqlConnectWithDB != 0 {
		b = append(append(b, l.db...), 0)
	}
	b = append(append(b, mysqlAsk...), 0)
	b = append(b, l.rest...)
	return endMySQL(b, start)
}

// AppendSSLRequest appends the request for TLS that precedes the login, as packet 1.
func (l *MySQLLogin) AppendSSLRequest(b []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 1)
	b = binary.LittleEndian.AppendUint32(b, l.flags|mysqlSSL)
	return endMySQL(append(b, l.fixed...), start)
}

// endMySQL writes the length of the packet that starts at start into its header.
func endMySQL(b []byte, start int) []byte {
	n := len(b) - start - mysqlHeaderLen
	b[start], b[start+1], b[start+2] = byte(n), byte(n>>8), byte(n>>16)
	return b
}

// MySQLGreeting is what a server says first.
type MySQLGreeting struct {
	Refused    bool // an ERR packet: the server takes no login from here or now
	TLS        bool // it can do TLS
	PluginAuth bool // it names authentication plugins
}

// MySQLServer reads a server's first packet, of at most MySQLGreetingMax bytes. n is
// its length, header included, or 0 where that is not known. Servers older than MySQL 4.1 are Malformed.
func MySQLServer(b []byte, g *MySQLGreeting) (n int, v Verdict) {
	n, v = mysqlPacket(b, 0, MySQLGreetingMax)
	if v == Malformed || v == TooLarge {
		return 0, v
	}
	if n == mysqlHeaderLen {
		return 0, Malformed
	}
	if len(b) > mysqlHeaderLen && b[mysqlHeaderLen] != mysqlVersion && b[mysqlHeaderLen] != mysqlErr {
		return 0, Malformed
	}
	if v == NeedMore {
		return n, NeedMore
	}
	p := b[mysqlHeaderLen:n]
	*g = MySQLGreeting{Refused: p[0] == mysqlErr}
	if g.Refused {
		return n, Done
	}
	// Protocol, version, connection, nonce, 0, low flags, character set, status, high flags.
	_, p, ok := bytes.Cut(p[1:], zero)
	if !ok || len(p) < 4+8+1+2+1+2+2 {
		return 0, Malformed
	}
	flags := uint32(binary.LittleEndian.Uint16(p[13:])) | uint32(binary.LittleEndian.Uint16(p[18:]))<<16
	if flags&mysqlProtocol41 == 0 || flags&mysqlSecureConn == 0 {
		return 0, Malformed
	}
	g.TLS, g.PluginAuth = flags&mysqlSSL != 0, flags&mysqlPluginAuth != 0
	return n, Done
}

// MySQLNumbers follows one direction of a login through packets that arrive in any
// pieces, and shifts their numbers: where Weir ends the TLS, one side has seen a
// request for it and counts one packet more than the other. The zero value is ready.
type MySQLNumbers struct {
	have int // bytes of the present header that have passed
	left int // bytes of the payload that are to come
	next bool
}

// Shift adds by to the number of each packet in b, in place. It reports whether a
// packet of the server's that ends the login, OK or ERR, has begun in b; the numbers
// behind it are left alone, as they belong to what comes after.
func (m *MySQLNumbers) Shift(b []byte, by byte) (ended bool) {
	for len(b) > 0 {
		switch {
		case m.have < mysqlHeaderLen:
			if m.have == mysqlHeaderLen-1 {
				b[0] += by
				m.next = true
			} else {
				m.left |= int(b[0]) << (8 * m.have)
			}
			m.have++
			b = b[1:]
		case m.left == 0:
			m.have, m.next = 0, false
		default:
			if m.next && (b[0] == 0 || b[0] == mysqlErr) {
				return true
			}
			n := min(m.left, len(b))
			m.left -= n
			m.next = false
			b = b[n:]
		}
	}
	return false
}
