package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/l7/message"
	"weir/pool"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	pool.Track(true)
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen; only a failing test
// waits that long.
const patience = 20 * time.Second

// fake is a backend whose behaviour on each connection is a function.
type fake struct {
	l     net.Listener
	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

// serve starts a backend on a port of its own. behave gets each connection, which
// is closed when it returns; it may not use t.
func serve(t testing.TB, behave func(c net.Conn, r *bufio.Reader)) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, behave)
}

func serveOn(t testing.TB, l net.Listener, behave func(c net.Conn, r *bufio.Reader)) *fake {
	f := &fake{l: l}
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			f.wg.Go(func() {
				defer c.Close()
				behave(c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(f.close)
	return f
}

func (f *fake) close() {
	f.l.Close()
	f.mu.Lock()
	for _, c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// readRequest reads one whole request and returns its body, nil after an error.
func readRequest(r *bufio.Reader) (*http.Request, []byte) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, nil
	}
	return req, body
}

// answering returns a behaviour that answers every request with the same bytes.
func answering(response string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		for {
			if req, _ := readRequest(r); req == nil {
				return
			}
			if _, err := io.WriteString(c, response); err != nil {
				return
			}
		}
	}
}

// answerOnce returns a behaviour that reads a request, sends response, and then
// does what next says.
func answerOnce(response string, next func(c net.Conn)) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		if req, _ := readRequest(r); req == nil {
			return
		}
		_, _ = io.WriteString(c, response)
		next(c)
	}
}

// Ways to go on after a response.
func closing(net.Conn)     {}
func resetting(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }
func silent(c net.Conn)    { _, _ = io.Copy(io.Discard, c) }

const okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// newTransport makes a transport that the test closes, and checks that nothing
// it lent is left.
func newTransport(t testing.TB) *Transport {
	t.Helper()
	live := pool.Live()
	tr := New(Options{})
	t.Cleanup(func() {
		tr.Close()
		if s := tr.Stats("g"); s.Idle != 0 || s.InUse != 0 {
			t.Errorf("at the end %d idle and %d in use, want none", s.Idle, s.InUse)
		}
		if n := pool.Live(); n != live {
			t.Errorf("%d buffers are in use at the end, %d at the start", n, live)
		}
	})
	return tr
}

func (f *fake) target() *target {
	return &target{
		endpoint: 1, name: f.l.Addr().String(), group: "g",
		network: f.l.Addr().Network(), address: f.l.Addr().String(),
		connectTimeout: patience, maxIdle: 1000, idleTimeout: time.Hour,
	}
}

// mustGet returns a connection with generous limits.
func mustGet(t testing.TB, tr *Transport, tg *target, fresh bool) *Conn {
	t.Helper()
	c, err := tr.get(tg, fresh)
	if err != nil {
		t.Fatal(err)
	}
	c.SetTimeouts(Timeouts{Head: patience, Body: patience})
	return c
}

// sendGet sends a request without a body.
func sendGet(c *Conn) error {
	c.SetHead(append(c.Head(100), "GET / HTTP/1.1\r\nHost: h\r\n\r\n"...), message.None, 0)
	return c.EndBody(nil)
}

// sendPost sends a request with a body in one piece.
func sendPost(c *Conn, body []byte) error {
	head := append(c.Head(100), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: "...)
	head = strconv.AppendInt(head, int64(len(body)), 10)
	c.SetHead(append(head, "\r\n\r\n"...), message.Length, int64(len(body)))
	return c.WriteBody(body, true)
}

// receive reads a whole response.
func receive(c *Conn) (status int, body []byte, err error) {
	var resp message.Response
	for {
		if err = c.ReadHead(&resp, []byte("GET")); err != nil {
			return 0, nil, err
		}
		if !resp.IsInterim() {
			break
		}
	}
	for {
		piece, err := c.ReadBody()
		if errors.Is(err, io.EOF) {
			return resp.Status, body, nil
		}
		if err != nil {
			return resp.Status, body, err
		}
		if len(piece) == 0 {
			return resp.Status, body, errors.New("an empty piece without an error")
		}
		body = append(body, piece...)
	}
}

// fetch is a whole exchange; the connection is still to be released.
func fetch(c *Conn) (status int, body []byte, err error) {
	if err := sendGet(c); err != nil {
		return 0, nil, err
	}
	return receive(c)
}

// exchange is a whole exchange that must succeed with the body "ok".
func exchange(t testing.TB, tr *Transport, tg *target) (reused bool) {
	t.Helper()
	c := mustGet(t, tr, tg, false)
	defer c.Release()
	if status, body, err := fetch(c); status != 200 || string(body) != "ok" || err != nil {
		t.Errorf("got %d %q %v", status, body, err)
	}
	return c.reused
}

// eventually waits until f holds.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

// asError checks that err is an *Error, which is never taken for an end.
func asError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || errors.Is(err, io.EOF) {
		t.Fatalf("got %v (%T), want an *Error that is not io.EOF", err, err)
	}
	return e
}

// countFDs is the number of open descriptors of the process.
func countFDs(t testing.TB) int {
	t.Helper()
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(dir)
}

// pattern returns n bytes that are wrong when any of them is moved.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>16) ^ byte(i>>8)*31 ^ byte(i)
	}
	return b
}

func sameBytes(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d, or they differ", len(got), len(want))
	}
}
