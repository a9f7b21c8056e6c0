package l4

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"

	"weir/conf"
	"weir/pool/backend"
	"weir/pool/cert"
)

// routing is what a listener does with its connections: one immutable snapshot. A
// session keeps the one it started with.
type routing struct {
	listener *listener
	conf     *conf.L4     // nil where l7 is set
	l7       string       // each connection goes to this L7 listener at once
	fallback *destination // where there is no route, or none matches; nil closes
	exact    map[string]named
	wildcard map[string]*destination // by suffix, "*" removed: ".example.com"
	sniffs   bool                    // the first bytes decide
	balancer []netip.Prefix          // peers that begin with a PROXY header
	pools    []*destination          // each pool once, in the order of the configuration
	front    *tls.Config             // ends the TLS of clients; nil: all TLS passes through
	certs    *cert.Store             // of front
}

// destination is where a connection goes: to a group, or to an L7 listener.
type destination struct {
	name  string // of the route, for the access log
	pool  string
	group *backend.Group
	l7    string

	terminates bool // Weir ends the TLS
}

// named keeps the name beside the destination, so that looking it up gives a string
// without allocating one.
type named struct {
	name string
	to   *destination
}

// newRouting resolves all names in l. Unknown names are bugs of the caller, as a
// checked configuration has none; they are errors all the same.
func newRouting(l *Listener, ln *listener) (*routing, error) {
	r := &routing{listener: ln, conf: l.Conf, l7: l.L7}
	for _, cidr := range l.proxyProtocol() {
		p, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, fmt.Errorf("cannot use proxy_protocol network %q of listener %q: %w", cidr, l.Name, err)
		}
		r.balancer = append(r.balancer, p)
	}
	if l.L7 != "" {
		r.fallback = &destination{l7: l.L7}
		return r, nil
	}
	if l.Conf == nil {
		return nil, fmt.Errorf("cannot use listener %q: it has neither an L7 name nor a configuration", l.Name)
	}
	r.exact = make(map[string]named)
	r.wildcard = make(map[string]*destination)
	r.sniffs = len(l.Conf.Routes) > 0 || l.Conf.Protocol == "tls" || l.Conf.Protocol == "postgres" || l.Conf.TLS != nil
	var err error
	if l.Conf.Pool != "" {
		if r.fallback, err = newDestination(l, "", l.Conf.Pool, ""); err != nil {
			return nil, err
		}
		r.notePool(r.fallback)
		r.fallback.terminates = l.Conf.Mode == terminating
	}
	for _, route := range l.Conf.Routes {
		for _, name := range route.SNI {
			to, err := newDestination(l, name, route.Pool, route.L7)
			if err != nil {
				return nil, err
			}
			r.notePool(to)
			to.terminates = route.Mode == terminating
			if suffix, ok := bytes.CutPrefix([]byte(name), []byte("*")); ok {
				r.wildcard[string(suffix)] = to
			} else {
				r.exact[name] = named{name, to}
			}
		}
	}
	return r, nil
}

// notePool adds the pool of d to r.pools.
func (r *routing) notePool(d *destination) {
	known := func(have *destination) bool { return have.pool == d.pool }
	if d.group != nil && !slices.ContainsFunc(r.pools, known) {
		r.pools = append(r.pools, d)
	}
}

func newDestination(l *Listener, name, pool, l7 string) (*destination, error) {
	t := &destination{name: name, pool: pool, l7: l7}
	if l7 != "" {
		return t, nil
	}
	if t.group = l.Groups(pool); t.group == nil {
		return nil, fmt.Errorf("cannot route to pool %q from listener %q: no such pool", pool, l.Name)
	}
	return t, nil
}

// find chooses by server name, lower case and without a final dot: exact, then the
// longest wildcard, then the fallback. name is "" where that would cost an
// allocation. It returns nil where the connection is to be closed.
func (r *routing) find(sni []byte) (to *destination, name string) {
	if e, ok := r.exact[string(sni)]; ok {
		return e.to, e.name
	}
	if len(r.wildcard) > 0 {
		for i := bytes.IndexByte(sni, '.'); i >= 0; {
			if to := r.wildcard[string(sni[i:])]; to != nil {
				return to, ""
			}
			next := bytes.IndexByte(sni[i+1:], '.')
			if next < 0 {
				break
			}
			i += 1 + next
		}
	}
	return r.fallback, ""
}
