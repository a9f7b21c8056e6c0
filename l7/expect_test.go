package l7

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestExpectAndHeldBody: where bodies are held, Weir says 100 itself, and the server gets
// the whole request without Expect, at once. A body that is too long to be held waits
// for the server's word.
func TestExpectAndHeldBody(t *testing.T) {
	f := func(framing, body, want100, wantExpect string) {
		t.Helper()
		heads := make(chan string, 1)
		o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
			head, err := readHead(br)
			if err != nil {
				return
			}
			heads <- head
			if strings.Contains(head, "Expect") {
				io.WriteString(c, "HTTP/1.1 100 From Backend\r\n\r\n")
			}
			io.CopyN(io.Discard, br, int64(len(body)))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		})
		r := newRig(t, plain+"request_buffer = \"1KiB\"\n", o.addr)
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n%s\r\n\r\n", framing)
		line, err := c.br.ReadString('\n')
		if err != nil || line != want100 {
			t.Fatalf("%s: got %q %v, want %q", framing, line, err, want100)
		}
		c.br.ReadString('\n')
		c.send("%s", body)
		if res, got, err := c.response("POST"); err != nil || got != "ok" {
			t.Errorf("%s: got %v %q %v", framing, res, got, err)
		}
		if head := <-heads; strings.Contains(head, "Expect") != (wantExpect != "") {
			t.Errorf("%s: the server got %q", framing, head)
		}
	}
	f("Content-Length: 5", "hello", "HTTP/1.1 100 Continue\r\n", "")
	f("Content-Length: 1025", strings.Repeat("x", 1025), "HTTP/1.1 100 From Backend\r\n", "Expect")
	f("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 100 Continue\r\n", "")
	long := strings.Repeat("x", 3000)
	f("Transfer-Encoding: chunked", "bb8\r\n"+long+"\r\n0\r\n\r\n", "HTTP/1.1 100 Continue\r\n", "")
}

// TestExpectIsIgnored has a backend that never says 100, and a client that sends
// after a while as curl does: the upload may last longer than the backend's time
// for a head, which starts when it has all of the request.
func TestExpectIsIgnored(t *testing.T) {
	t.Parallel()
	const size = 40_000
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		if _, err := readHead(br); err != nil {
			return
		}
		if n, _ := io.CopyN(io.Discard, br, size); n == size {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	// On a busy machine each of the two may be held up; the server's time is generous
	// beside that, and the upload longer still.
	const headTimeout, lasts = 3 * time.Second, 4 * time.Second
	r := newRig(t, plain+fmt.Sprintf("response_header_timeout = %q\n", headTimeout), o.addr)
	var wg sync.WaitGroup
	for _, wait := range []time.Duration{0, 100 * time.Millisecond} {
		c := r.dial()
		wg.Go(func() {
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", size)
			time.Sleep(wait)
			for left := size; left > 0; left -= 1000 {
				fmt.Fprint(c, strings.Repeat("x", 1000)) // an error shows below
				time.Sleep(lasts * 1000 / size)
			}
			if res, body, err := c.response("POST"); err != nil || res.StatusCode != 200 || body != "ok" {
				t.Errorf("waited %v: got %v %q %v, want 200", wait, res, body, err)
			}
		})
	}
	wg.Wait()
}

// TestAnyBodyRate: with body_min_rate = "0B" a client may stall for longer than any grace,
// and without it may not.
func TestAnyBodyRate(t *testing.T) {
	t.Parallel()
	f := func(keys string, want int) {
		t.Helper()
		o := newHTTPOrigin(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
		r := newRig(t, strings.Replace(plain, "[[l7.route]]", keys+"\nbody_grace = \"100ms\"\n[[l7.route]]", 1), o.addr)
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhello")
		time.Sleep(time.Second)
		fmt.Fprint(c, "world") // the answer may be there already
		if res, _, err := c.response("POST"); err != nil || res.StatusCode != want {
			t.Errorf("%q: got %v %v, want %d", keys, res, err, want)
		}
	}
	f(`body_min_rate = "0B"`, 200)
	f("", 408)
}
