package l4

import (
	"crypto/rand"

	"golang.org/x/sys/unix"

	"weir/l4/sniff"
	"weir/pool"
)

// A MySQL server speaks first, so Weir does in its place: with a greeting whose nonce
// no server knows. What the client makes of it is wrong, which servers settle with an
// AuthSwitchRequest of their own; see sniff.AppendMySQLGreeting for clients that go
// over to TLS, and sniff.MySQLLogin for those that do not.

// Errors that Weir tells MySQL clients, in clear: MySQL's numbers and states.
const (
	mysqlInsecure = 3159 // ER_SECURE_TRANSPORT_REQUIRED
	mysqlNotAuth  = 1251 // ER_NOT_SUPPORTED_AUTH_MODE

	mysqlOnlyTLS  = "Connections using insecure transport are prohibited here: TLS is needed"
	mysqlNeedsTLS = mysqlOnlyTLS + " with a server name, to choose a database"
	mysqlTooOld   = "Client does not support authentication plugins by name, which is needed here; " +
		"use one of MySQL 5.5 or later"
)

// Alerts of TLS (RFC 8446 section 6.2), the last words of Weir to a client whose
// TLS is not its own.
const (
	alertInternalError    = 80
	alertUnrecognizedName = 112
)

// greetMySQL says what a server would say first.
func (s *session) greetMySQL() {
	scratch := s.shard.loop.Scratch()
	random := scratch[:sniff.MySQLNonceLen]
	_, _ = rand.Read(random) // never fails
	nonce := [sniff.MySQLNonceLen]byte(random)
	b := sniff.AppendMySQLGreeting(scratch[:0], s.routing.conf.ServerVersion, nonce, true)
	if n, errno := s.shard.loop.Write(s.client.fd, b); errno != 0 || n != len(b) {
		s.close(reasonClientReset)
	}
}

// judgeMySQL looks at the client's answer to the greeting.
func (s *session) judgeMySQL() {
	up := &s.up
	var login sniff.MySQLLogin
	plain := s.routing.bySource(s.peer.Addr()) // no name comes without TLS
	kind, n, verdict := sniff.MySQLClient(up.buf.B[up.off:up.end], 1, int(s.routing.conf.SniffMax), &login)
	switch {
	case verdict == sniff.NeedMore:
	case verdict == sniff.TooLarge:
		s.close(reasonTooLarge)
	case verdict != sniff.Done:
		s.close(reasonMalformed)
	case kind == sniff.MySQLSSLRequest:
		s.prologue.hello, s.prologue.asked = true, uint8(n)
		if up.end-up.off > n {
			s.judgeHello()
		}
	case up.end-up.off > n: // nobody goes on before the server's answer
		s.close(reasonMalformed)
	case s.routing.front != nil:
		s.refuseMySQL(mysqlInsecure, mysqlOnlyTLS, reasonNotTLS)
	case plain == nil:
		s.timeSniff()
		s.refuseMySQL(mysqlInsecure, mysqlNeedsTLS, reasonNoRoute)
	case !login.PluginAuth:
		s.refuseMySQL(mysqlNotAuth, mysqlTooOld, reasonTooOld)
	default:
		s.timeSniff()
		s.askMySQL(&login)
		s.route(plain)
	}
}

// askMySQL puts a login that makes the server ask for a proof in the place of the
// one that is held. From there the numbers of the packets are the same on both sides.
func (s *session) askMySQL(login *sniff.MySQLLogin) {
	up := &s.up
	b := login.AppendAsking(s.shard.loop.Scratch()[:0], 1, false)
	up.release()
	up.buf = pool.Get(len(b))
	up.end = copy(up.buf.B, b)
	s.prologue.clear = true
}

// refuseMySQL ends a session in clear with a reason that the client can show.
func (s *session) refuseMySQL(code uint16, text string, why reason) {
	b := sniff.AppendMySQLError(s.shard.loop.Scratch()[:0], 2, code, "HY000", text)
	_, _ = s.shard.loop.Write(s.client.fd, b) // the client may be gone; either way it is closed
	s.close(why)
}

// alert tells a client that waits for the answer to its ClientHello why there is
// none. Only a database's TLS gets one: its client shows no better reason.
func (s *session) alert(description byte) {
	if s.prologue.hello {
		b := append(s.shard.loop.Scratch()[:0], 0x15, 3, 3, 0, 2, 2, description)
		_, _ = s.shard.loop.Write(s.client.fd, b) // the client may be gone; either way it is closed
	}
}

// negotiateMySQL waits for the backend's greeting. It is looked at in the kernel's
// buffer, as its length is not known before, and taken out alone.
func (s *session) negotiateMySQL() {
	for s.state == stateNegotiating && s.server.readable {
		b := s.shard.loop.Scratch()[:sniff.MySQLGreetingMax]
		n, errno := s.shard.loop.Peek(s.server.fd, b)
		switch {
		case errno == unix.EAGAIN:
			s.server.readable, s.server.toEnd = false, false
		case errno == unix.EINTR:
		case errno != 0 || n == 0:
			s.unanswered(unix.ECONNRESET)
		default:
			s.judgeGreeting(b[:n])
		}
	}
}

func (s *session) judgeGreeting(b []byte) {
	var g sniff.MySQLGreeting
	n, verdict := sniff.MySQLServer(b, &g)
	switch {
	case verdict == sniff.NeedMore && !s.server.toEnd:
		s.server.readable = false // the next byte is an edge, though these are still there
		return
	case verdict != sniff.Done:
		s.alert(alertInternalError)
		s.close(reasonBackendMalformed)
		return
	case g.Refused:
		s.passRefusal(b[:n])
		return
	case !s.prologue.clear && !g.TLS:
		s.alert(alertInternalError)
		s.close(reasonBackendRefusedTLS)
		return
	case !g.PluginAuth:
		s.close(reasonBackendMalformed)
		return
	}
	if m, errno := s.shard.loop.Read(s.server.fd, b[:n]); errno != 0 || m != n {
		s.unanswered(unix.ECONNRESET)
		return
	}
	s.startRelay()
}

// passRefusal passes on why the backend takes no login. A client that waits for a
// ServerHello could not read it.
func (s *session) passRefusal(b []byte) {
	if s.prologue.clear {
		b[3] = 2 // the client has sent packet 1
		_, _ = s.shard.loop.Write(s.client.fd, b)
	}
	s.alert(alertInternalError)
	s.close(reasonBackendRefused)
}
