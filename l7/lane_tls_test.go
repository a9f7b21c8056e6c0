package l7

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// secureClient is a client over TLS, whose connection is on the lane of its loop.
type secureClient struct {
	*client
	tls *tls.Conn
}

const secureName = "www.example.com"

// newSecureRig is a rig whose listener ends TLS, with its authorities.
func newSecureRig(t *testing.T, lanes bool, o *origin, more ...string) (*rig, *x509.CertPool) {
	t.Helper()
	certFile, keyFile, roots := newCert(t, secureName)
	config := strings.Replace(secure, "[[l7]]", "[pool.app.ejection]\nenabled = false\n[[l7]]", 1)
	return newRigWith(t, lanes, config+strings.Join(more, ""), o.addr, certFile, keyFile), roots
}

// settle makes as many exchanges as it takes for a goroutine to leave a connection to its lane.
func settle(nc net.Conn) error {
	br := bufio.NewReader(nc)
	for range calmEnough + 1 {
		if _, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: "+secureName+"\r\n\r\n"); err != nil {
			return err
		}
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
			return fmt.Errorf("got %d %w", res.StatusCode, err)
		}
	}
	return nil
}

// dialTLS connects and gets on the lane.
func (r *rig) dialTLS(t *testing.T, roots *x509.CertPool, version uint16) *secureClient {
	t.Helper()
	return r.dialWith(t, &tls.Config{ServerName: secureName, RootCAs: roots, MaxVersion: version})
}

// dialWith is dialTLS with a configuration.
func (r *rig) dialWith(t *testing.T, config *tls.Config) *secureClient {
	t.Helper()
	c := r.dial()
	c.SetDeadline(time.Now().Add(clientPatience))
	tc := tls.Client(c.TCPConn, config)
	served, _ := r.lanes()
	if err := settle(tc); err != nil {
		t.Fatal(err)
	}
	s := &secureClient{c, tc}
	c.br = bufio.NewReader(tc)
	eventually(t, "the lane to have the connection", func() bool {
		s.ask(t, "GET / HTTP/1.1\r\nHost: "+secureName+"\r\n\r\n")
		now, _ := r.lanes()
		return now > served
	})
	return s
}

func (s *secureClient) ask(t *testing.T, request string) string {
	t.Helper()
	if _, err := io.WriteString(s.tls, request); err != nil {
		t.Fatal(err)
	}
	res, body, err := s.response("GET")
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%.60q: got %d %v", request, res.StatusCode, err)
	}
	return body
}

// largeOrigin answers with the checksum of the body, or with more than sockets buffer.
const largeSize = 32 << 20

func largeOrigin(t *testing.T) *origin {
	return newHTTPOrigin(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/large" {
			w.Header().Set("Content-Length", fmt.Sprint(largeSize))
			w.Write(bytes.Repeat([]byte("0123456789abcdef"), largeSize/16))
			return
		}
		h := crc32.NewIEEE()
		n, err := io.Copy(h, req.Body)
		fmt.Fprintf(w, "%d %08x %v", n, h.Sum32(), err)
	})
}

// TestLaneServesTLS: what crypto/tls has read ahead is not forgotten, in however many
// records requests come, and a record may come in pieces.
func TestLaneServesTLS(t *testing.T) {
	t.Parallel()
	const get = "GET / HTTP/1.1\r\nHost: " + secureName + "\r\n\r\n"
	const none = "0 00000000 <nil>"
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r, roots := newSecureRig(t, true, largeOrigin(t))
		c := r.dialTLS(t, roots, version)
		_, left := r.lanes()
		several := func(pieces ...string) {
			t.Helper()
			for _, p := range pieces {
				if _, err := io.WriteString(c.tls, p); err != nil {
					t.Fatal(err)
				}
			}
			for range strings.Count(strings.Join(pieces, ""), "GET ") {
				if res, body, err := c.response("GET"); err != nil || res.StatusCode != 200 || body != none {
					t.Fatalf("%q: got %d %q %v", pieces, res.StatusCode, body, err)
				}
			}
		}
		several(get)
		several(get + get + get)                        // in one record
		several(get, get, get, get, get, get, get, get) // each in its own, more than a burst
		several(strings.Repeat(get, 400))               // more than one record
		several(get, "\r\n"+get)

		body := someBody(maxInline)
		want := fmt.Sprintf("%d %08x <nil>", len(body), crc32.ChecksumIEEE(body))
		post := fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", secureName, len(body), body)
		if got := c.ask(t, post); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if _, now := r.lanes(); now != left {
			t.Errorf("%d requests left the lane", now-left)
		}

		// A connection that is quiet is parked, and comes back.
		r.wantParked(t, 1)
		served, _ := r.lanes()
		several(get)
		eventually(t, "the lane to serve again", func() bool { now, _ := r.lanes(); return now > served })
		c.tls.Close()
		r.wantNone(t)
	}
}

// TestLaneTLSResumed: a client that resumes its session is served on the lane as any other.
func TestLaneTLSResumed(t *testing.T) {
	t.Parallel()
	r, roots := newSecureRig(t, true, largeOrigin(t))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		known := &tls.Config{
			ServerName: secureName, RootCAs: roots, MaxVersion: version,
			ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
		for i := range 3 {
			c := r.dialWith(t, known)
			if resumed := c.tls.ConnectionState().DidResume; resumed != (i > 0) {
				t.Errorf("connection %d: resumed %t", i, resumed)
			}
			c.tls.Close()
		}
	}
	r.wantNone(t)
}

// TestLaneTLSRecordInPieces: a record that is not whole is no request yet.
func TestLaneTLSRecordInPieces(t *testing.T) {
	t.Parallel()
	r, roots := newSecureRig(t, true, largeOrigin(t))
	c := r.dial()
	c.SetDeadline(time.Now().Add(clientPatience))
	hold := &heldConn{TCPConn: c.TCPConn}
	tc := tls.Client(hold, &tls.Config{ServerName: secureName, RootCAs: roots})
	if err := settle(tc); err != nil {
		t.Fatal(err)
	}
	served, _ := r.lanes()
	br := bufio.NewReader(tc)
	for _, pieces := range []int{1, 2, 3, 40} {
		hold.hold, hold.held = true, nil
		io.WriteString(tc, "GET / HTTP/1.1\r\nHost: "+secureName+"\r\n\r\nGET / HTTP/1.1\r\n")
		io.WriteString(tc, "Host: "+secureName+"\r\n\r\n")
		hold.hold = false
		for i := range pieces {
			n := len(hold.held)
			if _, err := c.Write(hold.held[n*i/pieces : n*(i+1)/pieces]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		for range 2 {
			res, err := http.ReadResponse(br, nil)
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("in %d pieces: %v", pieces, err)
			}
			io.Copy(io.Discard, res.Body)
		}
	}
	if now, _ := r.lanes(); now == served {
		t.Error("no request was served on the lane")
	}
}

// TestLaneTLSSlowReader: what the kernel did not take is written by the goroutine that
// takes over, in the order of the records.
func TestLaneTLSSlowReader(t *testing.T) {
	t.Parallel()
	r, roots := newSecureRig(t, true, largeOrigin(t))
	c := r.dialTLS(t, roots, tls.VersionTLS13)
	for range 2 {
		_, left := r.lanes()
		io.WriteString(c.tls, "GET /large HTTP/1.1\r\nHost: "+secureName+"\r\n\r\n")
		eventually(t, "a goroutine to take over", func() bool { _, now := r.lanes(); return now > left })
		res, body, err := c.response("GET")
		if err != nil || res.StatusCode != 200 || body != strings.Repeat("0123456789abcdef", largeSize/16) {
			t.Fatalf("got %d, %d octets, %v", res.StatusCode, len(body), err)
		}
		served, _ := r.lanes()
		eventually(t, "the lane to have it back", func() bool {
			if err := settle(c.tls); err != nil {
				t.Fatal(err)
			}
			now, _ := r.lanes()
			return now > served
		})
	}
}

// TestLaneTLSEnds: each end of a client is seen on the lane, while it is idle and while it
// waits for an answer.
func TestLaneTLSEnds(t *testing.T) {
	t.Parallel()
	var asked, ended atomic.Int32
	o := newOrigin(t, func(c *net.TCPConn, br *bufio.Reader) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if req.URL.Path == "/silent" {
				asked.Add(1)
				io.Copy(io.Discard, br)
				ended.Add(1)
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r, roots := newSecureRig(t, true, o)
		ends := map[string]func(*secureClient){
			"cut":   func(c *secureClient) { c.Close() },
			"reset": func(c *secureClient) { c.SetLinger(0); c.Close() },
		}
		for name, end := range ends {
			asked.Store(0)
			ended.Store(0)
			c := r.dialTLS(t, roots, version)
			_, left := r.lanes()
			io.WriteString(c.tls, "GET /silent HTTP/1.1\r\nHost: "+secureName+"\r\n\r\n")
			eventually(t, "the request to be under way", func() bool { return asked.Load() == 1 })
			end(c)
			eventually(t, "the exchange to end: "+name, func() bool { return ended.Load() == 1 })
			if _, now := r.lanes(); now != left {
				t.Errorf("%s: the exchange needed a goroutine", name)
			}
			end(r.dialTLS(t, roots, version))
			r.wantNone(t)
		}
		// close_notify alone is an end as well, without a FIN.
		c := r.dialTLS(t, roots, version)
		if err := c.tls.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.br.ReadByte(); err != io.EOF {
			t.Errorf("after close_notify: got %v, want the end", err)
		}
		c.Close()
		r.wantNone(t)
		r.wantIdle(t)
	}
}

// TestLaneTLSGarbage: a record that is none ends the connection, and nothing else.
func TestLaneTLSGarbage(t *testing.T) {
	t.Parallel()
	r, roots := newSecureRig(t, true, largeOrigin(t))
	for _, garbage := range []string{"garbage", "\x17\x03\x03\x00\x100123456789abcdef", "\x17\x03\x03\xff\xff", "\x16\x03\x03\x00\x01\x00"} {
		c := r.dialTLS(t, roots, tls.VersionTLS13)
		io.WriteString(c.TCPConn, garbage+strings.Repeat("x", 20<<10))
		if _, err := io.Copy(io.Discard, c.TCPConn); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%.10q: %v", garbage, err)
		}
	}
	r.wantNone(t)
	if n := r.server.panics.Load(); n > 0 {
		t.Errorf("%d panics:\n%s", n, r.log)
	}
}
