package l4

import (
	"golang.org/x/sys/unix"

	"weir/l4/sniff"
)

// prologue is what a session with a database knows of its start. A client asks for
// TLS with a message of its own before the ClientHello, and so does Weir at the
// backend: only so can Weir read the server name and stay out of the TLS session.
type prologue struct {
	hello   bool // a ClientHello is next, or was read
	gss     bool // PostgreSQL: GSSAPI encryption was declined
	wantTLS bool // PostgreSQL: the backend is to be asked for TLS before anything else

	clear bool  // MySQL: a login without TLS is held, changed for the server
	asked uint8 // MySQL: length of the request for TLS, which is held before the ClientHello

	cancel *cancelling // PostgreSQL: the request that the session waits for
}

// PostgreSQL's messages, protocol documentation section 54.7.
const (
	pgSSLRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	pgAccept     = "S"
	pgDecline    = "N"
	// pgNeedsTLS is an ErrorResponse for a client that came without TLS where only a name can route.
	pgNeedsTLS = "E\x00\x00\x00\x71SFATAL\x00VFATAL\x00C08004\x00" +
		"MTLS with a server name (sslmode=require, sslsni=1) is needed to reach a database here\x00\x00"
)

// judgePostgres looks at the messages that may precede a ClientHello.
func (s *session) judgePostgres() {
	for s.state == stateSniffing && !s.prologue.hello {
		up := &s.up
		kind, n, verdict := sniff.Postgres(up.buf.B[up.off:up.end])
		switch verdict {
		case sniff.NeedMore:
			return
		case sniff.Done:
			if up.end-up.off < n && s.pgWhole(kind, n) {
				return
			}
			s.pgMessage(kind, n)
		default:
			s.close(reasonMalformed)
		}
	}
	if s.state == stateSniffing && s.up.off < s.up.end {
		s.judgeHello()
	}
}

// pgWhole reports whether all n bytes of the first message are wanted: of one that is
// passed on, and of one that is refused, as closing with bytes unread is a reset, which
// may overtake the refusal.
func (s *session) pgWhole(kind sniff.PGKind, n int) bool {
	refused := kind == sniff.PGStartup && s.routing.bySource(s.peer.Addr()) == nil && n <= int(s.routing.conf.SniffMax)
	return kind == sniff.PGCancel || refused
}

// pgMessage answers or routes one first message of n bytes.
func (s *session) pgMessage(kind sniff.PGKind, n int) {
	up := &s.up
	if !s.routing.byBytes(s.peer.Addr()) && s.routing.front == nil && kind != sniff.PGCancel {
		// No name is needed: the backend answers for itself.
		s.timeSniff()
		s.route(s.routing.bySource(s.peer.Addr()))
		return
	}
	switch kind {
	case sniff.PGSSLRequest:
		if up.end-up.off > n {
			// Bytes sent before the answer are not protected by TLS and would be
			// taken for bytes that are (CVE-2021-23214).
			s.close(reasonMalformed)
			return
		}
		s.prologue.hello, s.prologue.wantTLS = true, true
		s.pgAnswer(pgAccept, n)
	case sniff.PGGSSENCRequest:
		if s.prologue.gss || up.end-up.off > n {
			s.close(reasonMalformed)
			return
		}
		s.prologue.gss = true
		s.pgAnswer(pgDecline, n)
	case sniff.PGDirectTLS:
		s.prologue.hello = true
	case sniff.PGCancel:
		s.cancelPostgres(n)
	default: // a startup in clear: no name to route by
		s.timeSniff()
		to := s.routing.bySource(s.peer.Addr())
		if to == nil || s.routing.front != nil {
			// The client may be gone, or its socket full of nothing; either way it is closed.
			_, _ = s.shard.loop.Write(s.client.fd, []byte(pgNeedsTLS))
		}
		if s.routing.front != nil {
			s.close(reasonNotTLS)
			return
		}
		s.route(to)
	}
}

// pgAnswer replies with one byte and forgets the n bytes it answers.
func (s *session) pgAnswer(answer string, n int) {
	b := s.shard.loop.Scratch()[:1]
	b[0] = answer[0]
	if _, errno := s.shard.loop.Write(s.client.fd, b); errno != 0 {
		s.close(reasonClientReset)
		return
	}
	s.up.off += n
	if s.up.off == s.up.end {
		s.up.off, s.up.end = 0, 0
	}
}

// beginNegotiate asks the backend for TLS, as the client has asked Weir.
func (s *session) beginNegotiate() {
	b := s.shard.loop.Scratch()[:len(pgSSLRequest)]
	copy(b, pgSSLRequest)
	if _, errno := s.shard.loop.Write(s.server.fd, b); errno != 0 {
		s.unanswered(unix.ECONNRESET)
		return
	}
	s.state = stateNegotiating
	s.arm(s.to.group.ConnectTimeout())
	s.negotiate()
}

// negotiate waits for the backend's one byte. Nothing more is read: what follows
// it belongs to the TLS session.
func (s *session) negotiate() {
	for s.server.readable {
		b := s.shard.loop.Scratch()[:1]
		n, errno := s.shard.loop.Read(s.server.fd, b)
		switch {
		case errno == unix.EAGAIN:
			s.server.readable, s.server.toEnd = false, false
		case errno == unix.EINTR:
		case errno != 0 || n == 0:
			s.unanswered(unix.ECONNRESET)
			return
		case b[0] != pgAccept[0]:
			s.close(reasonBackendRefusedTLS)
			return
		default:
			s.startRelay()
			return
		}
	}
}

// unanswered goes on to the next member where one was reached and does not do its
// part of the prologue. Nothing of the client's has gone to it.
func (s *session) unanswered(err error) {
	s.state = stateConnecting
	s.connectFailed(err)
	s.connect()
}
