package l7

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestLaneCutAnywhere: a server that breaks off behind any octet of its response, by a FIN
// or an RST, never makes a whole response of a part, and a client that does so behind any
// octet of its request leaves nothing behind. On the lane and by goroutines alike.
func TestLaneCutAnywhere(t *testing.T) {
	t.Parallel()
	const fixed = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789"
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n5\r\n56789\r\n0\r\n\r\n"
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			text := fixed
			if strings.HasPrefix(req.URL.Path, "/chunked") {
				text = chunked
			}
			n, err := strconv.Atoi(req.URL.RawQuery)
			if err != nil {
				n = len(text)
			}
			io.WriteString(c, text[:n])
			switch {
			case n == len(text):
				continue
			case strings.HasSuffix(req.URL.Path, "/reset"):
				c.SetLinger(0)
			}
			return
		}
	})
	for _, lanes := range []bool{true, false} {
		r := newRigWith(t, lanes, strings.Replace(plain, "[[l7]]", "[pool.app.ejection]\nenabled = false\n[[l7]]", 1), o.addr)
		for path, text := range map[string]string{
			"/fixed/fin": fixed, "/fixed/reset": fixed, "/chunked/fin": chunked, "/chunked/reset": chunked,
		} {
			for n := range len(text) + 1 {
				r.wantCut(t, path, n, len(text))
			}
		}
		const request = "POST /fixed HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
		for n := range len(request) + 1 {
			for _, reset := range []bool{true, false} {
				c := r.dial()
				c.send("%s", request[:n])
				if reset {
					c.SetLinger(0)
				}
				c.Close()
			}
		}
		r.wantNone(t)
		r.wantIdle(t)
		if n := r.server.panics.Load(); n > 0 {
			t.Errorf("%d panics:\n%s", n, r.log)
		}
	}
}

// wantCut asks for a response of which the server sends n octets out of all.
func (r *rig) wantCut(t *testing.T, path string, n, all int) {
	t.Helper()
	c := r.dial()
	defer c.Close()
	c.send("GET %s?%d HTTP/1.1\r\nHost: a\r\n\r\n", path, n)
	res, err := http.ReadResponse(c.br, &http.Request{Method: "GET"})
	if err != nil {
		if n == all || n < strings.Index("HTTP/1.1 200 OK", "OK") {
			t.Errorf("%s, %d of %d octets: no response: %v", path, n, all, err)
		}
		return // an RST may have taken what came before it
	}
	body, err := io.ReadAll(res.Body)
	what := fmt.Sprintf("%s, %d of %d octets: got %d, %q, %v", path, n, all, res.StatusCode, body, err)
	switch {
	case n == all && (err != nil || res.StatusCode != 200 || string(body) != "123456789"):
		t.Error(what)
	case n < all && res.StatusCode == 200 && (err == nil || errors.Is(err, io.EOF)):
		t.Error(what)
	case res.StatusCode != 200 && res.StatusCode != 502:
		t.Error(what)
	}
}
