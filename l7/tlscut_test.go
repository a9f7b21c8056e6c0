package l7

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestRow23_TLSHalfClose sends a request, close_notify and FIN in one go: that is
// a half-close, however much of it crypto/tls has taken from the kernel.
func TestRow23_TLSHalfClose(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(700 * time.Millisecond)
		io.WriteString(w, "late")
	})
	certFile, keyFile, roots := newCert(t, "www.example.com")
	r := newRig(t, secure, o.addr, certFile, keyFile)
	f := func(version uint16) {
		t.Helper()
		c := r.dial()
		hold := &heldConn{TCPConn: c.TCPConn}
		tc := tls.Client(hold, &tls.Config{ServerName: "www.example.com", RootCAs: roots, MaxVersion: version})
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		hold.hold = true
		io.WriteString(tc, "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
		tc.CloseWrite()
		if _, err := c.Write(hold.held); err != nil {
			t.Fatal(err)
		}
		c.CloseWrite()
		res, err := http.ReadResponse(bufio.NewReader(tc), nil)
		if err != nil {
			t.Fatalf("version %x: %v", version, err)
		}
		if b, err := io.ReadAll(res.Body); string(b) != "late" || err != nil {
			t.Errorf("version %x: got %q %v", version, b, err)
		}
	}
	f(tls.VersionTLS12)
	f(tls.VersionTLS13)
}

// heldConn keeps what is written, to be sent at once.
type heldConn struct {
	*net.TCPConn
	hold bool
	held []byte
}

func (c *heldConn) Write(p []byte) (int, error) {
	if !c.hold {
		return c.TCPConn.Write(p)
	}
	c.held = append(c.held, p...)
	return len(p), nil
}

// SetWriteDeadline is for CloseWrite, which lets no write follow.
func (c *heldConn) SetWriteDeadline(time.Time) error { return nil }

// TestRow22_TLSCut cuts a TLS connection off without close_notify.
func TestRow22_TLSCut(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{}, 2)
	o := newOrigin(t, func(_ *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.Copy(io.Discard, br)
		ended <- struct{}{}
	})
	certFile, keyFile, roots := newCert(t, "www.example.com")
	r := newRig(t, secure, o.addr, certFile, keyFile)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := r.dial()
		tc := tls.Client(c.TCPConn, &tls.Config{ServerName: "www.example.com", RootCAs: roots, MaxVersion: version})
		io.WriteString(tc, "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
		c.CloseWrite()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatal("the exchange went on")
		}
	}
}
