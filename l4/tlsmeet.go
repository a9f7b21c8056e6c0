package l4

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"weir/l4/loop"
	"weir/pool/backend"
	"weir/pool/metric"
)

// stream is one side of a secured session, in plain text.
type stream interface {
	io.Reader // io.EOF is an orderly end of the peer's direction
	io.Writer
	CloseWrite() error // an orderly end of ours
}

// meetClient completes the handshake with the client. Only then is a backend
// looked for. Without a stream it returns how the session is to end.
func (t *secured) meetClient() (stream, reason) {
	if t.front == nil {
		return t.client, 0
	}
	start := time.Now()
	under := &wire{Conn: t.client}
	conn := tls.Server(under, t.front)
	t.deadline(t.client, t.limit)
	err := t.shard.server.shake(under, conn, t.ended, t.limit)
	t.deadline(t.client, 0)
	if err != nil {
		t.post(func(s *session) { s.clientRefused(err) })
		t.linger()
		if isTimeout(err) {
			return nil, reasonTLSTimeout
		}
		return nil, reasonTLSHandshake
	}
	// The last word of TLS 1.3 is the client's. Nothing of ours follows soon that would
	// acknowledge it, and a client with Nagle's algorithm on waits for that with its first bytes.
	t.client.Acknowledge()
	facts := newTLSFacts(conn.ConnectionState(), time.Since(start))
	client := tlsStream{conn, t.client}
	if t.login != nil {
		if why, ok := t.meetLogin(client); !ok {
			return nil, why
		}
	}
	t.post(func(s *session) { s.clientMet(facts) })
	return client, 0
}

// lingerTime and lingerMost bound how long a refused client is listened to, so that
// the alert that tells it why is not overtaken by a reset.
const (
	lingerTime = time.Second
	lingerMost = 64 << 10
)

func (t *secured) linger() {
	_ = t.client.CloseWrite()
	t.deadline(t.client, lingerTime)
	_, _ = io.CopyN(io.Discard, t.client, lingerMost) // what it says does not matter
}

// clientRefused counts and tells of a handshake that failed.
func (s *session) clientRefused(err error) {
	s.handshakes("failed")
	s.shard.log.Debug("tls handshake failed", "listener", s.routing.listener.name, "client", s.peer, "sni", s.sni,
		"error", err)
}

// clientMet goes on with a client whose TLS Weir ended.
func (s *session) clientMet(facts *tlsFacts) {
	s.facts = facts
	s.handshakes(facts.result)
	s.timeTLS()
	s.seek()
}

func (s *session) handshakes(result string) {
	s.shard.server.metrics.Counter(metric.L4Handshakes, s.routing.listener.name, result).Inc()
}

// meetServer waits for the loop to connect, and completes the handshake where the
// pool wants one. Where that fails the loop tries the next member.
func (t *secured) meetServer() (stream, reason) {
	for {
		select {
		case <-t.ended:
			return nil, reasonInternal // nobody hears it
		case o := <-t.servers:
			t.take(o.conn)
			server, err := t.greet(&o)
			if err == nil {
				t.post((*session).relaySecured)
				return server, 0
			}
			t.take(nil)
			shut(o.conn, true)
			if refusal, ok := errors.AsType[*mysqlRefusal](err); ok {
				refusal.packet[3] = mysqlAnswerSeq
				t.refuse(t.open[0], refusal.packet)
				return nil, reasonBackendRefused
			}
			t.post(func(s *session) { s.serverRefused(err) })
		}
	}
}

// greet speaks to a fresh server until bytes can be relayed.
func (t *secured) greet(o *offer) (stream, error) {
	if t.login != nil {
		return t.greetMySQL(o)
	}
	if o.config == nil {
		return o.conn, nil
	}
	t.deadline(o.conn, o.timeout)
	if o.asks {
		if err := askPostgres(o.conn); err != nil {
			return nil, err
		}
	}
	conn, err := t.encrypt(o.conn, o.config, o.timeout)
	if err != nil {
		return nil, err
	}
	t.deadline(o.conn, 0)
	return tlsStream{conn, o.conn}, nil
}

// errNoTLS is a PostgreSQL server that does not speak TLS.
var errNoTLS = errors.New("the server does not accept TLS")

// askPostgres asks for TLS and reads the one byte of the answer, and no more: what
// follows it belongs to TLS.
func askPostgres(conn *loop.Conn) error {
	if _, err := io.WriteString(conn, pgSSLRequest); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if answer[0] != pgAccept[0] {
		return errNoTLS
	}
	return nil
}

// offerServer gives the connection that the loop made to the goroutine, whose
// client must not learn of it before it is as the pool wants it.
func (s *session) offerServer() {
	secure := s.to.group.TLS()
	if s.tls == nil && !s.secure(nil) {
		return
	}
	o := offer{timeout: s.to.group.ConnectTimeout(), asks: s.routing.conf.Protocol == "postgres"}
	if secure != nil {
		o.config = secure.Config(s.member)
	}
	fd := s.server.fd
	s.server.fd = -1
	s.shard.loop.Release(fd)
	var err error
	if o.conn, err = loop.NewConn(loop.Handover{FD: fd}); err != nil {
		s.connectFailed(err)
		s.connect()
		return
	}
	s.state = stateSecuring
	s.shard.loop.Disarm(&s.timer)
	s.tls.servers <- o // has room: there is one server at a time
}

// serverRefused goes on to the next member. A fault of TLS is one of settings, on
// either side, and says nothing about the server's health.
func (s *session) serverRefused(err error) {
	s.state = stateConnecting // so that events and the timer of the next connect are its own
	if _, ok := errors.AsType[*greetingError](err); ok {
		s.mysqlRefused(err)
		return
	}
	outcome := backend.HandshakeOutcome(err)
	if errors.Is(err, errNoTurn) {
		outcome = backend.LocalError
	}
	s.shard.server.metrics.Counter(metric.L4ConnectFailures, s.to.pool, "tls").Inc()
	s.tellTLS(err)
	s.member.Report(outcome)
	s.member.Done()
	s.member = nil
	s.failed, s.tlsFailed = true, true
	s.connect()
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
