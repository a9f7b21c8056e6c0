package load

import (
	"bufio"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
)

// postgres is a client of the frontend/backend protocol 3.0 that knows how to log
// in and to ask one question.
type postgres struct {
	conn net.Conn
	r    *bufio.Reader
	out  []byte // room for a message
	body []byte // room for an answer
}

// maxPGMessage bounds an answer of the server; ours are tiny.
const maxPGMessage = 1 << 20

// pgQuery is the simple query SELECT 1.
var pgQuery = pgMessage(nil, 'Q', "SELECT 1\x00")

func newPostgres(conn net.Conn, p *Plan) (session, error) {
	s := &postgres{conn: conn, r: bufio.NewReaderSize(conn, 4<<10)}
	params := fmt.Sprintf("\x00\x03\x00\x00user\x00%s\x00database\x00%s\x00application_name\x00weir-bench\x00\x00",
		p.User, p.Database)
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(params)))
	if _, err := conn.Write(append(b, params...)); err != nil {
		return nil, err
	}
	if err := s.logIn(p.User, p.Password); err != nil {
		return nil, fmt.Errorf("cannot log in to PostgreSQL as %q: %w", p.User, err)
	}
	return s, nil
}

// logIn answers what the server asks until it is ready for a query.
func (s *postgres) logIn(user, password string) error {
	var scram *scram
	for {
		kind, body, err := s.read()
		if err != nil {
			return err
		}
		switch kind {
		case 'R':
			if err := s.authenticate(body, user, password, &scram); err != nil {
				return err
			}
		case 'E':
			return pgError(body)
		case 'Z':
			return nil
		case 'S', 'K', 'N':
		default:
			return wrong(failProtocol, "message %q during startup", kind)
		}
	}
}

// The requests for authentication that we can answer.
const (
	pgAuthOK        = 0
	pgAuthCleartext = 3
	pgAuthMD5       = 5
	pgAuthSASL      = 10
	pgAuthContinue  = 11
	pgAuthFinal     = 12
)

func (s *postgres) authenticate(body []byte, user, password string, x **scram) (err error) {
	if len(body) < 4 {
		return wrong(failProtocol, "an authentication request of %d bytes", len(body))
	}
	request, data := binary.BigEndian.Uint32(body), body[4:]
	switch request {
	case pgAuthOK:
		return nil
	case pgAuthCleartext:
		return s.write('p', password+"\x00")
	case pgAuthMD5:
		inner := md5.Sum([]byte(password + user))
		outer := md5.Sum(append([]byte(hex.EncodeToString(inner[:])), data...))
		return s.write('p', "md5"+hex.EncodeToString(outer[:])+"\x00")
	case pgAuthSASL:
		if !strings.Contains(string(data), scramName+"\x00") {
			return wrong(failProtocol, "the server offers only %q", data)
		}
		*x = newScram(password)
		first := (*x).first()
		size := binary.BigEndian.AppendUint32(nil, uint32(len(first)))
		return s.write('p', scramName+"\x00"+string(size)+first)
	case pgAuthContinue, pgAuthFinal:
		if *x == nil {
			return wrong(failProtocol, "SCRAM goes on before it began")
		}
		if request == pgAuthFinal {
			return (*x).verify(string(data))
		}
		proof, err := (*x).final(string(data))
		if err != nil {
			return err
		}
		return s.write('p', proof)
	}
	return wrong(failProtocol, "the server asks for authentication %d, which we do not know", request)
}

// do asks SELECT 1 and wants a row with "1".
func (s *postgres) do() (failure, bool, error) {
	_, err := s.conn.Write(pgQuery)
	if err == nil {
		err = s.answer()
	}
	return failureOf(err), err == nil, err
}

func (s *postgres) answer() error {
	rows := 0
	var failed error
	for {
		kind, body, err := s.read()
		if err != nil {
			return err
		}
		switch kind {
		case 'D':
			rows++
			if string(body) != "\x00\x01\x00\x00\x00\x011" {
				failed = wrong(failData, "SELECT 1 gave the row %q", body)
			}
		case 'E':
			failed = pgError(body)
		case 'Z':
			if failed == nil && rows != 1 {
				failed = wrong(failLength, "SELECT 1 gave %d rows", rows)
			}
			return failed
		case 'T', 'C', 'S', 'N':
		default:
			return wrong(failProtocol, "message %q in the answer to a query", kind)
		}
	}
}

// close says goodbye, so that the server logs no broken connection.
func (s *postgres) close() { _ = s.write('X', "") }

func (s *postgres) write(kind byte, body string) error {
	s.out = pgMessage(s.out[:0], kind, body)
	_, err := s.conn.Write(s.out)
	return err
}

// read takes one message; body is valid until the next.
func (s *postgres) read() (kind byte, body []byte, err error) {
	var head [5]byte
	if err := readFull(s.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n < 4 || n > maxPGMessage {
		return 0, nil, wrong(failProtocol, "a message of %d bytes: expected 4 to %d", n, maxPGMessage)
	}
	n -= 4
	if uint32(cap(s.body)) < n {
		s.body = make([]byte, n)
	}
	body = s.body[:n]
	return head[0], body, readFull(s.r, body)
}

func pgMessage(b []byte, kind byte, body string) []byte {
	b = binary.BigEndian.AppendUint32(append(b, kind), uint32(4+len(body)))
	return append(b, body...)
}

// pgError is the message of an ErrorResponse.
func pgError(body []byte) error {
	for field := range strings.SplitSeq(string(body), "\x00") {
		if text, ok := strings.CutPrefix(field, "M"); ok {
			return wrong(failStatus, "the server says: %s", text)
		}
	}
	return wrong(failStatus, "the server reports an error without a message")
}

// readFull fills b; the end of the connection before that is unexpected.
func readFull(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF && len(b) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
