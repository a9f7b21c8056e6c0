package l7

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// narrow leaves the connections of a rig the least that the kernel buffers of what goes to
// the client, and returns how to dial them.
func (r *rig) narrow(t *testing.T) func() *net.TCPConn {
	t.Helper()
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
	return func() *net.TCPConn {
		t.Helper()
		nc, err := d.DialContext(context.Background(), "tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		return nc.(*net.TCPConn)
	}
}

// TestLaneClosesBehindAnswers: the last answer that a client asked for is sent to its end
// also where the kernel does not take all of it at once.
func TestLaneClosesBehindAnswers(t *testing.T) {
	t.Parallel()
	size := 1500
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, size)) })
	r := newRigWith(t, true, plain, o.addr)
	dial := r.narrow(t)
	for n := range 8 {
		nc := dial()
		c := &client{t, nc, bufio.NewReader(nc)}
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

// TestLaneTLSClosesBehindAnswers: so is the close_notify behind it, which may be all that
// the kernel does not take.
func TestLaneTLSClosesBehindAnswers(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		size, _ := strconv.Atoi(req.URL.Path[1:])
		w.Write(make([]byte, size))
	})
	r, roots := newSecureRig(t, true, o)
	dial := r.narrow(t)
	ask := func(size int) string {
		return fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: %s\r\n", size, secureName)
	}
	const answers = 5
	var list []*tls.Conn
	for size := 200; size < 600; size += 5 { // at a few of them the socket is just full
		nc := dial()
		nc.SetDeadline(time.Now().Add(clientPatience))
		defer nc.Close()
		tc := tls.Client(nc, &tls.Config{ServerName: secureName, RootCAs: roots})
		if err := settle(tc); err != nil {
			t.Fatal(err)
		}
		io.WriteString(tc, strings.Repeat(ask(0)+"\r\n", answers-1)+ask(size)+"Connection: close\r\n\r\n")
		list = append(list, tc)
	}
	time.Sleep(50 * time.Millisecond)
	for i, tc := range list {
		all, err := io.ReadAll(tc)
		if n := strings.Count(string(all), "HTTP/1.1 200 OK"); err != nil || n != answers {
			t.Errorf("connection %d: got %d answers, %v", i, n, err)
		}
	}
}
