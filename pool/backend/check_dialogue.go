package backend

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// maxCheckAnswer bounds all that a check other than http reads.
const maxCheckAnswer = 64 << 10

// checkUser is who a check says it is where it does not log in.
const checkUser = "weir-health"

var (
	errCheckFlood = fmt.Errorf("the answer is longer than %d bytes", maxCheckAnswer)
	errCheckEnd   = errors.New("the connection ended before the answer was complete")
	errEarlyBytes = errors.New("the server sent more than its answer before encryption began")
)

// dialogue is the connection of one check. What is read is bounded; reads and
// writes end with the time of the check.
type dialogue struct {
	conn    net.Conn
	limited *io.LimitedReader
	r       *bufio.Reader
	private bool // no one reads along: TLS or a unix socket
}

func newDialogue(conn net.Conn, private bool) *dialogue {
	limited := &io.LimitedReader{R: conn, N: maxCheckAnswer}
	return &dialogue{conn: conn, limited: limited, r: bufio.NewReader(limited), private: private}
}

// converse connects to address and runs talk, both before ctx ends.
func converse(ctx context.Context, network, address string, talk func(*dialogue) error) error {
	conn, err := dialCheck(ctx, network, address)
	if err != nil {
		return checkCause(err)
	}
	d := newDialogue(conn, network == "unix")
	defer func() { _ = d.conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return talk(d)
}

// send writes b whole.
func (d *dialogue) send(b []byte) error {
	_, err := d.conn.Write(b)
	return checkCause(err)
}

// read returns the next n bytes, in a slice of the caller's own.
func (d *dialogue) read(n int) ([]byte, error) {
	// What a peer announces is not what it gets to allocate.
	if n > d.r.Buffered()+int(d.limited.N) {
		return nil, errCheckFlood
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(d.r, b); err != nil {
		return nil, d.cause(err)
	}
	return b, nil
}

// line returns the next line without its end, CRLF or LF.
func (d *dialogue) line() ([]byte, error) {
	line, err := d.r.ReadBytes('\n')
	if err != nil {
		return nil, d.cause(err)
	}
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, nil
}

// cause words why a read failed.
func (d *dialogue) cause(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if d.limited.N <= 0 {
			return errCheckFlood
		}
		return errCheckEnd
	}
	return checkCause(err)
}

// encrypt goes on over TLS. Nothing may have come in before it: that could be from
// anyone.
func (d *dialogue) encrypt(ctx context.Context, config *tls.Config) error {
	if d.r.Buffered() > 0 {
		return errEarlyBytes
	}
	conn := tls.Client(d.conn, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("cannot complete a TLS handshake: %w", checkCause(err))
	}
	*d = *newDialogue(conn, true)
	return nil
}

// shown is a piece of what a server sent, fit for an error.
func shown(b []byte) string {
	const most = 120
	if len(b) > most {
		return fmt.Sprintf("%q...", b[:most])
	}
	return fmt.Sprintf("%q", b)
}
