package l4

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"weir/l4/loop"
	"weir/l4/sniff"
	"weir/pool/backend"
	"weir/pool/metric"
)

// mysqlLogin is the login of a MySQL client whose TLS Weir ended. It goes to the
// server without its proof, so that the server asks for one with its own nonce; from
// there on client and server speak to each other.
type mysqlLogin struct {
	sniff.MySQLLogin // of bytes that it owns

	most int // bytes that a login may have
}

// The number of the client's login, behind its request for TLS, and of the answer.
const (
	mysqlLoginSeq  = 2
	mysqlAnswerSeq = mysqlLoginSeq + 1
)

// errLogin is a client that does not send a login.
var errLogin = errors.New("the client's login is not one of MySQL")

// read reads the login through TLS. Nothing may follow it before an answer.
func (l *mysqlLogin) read(client io.Reader) error {
	buf := make([]byte, 0, 512)
	for {
		kind, n, v := sniff.MySQLClient(buf, mysqlLoginSeq, l.most, &l.MySQLLogin)
		switch {
		case v == sniff.Done && kind == sniff.MySQLLoginPacket && n == len(buf):
			return nil
		case v != sniff.NeedMore:
			return errLogin
		case len(buf) == cap(buf):
			buf = append(make([]byte, 0, min(4*cap(buf), l.most+1)), buf...)
		}
		n, err := client.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil && n == 0 {
			return err
		}
	}
}

// meetLogin reads the login. Without one it returns how the session is to end.
func (t *secured) meetLogin(client stream) (why reason, ok bool) {
	t.deadline(t.client, t.limit)
	defer t.deadline(t.client, 0)
	switch err := t.login.read(client); {
	case errors.Is(err, errLogin):
		return reasonMalformed, false
	case err != nil && isTimeout(err):
		return reasonSniffTimeout, false
	case err != nil:
		return reasonSniffEnd, false
	case !t.login.PluginAuth:
		t.refuse(client, sniff.AppendMySQLError(nil, mysqlAnswerSeq, mysqlNotAuth, "HY000", mysqlTooOld))
		return reasonTooOld, false
	}
	return 0, true
}

// refuse sends the client its last packet and ends the direction.
func (t *secured) refuse(client stream, packet []byte) {
	t.deadline(t.client, goodbyeTime)
	if _, err := client.Write(packet); err == nil {
		_ = client.CloseWrite() // the client may be gone; either way it is closed
	}
}

// mysqlRefusal is a server that takes no login. The client is told why.
type mysqlRefusal struct{ packet []byte }

func (*mysqlRefusal) Error() string { return "the server takes no login" }

// greetingError is what went wrong before TLS or the login could begin.
type greetingError struct{ err error }

func (e *greetingError) Error() string {
	return fmt.Sprintf("cannot read the server's greeting: %v", e.err)
}
func (e *greetingError) Unwrap() error { return e.err }

// greetMySQL reads the server's greeting, goes over to TLS where the pool wants it,
// and sends the login.
func (t *secured) greetMySQL(o *offer) (stream, error) {
	t.deadline(o.conn, o.timeout)
	defer t.deadline(o.conn, 0)
	g, err := readGreeting(o.conn)
	if err != nil {
		return nil, err
	}
	if o.config == nil {
		if _, err := o.conn.Write(t.login.AppendAsking(nil, 1, false)); err != nil {
			return nil, &greetingError{err}
		}
		return &numbered{stream: o.conn}, nil
	}
	if !g.TLS {
		return nil, errNoTLS
	}
	if _, err := o.conn.Write(t.login.AppendSSLRequest(nil)); err != nil {
		return nil, &greetingError{err}
	}
	conn, err := t.encrypt(o.conn, o.config, o.timeout)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(t.login.AppendAsking(nil, mysqlLoginSeq, true)); err != nil {
		return nil, err
	}
	return tlsStream{conn, o.conn}, nil
}

// readGreeting reads a server's first packet, and nothing behind it.
func readGreeting(conn *loop.Conn) (g sniff.MySQLGreeting, err error) {
	buf := make([]byte, 4, 128)
	for at := 0; ; {
		if _, err := io.ReadFull(conn, buf[at:]); err != nil {
			return g, &greetingError{err}
		}
		at = len(buf)
		n, v := sniff.MySQLServer(buf, &g)
		switch {
		case v == sniff.Done && g.Refused:
			return g, &mysqlRefusal{buf}
		case v == sniff.Done && g.PluginAuth:
			return g, nil
		case v != sniff.NeedMore || n == 0:
			return g, &greetingError{errors.New("this is not MySQL since 5.5")}
		}
		buf = append(buf, make([]byte, n-at)...)
	}
}

// numbered is a server in plain behind a client in TLS: until the login has ended,
// the client counts one packet more.
type numbered struct {
	stream
	up, down sniff.MySQLNumbers // each touched by its direction only
	ended    atomic.Bool        // set before the client can see it, and answer
}

func (s *numbered) Read(p []byte) (int, error) {
	n, err := s.stream.Read(p)
	if !s.ended.Load() && s.down.Shift(p[:n], 1) {
		s.ended.Store(true)
	}
	return n, err
}

func (s *numbered) Write(p []byte) (int, error) {
	if !s.ended.Load() {
		p = bytes.Clone(p) // a Writer leaves what it is given alone
		s.up.Shift(p, 0xff)
	}
	return s.stream.Write(p)
}

// mysqlRefused goes on to the next member where one did not speak MySQL.
func (s *session) mysqlRefused(err error) {
	s.shard.server.metrics.Counter(metric.L4ConnectFailures, s.to.pool, "greeting").Inc()
	s.tellBackend("cannot log in at a MySQL server", err)
	s.member.Report(backend.Classify(err))
	s.member.Done()
	s.member = nil
	s.failed = true
	s.connect()
}
