package l7

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestLaneClosesBehindAnswers: the last answer that a client asked for is sent to its end
// also where the kernel does not take all of it at once.
func TestLaneClosesBehindAnswers(t *testing.T) {
	t.Parallel()
	size := 1500
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, size)) })
	r := newRigWith(t, true, plain, o.addr)
	buffer := func(option int) func(_, _ string, c syscall.RawConn) error {
		return func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, option, 1) })
		}
	}
	raw, err := r.ln.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := buffer(syscall.SO_SNDBUF)("", "", raw); err != nil { // of connections to come
		t.Fatal(err)
	}
	d := net.Dialer{Control: buffer(syscall.SO_RCVBUF)}
	for n := range 8 {
		nc, err := d.DialContext(context.Background(), "tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t, nc.(*net.TCPConn), bufio.NewReader(nc)}
		c.send("%s", strings.Repeat("GET / HTTP/1.1\r\nHost: h\r\n\r\n", n)+"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		time.Sleep(20 * time.Millisecond)
		for range n + 1 {
			if res, body, err := c.response("GET"); err != nil || res.StatusCode != 200 || len(body) != size {
				t.Fatalf("%d requests: got %d, %d octets, %v", n+1, res.StatusCode, len(body), err)
			}
		}
		c.wantClosed()
		c.Close()
	}
}
