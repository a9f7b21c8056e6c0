package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// validity is longer than anybody lets a demo run.
const validity = 30 * 24 * time.Hour

// writeCerts makes an authority of the demo's own, ca.pem in dir, and with it the
// certificate of the web site, www.pem and www.key for L7. It returns that of the
// service behind L4. The authority's key is forgotten.
func writeCerts(dir string) (db tls.Certificate, err error) {
	ca, caKey, err := issue(pkix.Name{CommonName: "weir demo"}, "", nil, nil)
	if err != nil {
		return db, err
	}
	web, webKey, err := issue(pkix.Name{CommonName: webName}, webName, ca, caKey)
	if err != nil {
		return db, err
	}
	dbCert, dbKey, err := issue(pkix.Name{CommonName: dbName}, dbName, ca, caKey)
	if err != nil {
		return db, err
	}
	webKeyDER, err := x509.MarshalPKCS8PrivateKey(webKey)
	if err != nil {
		return db, fmt.Errorf("cannot encode the key of the demo: %w", err)
	}
	for _, f := range []struct {
		name, kind string
		der        []byte
	}{
		{"ca.pem", "CERTIFICATE", ca.Raw}, {"www.pem", "CERTIFICATE", web.Raw}, {"www.key", "PRIVATE KEY", webKeyDER},
	} {
		text := pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der})
		if err := os.WriteFile(filepath.Join(dir, f.name), text, 0o600); err != nil {
			return db, fmt.Errorf("cannot write a certificate of the demo: %w", err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{dbCert.Raw}, PrivateKey: dbKey}, nil
}

// issue makes a key and a certificate for name, signed by parent; without a parent
// it makes an authority.
func issue(
	subject pkix.Name, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey,
) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a key for %q: %w", subject.CommonName, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a serial number: %w", err)
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
		BasicConstraintsValid: true,
	}
	if parent == nil {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
		parent, parentKey = c, key
	} else {
		c.DNSNames = []string{name}
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a certificate for %q: %w", subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the certificate for %q: %w", subject.CommonName, err)
	}
	return cert, key, nil
}
