package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/l7/message"
)

// Row 2: the backend reads the request and closes. It ran at most once, and the
// error says that only a replayable request may be sent again.
func TestClosedBeforeHead(t *testing.T) {
	for name, end := range map[string]func(net.Conn){"FIN": closing, "RST": resetting} {
		var requests atomic.Int32
		f := serve(t, func(c net.Conn, r *bufio.Reader) {
			if req, _ := readRequest(r); req != nil {
				requests.Add(1)
			}
			end(c)
		})
		tr := newTransport(t)
		c := mustGet(t, tr, f.target(), false)
		if err := sendPost(c, []byte("body")); err != nil {
			t.Fatal(err)
		}
		_, _, err := receive(c)
		e := asError(t, err)
		if e.Side != message.Upstream || e.Stage != StageHead || e.Timeout || !e.Sent || e.Answered || e.Reused {
			t.Errorf("%s: got %+v", name, e)
		}
		if e.Unsent() || e.Stale() || !e.Retryable() {
			t.Errorf("%s: unsent %v, stale %v, retryable %v", name, e.Unsent(), e.Stale(), e.Retryable())
		}
		c.Release()
		if n := requests.Load(); n != 1 {
			t.Errorf("%s: %d requests arrived", name, n)
		}
	}
}

// Rows 3, 4 and 9: whatever the framing, and wherever the backend dies, a body
// cut short is an error and never an end.
func TestTruncatedBody(t *testing.T) {
	f := func(head, body string, end func(net.Conn)) {
		t.Helper()
		for cut := range len(body) {
			func() {
				b := serve(t, answerOnce(head+body[:cut], end))
				defer b.close()
				tr := newTransport(t)
				defer tr.Close()
				c := mustGet(t, tr, b.target(), false)
				_, _, err := fetch(c)
				e := asError(t, err)
				if e.Side != message.Upstream || e.Timeout || e.Retryable() && e.Stage == StageBody {
					t.Errorf("cut after %d: got %+v", cut, e)
				}
				if _, err := c.ReadBody(); err == nil || errors.Is(err, io.EOF) {
					t.Errorf("cut after %d: read on and got %v", cut, err)
				}
				c.Release()
				if tr.Stats("g").Idle != 0 {
					t.Error("the connection was kept")
				}
			}()
		}
	}
	const head = "HTTP/1.1 200 OK\r\n"
	f(head+"Content-Length: 12\r\n\r\n", "hello, world", closing)
	f(head+"Content-Length: 12\r\n\r\n", "hello, world", resetting)
	f(head+"Transfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nX: y\r\n\r\n", closing)
	f(head+"Transfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", resetting)
}

func TestTruncatedBodyDeliversWhatCame(t *testing.T) {
	body := pattern(1000)
	f := serve(t, answerOnce("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"+string(body[:500]), closing))
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	defer c.Release()
	_, got, err := fetch(c)
	if e := asError(t, err); e.Stage != StageBody || !errors.Is(err, io.ErrUnexpectedEOF) || !e.Answered {
		t.Errorf("got %+v", e)
	}
	sameBytes(t, got, body[:500])
}

// A body without framing that ends in a reset is cut short, too.
func TestResetOfCloseDelimitedBody(t *testing.T) {
	sent := make(chan struct{})
	f := serve(t, answerOnce("HTTP/1.1 200 OK\r\n\r\nhello", func(c net.Conn) {
		<-sent // or the reset may overtake the head
		resetting(c)
	}))
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	defer c.Release()
	if err := sendGet(c); err != nil {
		t.Fatal(err)
	}
	var resp message.Response
	if err := c.ReadHead(&resp, []byte("GET")); err != nil || resp.Framing != message.Close {
		t.Fatalf("%v %v", resp.Framing, err)
	}
	close(sent)
	var err error
	for err == nil {
		_, err = c.ReadBody()
	}
	if e := asError(t, err); e.Stage != StageBody {
		t.Errorf("got %+v", e)
	}
}

// Row 11: a backend that closes idle connections while requests are on their
// way. Every failure must be told as stale, and a fresh connection must do.
func TestStaleRace(t *testing.T) {
	var executed atomic.Int64
	f := serve(t, func(c net.Conn, r *bufio.Reader) {
		for range 2 {
			if req, _ := readRequest(r); req == nil {
				return
			}
			executed.Add(1)
			if _, err := io.WriteString(c, okResponse); err != nil {
				return
			}
			if rand.IntN(2) == 0 {
				for end := time.Now().Add(time.Duration(rand.IntN(100)) * time.Microsecond); time.Now().Before(end); {
				}
				return
			}
		}
	})
	tr := newTransport(t)
	fds := countFDs(t)
	const requests = 1000
	stale := 0
	for range requests {
		c := mustGet(t, tr, f.target(), false)
		status, body, err := fetch(c)
		c.Release()
		if err != nil {
			e := asError(t, err)
			if !e.Stale() || !e.Retryable() {
				t.Fatalf("got %+v, want it to be stale", e)
			}
			stale++
			c = mustGet(t, tr, f.target(), true)
			status, body, err = fetch(c)
			c.Release()
		}
		if status != 200 || string(body) != "ok" || err != nil {
			t.Fatalf("got %d %q %v", status, body, err)
		}
	}
	t.Logf("%d of %d requests met a closing connection; %+v", stale, requests, tr.Stats("g"))
	if n := executed.Load(); n != requests {
		t.Errorf("the backend executed %d requests, want %d", n, requests)
	}
	if n := countFDs(t); n > fds+10 {
		t.Errorf("%d descriptors, %d at the start", n, fds)
	}
}

// Row 14: what is not a response is refused, and the connection goes.
func TestBadResponses(t *testing.T) {
	f := func(response, reason string) {
		t.Helper()
		b := serve(t, answerOnce(response, silent))
		tr := newTransport(t)
		c := mustGet(t, tr, b.target(), false)
		_, _, err := fetch(c)
		e := asError(t, err)
		if e.Side != message.Upstream || !e.Answered || e.Retryable() || e.Stale() || e.Timeout {
			t.Errorf("%.40q: got %+v", response, e)
		}
		var me *message.Error
		if reason != "" && (!errors.As(err, &me) || me.Reason != reason) {
			t.Errorf("%.40q: got %v, want %s", response, err, reason)
		}
		c.Release()
		if tr.Stats("g").Idle != 0 {
			t.Error("the connection was kept")
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	f("hello\r\n\r\n", "bad_status_line")
	f("HTTP/1.1\r\n\r\n", "bad_status_line")
	f("HTTP/2.0 200 OK\r\n\r\n", "wrong_version")
	f("HTTP/1.1 200 OK\n\n", "bare_lf")
	f(ok+"X: a\x00b\r\n\r\n", "bad_value")
	f(ok+"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "length_and_coding")
	f(ok+"Content-Length: 2\r\nContent-Length: 3\r\n\r\n", "many_lengths")
	f(ok+"Content-Length: -2\r\n\r\n", "bad_length")
	f(ok+"Transfer-Encoding: gzip\r\n\r\n", "coding_not_chunked")
	f(ok+"X: "+strings.Repeat("x", 1<<20)+"\r\n\r\n", "head_too_large")
	f(ok+strings.Repeat("X: y\r\n", 101)+"\r\n", "too_many_fields")
	f(ok+"Transfer-Encoding: chunked\r\n\r\n2\r\nokXX", "no_chunk_end")
	f(ok+"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "bad_chunk")
	f(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInterim+1)+okResponse, "")
}

func TestEndlessInterimResponses(t *testing.T) {
	f := serve(t, func(c net.Conn, _ *bufio.Reader) {
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
				return
			}
		}
	})
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	defer c.Release()
	if _, _, err := fetch(c); !errors.Is(err, ErrManyInterim) {
		t.Errorf("got %v", err)
	}
}

// short is a limit that runs out in tests that want it to.
const short = 50 * time.Millisecond

// Row 6: a backend that is stopped takes the request and says nothing.
func TestSilentBackend(t *testing.T) {
	f := serve(t, func(c net.Conn, _ *bufio.Reader) { silent(c) })
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	defer c.Release()
	c.SetTimeouts(Timeouts{Head: short, Body: patience})
	start := time.Now()
	_, _, err := fetch(c)
	e := asError(t, err)
	if !e.Timeout || e.Stage != StageHead || e.Side != message.Upstream || e.Retryable() {
		t.Errorf("got %+v", e)
	}
	if d := time.Since(start); d < short {
		t.Errorf("gave up after %v, before the limit of %v", d, short)
	}
}

// A head that trickles has the time of one head, not of one byte.
func TestTricklingHead(t *testing.T) {
	f := serve(t, func(c net.Conn, _ *bufio.Reader) {
		for {
			if _, err := io.WriteString(c, "H"); err != nil {
				return
			}
			time.Sleep(short / 5)
		}
	})
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	defer c.Release()
	c.SetTimeouts(Timeouts{Head: 10 * short, Body: patience}) // in which an octet comes on a busy machine, too
	_, _, err := fetch(c)
	if e := asError(t, err); !e.Answered || e.Stage != StageHead {
		t.Errorf("got %+v", e)
	}
}

// Row 16: a body that stalls.
func TestStalledBody(t *testing.T) {
	f := serve(t, answerOnce("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", silent))
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	defer c.Release()
	c.SetTimeouts(Timeouts{Head: patience, Body: short})
	_, body, err := fetch(c)
	if e := asError(t, err); !e.Timeout || e.Stage != StageBody || string(body) != "hello" {
		t.Errorf("got %q %+v", body, e)
	}
}

// A body that is slow but moves is not stalled.
func TestSlowBody(t *testing.T) {
	const limit = time.Second
	f := serve(t, answerOnce("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", func(c net.Conn) {
		for range 20 {
			_, _ = io.WriteString(c, "x")
			time.Sleep(limit / 15)
		}
	}))
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	defer c.Release()
	c.SetTimeouts(Timeouts{Head: limit, Body: limit})
	if _, body, err := fetch(c); len(body) != 20 || err != nil {
		t.Errorf("got %q %v", body, err)
	}
}

// A backend that does not take the body.
func TestStalledWrite(t *testing.T) {
	release := make(chan struct{})
	f := serve(t, func(net.Conn, *bufio.Reader) { <-release })
	defer close(release)
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	defer c.Release()
	c.SetTimeouts(Timeouts{Head: patience, Body: short})
	err := sendPost(c, make([]byte, 32<<20))
	if e := asError(t, err); !e.Timeout || e.Stage != StageWrite || !e.Sent || e.Side != message.Upstream {
		t.Errorf("got %+v", e)
	}
	// An early answer is worth a look, but not for ever.
	c.SetTimeouts(Timeouts{Head: short})
	_, _, err = receive(c)
	if e := asError(t, err); !e.Timeout || e.Stage != StageHead {
		t.Errorf("got %+v", e)
	}
}

// A deadline that passed while the connection was idle harms nobody.
func TestDeadlinePassedWhileIdle(t *testing.T) {
	const soon = 10 * short // and yet enough for an exchange
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	for i := range 3 {
		c := mustGet(t, tr, f.target(), false)
		if c.reused != (i > 0) {
			t.Error("the connection was not kept")
		}
		limit, pause := patience, short
		if i == 0 {
			limit, pause = soon, soon+short
		}
		c.SetTimeouts(Timeouts{Head: limit, Body: limit})
		if _, _, err := fetch(c); err != nil {
			t.Fatal(err)
		}
		c.Release()
		time.Sleep(pause)
	}
}

// The time for the head starts when the request is sent: a slow client is not
// the backend's fault.
func TestHeadTimeStartsWithTheEndOfTheRequest(t *testing.T) {
	f := serve(t, answering(okResponse))
	tr := newTransport(t)
	c := mustGet(t, tr, f.target(), false)
	c.SetTimeouts(Timeouts{Head: 20 * short, Body: patience})
	c.SetHead(append(c.Head(64), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"...), message.Length, 4)
	done := make(chan error, 1)
	go func() {
		err := c.Flush()
		for _, p := range []string{"b", "o", "d", "y"} {
			time.Sleep(8 * short)
			err = errors.Join(err, c.WriteBody([]byte(p), p == "y"))
		}
		done <- err
	}()
	if status, _, err := receive(c); status != 200 || err != nil {
		t.Errorf("got %d %v", status, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.Release()
	if n := tr.Stats("g").Idle; n != 1 {
		t.Error("the connection was not kept")
	}
}

// The reader is already waiting when the request ends, and when ExpectHead is called.
func TestHeadTimeStartsUnderTheReader(t *testing.T) {
	f := serve(t, func(c net.Conn, _ *bufio.Reader) { silent(c) })
	for name, start := range map[string]func(c *Conn){
		"end":    func(c *Conn) { _ = c.WriteBody([]byte("body"), true) },
		"expect": (*Conn).ExpectHead,
	} {
		tr := newTransport(t)
		c := mustGet(t, tr, f.target(), false)
		c.SetTimeouts(Timeouts{Head: short})
		c.SetHead(append(c.Head(64), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"...), message.Length, 4)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = c.Flush()
			time.Sleep(3 * short)
			start(c)
		}()
		began := time.Now()
		_, _, err := receive(c)
		if e := asError(t, err); !e.Timeout || e.Stage != StageHead {
			t.Errorf("%s: got %+v", name, e)
		}
		if d := time.Since(began); d < 4*short {
			t.Errorf("%s: gave up after %v", name, d)
		}
		<-done
		c.Release()
	}
}

// Row 13: an answer while the request body is still being sent.
func TestEarlyResponse(t *testing.T) {
	for name, next := range map[string]func(net.Conn){"silent": func(c net.Conn) {
		// Reads nothing more, and waits for the proxy to give up.
		for _, err := io.WriteString(c, ""); err == nil; _, err = c.Write(nil) {
			time.Sleep(time.Millisecond)
			if !alive(c) {
				return
			}
		}
	}, "closing": closing} {
		f := serve(t, func(c net.Conn, r *bufio.Reader) {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
			next(c)
		})
		tr := newTransport(t)
		for range 20 {
			c := mustGet(t, tr, f.target(), true)
			done := make(chan error, 1)
			go func() { done <- sendPost(c, make([]byte, 32<<20)) }()
			status, body, err := receive(c)
			// A reset can overtake the body of the response, but never its head.
			if status != 413 || err == nil && string(body) != "no" {
				t.Errorf("%s: got %d %q %v", name, status, body, err)
			}
			c.Abort()
			if err := <-done; err == nil {
				t.Errorf("%s: the body was sent", name)
			}
			c.Release()
		}
		if n := tr.Stats("g").Idle; n != 0 {
			t.Errorf("%s: %d kept", name, n)
		}
	}
}

// alive reports whether the other end of c is open.
func alive(c net.Conn) bool {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = raw.Control(func(fd uintptr) { open = tcpIsOpen(int(fd)) })
	return err == nil && open
}

// Row 22: Abort from another goroutine ends whatever the exchange waits for.
func TestAbort(t *testing.T) {
	release := make(chan struct{})
	f := serve(t, func(c net.Conn, r *bufio.Reader) {
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		<-release
	})
	defer close(release)
	quiet := serve(t, func(net.Conn, *bufio.Reader) { <-release })
	tr := newTransport(t)
	fds := countFDs(t)
	g := func(b *fake, stage Stage, before, wait func(c *Conn) error) {
		t.Helper()
		for range 20 {
			c := mustGet(t, tr, b.target(), false)
			if err := before(c); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				time.Sleep(time.Millisecond) // not needed, but it makes the wait likely
				c.Abort()
				c.Abort()
			}()
			e := asError(t, wait(c))
			if e.Side != message.Client || e.Stage != stage || !errors.Is(e, ErrAborted) ||
				e.Retryable() || e.Unsent() {
				t.Errorf("got %+v", e)
			}
			<-done
			c.Release()
		}
	}
	receiveAll := func(c *Conn) error { _, _, err := receive(c); return err }
	readBody := func(c *Conn) error { _, err := c.ReadBody(); return err }
	g(quiet, StageHead, sendGet, receiveAll)
	g(f, StageBody, func(c *Conn) error {
		var resp message.Response
		err := errors.Join(sendGet(c), c.ReadHead(&resp, []byte("GET")))
		for got := 0; got < len("hello") && err == nil; {
			var p []byte
			p, err = c.ReadBody()
			got += len(p)
		}
		return err
	}, readBody)
	g(quiet, StageWrite, func(*Conn) error { return nil },
		func(c *Conn) error { return sendPost(c, make([]byte, 32<<20)) })
	if s := tr.Stats("g"); s.Idle != 0 || s.InUse != 0 {
		t.Errorf("got %+v", s)
	}
	if n := countFDs(t); n > fds+60+10 { // the backend's ends are still open
		t.Errorf("%d descriptors, %d at the start", n, fds)
	}
}

func TestErrorText(t *testing.T) {
	e := &Error{Side: message.Upstream, Stage: StageBody, Backend: "127.0.0.1:1", Err: io.ErrUnexpectedEOF}
	const want = "cannot read the response body of 127.0.0.1:1: unexpected EOF"
	if got := fmt.Sprint(e); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
