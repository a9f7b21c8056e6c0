package l7

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/pool/metric"
)

// newCert writes a self-signed certificate and returns the files and the pool that trusts it.
func newCert(t *testing.T, names ...string) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "c.pem"), filepath.Join(dir, "c.key")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(certFile, certPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	if err := os.WriteFile(keyFile, keyPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, roots
}

const secure = `
[pool.app]
servers = ["%s"]
[[l7]]
name = "web"
listen = ["127.0.0.1:8443"]
[l7.tls]
redirect = ["127.0.0.1:8080"]
certs = [{ cert = "%s", key = "%s" }]
[[l7.route]]
pool = "app"
`

func TestTLS(t *testing.T) {
	o, heads := seen(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLocation: http://%s/x\r\n\r\nok")
	certFile, keyFile, roots := newCert(t, "www.example.com", "api.example.com")
	r := newRig(t, secure, o.addr, certFile, keyFile)
	f := func(sni, host string, status int) {
		t.Helper()
		c := r.dial()
		tc := tls.Client(c.TCPConn, &tls.Config{ServerName: sni, RootCAs: roots})
		fmt.Fprintf(tc, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		res, err := http.ReadResponse(bufio.NewReader(tc), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != status {
			t.Errorf("SNI %s, host %s: got %d, want %d", sni, host, res.StatusCode, status)
		}
		if status == 200 {
			if head := <-heads; !strings.Contains(head, "X-Forwarded-Proto: https\r\n") {
				t.Errorf("got head %q", head)
			}
		}
	}
	f("www.example.com", "www.example.com", 200)
	f("WWW.example.com", "www.example.com:8443", 200)
	f("www.example.com", "api.example.com", 200)
	f("www.example.com", "secret.example.com", 421)
}

func TestRedirect(t *testing.T) {
	certFile, keyFile, _ := newCert(t, "www.example.com")
	r := newRig(t, secure, "127.0.0.1:1", certFile, keyFile)
	r.name.Store(RedirectName("web"))
	f := func(host, target string, status int, location string) {
		t.Helper()
		c := r.dial()
		c.send("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, host)
		res, _, _ := c.response("GET")
		if res.StatusCode != status || res.Header.Get("Location") != location {
			t.Errorf("%s%s: got %d %q", host, target, res.StatusCode, res.Header.Get("Location"))
		}
	}
	f("www.example.com", "/a//b?c=d", 308, "https://www.example.com:8443/a//b?c=d")
	f("WWW.example.com:80", "//evil.example/", 308, "https://www.example.com:8443//evil.example/")
	f("evil.example", "/", 404, "")
}

// TestStreams checks that a piece of a response reaches the client while the
// backend is silent, and a piece of a request the backend.
func TestStreams(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		readHead(br)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		for { // echo chunk by chunk
			line, err := br.ReadString('\n')
			if err != nil || line == "0\r\n" {
				io.WriteString(c, "0\r\n\r\n")
				return
			}
			var n int
			fmt.Sscanf(line, "%x", &n)
			data := make([]byte, n+2)
			io.ReadFull(br, data)
			fmt.Fprintf(c, "%x\r\n%s", n, data)
		}
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		msg := fmt.Sprintf("event %d", i)
		c.send("%x\r\n%s\r\n", len(msg), msg)
		got := make([]byte, len(msg))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != msg {
			t.Fatalf("got %q %v, want %q", got, err, msg)
		}
	}
	c.send("0\r\n\r\n")
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("got %q %v at the end", rest, err)
	}
}

func TestExpectContinue(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(401)
			return
		}
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if line, _ := c.br.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q", line)
	}
	c.br.ReadString('\n')
	c.send("hello")
	if _, body, err := c.response("POST"); body != "hello" || err != nil {
		t.Errorf("got %q %v", body, err)
	}
	c = r.dial()
	c.send("POST /no HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if res, _, _ := c.response("POST"); res.StatusCode != 401 || !res.Close {
		t.Errorf("got %d close %v, want 401 and a close", res.StatusCode, res.Close)
	}
}

func TestWebSocket(t *testing.T) {
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		head, _ := readHead(br)
		if !strings.Contains(head, "Connection: Upgrade\r\nUpgrade: websocket\r\n") {
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi ")
		io.Copy(c, br)
	})
	r := newRig(t, plain, o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\nearly ")
	res, err := http.ReadResponse(c.br, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("got %v %v", res, err)
	}
	c.send("late")
	c.CloseWrite()
	if got, err := io.ReadAll(c.br); string(got) != "hi early late" || err != nil {
		t.Errorf("got %q %v", got, err)
	}
}

func TestDrain(t *testing.T) {
	release := make(chan struct{})
	o := newHTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		io.WriteString(w, "ok")
	})
	r := newRig(t, plain, o.addr)
	busy, idle, used := r.dial(), r.dial(), r.dial()
	idle.get("/")
	used.get("/")
	busy.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
	eventually(t, "the slow request", func() bool {
		return r.server.snapshot.Load().listeners["web"].requests.Load() == 1
	})
	done := make(chan error, 1)
	go func() { done <- r.server.Drain(context.Background()) }()
	eventually(t, "the drain", r.server.isDraining)
	if res, body := used.get("/"); body != "ok" || !res.Close {
		t.Errorf("a request at the start of the drain: got %q close %v", body, res.Close)
	}
	used.wantClosed()
	idle.wantClosed()
	close(release)
	if res, body, err := busy.response("GET"); body != "ok" || !res.Close || err != nil {
		t.Errorf("the request under way: got %q close %v %v", body, res.Close, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDrainEndsAtItsDeadline(t *testing.T) {
	o := newOrigin(t, func(_ *net.TCPConn, br *bufio.Reader) { io.Copy(io.Discard, br) })
	r := newRig(t, plain, o.addr)
	c := r.dial()
	c.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	eventually(t, "the request", func() bool { return o.conns.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.server.Drain(ctx); err != context.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
	c.wantClosed()
}

func TestReloadMovesKeepAliveConnections(t *testing.T) {
	a := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a") })
	b := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "b") })
	r := newRig(t, plain, a.addr)
	c := r.dial()
	if _, body := c.get("/"); body != "a" {
		t.Errorf("got %q", body)
	}
	r.apply(strings.ReplaceAll(fmt.Sprintf(plain, b.addr), "app", "other"))
	if _, body := c.get("/"); body != "b" {
		t.Errorf("after the reload: got %q", body)
	}
	r.apply(strings.Replace(fmt.Sprintf(plain, b.addr), `"web"`, `"other"`, 1))
	if res, body := c.get("/"); body != "b" || !res.Close {
		t.Errorf("after the listener went: got %q close %v", body, res.Close)
	}
	c.wantClosed()
}

func TestRow25_ShedEndsIdleConnections(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	r := newRig(t, plain, o.addr)
	c := r.dial()
	c.get("/")
	// Its client has the response a moment before the connections are idle.
	eventually(t, "idle connections", func() bool {
		return r.server.transport.Stats("app").Idle == 1 && r.metrics.Gauge(metric.L7ActiveRequests, "web").Load() == 0
	})
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.wantClosed()
	}()
	eventually(t, "both connections to be closed", func() bool {
		r.server.Shed() // as the process does while it has no descriptors
		select {
		case <-closed:
			return r.server.transport.Stats("app").Idle == 0
		default:
			return false
		}
	})
	if _, body := r.dial().get("/"); body != "ok" {
		t.Errorf("afterwards: got %q", body)
	}
}
