package h1

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"weir/l7/message"
)

// record is a connection that keeps what is written. With vec it takes vectored writes.
type record struct {
	net.Conn // never used
	out      bytes.Buffer
	writes   int
}

func (r *record) Write(p []byte) (int, error) {
	r.writes++
	return r.out.Write(p)
}

func (r *record) Read([]byte) (int, error)         { return 0, io.EOF }
func (r *record) Close() error                     { return nil }
func (r *record) SetDeadline(time.Time) error      { return nil }
func (r *record) SetReadDeadline(time.Time) error  { return nil }
func (r *record) SetWriteDeadline(time.Time) error { return nil }

type vecRecord struct{ record }

func (r *vecRecord) Writev(bufs [][]byte) (n int64, err error) {
	r.writes++
	for _, b := range bufs {
		m, _ := r.out.Write(b)
		n += int64(m)
	}
	return n, nil
}

// TestFraming writes bodies in pieces of every kind and reads them back with net/http.
func TestFraming(t *testing.T) {
	content := make([]byte, 1<<20)
	rand.Read(content)
	f := func(nc net.Conn, out *bytes.Buffer, framing message.Framing, size, piece int, flush bool) {
		t.Helper()
		c := NewConn(nc, nil)
		defer c.Close()
		head := c.AvailableBuffer()
		switch framing {
		case message.Length:
			head = append(head, "HTTP/1.1 200 OK\r\nContent-Length: "+itoa(size)+"\r\n\r\n"...)
		case message.Chunked:
			head = append(head, "HTTP/1.1 200 OK\r\nTrailer: A\r\nTransfer-Encoding: chunked\r\n\r\n"...)
		default:
			head = append(head, "HTTP/1.1 200 OK\r\n\r\n"...)
		}
		if err := c.WriteHead(head, framing, int64(size)); err != nil {
			t.Fatal(err)
		}
		for rest := content[:size]; len(rest) > 0; {
			n := min(piece, len(rest))
			if err := c.WriteBody(rest[:n]); err != nil {
				t.Fatal(err)
			}
			if flush {
				c.Flush()
			}
			rest = rest[n:]
		}
		if err := c.EndBody([]message.Field{{Name: []byte("A"), Value: []byte("b")}}); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out.Bytes())), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || sha256.Sum256(got) != sha256.Sum256(content[:size]) {
			t.Errorf("%s %d in pieces of %d: %d octets, %v", framing, size, piece, len(got), err)
		}
		if framing == message.Chunked && resp.Trailer.Get("A") != "b" {
			t.Error("no trailer")
		}
		if c.Stats().BytesOut != uint64(out.Len()) {
			t.Errorf("%d octets are counted as %d", out.Len(), c.Stats().BytesOut)
		}
	}
	for _, framing := range []message.Framing{message.Length, message.Chunked, message.Close} {
		for _, size := range []int{0, 1, 16000, 16384, 17000, 1 << 20} {
			for _, piece := range []int{100, 8000, 8192, 16383, 16384, 65536, 1 << 20} {
				if piece == 100 && size > 20000 {
					continue
				}
				plain, vec := &record{}, &vecRecord{}
				f(plain, &plain.out, framing, size, piece, size%2 == 0)
				f(vec, &vec.out, framing, size, piece, size%2 == 1)
			}
		}
	}
}

func itoa(n int) string { return new(big.Int).SetInt64(int64(n)).String() }

// TestCoalescing checks that a head leaves together with the body behind it.
func TestCoalescing(t *testing.T) {
	f := func(nc net.Conn, writes *int, size, want int) {
		t.Helper()
		c := NewConn(nc, nil)
		defer c.Close()
		c.WriteHead([]byte("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), message.Length, int64(size))
		c.WriteBody(make([]byte, size))
		c.EndBody(nil)
		if *writes != want {
			t.Errorf("%d octets took %d writes, want %d", size, *writes, want)
		}
	}
	small, large := &record{}, &vecRecord{}
	f(small, &small.writes, 16000, 1)
	f(large, &large.writes, 60000, 1)
}

func TestLengthIsKept(t *testing.T) {
	start := func(framing message.Framing, length int64) (*Conn, *record) {
		r := &record{}
		c := NewConn(r, nil)
		t.Cleanup(func() { c.Close() })
		c.WriteHead([]byte("HEAD"), framing, length)
		return c, r
	}
	c, r := start(message.Length, 5)
	if err := c.WriteBody([]byte("123456")); !errors.Is(err, ErrLong) {
		t.Error(err)
	}
	c.WriteBody([]byte("123"))
	if err := c.EndBody(nil); !errors.Is(err, ErrShort) || c.Finish() {
		t.Error(err)
	}
	c.Abort()
	if got := r.out.String(); got != "" && got != "HEAD123" {
		t.Errorf("wrote %q", got)
	}
	c, _ = start(message.None, 0)
	if err := c.WriteBody([]byte("x")); !errors.Is(err, ErrLong) {
		t.Error(err)
	}
	c, r = start(message.Chunked, 0)
	c.WriteBody(nil) // must not be taken for the last chunk
	c.WriteBody([]byte("x"))
	c.Flush()
	if got := r.out.String(); got != "HEAD1\r\nx\r\n" {
		t.Errorf("wrote %q", got)
	}
	c.Abort()
	if got := r.out.String(); got != "HEAD1\r\nx\r\n" {
		t.Errorf("an aborted response ends in %q", got)
	}
}

// failing fails every write after the first n octets.
type failing struct {
	record
	left int
}

var errGone = errors.New("gone")

func (f *failing) Write(p []byte) (int, error) {
	n := min(f.left, len(p))
	f.left -= n
	if n < len(p) {
		return n, errGone
	}
	return n, nil
}

func TestWriteError(t *testing.T) {
	c := NewConn(&failing{left: 10}, nil)
	defer c.Close()
	c.WriteHead([]byte("0123456789a"), message.Chunked, 0)
	if err := c.Flush(); !errors.Is(err, errGone) {
		t.Error(err)
	}
	for _, err := range []error{c.WriteBody([]byte("x")), c.EndBody(nil), c.WriteInterim(103, []byte("x"))} {
		if !errors.Is(err, ErrBroken) {
			t.Errorf("after a failed write: %v", err)
		}
	}
	if c.Finish() || c.KeepAlive() || c.Stats().BytesOut != 10 {
		t.Error("a failed connection lives on")
	}
	c.CloseGracefully()
}

// TestTLS runs a connection over crypto/tls: the answer arrives, ends in a
// close_notify, and a cut one does not.
func TestTLS(t *testing.T) {
	conf := selfSigned(t)
	f := func(in string, handle handler, want string, wantErr error) {
		t.Helper()
		client, server := tcpPair(t)
		done := serve(NewConn(tls.Server(server, conf), nil), handle)
		tc := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		io.WriteString(tc, in)
		got, err := io.ReadAll(tc)
		if !errors.Is(err, wantErr) || wantErr == nil && string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
		client.Close()
		<-done
	}
	end := func(c *Conn, _ *message.Request) bool {
		c.WriteHead([]byte("HTTP/1.1 200 OK\r\n\r\n"), message.Close, 0)
		c.WriteBody([]byte("x"))
		return c.EndBody(nil) == nil
	}
	cut := func(c *Conn, _ *message.Request) bool {
		c.WriteHead([]byte("HTTP/1.1 200 OK\r\n\r\n"), message.Close, 0)
		c.WriteBody([]byte("x"))
		c.Abort()
		return false
	}
	f(get, end, "HTTP/1.1 200 OK\r\n\r\nx", nil)
	f("GET / HTTP/1.1\n", end, "HTTP/1.1 400 x\r\nConnection: close\r\nContent-Length: 7\r\n\r\nrefused", nil)
	f(get, cut, "", syscall.ECONNRESET)
}

func selfSigned(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
