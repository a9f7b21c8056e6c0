package l7

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"
)

// A client that leaves Nagle's algorithm on sends its first request only when the end of
// its handshake is acknowledged. In TLS 1.3 Weir has nothing to send by then to a client
// that asks for no tickets, and the kernel would put the acknowledgement off for 40 ms.
func TestHandshakeIsAcknowledged(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	certFile, keyFile, roots := newCert(t, "www.example.com")
	r := newRig(t, secure, o.addr, certFile, keyFile)
	fastest := time.Hour // of many: a busy machine delays some of them
	for end := time.Now().Add(20 * time.Second); fastest >= 40*time.Millisecond && time.Now().Before(end); {
		began := time.Now()
		c := r.dial()
		c.SetNoDelay(false)
		tc := tls.Client(c.TCPConn, &tls.Config{ServerName: "www.example.com", RootCAs: roots})
		io.WriteString(tc, "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(tc), nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); string(b) != "hello" {
			t.Fatalf("got %q %v", b, err)
		}
		fastest = min(fastest, time.Since(began))
		tc.Close()
	}
	if fastest >= 40*time.Millisecond {
		t.Errorf("the fastest exchange took %v", fastest)
	}
}
