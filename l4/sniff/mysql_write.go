package sniff

import "encoding/binary"

// MySQLNonceLen is the length of the nonce in a greeting.
const MySQLNonceLen = 20

// mysqlOffer are the capabilities in Weir's greeting: those that MySQL since 5.6 and
// MariaDB since 10.0 all have, so that no client counts on what its server cannot do.
// Compression is not among them, nor are later ones (DEPRECATE_EOF, SESSION_TRACK).
const mysqlOffer = 0xf7df | // all of the low ones but SSL and COMPRESS
	1<<16 | 1<<17 | 1<<18 | // several statements, several results
	mysqlPluginAuth | 1<<20 | mysqlAuthLenEnc // attributes of the connection

// mysqlOfferedPlugin is the authentication plugin in Weir's greeting. Whatever a
// client makes of a nonce that is not the server's is wrong, and for this plugin that
// is no end: the server of an account with another one asks again with its own nonce,
// and one with this very plugin goes on to ask for the password through TLS.
const mysqlOfferedPlugin = "caching_sha2_password"

const (
	mysqlUTF8       = 45 // utf8mb4_general_ci, known to all
	mysqlAutocommit = 2
)

// AppendMySQLGreeting appends a HandshakeV10 packet as a server of this version
// sends it. The nonce is to be fresh for each connection; its bytes are made fit,
// none is 0 or '$'. The connection has id 0, which no server gives: a KILL of it by
// a client that believes it hits nobody.
func AppendMySQLGreeting(b []byte, version string, nonce [MySQLNonceLen]byte, tls bool) []byte {
	for i, c := range nonce {
		if c &= 0x7f; c == 0 || c == '$' {
			c++
		}
		nonce[i] = c
	}
	flags := uint32(mysqlOffer)
	if tls {
		flags |= mysqlSSL
	}
	start := len(b)
	b = append(b, 0, 0, 0, 0, mysqlVersion)
	b = append(append(b, version...), 0)
	b = append(b, 0, 0, 0, 0)
	b = append(append(b, nonce[:8]...), 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(flags))
	b = append(b, mysqlUTF8)
	b = binary.LittleEndian.AppendUint16(b, mysqlAutocommit)
	b = binary.LittleEndian.AppendUint16(b, uint16(flags>>16))
	b = append(b, MySQLNonceLen+1)
	b = append(b, make([]byte, 10)...)
	b = append(append(b, nonce[8:]...), 0)
	b = append(append(b, mysqlOfferedPlugin...), 0)
	return endMySQL(b, start)
}

// AppendMySQLError appends an ERR packet with this number. State has five characters.
func AppendMySQLError(b []byte, seq byte, code uint16, state, text string) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, seq, mysqlErr)
	b = binary.LittleEndian.AppendUint16(b, code)
	b = append(append(b, '#'), state...)
	return endMySQL(append(b, text...), start)
}
