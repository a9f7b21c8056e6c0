package l4

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/quic"

	"weir/conf"
)

// quicConfig is a certificate for name that a client can verify.
func quicConfig(t testing.TB, name string) (cert tls.Certificate, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// quicOrigin is a QUIC server that answers each stream with its name and what it got.
func quicOrigin(t testing.TB, name string) (addr string, roots *x509.CertPool) {
	t.Helper()
	cert, roots := quicConfig(t, name)
	e, err := quic.Listen("udp", "127.0.0.1:0", &quic.Config{TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{cert}, NextProtos: []string{"echo"}, MinVersion: tls.VersionTLS13,
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := e.Accept(ctx)
			if err != nil {
				return
			}
			wg.Go(func() {
				s, err := c.AcceptStream(ctx)
				if err != nil {
					return
				}
				b, _ := io.ReadAll(s)
				s.Write(append([]byte(name+" "), b...))
				s.Close()
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		e.Close(shortContext(t, time.Second))
		wg.Wait()
	})
	return e.LocalAddr().String(), roots
}

// quicAsk sends a question to the server name through addr and returns the answer.
func quicAsk(t testing.TB, addr, name string, roots *x509.CertPool, question string) (string, error) {
	t.Helper()
	ctx := shortContext(t, patience)
	e, err := quic.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(shortContext(t, time.Second))
	c, err := e.Dial(ctx, "udp", addr, &quic.Config{HandshakeTimeout: patience / 2, TLSConfig: &tls.Config{
		ServerName: name, RootCAs: roots, NextProtos: []string{"echo"}, MinVersion: tls.VersionTLS13,
	}})
	if err != nil {
		return "", err
	}
	s, err := c.NewStream(ctx)
	if err != nil {
		return "", err
	}
	s.SetReadContext(ctx)
	if _, err := s.Write([]byte(question)); err != nil {
		return "", err
	}
	s.CloseWrite()
	b, err := io.ReadAll(s)
	return string(b), err
}

// TestUDPQUICByName: a QUIC client reaches the server of the name it asks for, whose
// certificate it verifies end to end; its hello with ML-KEM spans two datagrams.
func TestUDPQUICByName(t *testing.T) {
	a, rootsA := quicOrigin(t, "a.example.com")
	b, rootsB := quicOrigin(t, "b.example.com")
	w := newWorld(t, worldOptions{}, poolOf("a", a), poolOf("b", b))
	addr := w.udp(conf.L4{Protocol: "quic", Routes: []conf.L4Route{
		{SNI: []string{"a.example.com"}, Pool: "a"}, {SNI: []string{"*.example.com"}, Pool: "b"},
	}})
	f := func(name string, roots *x509.CertPool) {
		t.Helper()
		got, err := quicAsk(t, addr, name, roots, "hello")
		if err != nil || got != name+" hello" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	f("a.example.com", rootsA)
	f("b.example.com", rootsB)
	f("a.example.com", rootsA)
}

// TestUDPQUICIsNeverGuessed: what begins as QUIC and cannot be read reaches no backend,
// and Weir answers nothing.
func TestUDPQUICIsNeverGuessed(t *testing.T) {
	reached := make(chan string, 10)
	origin := udpOrigin(t, func(_ *net.UDPConn, _ netip.AddrPort, b []byte) { reached <- string(b) })
	w := newWorld(t, worldOptions{}, poolOf("p", origin.LocalAddr().String()))
	routes := []conf.L4Route{{SNI: []string{"a.example.com"}, Pool: "p"}}
	addr := w.udp(conf.L4{Pool: "p", Routes: routes, SniffTimeout: 50 * time.Millisecond})
	bad := append([]byte("\xc3\x00\x00\x00\x01\x0812345678\x00\x00\x44\x90"), make([]byte, 1300)...)
	c := dialUDP(t, addr)
	c.Write(bad)
	w.closed(reasonMalformed)
	bad[4] = 9 // a version of QUIC that nobody knows
	dialUDP(t, addr).Write(bad)
	w.until("that too is closed", func() bool { return w.closedCount(reasonMalformed) == 2 })

	send(t, dialUDP(t, addr), "not QUIC") // goes to the pool
	if got := <-reached; got != "not QUIC" {
		t.Errorf("%q reached the backend", got)
	}
	w.serve(w.udpListener(conf.L4{Protocol: "quic", Routes: routes}))
	send(t, dialUDP(t, addr), "not QUIC")
	w.closed(reasonNotTLS)
	if n := len(reached); n != 0 {
		t.Errorf("%d more datagrams reached the backend", n)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := c.Read(bad); err == nil {
		t.Errorf("Weir answered %d bytes", n)
	}
}
