package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// wire is the connection under TLS to a backend. An end without a close_notify is
// no end of a message that ends with its connection: someone may have cut it
// (crypto/tls lets one pass between two records).
type wire struct {
	net.Conn
	hushed bool // read only what is there already
}

// Reset closes the connection by an RST.
func (w *wire) Reset() error {
	if l, ok := w.Conn.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0) // a unix socket has none
	}
	return w.Close()
}

func (w *wire) Read(p []byte) (int, error) {
	if w.hushed {
		return 0, os.ErrDeadlineExceeded // one that crypto/tls forgets
	}
	n, err := w.Conn.Read(p)
	if err == io.EOF {
		err = errCut
	}
	return n, err
}

// errCut is not io.ErrUnexpectedEOF itself, which crypto/tls makes an io.EOF of.
var errCut = fmt.Errorf("connection cut without close_notify: %w", io.ErrUnexpectedEOF)

// handshake encrypts a fresh connection as the member's pool wants it, unless ctx ends
// before. An error closes it.
func handshake(ctx context.Context, nc net.Conn, tg *target) (*tls.Conn, *wire, error) {
	w := &wire{Conn: nc}
	conn := tls.Client(w, tg.tls.Config(tg.member))
	err := nc.SetDeadline(time.Now().Add(tg.connectTimeout))
	if err == nil {
		err = conn.HandshakeContext(ctx)
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = nc.Close() // the first error tells more
		return nil, nil, err
	}
	return conn, w, nil
}

// hasSurplus reports whether TLS holds bytes beyond the response, which the kernel
// no longer shows, or an end. They must not become the next response.
func (c *Conn) hasSurplus() bool {
	if c.wire == nil {
		return false
	}
	c.wire.hushed = true
	defer func() { c.wire.hushed = false }()
	var b [1]byte
	n, err := c.nc.Read(b[:])
	return n > 0 || !os.IsTimeout(err)
}

// tell logs that a server cannot be used by TLS, at most once a second.
func (t *Transport) tell(tg *target, err error) {
	now, last := time.Now().UnixNano(), t.told.Load()
	if now-last >= int64(time.Second) && t.told.CompareAndSwap(last, now) {
		t.log.Warn("cannot connect to a server by TLS", "pool", tg.group, "backend", tg.name, "error", err)
	}
}
