package cert

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"

	"weir/conf"
)

// TLS is how one listener ends the TLS of its clients. It never changes, and any number
// of goroutines may use it. Its session ticket keys are its own and crypto/tls changes
// them once a day, so a session is resumed neither at another listener nor under
// settings, certificates or authorities of before a reload.
type TLS struct {
	Config *tls.Config // not to be changed or cloned
	Store  *Store      // what Config serves
	id     string      // the same for the same settings and certificates
}

// Server loads all that a listener needs to end TLS. before is what the listener had, nil
// for none: where nothing changed it is returned again, so that a reload for another
// reason leaves clients the sessions that they can resume.
func Server(c *conf.L4TLS, before *TLS) (*TLS, error) {
	store, err := Load(c.Certs)
	if err != nil {
		return nil, err
	}
	var authorities []byte
	if c.ClientCA != "" {
		if authorities, err = os.ReadFile(c.ClientCA); err != nil {
			return nil, fmt.Errorf("cannot read client_ca: %w", err)
		}
	}
	t := &TLS{Store: store, id: identity(c, store, authorities)}
	if before != nil && before.id == t.id {
		return before, nil
	}
	t.Config = &tls.Config{
		GetCertificate: store.GetCertificate, MinVersion: tls.VersionTLS12, NextProtos: c.ALPN,
		ClientAuth: clientAuth(c.ClientAuth),
	}
	if c.MinVersion == "1.3" {
		t.Config.MinVersion = tls.VersionTLS13
	}
	if c.ClientCA == "" {
		return t, nil
	}
	t.Config.ClientCAs = x509.NewCertPool()
	if !t.Config.ClientCAs.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("cannot use client_ca %q: it has no certificate", c.ClientCA)
	}
	return t, nil
}

// identity tells settings and the content of files apart. A key needs no part in it: it
// fits its certificate.
func identity(c *conf.L4TLS, store *Store, authorities []byte) string {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%#v %d ", *c, len(authorities)) // a hash takes everything
	sum.Write(authorities)
	for _, p := range store.all {
		for _, der := range p.cert.Certificate {
			_, _ = fmt.Fprintf(sum, " %d ", len(der))
			sum.Write(der)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// clientAuth never accepts a certificate that was not verified.
func clientAuth(word string) tls.ClientAuthType {
	switch word {
	case "request":
		return tls.VerifyClientCertIfGiven
	case "require":
		return tls.RequireAndVerifyClientCert
	}
	return tls.NoClientCert
}
