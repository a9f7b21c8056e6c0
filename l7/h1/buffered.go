package h1

import (
	"io"
	"time"

	"weir/l4/loop"
	"weir/pool"
)

// HasBody reports whether octets of the request body were read with its head, or
// with what came before, so that the next ReadBody need not wait for the client.
// Of a chunked body they may be framing alone.
func (c *Conn) HasBody() bool { return !c.in.body.Done() && len(c.in.unread()) > 0 }

// Buffered is how many octets were read from the client and not used: of the request's
// body and of what comes after it.
func (c *Conn) Buffered() int { return len(c.in.unread()) }

// FillBody reads a request body with Content-Length as far as it has come, into memory of
// its length. nil: all of it is there, and comes as the next piece of ReadBody without a
// wait. It is for a raw net.Conn, where loop.ErrAgain says that there is more to come: call
// it again, or leave the rest to ReadBody, which has the limits of a body: here none of the
// deadlines counts. After any other error the client is gone, and ReadBody returns none of
// what there is.
func (c *Conn) FillBody() error {
	in := &c.in
	size := int(in.body.Remaining())
	if got := in.unread(); in.more == nil && len(got) < size {
		// In one piece: it goes on with its head in a single write then.
		more := pool.Get(size)
		in.more, in.mw = more, copy(more.B, got)
		in.r = in.w
	}
	for in.r == in.w && in.mw-in.mr < size {
		n, err := c.read(in.more.B[in.mw : in.mr+size])
		in.mw += n
		if n > 0 {
			continue
		}
		if err == nil {
			err = io.ErrNoProgress
		}
		if isTimeout(err) { // that of the wait for the last request, of which this one came right behind
			err = loop.ErrAgain
		}
		in.broken = err != loop.ErrAgain
		return err
	}
	return nil
}

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
