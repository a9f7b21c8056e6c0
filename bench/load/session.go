package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// newSession brings a connection that was just made to where it can take a
// request. conn has a deadline and stays the caller's.
func (j *job) newSession(conn net.Conn, i int) (session, error) {
	var err error
	if j.plan.TLS || j.plan.Kind == Handshake {
		if conn, err = j.handshake(conn, i); err != nil {
			return nil, err
		}
	}
	switch j.plan.Kind {
	case Handshake:
		return handshakeSession{}, nil
	case Postgres:
		return newPostgres(conn, j.plan)
	case WebSocket:
		return newWebSocket(conn, j)
	default:
		return &httpSession{job: j, conn: conn, resp: j.newResponse(), buf: make([]byte, 32<<10)}, nil
	}
}

// handshake speaks TLS on conn, always in full: no session is resumed.
func (j *job) handshake(conn net.Conn, i int, protocols ...string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), j.plan.Timeout)
	defer cancel()
	c := tls.Client(conn, &tls.Config{
		ServerName:         j.serverName(i),
		InsecureSkipVerify: true, // what is tested is speed, with certificates made for the test
		NextProtos:         protocols,
	})
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("cannot shake hands: %w", err)
	}
	return c, nil
}

// handshakeSession has nothing to do once its connection was made.
type handshakeSession struct{}

func (handshakeSession) do() (failure, bool, error) { return failNone, false, nil }
func (handshakeSession) close()                     {}

// httpSession is HTTP/1.1 by a goroutine, for TLS.
type httpSession struct {
	job  *job
	conn net.Conn
	resp response
	buf  []byte
}

func (h *httpSession) do() (failure, bool, error) {
	h.resp.reset()
	if err := h.send(); err != nil {
		return failureOf(err), false, err
	}
	for !h.resp.whole() {
		n, err := h.conn.Read(h.buf)
		used, f := h.resp.feed(h.buf[:n])
		switch {
		case f != failNone:
			return f, false, nil
		case used < n:
			return failProtocol, false, errSurplus
		case err != nil && !h.resp.whole():
			return h.ended(err)
		}
	}
	f := h.job.check.of(h.resp.status, h.resp.length, h.resp.sum)
	return f, !h.resp.close, nil
}

func (h *httpSession) send() error {
	if _, err := h.conn.Write(h.job.first); err != nil {
		return err
	}
	for off, left := h.job.start, h.job.plan.Send-h.job.start; left > 0; {
		b := h.job.pattern.at(off)
		b = b[:min(int64(len(b)), left)]
		if _, err := h.conn.Write(b); err != nil {
			return err
		}
		off, left = off+int64(len(b)), left-int64(len(b))
	}
	return nil
}

// ended sorts the end of a connection before the end of the response's framing.
func (h *httpSession) ended(err error) (failure, bool, error) {
	if f := failureOf(err); f == failTimeout {
		return f, false, err
	}
	if f := h.resp.end(); f != failNone {
		return f, false, err
	}
	return h.job.check.of(h.resp.status, h.resp.length, h.resp.sum), false, nil
}

func (h *httpSession) close() {
	// A server that waits for close_notify before it logs need not wait; an error changes nothing.
	_ = h.conn.SetDeadline(time.Now().Add(time.Second))
	_ = h.conn.Close()
}
