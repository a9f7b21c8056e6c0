package sniff

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// everySplit checks the verdict on all of b, and that every prefix either needs
// more or gives the same verdict already.
func everySplit(t *testing.T, b []byte, want Verdict, sni string) {
	t.Helper()
	var h Hello
	for n := range len(b) + 1 {
		v := ClientHello(b[:n], testLimit, &h)
		if v == NeedMore && n < len(b) {
			continue
		}
		if v != want || string(h.SNI()) != sni {
			t.Fatalf("%d of %d bytes: got %v %q, want %v %q", n, len(b), v, h.SNI(), want, sni)
		}
	}
}

var grease = extension(0x3a3a, []byte{0})

func vector16(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

func extension(kind uint16, data []byte) []byte {
	return append([]byte{byte(kind >> 8), byte(kind)}, vector16(data)...)
}

func serverName(name string) []byte {
	return extension(0, vector16(append([]byte{0}, vector16([]byte(name))...)))
}

// message gives a ClientHello handshake message with the extensions.
func message(extensions ...[]byte) []byte {
	var all []byte
	for _, e := range extensions {
		all = append(all, e...)
	}
	return body(make([]byte, 32), []byte{0, 4, 0x0a, 0x0a, 0x13, 1}, []byte{1, 0}, vector16(all))
}

func body(session, suites, compression, rest []byte) []byte {
	b := append([]byte{3, 3}, make([]byte, 32)...)
	b = append(append(b, byte(len(session))), session...)
	b = append(append(append(b, suites...), compression...), rest...)
	return append([]byte{1, 0, byte(len(b) >> 8), byte(len(b))}, b...)
}

func record(payload []byte) []byte { return append([]byte{0x16, 3, 1}, vector16(payload)...) }

// records cuts a message into records of n bytes.
func records(msg []byte, n int) (b []byte) {
	for len(msg) > 0 {
		k := min(n, len(msg))
		b = append(b, record(msg[:k])...)
		msg = msg[k:]
	}
	return b
}

func protocols(h *Hello) string {
	var all []string
	for p := range h.ALPN {
		all = append(all, string(p))
	}
	return strings.Join(all, " ")
}

var errFake = errors.New("end of the fake connection")

// fakeConn serves in and keeps what is written; any use beyond that crashes.
type fakeConn struct {
	net.Conn
	in  []byte
	out []byte
}

func (c *fakeConn) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, errFake
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *fakeConn) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}

func (c *fakeConn) Close() error                     { return nil }
func (c *fakeConn) SetDeadline(time.Time) error      { return nil }
func (c *fakeConn) SetWriteDeadline(time.Time) error { return nil }
func (c *fakeConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *fakeConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }

// captureHello gives the first record a crypto/tls client sends.
func captureHello(tb testing.TB, config *tls.Config) []byte {
	tb.Helper()
	conn := &fakeConn{}
	if err := tls.Client(conn, config).Handshake(); err == nil || len(conn.out) < recordHeaderLen {
		tb.Fatalf("got %d bytes, %v", len(conn.out), err)
	}
	return conn.out[:recordHeaderLen+int(conn.out[3])<<8+int(conn.out[4])]
}

// oracle lets a crypto/tls server read b.
func oracle(b []byte) (sni string, alpn []string, ok bool) {
	server := tls.Server(&fakeConn{in: b}, &tls.Config{
		GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			sni, alpn, ok = info.ServerName, info.SupportedProtos, true
			return nil, errFake
		},
	})
	_ = server.Handshake()
	return sni, alpn, ok
}
