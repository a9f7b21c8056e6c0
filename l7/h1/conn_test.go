package h1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/l7/message"
)

const (
	get  = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
	post = "POST /p HTTP/1.1\r\nHost: h\r\n" // the rest of the head follows
)

// talk writes in to a served connection in pieces of step octets, then ends its
// direction, and returns all that comes back.
func talk(t *testing.T, in string, step int, handle handler) (out string, ended error) {
	t.Helper()
	client, server := tcpPair(t)
	client.SetNoDelay(true)
	done := serve(NewConn(server, nil), handle)
	go func() {
		for p := in; p != ""; p = p[min(step, len(p)):] {
			if _, err := io.WriteString(client, p[:min(step, len(p))]); err != nil {
				return
			}
		}
		client.CloseWrite()
	}()
	b, err := io.ReadAll(client)
	if err != nil {
		t.Errorf("%.100q: %v", in, err)
	}
	return string(b), <-done
}

// bodies returns the statuses and bodies of the responses in out.
func bodies(t *testing.T, out string) string {
	t.Helper()
	var b strings.Builder
	r := bufio.NewReader(strings.NewReader(out))
	for {
		if _, err := r.Peek(1); err == io.EOF {
			return b.String()
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Errorf("%q: %v", out, err)
			return b.String()
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("%q: %v", out, err)
		}
		fmt.Fprintf(&b, "[%d %s", resp.StatusCode, body)
		if resp.Close {
			b.WriteString(" close")
		}
		for _, name := range []string{"A", "B"} {
			if v := resp.Trailer.Get(name); v != "" {
				b.WriteString(" " + name + "=" + v)
			}
		}
		b.WriteString("]")
	}
}

// TestTalk also shows rows 10 and 23: every client here half-closes and gets its whole answer.
func TestTalk(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		for _, step := range []int{len(in), 1, 7, 100} {
			if step < 10 && len(in) > 2000 {
				continue
			}
			out, _ := talk(t, in, max(step, 1), echo)
			if got := bodies(t, out); got != want {
				t.Errorf("%.200q in steps of %d\ngot  %.300s\nwant %.300s", in, step, got, want)
			}
		}
	}
	f("", "")
	f(get, "[200 /a|]")
	f(get+get+get, "[200 /a|][200 /a|][200 /a|]")
	f("\r\n"+get+"\r\n"+get, "[200 /a|][200 /a|]")
	f("GET /a HTTP/1.0\r\n\r\n", "[200 /a| close]")
	f("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"+get, "[200 /a|][200 /a|]")
	f("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "[200 /a| close]")
	f(post+"Content-Length: 5\r\n\r\nhello"+get, "[200 /p|hello][200 /a|]")
	f(post+"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nA: b\r\n\r\n"+get,
		"[200 /p|hello|A=b][200 /a|]")

	// Bodies and heads larger than each of the buffers.
	for _, n := range []int{1000, 1024, 5000, 16384, 17000, 70000, 200000} {
		body := strings.Repeat("0123456789", n/10)
		f(fmt.Sprintf(post+"Content-Length: %d\r\n\r\n%s", len(body), body)+get+get,
			"[200 /p|"+body+"][200 /a|][200 /a|]")
		f(fmt.Sprintf(post+"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
			len(body), body)+get,
			"[200 /p|"+body+"][200 /a|]")
		if n < 32000 {
			f("GET /a HTTP/1.1\r\nHost: h\r\nX: "+body+"\r\n\r\n"+get, "[200 /a|][200 /a|]")
		}
	}
	f(strings.Repeat(get, 1000), strings.Repeat("[200 /a|]", 1000))

	// Refused heads are answered, and the connection ends (rows 27, 28).
	f(get+"GET / HTTP/1.1\r\n\r\n"+get, "[200 /a|][400 refused close]")
	f("GET / HTTP/1.1\nHost: h\n\n", "[400 refused close]")
	f("GET / HTTP/1.1\r\nHost: h\r\nX: "+strings.Repeat("x", 40<<10)+"\r\n\r\n", "[431 refused close]")
	f("GET /"+strings.Repeat("x", 9<<10)+" HTTP/1.1\r\nHost: h\r\n\r\n", "[414 refused close]")
	f("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "[400 refused close]")
	f("GET / HTTP/1.1\r\nHos", "")

	// Cut bodies are an error, not an end (row 5).
	const cut = "cannot accept request: the body ended early (truncated, status 400)"
	f(post+"Content-Length: 6\r\n\r\nhello", "[200 "+cut+" close]")
	f(post+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "[200 "+cut+" close]")
	f(post+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
		"[200 cannot accept request: the data of a chunk is not followed by CRLF (no_chunk_end, status 400) close]")
}

// TestNothingAfterClose sends a request that must not be there: it is not served,
// and does not cost the client the answer before it.
func TestNothingAfterClose(t *testing.T) {
	out, err := talk(t, "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"+get, 1000, echo)
	if got := bodies(t, out); got != "[200 /a| close]" || err != nil {
		t.Error(got, err)
	}
	// We end it, and the client cannot know yet.
	out, err = talk(t, strings.Repeat(get, 1000), 10, func(c *Conn, r *message.Request) bool {
		c.SetClose()
		return echo(c, r)
	})
	if got := bodies(t, out); got != "[200 /a| close]" || err != nil {
		t.Error(got, err)
	}
}

func TestReadRequestEnds(t *testing.T) {
	f := func(in string, want error) {
		t.Helper()
		if _, err := talk(t, in, 1000, echo); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%q ended with %v, want %v", in, err, want)
		}
	}
	f("", io.EOF)
	f(get, io.EOF)
	f("GET", io.ErrUnexpectedEOF)
	f(get+"GET / HTTP/1.1\r\n", io.ErrUnexpectedEOF)
	f("GET / HTTP/1.0\r\n\r\n", nil)
}

func TestContinue(t *testing.T) {
	const head = post + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
	client, server := tcpPair(t)
	done := serve(NewConn(server, nil), echo)
	io.WriteString(client, head)
	r := bufio.NewReader(client)
	for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} {
		if line, err := r.ReadString('\n'); line != want || err != nil {
			t.Fatalf("%q, %v", line, err)
		}
	}
	io.WriteString(client, "hello")
	client.CloseWrite()
	rest, _ := io.ReadAll(r)
	if got := bodies(t, string(rest)); got != "[200 /p|hello]" {
		t.Error(got)
	}
	<-done

	// A client that sends the body at once is not told to.
	out, _ := talk(t, head+"hello"+get, 1000, echo)
	if got := bodies(t, out); got != "[200 /p|hello][200 /a|]" {
		t.Error(got)
	}

	// Without 100 the body may come or not: the connection cannot live on.
	out, _ = talk(t, head+"hello"+get, 1000, func(c *Conn, _ *message.Request) bool {
		return answer(c, 403, "no") == nil
	})
	if got := bodies(t, out); got != "[403 no close]" {
		t.Error(got)
	}
}

// TestEarlyAnswer is row 13 and "undrained request body on reuse": a small rest is
// dropped, a large one ends the connection, and the answer arrives in any case.
func TestEarlyAnswer(t *testing.T) {
	refuse := func(c *Conn, r *message.Request) bool {
		if r.HasBody() {
			return answer(c, 413, "too large") == nil
		}
		return echo(c, r)
	}
	f := func(framing, body, want string) {
		t.Helper()
		t.Run(framing, func(t *testing.T) {
			t.Parallel() // a client that goes on sending is put up with for a while
			out, _ := talk(t, post+framing+"\r\n\r\n"+body+get, 100000, refuse)
			if got := bodies(t, out); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	small, large := strings.Repeat("x", MaxDrain), strings.Repeat("x", 4<<20)
	f("Content-Length: 65536", small, "[413 too large][200 /a|]")
	f("Content-Length: 65537", small+"x", "[413 too large close]")
	f("Content-Length: 4194304", large, "[413 too large close]")
	f("Transfer-Encoding: chunked", "400000\r\n"+large+"\r\n0\r\n\r\n", "[413 too large close]")
	f("Content-Length: 10", "x", "[413 too large][400 refused close]") // what follows the ten octets is no request
}

// TestAnswerWhileUploading has a client that never stops sending.
func TestAnswerWhileUploading(t *testing.T) {
	t.Parallel()
	client, server := tcpPair(t)
	done := serve(NewConn(server, nil), func(c *Conn, _ *message.Request) bool { return answer(c, 413, "stop") == nil })
	go func() {
		io.WriteString(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000000\r\n\r\n")
		for p := make([]byte, 32<<10); ; {
			if _, err := client.Write(p); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if string(body) != "stop" || err != nil || !resp.Close {
		t.Errorf("%q, %v", body, err)
	}
	client.Close()
	<-done
}

func TestHijack(t *testing.T) {
	client, server := tcpPair(t)
	c := NewConn(server, nil)
	done := serve(c, func(c *Conn, r *message.Request) bool {
		if !r.WebSocket {
			t.Error("no WebSocket")
		}
		c.WriteHead([]byte("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"), message.None, 0)
		nc, leftover, err := c.Hijack()
		if err != nil || string(leftover) != "early" {
			t.Errorf("%q, %v", leftover, err)
		}
		c.Close()
		io.Copy(nc, nc)
		nc.Close()
		return false
	})
	io.WriteString(client, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
	r := bufio.NewReader(client)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	io.WriteString(client, "ping")
	client.CloseWrite()
	if b, err := io.ReadAll(r); string(b) != "ping" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	<-done
}

func TestStats(t *testing.T) {
	client, server := tcpPair(t)
	c := NewConn(server, nil)
	done := serve(c, echo)
	io.WriteString(client, get+get)
	client.CloseWrite()
	out, _ := io.ReadAll(client)
	<-done
	if want := (Stats{Requests: 2, BytesIn: uint64(2 * len(get)), BytesOut: uint64(len(out))}); c.Stats() != want {
		t.Errorf("got %+v, want %+v", c.Stats(), want)
	}
}

// TestAbort is rows 3 and 4: a client never takes a cut response for a whole one.
func TestAbort(t *testing.T) {
	f := func(head string, framing message.Framing, want string, wantErr func(error) bool) {
		t.Helper()
		client, server := tcpPair(t)
		done := serve(NewConn(server, nil), func(c *Conn, _ *message.Request) bool {
			c.WriteHead([]byte("HTTP/1.1 200 OK\r\n"+head+"\r\n"), framing, 1000)
			c.WriteBody(bytes.Repeat([]byte{'x'}, 500))
			c.Flush()
			c.Abort()
			return false
		})
		io.WriteString(client, get)
		resp, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		if err == nil || !wantErr(err) {
			t.Errorf("%s: a cut body ends with %v, want %s", framing, err, want)
		}
		<-done
	}
	short := func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }
	f("Content-Length: 1000\r\n", message.Length, "unexpected EOF", short)
	f("Transfer-Encoding: chunked\r\n", message.Chunked, "unexpected EOF", short)
	f("Connection: close\r\n", message.Close, "reset", func(err error) bool {
		return errors.Is(err,
			syscall.ECONNRESET)
	})
}

// TestSlowReaderIsReset: a client that is given up for taking too slowly would go on taking
// what the kernel holds for it, megabytes of memory and for hours, and in the end it would
// see an orderly end. An RST drops all of it, whatever the framing and whoever closes.
func TestSlowReaderIsReset(t *testing.T) {
	for _, framing := range []message.Framing{message.Length, message.Chunked, message.Close} {
		for name, end := range map[string]func(*Conn){
			"Abort": (*Conn).Abort, "CloseGracefully": (*Conn).CloseGracefully, "Close": func(c *Conn) { c.Close() },
		} {
			client, server := tcpPair(t)
			opt := &Options{HeaderTimeout: time.Second, BodyGrace: 20 * time.Millisecond, BodyMinRate: 1 << 30}
			done := serve(NewConn(server, opt), func(c *Conn, _ *message.Request) bool {
				c.WriteHead([]byte("HTTP/1.1 200 OK\r\n\r\n"), framing, 1<<40)
				piece := make([]byte, 64<<10)
				for c.WriteBody(piece) == nil { // until the client is too slow
				}
				end(c)
				return false
			})
			io.WriteString(client, get)
			<-done
			if _, err := io.Copy(io.Discard, client); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%v, %s: the client sees %v, want a reset", framing, name, err)
			}
		}
	}
}

// TestCloseTwice checks that no end of a connection harms another.
func TestCloseTwice(t *testing.T) {
	ends := map[string]func(*Conn){
		"Close": func(c *Conn) { c.Close() }, "CloseGracefully": (*Conn).CloseGracefully, "Abort": (*Conn).Abort,
	}
	for a, endA := range ends {
		for b, endB := range ends {
			client, server := net.Pipe()
			c := NewConn(server, nil)
			endA(c)
			endB(c)
			if n, err := client.Read(make([]byte, 1)); n != 0 || err == nil {
				t.Errorf("%s and %s: %d, %v", a, b, n, err)
			}
		}
	}
}
