package torture

import (
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
	"os"
	"path/filepath"
	"time"
)

// The names that certificates stand for.
const (
	serverName = "torture.test"  // of the TLS backends, and of Weir
	anyHost    = "*.test"        // of the same certificate: all clients' hosts
	otherName  = "other.example" // of Weir's second certificate
)

// identity are certificates that live as long as the run.
type identity struct {
	cert, other tls.Certificate
	roots       *x509.CertPool
}

func newIdentity() (*identity, error) {
	id := &identity{roots: x509.NewCertPool()}
	var err error
	if id.cert, err = id.issue(serverName, anyHost); err != nil {
		return nil, err
	}
	id.other, err = id.issue(otherName)
	return id, err
}

// issue makes a certificate for names that signs itself.
func (id *identity) issue(names ...string) (c tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, fmt.Errorf("cannot make a key: %w", err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return c, fmt.Errorf("cannot make a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return c, fmt.Errorf("cannot make a certificate: %w", err)
	}
	id.roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// pairs are the certificates of Weir by the name of their files.
func (id *identity) pairs() map[string]*tls.Certificate {
	return map[string]*tls.Certificate{"torture": &id.cert, "other": &id.other}
}

// write writes the files of Weir's certificates.
func (id *identity) write(dir string) error {
	for name, c := range id.pairs() {
		key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
		if err != nil {
			return fmt.Errorf("cannot write a key: %w", err)
		}
		for file, block := range map[string]*pem.Block{
			name + ".pem": {Type: "CERTIFICATE", Bytes: c.Certificate[0]},
			name + ".key": {Type: "PRIVATE KEY", Bytes: key},
		} {
			if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
				return fmt.Errorf("cannot write a certificate: %w", err)
			}
		}
	}
	return nil
}

// config is the table of Weir's certificates, which write has written. The first one
// serves who asks for no name.
func (id *identity) config(dir string) string {
	pair := func(name string) string {
		return fmt.Sprintf("{ cert = %q, key = %q }", filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
	}
	return fmt.Sprintf("[l7.tls]\ncerts = [%s, %s]\n", pair("torture"), pair("other"))
}

// client is how a client asks for a name, and believes nobody else.
func (id *identity) client(name string) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: id.roots}
}

// serve is the serve function of a TLS backend: it sends back what comes.
func (id *identity) serve(b *backend, p *peer) {
	b.served.Add(1)
	c := tls.Server(p.TCPConn, &tls.Config{Certificates: []tls.Certificate{id.cert}})
	_, _ = io.Copy(c, c)
}
