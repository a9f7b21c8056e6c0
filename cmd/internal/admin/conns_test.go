package admin

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// Connections without a request, more than the admin side takes, keep nobody out.
func TestIdleConnectionsMakeWay(t *testing.T) {
	f := func(what, first string) {
		t.Helper()
		s, _ := startServer(t, loopback)
		for range maxConns + 10 {
			c, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if first == "" {
				continue
			}
			c.SetDeadline(time.Now().Add(20 * time.Second))
			io.WriteString(c, first)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			resp.Body.Close()
		}
		start := time.Now()
		if resp, body := request(t, s, http.MethodGet, "/healthz", ""); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: got %s %q", what, resp.Status, body)
		}
		if took := time.Since(start); took > headerTimeout/2 {
			t.Errorf("%s: the answer took %s, as if it waited for a timeout", what, took)
		}
	}
	f("silent connections", "")
	f("kept alive", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
}
