package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/l7/message"
)

// recording answers each request with ok and sends what it received, octet by
// octet as far as net/http leaves them alone, to got.
func recording(got chan<- string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		var raw bytes.Buffer
		tee := bufio.NewReader(io.TeeReader(r, &raw))
		for {
			if req, _ := readRequest(tee); req == nil {
				return
			}
			got <- raw.String()
			raw.Reset()
			if _, err := io.WriteString(c, okResponse); err != nil {
				return
			}
		}
	}
}

func TestRequestOnTheWire(t *testing.T) {
	got := make(chan string, 1)
	tr := newTransport(t)
	tg := serve(t, recording(got)).target()
	f := func(framing message.Framing, length int64, send func(c *Conn) error, want string) {
		t.Helper()
		c := mustGet(t, tr, tg, false)
		defer c.Release()
		head := "POST / HTTP/1.1\r\nHost: h\r\n"
		switch framing {
		case message.Chunked:
			head += "Transfer-Encoding: chunked\r\n"
		case message.Length:
			head += fmt.Sprintf("Content-Length: %d\r\n", length)
		}
		head += "\r\n"
		c.SetHead(append(c.Head(64), head...), framing, length)
		if err := send(c); err != nil {
			t.Fatal(err)
		}
		if status, _, err := receive(c); status != 200 || err != nil {
			t.Fatalf("got %d %v", status, err)
		}
		if body := strings.TrimPrefix(<-got, head); body != want {
			t.Errorf("got %q, want %q", body, want)
		}
	}
	big := string(pattern(100_000))
	write := func(pieces ...string) func(*Conn) error {
		return func(c *Conn) error {
			for i, p := range pieces {
				if err := c.WriteBody([]byte(p), i == len(pieces)-1); err != nil {
					return err
				}
			}
			return nil
		}
	}
	end := func(c *Conn) error { return c.EndBody(nil) }
	then := func(steps ...func(*Conn) error) func(*Conn) error {
		return func(c *Conn) error {
			for _, s := range steps {
				if err := s(c); err != nil {
					return err
				}
			}
			return nil
		}
	}
	trailers := func(c *Conn) error {
		return c.EndBody([]message.Field{{Name: []byte("X-Sum"), Value: []byte("7")}})
	}

	f(message.None, 0, end, "")
	f(message.None, 0, write(""), "")
	f(message.None, 0, then((*Conn).Flush, (*Conn).Flush, end), "")
	f(message.Length, 0, end, "")
	f(message.Length, 5, write("hello"), "hello")
	f(message.Length, 5, write("he", "", "llo", ""), "hello")
	f(message.Length, 5, then((*Conn).Flush, write("hello")), "hello")
	f(message.Length, int64(len(big)), write(big[:50_000], big[50_000:]), big)
	f(message.Chunked, -1, end, "0\r\n\r\n")
	f(message.Chunked, -1, write(""), "0\r\n\r\n")
	f(message.Chunked, -1, write("hello"), "5\r\nhello\r\n0\r\n\r\n")
	f(message.Chunked, -1, write("he", "", "llo"), "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
	f(message.Chunked, -1, then((*Conn).Flush, write("he", "llo")), "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
	f(message.Chunked, -1, write(big), "186a0\r\n"+big+"\r\n0\r\n\r\n")
	f(message.Chunked, -1, then(func(c *Conn) error { return c.WriteBody([]byte("a"), false) }, trailers),
		"1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n")
	f(message.Length, 3, func(c *Conn) error { // a head that outgrows the buffer it was given
		return c.WriteBody([]byte("abc"), true)
	}, "abc")
	if n := tr.Stats("g").Dials; n != 1 {
		t.Errorf("%d dials, want all requests on one connection", n)
	}
}

func TestRequestBodyOfWrongLength(t *testing.T) {
	tr := newTransport(t)
	tg := serve(t, answering(okResponse)).target()
	f := func(send func(c *Conn) error, want error) {
		t.Helper()
		c := mustGet(t, tr, tg, false)
		c.SetHead(append(c.Head(64), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"...), message.Length, 5)
		err := send(c)
		e := asError(t, err)
		if !errors.Is(err, want) || e.Side != message.Client || e.Stage != StageWrite || e.Unsent() {
			t.Errorf("got %+v, want %v", e, want)
		}
		c.Release()
		if n := tr.Stats("g").Idle; n != 0 {
			t.Error("the connection was kept")
		}
	}
	f(func(c *Conn) error { return c.WriteBody([]byte("four"), true) }, ErrShortBody)
	f(func(c *Conn) error { return c.EndBody(nil) }, ErrShortBody)
	f(func(c *Conn) error { return c.WriteBody([]byte("longer"), false) }, ErrLongBody)
	f(func(c *Conn) error {
		if err := c.WriteBody([]byte("five5"), false); err != nil {
			return err
		}
		return c.WriteBody([]byte("6"), true)
	}, ErrLongBody)
}

// chunked frames body in chunks of the sizes that next gives.
func chunked(body []byte, next func() int) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(next(), len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n\r\n"
}

// Bodies of every size and framing, in fragments of every size, arrive whole and
// leave the connection usable.
func TestBodies(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var mu sync.Mutex
	var response string
	f := serve(t, func(c net.Conn, r *bufio.Reader) {
		for {
			if req, _ := readRequest(r); req == nil {
				return
			}
			mu.Lock()
			rest, whole := response, random.IntN(2) == 0
			mu.Unlock()
			piece, last := 1+len(rest)/8, strings.Contains(rest, "close")
			for len(rest) > 0 {
				n := len(rest)
				if !whole {
					n = min(n, 1+rand.IntN(piece))
				}
				if _, err := io.WriteString(c, rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
			if last {
				return
			}
		}
	})
	tr := newTransport(t)
	for _, size := range []int{0, 1, 3000, 4000, 4096, 5000, 16 << 10, 20_000, 64 << 10, 300_000, 2 << 20} {
		body := pattern(size)
		for _, framed := range []string{
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", size, body),
			"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, func() int { return max(size/3, 1) }),
			"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, func() int { return 1 + random.IntN(100) }),
			"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, func() int { return 1 + random.IntN(40_000) }),
			fmt.Sprintf("Connection: close\r\n\r\n%s", body),
		} {
			mu.Lock()
			response = "HTTP/1.1 200 OK\r\n" + framed
			mu.Unlock()
			c := mustGet(t, tr, f.target(), false)
			_, got, err := fetch(c)
			if err != nil {
				t.Error(err)
			}
			sameBytes(t, got, body)
			c.Release()
			if kept, want := tr.Stats("g").Idle, !strings.Contains(framed, "close"); (kept == 1) != want {
				t.Errorf("size %d, %.20q: %d kept", size, framed, kept)
			}
		}
	}
}

func TestLargeHead(t *testing.T) {
	for _, size := range []int{3000, 4000, 10_000, 30_000} {
		filler := strings.Repeat("x", size)
		f := serve(t, answering("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nX-F: "+filler+
			"\r\nContent-Length: 5000\r\n\r\n"+string(pattern(5000))))
		tr := newTransport(t)
		c := mustGet(t, tr, f.target(), false)
		if err := sendGet(c); err != nil {
			t.Fatal(err)
		}
		var resp message.Response
		for resp.Status != 200 {
			if err := c.ReadHead(&resp, []byte("GET")); err != nil {
				t.Fatal(err)
			}
		}
		var body []byte
		for {
			piece, err := c.ReadBody()
			if err != nil {
				break
			}
			body = append(body, piece...)
		}
		sameBytes(t, body, pattern(5000))
		// The head must have survived the reading of the body.
		if got := string(resp.Fields[0].Value); got != filler {
			t.Errorf("the head of %d bytes was overwritten", size)
		}
		c.Release()
		if tr.Stats("g").Idle != 1 {
			t.Error("the connection was not kept")
		}
	}
}

func TestNoBody(t *testing.T) {
	f := func(method, response string, want int) {
		t.Helper()
		tr := newTransport(t)
		tg := serve(t, answering(response)).target()
		for range 2 {
			c := mustGet(t, tr, tg, false)
			c.SetHead(append(c.Head(64), method+" / HTTP/1.1\r\nHost: h\r\n\r\n"...), message.None, 0)
			if err := c.EndBody(nil); err != nil {
				t.Fatal(err)
			}
			var resp message.Response
			if err := c.ReadHead(&resp, []byte(method)); err != nil || resp.Status != want {
				t.Fatalf("%d %v", resp.Status, err)
			}
			if !c.read.decoder.Done() {
				t.Error("a response without body is not done")
			}
			if _, err := c.ReadBody(); !errors.Is(err, io.EOF) {
				t.Errorf("got %v", err)
			}
			c.Release()
		}
		if s := tr.Stats("g"); s.Dials != 1 || s.Idle != 1 {
			t.Errorf("%s %q: %+v", method, response, s)
		}
	}
	f("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 200)
	f("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200)
	f("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204)
	f("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304)
	f("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200)
	f("GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", 200)
}

// A body in each direction at the same time, by two goroutines, with the backend
// in the middle of both.
func TestBothDirectionsAtOnce(t *testing.T) {
	f := serve(t, func(c net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			w := httputil.NewChunkedWriter(c)
			if _, err = io.CopyBuffer(struct{ io.Writer }{w}, req.Body, make([]byte, 10_000)); err != nil {
				return
			}
			_, _ = io.WriteString(c, "0\r\n\r\n")
		}
	})
	tr := newTransport(t)
	body := pattern(4 << 20)
	for range 3 {
		c := mustGet(t, tr, f.target(), false)
		c.SetHead(append(c.Head(64), "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"...),
			message.Chunked, -1)
		done := make(chan error, 1)
		go func() {
			rest := body
			for len(rest) > 0 {
				n := min(len(rest), 1+rand.IntN(100_000))
				if err := c.WriteBody(rest[:n], n == len(rest)); err != nil {
					done <- err
					return
				}
				rest = rest[n:]
			}
			done <- nil
		}()
		status, got, err := receive(c)
		if status != 200 || err != nil {
			t.Errorf("got %d %v", status, err)
		}
		sameBytes(t, got, body)
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.Release()
	}
	if n := tr.Stats("g").Dials; n != 1 {
		t.Errorf("%d dials, want all on one connection", n)
	}
}

// Row 5: an upload that the client cut short never looks complete to the backend.
func TestUnfinishedUpload(t *testing.T) {
	complete := make(chan bool, 1)
	f := serve(t, func(_ net.Conn, r *bufio.Reader) {
		req, _ := readRequest(r)
		complete <- req != nil
	})
	tr := newTransport(t)
	g := func(head string, framing message.Framing, length int64) {
		t.Helper()
		c := mustGet(t, tr, f.target(), false)
		c.SetHead(append(c.Head(64), "POST / HTTP/1.1\r\nHost: h\r\n"+head+"\r\n\r\n"...), framing, length)
		if err := c.WriteBody(make([]byte, 60_000), false); err != nil {
			t.Fatal(err)
		}
		c.Release()
		if <-complete {
			t.Errorf("%s: the backend saw a complete request", head)
		}
	}
	g("Content-Length: 100000", message.Length, 100_000)
	g("Transfer-Encoding: chunked", message.Chunked, -1)
}

func TestTrailers(t *testing.T) {
	f := serve(t, answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"))
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	defer c.Release()
	if _, body, err := fetch(c); string(body) != "ok" || err != nil {
		t.Errorf("got %q %v", body, err)
	}
	if got := c.Trailers(); len(got) != 1 || string(got[0].Value) != "7" {
		t.Errorf("got trailers %v", got)
	}
}

func TestNotKept(t *testing.T) {
	f := func(response string) {
		t.Helper()
		tr := newTransport(t)
		tg := serve(t, answerOnce(response, silent)).target()
		c := mustGet(t, tr, tg, false)
		if _, body, err := fetch(c); string(body) != "ok" || err != nil {
			t.Errorf("got %q %v", body, err)
		}
		c.Release()
		if tr.Stats("g").Idle != 0 {
			t.Errorf("%q: the connection was kept", response)
		}
	}
	f("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
	f("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
	f(okResponse + "surplus")
}

func TestNotKeptUnlessReadWholly(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	var resp message.Response
	g := func(use func(c *Conn)) {
		t.Helper()
		c := mustGet(t, tr, f.target(), false)
		use(c)
		c.Release()
		if tr.Stats("g").Idle != 0 {
			t.Error("the connection was kept")
		}
	}
	g(func(*Conn) {})
	g(func(c *Conn) { _ = sendGet(c) })
	g(func(c *Conn) { _ = sendGet(c); _ = c.ReadHead(&resp, []byte("GET")) })
}

func TestInterimResponses(t *testing.T) {
	f := serve(t, answering("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+okResponse))
	tr := newTransport(t)
	for range 2 {
		c := mustGet(t, tr, f.target(), false)
		if err := sendGet(c); err != nil {
			t.Fatal(err)
		}
		var resp message.Response
		for _, want := range []int{102, 103, 200} {
			if err := c.ReadHead(&resp, []byte("GET")); err != nil || resp.Status != want {
				t.Fatalf("got %d %v, want %d", resp.Status, err, want)
			}
		}
		if body, err := c.ReadBody(); string(body) != "ok" || err != nil {
			t.Errorf("got %q %v", body, err)
		}
		if !c.read.decoder.Done() {
			t.Error("not done with the last piece")
		}
		c.Release()
	}
	if n := tr.Stats("g").Dials; n != 1 {
		t.Errorf("%d dials", n)
	}
}

func TestExpectContinue(t *testing.T) {
	f := serve(t, func(c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		body, _ := io.ReadAll(req.Body)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		silent(c)
	})
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	defer c.Release()
	c.SetHead(append(c.Head(64), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"...),
		message.Length, 4)
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	c.ExpectHead()
	var resp message.Response
	if err := c.ReadHead(&resp, []byte("POST")); err != nil || resp.Status != 100 {
		t.Fatalf("got %d %v", resp.Status, err)
	}
	if err := c.WriteBody([]byte("body"), true); err != nil {
		t.Fatal(err)
	}
	if status, body, err := receive(c); status != 200 || string(body) != "body" || err != nil {
		t.Errorf("got %d %q %v", status, body, err)
	}
}

func TestHijack(t *testing.T) {
	f := serve(t, answerOnce(
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
		func(c net.Conn) { _, _ = io.Copy(c, c) }))
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	c.SetTimeouts(Timeouts{Head: time.Second, Body: time.Second})
	c.SetHead(append(c.Head(64),
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"...), message.None, 0)
	if err := c.EndBody(nil); err != nil {
		t.Fatal(err)
	}
	var resp message.Response
	if err := c.ReadHead(&resp, []byte("GET")); err != nil || resp.Status != 101 || resp.IsInterim() {
		t.Fatalf("got %d %v", resp.Status, err)
	}
	nc, leftover, err := c.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	time.Sleep(1100 * time.Millisecond) // the limits of the exchange no longer count
	if _, err = io.WriteString(nc, " world"); err != nil {
		t.Fatal(err)
	}
	for len(leftover) < len("hello world") {
		buf := make([]byte, 100)
		n, err := nc.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		leftover = append(leftover, buf[:n]...)
	}
	if string(leftover) != "hello world" {
		t.Errorf("got %q", leftover)
	}
}

func TestSwitchingProtocolsIsNotKept(t *testing.T) {
	f := serve(t, answerOnce("HTTP/1.1 101 Switching Protocols\r\n\r\n", silent))
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	if status, _, err := fetch(c); status != 101 || err != nil {
		t.Errorf("got %d %v", status, err)
	}
	c.Release()
	if tr.Stats("g").Idle != 0 {
		t.Error("the connection was kept")
	}
}
