package origin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// startNetHTTP starts an origin of net/http.
func startNetHTTP(addr netip.AddrPort, opts Options) (*Origin, error) {
	if opts.Stall.For > 0 {
		return nil, fmt.Errorf("%s cannot stall: http and echo can", opts.Kind)
	}
	ln, err := net.Listen("tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	o := &Origin{addr: addrPortOf(ln)}
	sockets := newSockets()
	s := &http.Server{
		Handler:           &handler{body: body(opts.Body), sockets: sockets},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // clients that go away are no news
		Protocols:         new(http.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	s.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1000}
	if opts.Kind == HTTPS {
		s.Protocols.SetHTTP2(true)
		cert, err := selfSigned()
		if err != nil {
			_ = ln.Close()
			return nil, err
		}
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	} else {
		s.Protocols.SetUnencryptedHTTP2(true)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if opts.Kind == HTTPS {
			_ = s.ServeTLS(ln, "", "") // always an error: the one of Close
		} else {
			_ = s.Serve(ln)
		}
	}()
	o.close = func() {
		_ = s.Close()
		sockets.close()
		<-done
		// Close does not wait for handlers; they end at once, since their connections are closed.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
	}
	return o, nil
}

// handler reads the whole request and answers with the body.
type handler struct {
	body    []byte
	sockets *sockets
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "websocket" {
		h.sockets.serve(w, r)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(h.body)))
	_, _ = w.Write(h.body) // the client finds out by the length
}

// selfSigned makes a certificate for a day, for names that nobody verifies.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, errors.New("cannot make a key")
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "weir origin"},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot make a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
