package h1

import "time"

// HasBody reports whether octets of the request body were read with its head, or
// with what came before, so that the next ReadBody need not wait for the client.
// Of a chunked body they may be framing alone.
func (c *Conn) HasBody() bool { return !c.in.body.Done() && len(c.in.unread()) > 0 }

// Buffered is how many octets were read from the client and not used: of the request's
// body and of what comes after it.
func (c *Conn) Buffered() int { return len(c.in.unread()) }

// Lingers reports whether CloseGracefully would wait for the client, which may still be
// sending.
func (c *Conn) Lingers() bool {
	return !c.closed && !c.hijacked && !c.out.broken && c.mayReceive()
}

// Settle sends what a raw net.Conn could not get rid of (loop.Conn.Settle), after it was
// promoted and before anything else. It waits for the client as any write does.
func (c *Conn) Settle() error {
	nc, ok := c.nc.(interface{ Settle() error })
	if !ok {
		return nil
	}
	began := time.Now()
	return c.afterWrite(began, 0, nc.Settle())
}
