package l7

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestExpectIsIgnored has a backend that never says 100, and a client that sends
// after a while as curl does: the upload may last longer than the backend's time
// for a head, which starts when it has all of the request.
func TestExpectIsIgnored(t *testing.T) {
	const size = 40_000
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		if _, err := readHead(br); err != nil {
			return
		}
		if n, _ := io.CopyN(io.Discard, br, size); n == size {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	r := newRig(t, strings.Replace(plain, `pool = "app"`, "pool = \"app\"\nresponse_header_timeout = \"300ms\"", 1), o.addr)
	for _, wait := range []time.Duration{0, 100 * time.Millisecond} {
		c := r.dial()
		c.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", size)
		for left := size; left > 0; left -= 1000 { // 40 pieces, 0.8 s
			time.Sleep(wait)
			c.send("%s", strings.Repeat("x", 1000))
			wait = 20 * time.Millisecond
		}
		if res, body, err := c.response("POST"); err != nil || res.StatusCode != 200 || body != "ok" {
			t.Errorf("got %s %q %v, want 200", res.Status, body, err)
		}
	}
}
