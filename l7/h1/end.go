package h1

import (
	"net"
	"time"

	"weir/l7/message"
	"weir/pool"
)

// lingerTime bounds how long a closed connection is read, so that the client gets to
// read the answer: octets that arrive at a closed socket make the kernel send an RST,
// and that discards what the client has not read yet (RFC 9112 section 9.6).
const lingerTime = 2 * time.Second

// lingerPause is the time between two reads of a client that goes on sending.
const lingerPause = 100 * time.Millisecond

// abortTime bounds the last write of an aborted connection.
const abortTime = time.Second

// What connections below a Conn may offer beside net.Conn.
type (
	halfCloser interface{ CloseWrite() error }
	resetter   interface{ Reset() error }
	lingerer   interface{ SetLinger(sec int) error }
	wrapper    interface{ NetConn() net.Conn } // crypto/tls
)

// CloseGracefully sends what waits and closes the connection so that the client can
// read all of it. It blocks for at most the time of the write and 2 s, and only if
// the client may still be sending. It is the end after Finish = false and after an
// error that was answered.
func (c *Conn) CloseGracefully() {
	if c.closed || c.hijacked {
		_ = c.Close()
		return
	}
	err := c.Flush()
	if err != nil || c.out.broken || !c.mayReceive() {
		_ = c.Close()
		return
	}
	c.linger()
	_ = c.Close()
}

// mayReceive reports whether the client may be sending: the rest of a request, or
// another one, which only a client that asked to close must not send.
func (c *Conn) mayReceive() bool {
	in := &c.in
	if in.broken {
		return !in.quiet
	}
	return in.keepAlive || !in.body.Done() || len(in.unread()) > 0
}

// linger ends our direction and reads until the client ends its own.
func (c *Conn) linger() {
	end := time.Now().Add(lingerTime)
	if err := c.nc.SetDeadline(end); err != nil {
		return
	}
	raw := c.raw()
	if h, fine := c.nc.(halfCloser); fine && h.CloseWrite() != nil {
		return
	}
	if h, fine := raw.(halfCloser); fine && raw != c.nc && h.CloseWrite() != nil {
		return
	}
	// Without a half-close the client still reads the answer if it does so in time.
	scrap := pool.Get(bodyBuffer)
	defer scrap.Release()
	for total := 0; time.Now().Before(end); {
		n, err := raw.Read(scrap.B)
		if err != nil {
			return
		}
		if total += n; total > MaxDrain {
			// A client that goes on sending gets to feel it, and time to read the answer.
			<-time.After(lingerPause)
		}
	}
}

// raw returns the connection below TLS, or the connection itself.
func (c *Conn) raw() net.Conn {
	if w, fine := c.nc.(wrapper); fine {
		return w.NetConn()
	}
	return c.nc
}

// Abort ends a response that cannot be completed, so that the client sees that it is
// cut: what waits is sent, the last chunk is not, nor is a close_notify of TLS. A body
// that only the end of the connection ends is cut by an RST, and so is a client that was
// too slow. A ReadBody of another goroutine fails. Close is still to be called when that
// has returned.
func (c *Conn) Abort() {
	if c.closed || c.hijacked {
		return
	}
	c.closed = true
	if c.out.n > 0 && !c.out.broken && c.nc.SetWriteDeadline(time.Now().Add(abortTime)) == nil {
		_, _ = c.nc.Write(c.out.buf.B[:c.out.n]) // best effort: the end is the message
	}
	c.out.release()
	if c.out.slow || c.out.framing == message.Close && c.out.stage == body {
		_ = c.reset()
		return
	}
	_ = c.raw().Close()
}

// reset closes the connection with an RST, past TLS. What the kernel has not sent yet
// is dropped: a client that does not take it would keep it there for hours.
func (c *Conn) reset() error {
	raw := c.raw()
	switch r := raw.(type) {
	case resetter:
		return r.Reset() // closes
	case lingerer:
		_ = r.SetLinger(0)
	}
	return raw.Close()
}
