package backend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"

	"weir/conf"
)

// How a check encrypts, as in the configuration.
const (
	tlsOff     = "off"
	tlsPrefer  = "prefer"
	tlsRequire = "require"
)

// tlsCheck passes when the TLS handshake of a new connection completes before ctx
// ends. The certificate is verified only where the check has a ca or a name.
func tlsCheck(ctx context.Context, network, address, server string, h *conf.Health) error {
	if ctx.Value(tlsKey{}) != nil {
		return converse(ctx, network, address, func(*dialogue) error { return nil }) // it connects by TLS
	}
	config, err := checkTLS(server, h)
	if err != nil {
		return err
	}
	return converse(ctx, network, address, func(d *dialogue) error { return d.encrypt(ctx, config) })
}

// checkTLS makes the settings of a check's TLS. server is the server as the
// configuration calls it. The ca file is read anew each time: it may be renewed.
func checkTLS(server string, h *conf.Health) (*tls.Config, error) {
	config := &tls.Config{ServerName: h.Name, MinVersion: tls.VersionTLS12}
	if host, _, err := net.SplitHostPort(server); err == nil && config.ServerName == "" {
		config.ServerName = host
	}
	config.InsecureSkipVerify = h.CA == "" && h.Name == "" // as documented: it asks for life, not for identity
	if h.CA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(h.CA)
	if err != nil {
		return nil, fmt.Errorf("cannot read the ca of the check: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in the ca of the check, %q", h.CA)
	}
	return config, nil
}

// wantedTLS is how a check of a database encrypts, with the default in its place.
func wantedTLS(network string, h *conf.Health) string {
	switch {
	case h.TLS != "":
		return h.TLS
	case h.User != "" && network != "unix":
		return tlsPrefer
	}
	return tlsOff
}
