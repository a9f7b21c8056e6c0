package cert

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"weir/conf"
)

// Server loads all that a listener needs to end TLS. The configuration has session
// ticket keys of its own, which crypto/tls changes once a day: no session is
// resumed at another listener, or under settings of before a reload.
func Server(c *conf.L4TLS) (*tls.Config, *Store, error) {
	store, err := Load(c.Certs)
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{
		GetCertificate: store.GetCertificate, MinVersion: tls.VersionTLS12, NextProtos: c.ALPN,
		ClientAuth: clientAuth(c.ClientAuth),
	}
	if c.MinVersion == "1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	if c.ClientCA == "" {
		return config, store, nil
	}
	pem, err := os.ReadFile(c.ClientCA)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read client_ca: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("cannot use client_ca %q: it has no certificate", c.ClientCA)
	}
	return config, store, nil
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
