package backend

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"weir/conf"
)

// maxSessions bounds how many TLS sessions of servers are kept to be resumed, per
// pool.
const maxSessions = 256

// TLS is how connections to the servers of one pool are encrypted. It never
// changes; a reload loads another one unless neither the settings nor the files
// changed. Any number of goroutines may use it.
type TLS struct {
	base *tls.Config
	seen tls.ClientSessionCache // the sessions that can be resumed
	name string                 // of all servers; "": each has its own
	id   string                 // the same for the same settings and files
}

// loadTLS reads the files of c. before is what the pool had, and stays where
// nothing changed, with the sessions that can be resumed. c nil: plain.
func loadTLS(c *conf.PoolTLS, before *TLS) (*TLS, error) {
	if c == nil {
		return nil, nil
	}
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%#v", *c) // a hash takes everything
	read := func(path string) (pem []byte, err error) {
		if path == "" {
			return nil, nil
		}
		pem, err = os.ReadFile(path)
		_, _ = fmt.Fprintf(sum, " %d ", len(pem))
		sum.Write(pem)
		return pem, err
	}
	ca, errCA := read(c.CA)
	cert, errCert := read(c.Cert)
	key, errKey := read(c.Key)
	if err := errors.Join(errCA, errCert, errKey); err != nil {
		return nil, fmt.Errorf("cannot read a file of its TLS: %w", err)
	}
	t := &TLS{name: c.Name, id: hex.EncodeToString(sum.Sum(nil))}
	if before != nil && before.id == t.id {
		return before, nil
	}
	t.seen = tls.NewLRUClientSessionCache(maxSessions)
	t.base = &tls.Config{
		MinVersion: tlsVersion(c.MinVersion), MaxVersion: tlsVersion(c.MaxVersion), NextProtos: c.ALPN,
		InsecureSkipVerify: !c.Verify, // said aloud at each start and reload
	}
	if c.CA != "" {
		t.base.RootCAs = x509.NewCertPool()
		if !t.base.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("cannot use ca %q of its TLS: it has no certificate", c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("cannot use client certificate %q with key %q: %w", c.Cert, c.Key, err)
		}
		t.base.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// tlsVersion is the number of a version as the configuration writes it.
func tlsVersion(s string) uint16 {
	switch s {
	case "1.2":
		return tls.VersionTLS12
	case "1.3":
		return tls.VersionTLS13
	}
	return 0
}

// ID tells settings apart: two with the same ID treat servers alike.
func (t *TLS) ID() string { return t.id }

// Config gives the settings for a handshake with m. The caller owns it, and shares
// with other callers the sessions that can be resumed.
func (t *TLS) Config(m *Member) *tls.Config { return t.configFor(m.endpoint) }

func (t *TLS) configFor(e *Endpoint) *tls.Config {
	c := t.base.Clone()
	c.ServerName = t.serverName(e)
	c.ClientSessionCache = serverSessions{t.seen, strconv.FormatUint(e.id, 10) + " "}
	return c
}

// serverSessions are the sessions of one server. crypto/tls files them by the name that
// the certificate must have, which servers of a pool often share; only the one that
// gave out a ticket can resume it.
type serverSessions struct {
	all    tls.ClientSessionCache
	server string
}

func (s serverSessions) Get(name string) (*tls.ClientSessionState, bool) {
	return s.all.Get(s.server + name)
}

func (s serverSessions) Put(name string, state *tls.ClientSessionState) {
	s.all.Put(s.server+name, state)
}

// serverName is what the certificate of e must be made out to, "" for a unix
// socket without a configured name.
func (t *TLS) serverName(e *Endpoint) string {
	if t.name != "" {
		return t.name
	}
	address := e.key.name
	if address == "" && e.key.network == "tcp" {
		address = e.key.address
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	host, _, _ = strings.Cut(host, "%") // a zone is of this machine only
	return strings.TrimSuffix(host, ".")
}

// TLS is how connections to the group's members are encrypted; nil: they are not.
func (g *Group) TLS() *TLS { return g.tls.Load() }

// IsTLSFault reports whether err, of a handshake or a connection that TLS
// protects, is about TLS: a certificate that does not verify, an alert, no common
// version. Such a failure is one of settings. It must not count against the
// server, which Classify of any other error may.
func IsTLSFault(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op == "remote error" || op.Op == "local error" // crypto/tls: an alert came or went
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return false
	}
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return false
	}
	return true
}

// HandshakeOutcome says what a failed handshake means for the member.
func HandshakeOutcome(err error) Outcome {
	if IsTLSFault(err) {
		return LocalError
	}
	if o := Classify(err); o != ConnectTimeout {
		return o
	}
	return Timeout
}
