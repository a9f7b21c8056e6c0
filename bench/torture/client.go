package torture

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// answer is what became of a request.
type answer struct {
	class  class
	id     uint64
	status int
	header http.Header
	n      int64 // bytes of the body
	err    error // why it is not right
	took   time.Duration
}

// client is an HTTP client that believes nothing. It keeps its connection as long as
// it may. Not safe for concurrent use; the zero value but for its fields is ready.
type client struct {
	stage *stage
	addr  string
	host  string
	fresh bool // a new connection for each request
	tls   bool // HTTPS, which Weir terminates

	tickets tls.ClientSessionCache // nil: sessions are not resumed

	conn *net.TCPConn
	w    io.ReadWriter // conn, or TLS on it
	r    *bufio.Reader
}

// request is what to ask for.
type request struct {
	method string // "": GET
	how    string // the backend's behaviour
	n      int64  // length of the right answer
	send   int64  // length of the body, 0: none
	chunk  bool   // send it as one chunk
	cut    int64  // send no more than this of it, and then end; 0: all
	rst    bool   // end by a reset
	fields string // further lines of the head
}

// do sends a request and judges the answer. What is wrong is told to the oracle.
func (c *client) do(q request) answer {
	if q.method == "" {
		q.method = http.MethodGet
	}
	start := time.Now()
	a := answer{id: c.stage.oracle.next()}
	if c.conn == nil {
		if err := c.connect(c.stage.patience()); err != nil {
			a.class, a.err = broken, err
			c.stage.oracle.count(a.class, 0)
			return a
		}
		if c.tls {
			start = time.Now() // what is promised is so without the handshake
		}
	}
	_ = c.conn.SetDeadline(start.Add(c.stage.patience()))
	sent := c.send(q, a.id)
	goOn := c.receive(q, &a)
	if sent != nil && a.class == broken && a.err == nil {
		a.err = sent
	}
	a.took = time.Since(start)
	if !goOn || a.class == broken || a.class == wrong || c.fresh {
		c.close()
	}
	c.stage.oracle.count(a.class, a.n)
	if a.class == wrong {
		c.stage.oracle.accuse("%s %s/%s/%d: %v", q.method, c.host, q.how, a.id, a.err)
	}
	if q.method == http.MethodGet {
		c.stage.oracle.forget(a.id)
	}
	return a
}

// connect makes a connection on which everything ends within a limit.
func (c *client) connect(limit time.Duration) error {
	conn, err := dial(c.addr, limit)
	if err != nil {
		return err
	}
	var w io.ReadWriter = conn
	if c.tls {
		c.stage.oracle.encrypted.Add(1)
		config := c.stage.identity.client(c.host)
		config.ClientSessionCache = c.tickets
		t := tls.Client(conn, config)
		if err := t.Handshake(); err != nil {
			_ = conn.Close()
			return fmt.Errorf("handshake: %w", err)
		}
		w = t
	}
	c.conn, c.w, c.r = conn, w, bufio.NewReader(w)
	return nil
}

// send sends the request. Where the answer comes early, the rest cannot be sent:
// that is for receive to judge.
func (c *client) send(q request, id uint64) error {
	framing := ""
	switch {
	case q.chunk:
		framing = "Transfer-Encoding: chunked\r\n"
	case q.send > 0:
		framing = fmt.Sprintf("Content-Length: %d\r\n", q.send)
	}
	w := bufio.NewWriter(c.w)
	_, _ = fmt.Fprintf(w, "%s /%s/%d/%d HTTP/1.1\r\nHost: %s\r\n%s%s\r\n",
		q.method, q.how, id, q.n, c.host, q.fields, framing)
	if q.chunk {
		_, _ = fmt.Fprintf(w, "%x\r\n", q.send)
	}
	n := q.send
	if q.cut > 0 {
		n = q.cut
		c.stage.oracle.change(id, func(t *trace) { t.cut = true })
	}
	_, _ = io.Copy(w, bodyOf(id, n))
	if q.chunk && q.cut == 0 {
		_, _ = io.WriteString(w, "\r\n0\r\n\r\n")
	}
	err := w.Flush()
	if q.cut == 0 {
		return err
	}
	<-time.After(shortWhile) // what was sent shall get through before the end does
	if q.rst {
		return errors.Join(err, c.conn.SetLinger(0), c.conn.Close())
	}
	return errors.Join(err, c.conn.CloseWrite())
}

// receive reads and judges the answer. It reports whether the connection may be used
// again.
func (c *client) receive(q request, a *answer) (goOn bool) {
	resp, err := c.head(q.method)
	if err != nil {
		a.class, a.err = broken, err
		if timedOut(err) {
			a.class, a.err = wrong, fmt.Errorf("no answer within %s", c.stage.patience())
		}
		return false
	}
	a.status, a.header = resp.StatusCode, resp.Header
	if resp.StatusCode != http.StatusOK {
		a.class = refused
		a.err = fmt.Errorf("status %d", resp.StatusCode)
		n, err := io.Copy(io.Discard, resp.Body)
		if a.n = n; err != nil {
			a.class, a.err = broken, err
		}
		return !resp.Close
	}
	if got := resp.Header.Get("X-Id"); got != fmt.Sprint(a.id) {
		a.class, a.err = wrong, fmt.Errorf("the answer to another request: %q", got)
		return false
	}
	if q.how == "head" {
		return c.echoed(resp, a)
	}
	c.check(q, resp, a)
	if a.class == right && c.r.Buffered() > 0 {
		a.class, a.err = wrong, fmt.Errorf("%d bytes behind the answer", c.r.Buffered())
	}
	return a.class == right && !resp.Close
}

// head reads a head, interim ones left out.
func (c *client) head(method string) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
		if err != nil || resp.StatusCode >= 200 {
			return resp, err
		}
	}
}

// check compares the body.
func (c *client) check(q request, resp *http.Response, a *answer) {
	check := newChecker(a.id)
	_, err := io.Copy(check, resp.Body)
	a.n = check.n
	switch {
	case errors.As(err, new(errWrongBytes)):
		a.class, a.err = wrong, err
	case timedOut(err):
		a.class, a.err = wrong, fmt.Errorf("%d of %d bytes within %s", a.n, q.n, c.stage.patience())
	case err != nil:
		a.class, a.err = broken, err
	case a.n != q.n:
		a.class, a.err = wrong, fmt.Errorf("%d of %d bytes, and it looks complete", a.n, q.n)
	}
}

// echoed keeps what the backend said of the request, as a field of its own.
func (c *client) echoed(resp *http.Response, a *answer) bool {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		a.class, a.err = broken, err
		return false
	}
	a.header.Set("Echoed", string(text))
	return !resp.Close
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.conn, c.w, c.r = nil, nil, nil
}

// raw sends text on a connection of its own and returns the status of the answer;
// ended tells whether the connection ended after it.
func (s *stage) raw(addr, text string) (status int, ended bool, err error) {
	c, err := dial(addr, s.patience())
	if err != nil {
		return 0, true, err
	}
	defer c.Close() //nolint:errcheck // nothing is lost
	if _, err := io.WriteString(c, text); err != nil {
		return 0, true, err
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodGet})
	if err != nil {
		return 0, !timedOut(err), err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return resp.StatusCode, true, err
	}
	if !resp.Close {
		return resp.StatusCode, false, nil
	}
	_, err = r.ReadByte()
	return resp.StatusCode, err != nil && !timedOut(err), nil
}
