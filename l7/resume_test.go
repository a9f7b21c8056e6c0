package l7

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"weir/pool/metric"
)

// visit makes one request with TLS and says whether its session was resumed. The answer
// proves that a ticket was read before.
func (r *rig) visit(c *tls.Config) (resumed bool, err error) {
	r.t.Helper()
	conn := tls.Client(r.dial().TCPConn, c)
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", c.ServerName)
	b, err := io.ReadAll(conn)
	if err == nil && !bytes.HasPrefix(b, []byte("HTTP/1.1 200 ")) {
		err = fmt.Errorf("got %q", b)
	}
	return conn.ConnectionState().DidResume, err
}

// remembering is a client that resumes its sessions.
func remembering(version uint16, name string, roots *x509.CertPool) *tls.Config {
	return &tls.Config{
		ServerName: name, RootCAs: roots, MinVersion: version, MaxVersion: version,
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
}

// Clients resume their sessions, also after a reload that changes nothing of the TLS. New
// settings and a new certificate end that.
func TestResumption(t *testing.T) {
	t.Parallel()
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	certFile, keyFile, roots := newCert(t, "www.example.com")
	config := fmt.Sprintf(secure, o.addr, certFile, keyFile)
	r := newRig(t, strings.ReplaceAll(config, "%", "%%"))
	clients := []*tls.Config{
		remembering(tls.VersionTLS12, "www.example.com", roots), remembering(tls.VersionTLS13, "www.example.com", roots),
	}
	f := func(when string, want bool) {
		t.Helper()
		for _, c := range clients {
			if got, err := r.visit(c); err != nil || got != want {
				t.Errorf("%s, %s: resumed %v, %v, want %v", when, tls.VersionName(c.MinVersion), got, err, want)
			}
		}
	}
	f("first", false)
	f("second", true)
	r.apply(config + "timeout = \"20s\"\n")
	f("after a reload", true)
	r.apply(strings.Replace(config, "[l7.tls]", "[l7.tls]\nmin_version = \"1.3\"", 1))
	if _, err := r.visit(clients[0]); err == nil {
		t.Error("a ticket of TLS 1.2 was good for a listener that no longer speaks it")
	}
	r.apply(config)
	f("after settings changed and changed back", false)
	certFile, keyFile, _ = newCert(t, "www.example.com")
	root, err := os.ReadFile(certFile)
	if err != nil || !roots.AppendCertsFromPEM(root) {
		t.Fatal(err)
	}
	r.apply(fmt.Sprintf(secure, o.addr, certFile, keyFile))
	f("with a new certificate", false)
	f("once more", true)
}

// A ticket of one listener is good for nothing at another, though name and certificate
// are the same.
func TestTicketsOfAnotherListener(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	certFile, keyFile, roots := newCert(t, "www.example.com")
	second := strings.NewReplacer(`name = "web"`, `name = "other"`, "8443", "8444", "8080", "8081").Replace(
		secure[strings.Index(secure, "[[l7]]"):])
	r := newRig(t, secure+second, o.addr, certFile, keyFile, certFile, keyFile)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := remembering(version, "www.example.com", roots)
		f := func(listener string, want bool) {
			t.Helper()
			r.name.Store(listener)
			if got, err := r.visit(c); err != nil || got != want {
				t.Errorf("%s, %s: resumed %v, %v, want %v", listener, tls.VersionName(version), got, err, want)
			}
		}
		f("web", false)
		f("web", true)
		f("other", false)
		f("other", true)
		f("web", false)
	}
}

// A session that is resumed under another name of the listener is held to that name: its
// Host must fit the hello, not the ticket.
func TestTicketsAcrossHosts(t *testing.T) {
	o := newHTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	certFile, keyFile, roots := newCert(t, "a.example.com")
	otherFile, otherKey, _ := newCert(t, "b.example.com")
	config := strings.Replace(secure, `certs = [{`, `certs = [{ cert = "%s", key = "%s" }, {`, 1)
	r := newRig(t, config, o.addr, certFile, keyFile, otherFile, otherKey)
	c := remembering(tls.VersionTLS13, "a.example.com", roots)
	c.InsecureSkipVerify = true
	c.ClientSessionCache = nameless{c.ClientSessionCache}
	if _, err := r.visit(c); err != nil {
		t.Fatal(err)
	}
	c.ServerName = "b.example.com"
	if _, err := r.visit(c); err != nil {
		t.Errorf("with the other name: %v", err)
	}
	conn := tls.Client(r.dial().TCPConn, c)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: c.example.com\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 421 {
		t.Errorf("another host on a resumed session: got %v %v, want 421", res, err)
	}
}

// nameless is a session cache that forgets which name a session was for.
type nameless struct{ tls.ClientSessionCache }

func (n nameless) Get(string) (*tls.ClientSessionState, bool) { return n.ClientSessionCache.Get("") }

func (n nameless) Put(_ string, state *tls.ClientSessionState) { n.ClientSessionCache.Put("", state) }

// TestFilesOverTLS: a large file, and ranges of it, come whole through TLS, to a quick
// client and to one that takes them in small pieces.
func TestFilesOverTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, roots := newCert(t, "www.example.com")
	random := make([]byte, 5<<20+12345)
	rand.NewChaCha8([32]byte{1}).Read(random)
	r, _ := site(t, `files = { root = "DIR" }
		[l7.tls]
		certs = [{ cert = "`+certFile+`", key = "`+keyFile+`" }]`,
		map[string]string{"large.bin": string(random), "small.txt": "small", "empty.txt": ""})
	config := &tls.Config{ServerName: "www.example.com", RootCAs: roots}
	conn := tls.Client(r.dial().TCPConn, config)
	br := bufio.NewReader(conn)
	size := len(random)
	f := func(path, rang string, status int, want []byte, piece int) {
		t.Helper()
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: www.example.com\r\n", path)
		if rang != "" {
			fmt.Fprintf(conn, "Range: bytes=%s\r\n", rang)
		}
		fmt.Fprint(conn, "\r\n")
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		_, err = io.CopyBuffer(&got, struct{ io.Reader }{res.Body}, make([]byte, piece))
		if err != nil || res.StatusCode != status || want != nil && !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s %q: got %d and %d octets, %v, want %d and %d", path, rang, res.StatusCode, got.Len(), err, status, len(want))
		}
	}
	for _, piece := range []int{64 << 10, 511} {
		f("/large.bin", "", 200, random, piece)
		f("/large.bin", "0-0", 206, random[:1], piece)
		f("/large.bin", "16380-16400", 206, random[16380:16401], piece) // around the end of a record
		f("/large.bin", "1000000-", 206, random[1000000:], piece)
		f("/large.bin", "-70000", 206, random[size-70000:], piece)
		f("/large.bin", fmt.Sprintf("%d-", size), 416, nil, piece)
		f("/small.txt", "", 200, []byte("small"), piece)
		f("/empty.txt", "", 200, []byte{}, piece)
	}
}

// A client of TLS that stops reading a file, and leaves, gives everything back.
func TestFilesOverTLSClientGone(t *testing.T) {
	certFile, keyFile, roots := newCert(t, "www.example.com")
	r, _ := site(t, `files = { root = "DIR" }
		[l7.tls]
		certs = [{ cert = "`+certFile+`", key = "`+keyFile+`" }]`,
		map[string]string{"large.bin": strings.Repeat("x", 20<<20)})
	c := r.dial()
	conn := tls.Client(c.TCPConn, &tls.Config{ServerName: "www.example.com", RootCAs: roots})
	fmt.Fprint(conn, "GET /large.bin HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
	if _, err := io.ReadFull(conn, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // the buffers of both sockets fill
	c.SetLinger(0)
	c.Close()
	eventually(t, "that the connection is given up", func() bool { return r.metrics.Gauge(metric.L7Active, "web").Load() == 0 })
}
