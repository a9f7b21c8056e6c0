package l4

import (
	"bytes"
	"crypto/tls"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
	"weir/pool/backend"
)

// Bounds of passing on a CancelRequest of PostgreSQL, which names a backend process
// and a secret but no server: each server of the listener gets it, and the one that
// knows the pair acts. The others drop it without a word.
const (
	cancelServers = 16                    // at most so many get one
	cancelEvery   = 20 * time.Millisecond // per listener and loop, over time
	cancelBurst   = 100                   // at once
	cancelConns   = 512                   // open connections of a loop for it
	cancelWait    = time.Second           // the client waits no longer
	cancelQuit    = 5 * time.Second       // for a server to close, once it has been told
	cancelDebt    = cancelBurst * cancelEvery
)

// cancelling is one CancelRequest on its way to the servers. The session waits for
// them, since a client takes the end of its connection for the sign that its next
// query is safe from this request; one that is gone is nil here.
type cancelling struct {
	session *session
	left    int // connections that are not finished
}

// canceller is one connection that brings a CancelRequest to a server. It belongs
// to its loop and outlives the session.
type canceller struct {
	shard *shard
	job   *cancelling
	to    *backend.Endpoint
	fd    int
	timer loop.Timer
	head  []byte // a PROXY header, where the pool wants one
	text  []byte // the request; nil: sent
	tls   *tls.Config
	conn  *loop.Conn // a goroutine has the connection, for TLS; nil: the loop does
}

// cancelPostgres passes on the CancelRequest in the first n bytes.
func (s *session) cancelPostgres(n int) {
	s.timeSniff()
	if !s.counters.mayCancel(s.shard.loop.Now()) || len(s.shard.cancels) >= cancelConns {
		s.close(reasonCancelLimit)
		return
	}
	up := &s.up
	job := &cancelling{session: s}
	s.prologue.cancel = job
	s.state = stateCancelling
	s.arm(cancelWait)
	job.left = 1 // so that none that ends at once ends the session before the others began
	seen := make([]string, 0, cancelServers)
	for _, to := range s.routing.pools {
		head, text := s.header(to.group, nil), bytes.Clone(up.buf.B[up.off:up.off+n])
		for _, m := range to.group.Members() {
			if e := m.Endpoint(); len(seen) < cancelServers && !slices.Contains(seen, e.String()) {
				seen = append(seen, e.String())
				job.left++
				c := &canceller{shard: s.shard, job: job, to: e, fd: -1, head: head, text: text}
				if secure := to.group.TLS(); secure != nil {
					c.tls = secure.Config(m)
				}
				c.start(to.group)
			}
		}
	}
	job.finished()
}

// mayCancel takes one CancelRequest out of what a listener may pass on: a bucket
// that is kept as the time at which it would be full again.
func (n *counters) mayCancel(now time.Duration) bool {
	at := max(n.cancelFull, now)
	if at-now > cancelDebt-cancelEvery {
		return false
	}
	n.cancelFull = at + cancelEvery
	return true
}

// finished counts one connection less, and ends the client's with the last.
func (j *cancelling) finished() {
	if j.left--; j.left == 0 && j.session != nil {
		j.session.close(reasonCancel)
	}
}

func (c *canceller) start(g *backend.Group) {
	l := c.shard.loop
	c.shard.cancels[c] = struct{}{}
	fd, connected, err := l.Dial(c.to.Sockaddr(), g.Socket().Brief())
	if err != nil {
		c.end()
		return
	}
	if err := l.Watch(fd, c); err != nil {
		l.CloseSocket(fd)
		c.end()
		return
	}
	c.fd = fd
	l.Arm(&c.timer, g.ConnectTimeout(), c)
	if connected {
		c.send()
	}
}

// Ready implements [loop.Handler].
func (c *canceller) Ready(int, loop.Events) {
	if c.text == nil {
		c.await()
		return
	}
	switch connected, err := c.shard.loop.Dialed(c.fd, c.to.Sockaddr()); {
	case err != nil:
		c.end()
	case connected:
		c.send()
	}
}

// send writes the request. A fresh socket has room for it.
func (c *canceller) send() {
	if c.tls != nil {
		c.secure()
		return
	}
	b := append(append(c.shard.loop.Scratch()[:0], c.head...), c.text...)
	n, errno := c.shard.loop.Write(c.fd, b)
	if errno != 0 || n != len(b) {
		c.end()
		return
	}
	c.text = nil
	c.shard.loop.Arm(&c.timer, cancelQuit, c)
	c.await()
}

// await waits for the server to close, which it does when the signal is out.
func (c *canceller) await() {
	for {
		n, errno := c.shard.loop.Read(c.fd, c.shard.loop.Scratch())
		switch {
		case errno == unix.EAGAIN:
			return
		case errno == unix.EINTR:
		case errno != 0 || n == 0:
			c.end()
			return
		}
	}
}

// Expire implements [loop.Expirer].
func (c *canceller) Expire(*loop.Timer) { c.end() }

// Abort implements [loop.Aborter].
func (c *canceller) Abort() {
	if _, open := c.shard.cancels[c]; open {
		c.end()
	}
}

func (c *canceller) end() {
	delete(c.shard.cancels, c)
	c.shard.loop.Disarm(&c.timer)
	if c.fd >= 0 {
		c.shard.loop.CloseFD(c.fd)
		c.fd = -1
	}
	if c.conn != nil {
		_ = c.conn.SetDeadline(longAgo) // wakes the goroutine, which closes it
	}
	c.job.finished()
}
