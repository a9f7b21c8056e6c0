package l7

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/l4"
)

// TestTunnelCutUnderTLS: where one side of a tunnel is TLS too, a side that breaks off, or
// an administrator, never gives the other one an orderly end: neither a close_notify nor a
// FIN. What came before arrives.
func TestTunnelCutUnderTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, roots := newCert(t, "www.example.com")
	config := strings.Replace(connecting, "[[l7.connect]]", fmt.Sprintf(
		"[l7.tls]\ncerts = [{ cert = %q, key = %q }]\n[[l7.connect]]", certFile, keyFile), 1)
	f := func(what string, serverResets bool, cause func(r *rig, c *net.TCPConn), wantClient, wantServer bool) {
		t.Helper()
		serverGot := make(chan error, 1)
		o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
			io.WriteString(c, "half")
			if serverResets {
				br.ReadByte()
				c.SetLinger(0)
				return
			}
			_, err := io.Copy(io.Discard, br)
			serverGot <- err
		})
		r := newLoopRig(t, config, o.addr)
		plain := r.dial()
		br, tc := connectOverTLS(t, plain, roots)
		if got, err := io.ReadAll(io.LimitReader(br, 4)); string(got) != "half" {
			t.Fatalf("%s: got %q, %v", what, got, err)
		}
		io.WriteString(tc, "x")
		cause(r, plain.TCPConn)
		if wantClient {
			plain.SetReadDeadline(time.Now().Add(clientPatience))
			if _, err := br.ReadByte(); err == io.EOF || isTimeout(err) || err == nil {
				t.Errorf("%s: the client got %v, want a cut", what, err)
			}
		}
		if wantServer {
			select {
			case err := <-serverGot:
				if err == nil {
					t.Errorf("%s: the server got an orderly end, want a reset", what)
				}
			case <-time.After(clientPatience):
				t.Errorf("%s: the server got no end", what)
			}
		}
		r.untilNoTunnel(t)
	}
	f("server resets", true, func(*rig, *net.TCPConn) {}, true, false)
	f("client cuts", false, func(_ *rig, c *net.TCPConn) { c.CloseWrite() }, false, true)
	f("client resets", false, func(_ *rig, c *net.TCPConn) { c.SetLinger(0); c.Close() }, false, true)
	f("administrator", false, func(r *rig, _ *net.TCPConn) {
		seen := r.wantListed(t, l4.Filter{}, 1)[0]
		if n, err := r.front.End(t.Context(), l4.Filter{ID: seen.ID}); n != 1 || err != nil {
			t.Errorf("ended %d, %v", n, err)
		}
	}, true, true)
}

// TestTunnelCutToTLSServer: the same where the server's side is TLS.
func TestTunnelCutToTLSServer(t *testing.T) {
	t.Parallel()
	certFile, keyFile, _ := newCert(t, "www.example.com")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, orderly bool, leave func(c *net.TCPConn)) {
		t.Helper()
		serverGot := make(chan error, 1)
		o := newOrigin(t, func(c *net.TCPConn, _ *bufio.Reader) {
			tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}})
			io.WriteString(tc, "half")
			_, err := io.Copy(io.Discard, tc)
			serverGot <- err
		})
		r := newLoopRig(t, strings.Replace(connecting, "[pool.none]", fmt.Sprintf(
			"[pool.app.tls]\nca = %q\nname = \"www.example.com\"\n[pool.none]", certFile), 1), o.addr)
		c := r.dial()
		const to = "db.example.com:5432"
		c.send("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
		if res, err := http.ReadResponse(c.br, &http.Request{Method: "CONNECT"}); err != nil || res.StatusCode != 200 {
			t.Fatalf("got %v %v", res, err)
		}
		if got, err := io.ReadAll(io.LimitReader(c.br, 4)); string(got) != "half" {
			t.Fatalf("%s: got %q, %v", what, got, err)
		}
		leave(c.TCPConn)
		select {
		case err := <-serverGot:
			if (err == nil) != orderly {
				t.Errorf("%s: the server got %v", what, err)
			}
		case <-time.After(clientPatience):
			t.Errorf("%s: the server got no end", what)
		}
		c.Close()
		r.untilNoTunnel(t)
	}
	f("an end", true, func(c *net.TCPConn) { c.CloseWrite() })
	f("a reset", false, func(c *net.TCPConn) { c.SetLinger(0); c.Close() })
}

// connectOverTLS opens a tunnel.
func connectOverTLS(t *testing.T, c *client, roots *x509.CertPool) (*bufio.Reader, *tls.Conn) {
	t.Helper()
	tc := tls.Client(c.TCPConn, &tls.Config{RootCAs: roots, ServerName: "www.example.com"})
	const to = "db.example.com:5432"
	fmt.Fprintf(tc, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
	br := bufio.NewReader(tc)
	if res, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || res.StatusCode != 200 {
		t.Fatalf("got %v %v", res, err)
	}
	return br, tc
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
