package cert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/conf"
	"weir/pool/metric"
)

var (
	notBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
)

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// write makes a self-signed certificate and returns the files of the pair.
func write(t *testing.T, name string, key crypto.Signer, tmpl x509.Certificate) conf.Cert {
	t.Helper()
	tmpl.SerialNumber = big.NewInt(1)
	tmpl.NotBefore, tmpl.NotAfter = notBefore, notAfter
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, &tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := conf.Cert{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	for file, block := range map[string]*pem.Block{
		c.Cert: {Type: "CERTIFICATE", Bytes: der},
		c.Key:  {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func dns(names ...string) x509.Certificate { return x509.Certificate{DNSNames: names} }

func load(t *testing.T, certs ...conf.Cert) *Store {
	t.Helper()
	s, err := Load(certs)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGetCertificate(t *testing.T) {
	key := ecKey(t)
	s := load(t,
		write(t, "first", key, dns("first.example.com")),
		write(t, "wild", key, dns("*.example.com", "Example.COM.")),
		write(t, "exact", key, dns("www.example.com", "*.dup.org")),
		write(t, "dup", key, dns("*.dup.org", "xn--bcher-kva.example.net")),
	)
	f := func(name, want string) {
		t.Helper()
		got, err := s.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range s.all {
			if got == &p.cert && !strings.HasSuffix(p.file, want+".pem") {
				t.Errorf("%q got %s, want %s", name, filepath.Base(p.file), want)
			}
		}
	}
	f("first.example.com", "first")
	f("FIRST.Example.com", "first")
	f("www.example.com", "exact")
	f("www.example.com.", "exact")
	f("other.example.com", "wild")
	f("example.com", "wild")
	f("a.b.example.com", "first") // a wildcard is one label
	f(".example.com", "first")
	f("*.example.com", "wild")
	f("x.dup.org", "exact") // the first in the file
	f("xn--bcher-kva.example.net", "dup")
	f("", "first")
	f("localhost", "first")
	f("unknown.org", "first")
	f(strings.Repeat("a", 300)+".example.com", "wild")
}

// Two certificates for one name, as during a move from RSA to ECDSA: each client
// gets one it can verify.
func TestGetCertificateBySignature(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := load(t, write(t, "ec", ecKey(t), dns("a.org")), write(t, "rsa", rsaKey, dns("a.org")))
	f := func(schemes []tls.SignatureScheme, want int) {
		t.Helper()
		got, err := s.GetCertificate(&tls.ClientHelloInfo{
			ServerName: "a.org", SupportedVersions: []uint16{tls.VersionTLS13},
			SignatureSchemes: schemes, CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256},
		})
		if err != nil || got != &s.all[want].cert {
			t.Errorf("schemes %v: not certificate %d, error %v", schemes, want, err)
		}
	}
	f([]tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256}, 0)
	f([]tls.SignatureScheme{tls.PSSWithSHA256}, 1)
	f([]tls.SignatureScheme{tls.Ed25519}, 0) // none fits: the handshake will say so
}

func TestHandshake(t *testing.T) {
	s := load(t, write(t, "a", ecKey(t), dns("a.org")), write(t, "b", ecKey(t), dns("*.b.org")))
	roots := x509.NewCertPool()
	for _, p := range s.all {
		roots.AddCert(p.cert.Leaf)
	}
	f := func(name string, ok bool) {
		t.Helper()
		client, server := net.Pipe()
		defer client.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer server.Close()
			_ = tls.Server(server, &tls.Config{GetCertificate: s.GetCertificate}).Handshake()
		}()
		now := func() time.Time { return notBefore }
		err := tls.Client(client, &tls.Config{ServerName: name, RootCAs: roots, Time: now}).Handshake()
		client.Close()
		<-done
		if (err == nil) != ok {
			t.Errorf("%s: %v, want success %v", name, err, ok)
		}
	}
	f("a.org", true)
	f("x.b.org", true)
	f("X.B.org", true)
	f("b.org", false)
}

func TestCovers(t *testing.T) {
	key := ecKey(t)
	s := load(t,
		write(t, "a", key, x509.Certificate{
			Subject: pkix.Name{CommonName: "ignored.org"}, DNSNames: []string{"a.org", "*.a.org"},
			IPAddresses: []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")},
		}),
		write(t, "cn", key, x509.Certificate{Subject: pkix.Name{CommonName: "Old.org"}}),
	)
	f := func(host string, want bool) {
		t.Helper()
		if got := s.Covers(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
	f("a.org", true)
	f("A.ORG.", true)
	f("x.a.org", true)
	f("x.y.a.org", false)
	f("xa.org", false)
	f("ignored.org", false)
	f("old.org", true)
	f("192.0.2.1", true)
	f("192.0.2.2", false)
	f("2001:db8::1", true)
	f("2001:DB8:0::1", true)
	f("::ffff:192.0.2.1", true)
	f("", false)
	f(".", false)
	f("..", false)
	want := []string{"*.a.org", "192.0.2.1", "2001:db8::1", "a.org", "old.org"}
	if got := s.Names(); !slices.Equal(got, want) {
		t.Errorf("names %v, want %v", got, want)
	}
}

func TestLoadErrors(t *testing.T) {
	good := write(t, "good", ecKey(t), dns("a.org"))
	other := write(t, "other", ecKey(t), dns("b.org"))
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("not PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(want []string, certs ...conf.Cert) {
		t.Helper()
		s, err := Load(certs)
		if err == nil || s != nil {
			t.Fatalf("loaded, want an error with %q", want)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v\nlacks %q", err, w)
			}
		}
	}
	f([]string{"without a certificate"})
	f([]string{"cannot load certificate", other.Key, "does not match"}, conf.Cert{Cert: good.Cert, Key: other.Key})
	f([]string{junk, "failed to find any PEM data"}, conf.Cert{Cert: junk, Key: good.Key})
	f([]string{"no-such.pem", "no such file"}, good, conf.Cert{Cert: "no-such.pem", Key: good.Key})
	f([]string{junk, "no-such.key"}, // both are told of
		conf.Cert{Cert: junk, Key: good.Key}, conf.Cert{Cert: good.Cert, Key: "no-such.key"})
}

func TestCheck(t *testing.T) {
	c := write(t, "a", ecKey(t), dns("a.org"))
	s := load(t, c)
	f := func(now time.Time, want string) {
		t.Helper()
		got := ""
		if err := s.Check(now); err != nil {
			got = err.Error()
		}
		if want != "" {
			want = `certificate "` + c.Cert + `" ` + want
		}
		if got != want {
			t.Errorf("at %s: %q, want %q", now, got, want)
		}
	}
	f(notBefore, "")
	f(notAfter, "")
	f(notBefore.Add(-time.Second), "is not valid before 2026-01-01T00:00:00Z")
	f(notAfter.Add(time.Second), "expired at 2026-07-01T00:00:00Z")

	in := s.Infos()
	if len(in) != 1 || in[0].File != c.Cert || !slices.Equal(in[0].Names, []string{"a.org"}) ||
		!in[0].NotBefore.Equal(notBefore) || !in[0].NotAfter.Equal(notAfter) {
		t.Errorf("infos %+v", in)
	}
}

func TestPublish(t *testing.T) {
	a := write(t, "a", ecKey(t), dns("a.org"))
	b := write(t, "b", ecKey(t), dns("b.org"))
	both, onlyB := load(t, a, b), load(t, b)
	r := metric.New()
	f := func(wantA, wantB bool) {
		t.Helper()
		var out bytes.Buffer
		r.WritePrometheus(&out)
		for _, x := range []struct {
			file string
			want bool
		}{{a.Cert, wantA}, {b.Cert, wantB}} {
			line := `weir_cert_not_after_seconds{listener="web",cert="` + x.file + `"} 1782864000` + "\n"
			if strings.Contains(out.String(), line) != x.want {
				t.Errorf("%s shown: %v, want %v", x.file, !x.want, x.want)
			}
		}
	}
	Publish(r, "web", nil, both)
	f(true, true)
	Publish(r, "web", both, onlyB)
	f(false, true)
	Publish(r, "web", onlyB, nil)
	f(false, false)
}

func TestNormalize(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := Normalize(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	f("", "")
	f(".", "")
	f("a.org", "a.org")
	f("WWW.A.Org.", "www.a.org")
	f("a.org..", "a.org.")
	var got string
	if n := testing.AllocsPerRun(100, func() { got = Normalize("www.example.com.") }); n != 0 || got == "" {
		t.Errorf("a name in normal form costs %v allocations", n)
	}
}
