package backend

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/conf"
)

func TestTLSCheck(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	dir := t.TempDir()
	ca, empty := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "empty.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for file, text := range map[string][]byte{ca: cert, empty: []byte("-")} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := s.Listener.Addr().String()
	f := func(h conf.Health, want string) {
		t.Helper()
		h.Type = checkTLSType
		if got := checkResult(t, address, h); got != want && (want == "ok" || !strings.Contains(got, want)) {
			t.Errorf("%+v: got %q, want %q", h, got, want)
		}
	}
	f(conf.Health{}, "ok")
	f(conf.Health{CA: ca}, "ok") // the certificate has the address
	f(conf.Health{CA: ca, Name: "example.com"}, "ok")
	f(conf.Health{CA: ca, Name: "other.test"}, "not other.test")
	f(conf.Health{Name: "example.com"}, "certificate")
	f(conf.Health{CA: empty}, "no certificate in the ca of the check")
	f(conf.Health{CA: filepath.Join(dir, "absent")}, "cannot read the ca of the check")
}

// What came before encryption may be from anyone, and is not taken for the server's.
func TestEarlyBytesAreRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, 8)); err == nil {
			_, _ = c.Write([]byte("SR\x00\x00\x00\x08\x00\x00\x00\x00"))
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	h := conf.Health{Type: checkPostgres, TLS: tlsRequire}
	if got := checkResult(t, l.Addr().String(), h); got != errEarlyBytes.Error() {
		t.Error(got)
	}
	_ = l.Close()
	<-done
}
