package l4

import (
	"crypto/tls"
	"errors"
	"io"
	"runtime/debug"
	"time"

	"weir/l4/loop"
	"weir/pool/metric"
)

// secure lets a goroutine bring the request by TLS, as the pool wants it: the secret
// that it holds is worth as much as the query that it ends. It never goes out in plain.
func (c *canceller) secure() {
	l := c.shard.loop
	l.Disarm(&c.timer)
	fd := c.fd
	c.fd = -1
	l.Release(fd)
	conn, err := loop.NewConn(loop.Handover{FD: fd})
	if err != nil {
		c.end()
		return
	}
	c.conn = conn
	_ = conn.SetDeadline(time.Now().Add(cancelQuit)) // for all of it; what fails here fails again below
	c.shard.server.secured.Go(c.deliver)
}

// deliver is the goroutine that brings the request and waits for the server to close.
func (c *canceller) deliver() {
	defer c.shard.loop.Do(c.delivered) // a loop that has ended has forgotten c
	defer func() { _ = c.conn.Close() }()
	defer func() {
		if v := recover(); v != nil {
			c.shard.server.metrics.Counter(metric.Panics, "l4").Inc()
			c.shard.log.Error("panic in a CancelRequest", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	if err := c.bring(); err != nil && c.shard.server.mayTell(time.Now()) {
		c.shard.log.Warn("cannot bring a CancelRequest to a server by TLS", "backend", c.to.String(), "error", err)
	}
}

// bring asks for TLS, as PostgreSQL wants it, and sends the request.
func (c *canceller) bring() error {
	if _, err := c.conn.Write(c.head); err != nil {
		return err
	}
	if err := askPostgres(c.conn); err != nil {
		return err
	}
	w := &wire{Conn: c.conn}
	conn := tls.Client(w, c.tls)
	if err := c.shard.server.shake(w, conn, c.shard.server.closing, cancelQuit); err != nil {
		return err
	}
	if _, err := conn.Write(c.text); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, conn)
	if errors.Is(err, errCut) {
		return nil // PostgreSQL says no goodbye when it has sent the signal
	}
	return err
}

// delivered ends c on its loop, unless that has been done.
func (c *canceller) delivered() {
	if _, open := c.shard.cancels[c]; open {
		c.end()
	}
}
