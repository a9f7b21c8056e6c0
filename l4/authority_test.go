package l4

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"weir/conf"
)

// authority signs the certificates of a test.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its own certificate
	pool *x509.CertPool
	next int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), next: 1, pool: x509.NewCertPool()}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.pool.AddCert(a.cert)
	a.file = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	file := filepath.Join(a.dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// issue makes a certificate for name, valid from an hour ago for the time given,
// and writes it to files of that name. It replaces those of before.
func (a *authority) issue(name string, valid time.Duration) (conf.Cert, tls.Certificate) {
	a.t.Helper()
	a.next++
	key := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(valid),
	}
	if ip := net.ParseIP(name); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	files := conf.Cert{Cert: a.write(name+".pem", "CERTIFICATE", der), Key: a.write(name+".key", "PRIVATE KEY", pkcs8)}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		a.t.Fatal(err)
	}
	return files, pair
}

// tls is a [l4.tls] with a certificate for name.
func (a *authority) tls(name string) *conf.L4TLS {
	a.t.Helper()
	files, _ := a.issue(name, time.Hour)
	return &conf.L4TLS{
		Certs: []conf.Cert{files}, MinVersion: "1.2", ClientAuth: "none", HandshakeTimeout: patience,
	}
}

// trusting is a [pool.NAME.tls] that believes the authority.
func (a *authority) trusting(name string) *conf.PoolTLS {
	return &conf.PoolTLS{CA: a.file, Name: name, Verify: true, MinVersion: "1.2", MaxVersion: "1.3"}
}

// dialTLS is a client that believes the authority.
func (a *authority) dialTLS(addr string, c *tls.Config) *tls.Conn {
	a.t.Helper()
	if c.RootCAs == nil {
		c.RootCAs = a.pool
	}
	conn := tls.Client(dial(a.t, addr), c)
	if err := conn.Handshake(); err != nil {
		a.t.Fatal(err)
	}
	return conn
}

// tlsOrigin is origin behind TLS with a certificate for name.
func (a *authority) tlsOrigin(c *tls.Config, serve func(c *tls.Conn)) string {
	a.t.Helper()
	return origin(a.t, func(raw *net.TCPConn) {
		conn := tls.Server(raw, c)
		if conn.Handshake() == nil {
			serve(conn)
		}
	})
}
