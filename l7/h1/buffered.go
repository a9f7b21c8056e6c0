package h1

// HasBody reports whether octets of the request body were read with its head, or
// with what came before, so that the next ReadBody need not wait for the client.
// Of a chunked body they may be framing alone.
func (c *Conn) HasBody() bool { return !c.in.body.Done() && len(c.in.unread()) > 0 }
