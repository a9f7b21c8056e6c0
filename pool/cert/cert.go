// Package cert holds the certificates of one listener: it loads the pairs, picks
// one for a TLS hello, and knows which hosts they stand for.
package cert

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"weir/conf"
)

// Store is a set of certificates. It is never changed after Load and may be
// shared by any number of goroutines; a reload loads another one.
type Store struct {
	all   []*pair
	names map[string][]*pair // exact names and "*.example.com", in file order
}

// pair is one certificate with its key.
type pair struct {
	file string
	cert tls.Certificate
}

// Info describes one certificate of a Store.
type Info struct {
	File      string // as configured
	Names     []string
	NotBefore time.Time
	NotAfter  time.Time
}

// Load reads the pairs of PEM files that certs name. Each certificate must fit its
// key. All files are tried, and the error tells of every one that is wrong.
// Validity in time is not checked here: see Check.
func Load(certs []conf.Cert) (*Store, error) {
	s := &Store{names: make(map[string][]*pair)}
	var errs []error
	for _, c := range certs {
		p, err := loadPair(c)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.add(p)
	}
	if len(certs) == 0 {
		errs = append(errs, errors.New("cannot serve TLS without a certificate"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return s, nil
}

func loadPair(c conf.Cert) (*pair, error) {
	// LoadX509KeyPair compares the public keys and fills in Leaf.
	cert, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("cannot load certificate %q with key %q: %w", c.Cert, c.Key, err)
	}
	return &pair{file: c.Cert, cert: cert}, nil
}

func (s *Store) add(p *pair) {
	s.all = append(s.all, p)
	for _, n := range leafNames(p.cert.Leaf) {
		s.names[n] = append(s.names[n], p)
	}
}

// leafNames returns the names a certificate stands for, as Normalize gives them.
// The common name counts only where there is no other name at all, as in many
// self-made certificates.
func leafNames(leaf *x509.Certificate) []string {
	var names []string
	for _, n := range leaf.DNSNames {
		names = append(names, Normalize(n))
	}
	for _, ip := range leaf.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			names = append(names, a.Unmap().String())
		}
	}
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = append(names, Normalize(leaf.Subject.CommonName))
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == "" })
}

// GetCertificate is the field of the same name in a tls.Config. It takes a
// certificate for exactly the name of the hello, else one with a fitting
// wildcard, else the first of the configuration, so that a client without SNI, or
// with a name nobody has, sees a certificate and can say what is wrong. Among
// several for one name it takes the first that the client can verify.
func (s *Store) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	ps := s.lookup(Normalize(hello.ServerName))
	if len(ps) == 0 {
		return &s.all[0].cert, nil
	}
	if len(ps) > 1 {
		for _, p := range ps {
			if hello.SupportsCertificate(&p.cert) == nil {
				return &p.cert, nil
			}
		}
	}
	return &ps[0].cert, nil
}

// lookup returns the pairs for a normalized name, exact before wildcard.
func (s *Store) lookup(name string) []*pair {
	if ps := s.names[name]; ps != nil {
		return ps
	}
	// A wildcard stands for exactly one label (RFC 6125 section 6.4.3), and never
	// for a part of an address.
	i := strings.IndexByte(name, '.')
	if i <= 0 {
		return nil
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return nil
	}
	return s.names["*"+name[i:]]
}

// Covers reports whether one of the certificates stands for host, a name or
// address without port and brackets. A request for a host that is not covered
// came over the wrong connection (421, RFC 9110 section 15.5.20).
func (s *Store) Covers(host string) bool {
	host = Normalize(host)
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	}
	return len(s.lookup(host)) > 0
}

// Names returns all names and addresses, sorted, each once.
func (s *Store) Names() []string {
	names := make([]string, 0, len(s.names))
	for n := range s.names {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Infos describes the certificates in the order of the configuration.
func (s *Store) Infos() []Info {
	infos := make([]Info, 0, len(s.all))
	for _, p := range s.all {
		leaf := p.cert.Leaf
		infos = append(infos, Info{p.file, leafNames(leaf), leaf.NotBefore, leaf.NotAfter})
	}
	return infos
}

// Check returns an error that tells of every certificate that is not valid at
// now, nil when all are. Whether that refuses a reload or is only worth a
// warning, as at a start, is the caller's choice.
func (s *Store) Check(now time.Time) error {
	var errs []error
	for _, in := range s.Infos() {
		from, to := in.NotBefore.Format(time.RFC3339), in.NotAfter.Format(time.RFC3339)
		switch {
		case now.Before(in.NotBefore):
			errs = append(errs, fmt.Errorf("certificate %q is not valid before %s", in.File, from))
		case now.After(in.NotAfter):
			errs = append(errs, fmt.Errorf("certificate %q expired at %s", in.File, to))
		}
	}
	return errors.Join(errs...)
}

// Normalize brings a host name into the form in which names are compared: lower
// case, without the final dot. It allocates only when it changes a letter.
func Normalize(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
