package l7

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
)

// TestTrailersAreChangedToo: what a route sets, removes or hides in a head does not come
// as a trailer, and all other trailers do.
func TestTrailersAreChangedToo(t *testing.T) {
	got := make(chan string, 2)
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			head, err := readHead(br)
			if err != nil {
				return
			}
			body, _ := readHead(br) // up to the empty line behind the trailers
			got <- head + body
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\nX-Sum: 1\r\nX-Secret: s\r\nX-Hid: h\r\n\r\n")
		}
	})
	r := newRig(t, plain+`
request_headers = { set = { X-User = "real" }, remove = ["X-Role"] }
response_headers = { remove = ["X-Secret"] }
hide_headers = ["X-Hid"]
`, o.addr)
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"1\r\na\r\n0\r\nx-user: forged\r\nX-Sum: 2\r\nX-Role: admin\r\n\r\n")
	res, _, err := c.response("POST")
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Trailer) != 1 || res.Trailer.Get("X-Sum") != "1" {
		t.Errorf("the client got the trailers %v, want X-Sum alone", res.Trailer)
	}
	req := <-got
	for _, bad := range []string{"forged", "admin"} {
		if strings.Contains(req, bad) {
			t.Errorf("the server got %q in %q", bad, req)
		}
	}
	if !strings.Contains(req, "X-Sum: 2\r\n") || !strings.Contains(req, "X-User: real\r\n") {
		t.Errorf("the server got %q", req)
	}
}
