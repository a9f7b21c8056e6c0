package backend

import (
	"context"
	"crypto/md5" //nolint:gosec // the protocol's
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"weir/conf"
)

// The codes of PostgreSQL's startup packets, and of its answers to a login
// (PostgreSQL documentation, "Message Formats").
const (
	pgVersion3   = 3 << 16
	pgSSLRequest = 80877103

	pgAuthOK        = 0
	pgAuthCleartext = 3
	pgAuthMD5       = 5
	pgAuthSASL      = 10
	pgAuthSASLNext  = 11
	pgAuthSASLFinal = 12
)

// pgLag gives how far a replica is behind, in milliseconds: nothing where it is
// connected and has replayed what it received, else the age of the last transaction
// it has seen. Null where it has seen none.
const pgLag = `SELECT CASE WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn()
AND EXISTS (SELECT 1 FROM pg_stat_wal_receiver) THEN 0
ELSE greatest(0, extract(epoch FROM now() - pg_last_xact_replay_timestamp()) * 1000)::bigint END`

// pgError is an ErrorResponse.
type pgError struct{ code, message string }

func (e *pgError) Error() string { return fmt.Sprintf("%s (SQLSTATE %s)", e.message, e.code) }

// postgresCheck passes, with a user, when the login succeeds and the server tells
// whether it is a primary; without one, when the server answers a startup packet
// with anything but that it is starting, shutting down or broken.
func postgresCheck(ctx context.Context, network, address, server string, h *conf.Health) (f finding, err error) {
	err = converse(ctx, network, address, func(d *dialogue) error {
		p := &pgDialogue{dialogue: d, h: h}
		if err := p.encrypt(ctx, wantedTLS(network, h), server); err != nil {
			return err
		}
		f, err = p.talk()
		return err
	})
	return f, err
}

// pgDialogue speaks PostgreSQL's protocol 3.0.
type pgDialogue struct {
	*dialogue
	h *conf.Health
}

// encrypt asks for TLS as mode wants it.
func (p *pgDialogue) encrypt(ctx context.Context, mode, server string) error {
	if mode == tlsOff {
		return nil
	}
	if err := p.send(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, pgSSLRequest)); err != nil {
		return err
	}
	answer, err := p.read(1)
	if err != nil {
		return err
	}
	switch {
	case answer[0] == 'S':
		config, err := checkTLS(server, p.h)
		if err != nil {
			return err
		}
		return p.dialogue.encrypt(ctx, config)
	case answer[0] != 'N':
		return fmt.Errorf("unexpected answer %s to a request for TLS", shown(answer))
	case mode == tlsRequire:
		return errors.New("the server does not offer TLS")
	}
	return nil
}

// talk runs the check on a connection that is encrypted as it should be.
func (p *pgDialogue) talk() (finding, error) {
	if err := p.startup(); err != nil {
		return finding{}, err
	}
	if p.h.User == "" {
		return finding{}, p.alive()
	}
	if err := p.login(); err != nil {
		return finding{}, fmt.Errorf("cannot log in: %w", err)
	}
	f, err := p.role()
	if err == nil {
		_ = p.sendMessage('X', nil) // so that the server's log stays quiet; the check has passed
	}
	return f, err
}

func (p *pgDialogue) startup() error {
	user, database := p.h.User, p.h.Database
	if user == "" {
		user = checkUser
	}
	if database == "" {
		database = "postgres"
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 4, 128), pgVersion3)
	for _, s := range []string{"user", user, "database", database, "application_name", checkUser} {
		b = append(append(b, s...), 0)
	}
	b = append(b, 0)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return p.send(b)
}

// alive judges the first answer to a startup packet. A refusal is life too, but for
// those that say the server takes no one: 57P0x, starting up or shutting down, and
// classes 58 and XX, a broken one.
func (p *pgDialogue) alive() error {
	kind, b, err := p.next()
	if err != nil || kind == 'R' || kind == 'v' {
		return err
	}
	if kind != 'E' {
		return pgUnexpected(kind)
	}
	refusal, ok := pgParseError(b)
	if !ok {
		return errors.New("cannot read the server's error")
	}
	for _, class := range []string{"57P0", "58", "XX"} {
		if strings.HasPrefix(refusal.code, class) {
			return refusal
		}
	}
	return nil
}

// login answers what the server asks for until it is ready for a query.
func (p *pgDialogue) login() error {
	var s *scram
	for {
		kind, b, err := p.next()
		if err != nil {
			return err
		}
		switch kind {
		case 'R':
			if s, err = p.authenticate(b, s); err != nil {
				return err
			}
		case 'E':
			return pgRefusal(b)
		case 'Z':
			return nil
		case 'S', 'K', 'v':
		default:
			return pgUnexpected(kind)
		}
	}
}

// authenticate answers one Authentication message. s is the state of SCRAM.
func (p *pgDialogue) authenticate(b []byte, s *scram) (*scram, error) {
	if len(b) < 4 {
		return s, errors.New("cannot read the server's demand for authentication")
	}
	code, b := binary.BigEndian.Uint32(b), b[4:]
	password := p.h.Password.Reveal()
	if code != pgAuthOK && password == "" {
		return s, errors.New("the server wants a password, the check has none")
	}
	switch code {
	case pgAuthOK:
		if s != nil && !s.verified {
			return s, errors.New("the server did not prove that it knows the password")
		}
		return s, nil
	case pgAuthCleartext:
		return s, p.sendMessage('p', append([]byte(password), 0))
	case pgAuthMD5:
		if len(b) != 4 {
			return s, errors.New("cannot read the salt of the md5 login")
		}
		return s, p.sendMessage('p', append([]byte(pgMD5(p.h.User, password, b)), 0))
	case pgAuthSASL:
		if !strings.Contains("\x00"+string(b), "\x00"+scramName+"\x00") {
			return s, fmt.Errorf("the server offers SASL without %s: %s", scramName, shown(b))
		}
		s = newScram(password)
		first := s.first()
		m := append([]byte(scramName), 0)
		m = binary.BigEndian.AppendUint32(m, uint32(len(first)))
		return s, p.sendMessage('p', append(m, first...))
	case pgAuthSASLNext, pgAuthSASLFinal:
		return s, p.continueSASL(code, b, s)
	}
	return s, fmt.Errorf("authentication method %d is not supported by the check", code)
}

func (p *pgDialogue) continueSASL(code uint32, b []byte, s *scram) error {
	if s == nil {
		return errors.New("the server continues SASL before it began")
	}
	if code == pgAuthSASLFinal {
		return s.verify(string(b))
	}
	answer, err := s.answer(string(b))
	if err != nil {
		return err
	}
	return p.sendMessage('p', []byte(answer))
}

func pgMD5(user, password string, salt []byte) string {
	inner := md5.Sum([]byte(password + user))                               //nolint:gosec // the protocol's
	outer := md5.Sum(append([]byte(hex.EncodeToString(inner[:])), salt...)) //nolint:gosec // the protocol's
	return "md5" + hex.EncodeToString(outer[:])
}

// role asks for the server's role and, of a replica, how far it is behind. One that
// cannot say the latter (it is not quite PostgreSQL) is a replica all the same.
func (p *pgDialogue) role() (finding, error) {
	recovering, err := p.query("SELECT pg_is_in_recovery()")
	if err != nil {
		return finding{}, fmt.Errorf("cannot ask for the role: %w", err)
	}
	switch recovering {
	case "f":
		return finding{role: RolePrimary}, nil
	case "t":
	default:
		return finding{}, fmt.Errorf("cannot read the answer %s to pg_is_in_recovery()", shown([]byte(recovering)))
	}
	f := finding{role: RoleReplica, lag: lagUnknown}
	lag, err := p.query(pgLag)
	if refused := (*pgError)(nil); err != nil && !errors.As(err, &refused) {
		return f, err
	}
	const most = int64(365 * 24 * time.Hour / time.Millisecond) // more is not worth telling apart
	if ms, err := strconv.ParseInt(lag, 10, 64); err == nil && ms >= 0 {
		f.lag = time.Duration(min(ms, most)) * time.Millisecond
	}
	return f, nil
}

// query runs a query and returns the first column of its first row, "" for null.
// When it returns a *pgError, the connection is ready for the next one.
func (p *pgDialogue) query(q string) (string, error) {
	if err := p.sendMessage('Q', append([]byte(q), 0)); err != nil {
		return "", err
	}
	value, seen := "", false
	var refused error
	for {
		kind, b, err := p.next()
		if err != nil {
			return "", err
		}
		switch kind {
		case 'D':
			v, ok := pgFirstColumn(b)
			if !ok {
				return "", errors.New("cannot read a row")
			}
			if !seen {
				value, seen = v, true
			}
		case 'E':
			refused = pgRefusal(b)
			if code := (*pgError)(nil); !errors.As(refused, &code) || strings.HasPrefix(code.code, "57P0") {
				return "", refused // it ends the connection with it
			}
		case 'Z':
			if refused == nil && !seen {
				refused = errors.New("the answer has no row")
			}
			return value, refused
		case 'T', 'C', 'S':
		default:
			return "", pgUnexpected(kind)
		}
	}
}

// next reads a message, past notices.
func (p *pgDialogue) next() (kind byte, body []byte, err error) {
	for {
		head, err := p.read(5)
		if err != nil {
			return 0, nil, err
		}
		n := binary.BigEndian.Uint32(head[1:])
		if n < 4 {
			return 0, nil, fmt.Errorf("message %q has the impossible length %d", head[0], n)
		}
		if n > maxCheckAnswer {
			return 0, nil, fmt.Errorf("message %q has %d bytes: this is not PostgreSQL, or too much", head[0], n)
		}
		body, err := p.read(int(n) - 4)
		if err != nil || head[0] != 'N' {
			return head[0], body, err
		}
	}
}

func (p *pgDialogue) sendMessage(kind byte, body []byte) error {
	b := append(make([]byte, 0, 5+len(body)), kind)
	b = binary.BigEndian.AppendUint32(b, uint32(4+len(body)))
	return p.send(append(b, body...))
}

func pgUnexpected(kind byte) error {
	return fmt.Errorf("unexpected message %q: this is not PostgreSQL", kind)
}

// pgRefusal is the error in an ErrorResponse.
func pgRefusal(b []byte) error {
	if e, ok := pgParseError(b); ok {
		return e
	}
	return errors.New("cannot read the server's error")
}

// pgParseError reads the fields of an ErrorResponse. One without a SQLSTATE of five
// letters and digits is none.
func pgParseError(b []byte) (*pgError, bool) {
	e := &pgError{}
	for field := range strings.SplitSeq(strings.TrimRight(string(b), "\x00"), "\x00") {
		switch {
		case field == "":
			return nil, false
		case field[0] == 'C':
			e.code = field[1:]
		case field[0] == 'M':
			e.message = strings.ToValidUTF8(field[1:min(len(field), 500)], "?")
		}
	}
	if len(e.code) != 5 || strings.Trim(e.code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return nil, false
	}
	return e, true
}

// pgFirstColumn reads the first column of a DataRow, "" for null.
func pgFirstColumn(b []byte) (string, bool) {
	if len(b) < 6 || binary.BigEndian.Uint16(b) == 0 {
		return "", false
	}
	n, b := int32(binary.BigEndian.Uint32(b[2:])), b[6:] //nolint:gosec // -1 is null
	switch {
	case n == -1:
		return "", true
	case n < 0 || int(n) > len(b):
		return "", false
	}
	return string(b[:n]), true
}
