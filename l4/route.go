package l4

import (
	"fmt"
	"net/netip"
	"slices"

	"weir/conf"
	"weir/pool/backend"
	"weir/pool/cert"
	"weir/pool/metric"
)

// routing is what a listener does with its connections: one immutable snapshot. A
// session keeps the one it started with.
type routing struct {
	listener *listener
	conf     *conf.L4       // nil where l7 is set
	l7       string         // each connection goes to this L7 listener at once
	table    table          // the routes
	routes   []*destination // theirs, in file order
	fallback *destination   // where there is no route, or none matches; nil closes
	balancer []netip.Prefix // peers that begin with a PROXY header
	pools    []*destination // each pool once, in the order of the configuration
	front    *cert.TLS      // ends the TLS of clients; nil: all TLS passes through
	options  options        // of the sockets that lead here
}

// destination is where a connection goes: to a group, or to an L7 listener.
type destination struct {
	name   string // of the route, for the access log; "" where the listener has none
	pool   string
	group  *backend.Group
	l7     string
	web    *listener       // the listener of l7, whose caps count too; nil: it has none
	chosen *metric.Counter // nil where the listener has no routes

	terminates bool // Weir ends the TLS
	clear      bool // the route asks for a protocol that is not TLS
}

// count notes that d, which may be nil, was chosen.
func (d *destination) count() {
	if d != nil && d.chosen != nil {
		d.chosen.Inc()
	}
}

// newRouting resolves all names in l. Unknown names are bugs of the caller, as a
// checked configuration has none; they are errors all the same.
func newRouting(l *Listener, ln *listener) (*routing, error) {
	r := &routing{listener: ln, conf: l.Conf, l7: l.L7, options: l.options()}
	var err error
	if r.balancer, err = parseNetworks(l.proxyProtocol()); err != nil {
		return nil, fmt.Errorf("cannot use proxy_protocol of listener %q: %w", l.Name, err)
	}
	if l.L7 != "" {
		r.fallback = &destination{l7: l.L7}
		return r, nil
	}
	if l.Conf == nil {
		return nil, fmt.Errorf("cannot use listener %q: it has neither an L7 name nor a configuration", l.Name)
	}
	if l.Conf.Pool != "" {
		name := ""
		if len(l.Conf.Routes) > 0 {
			name = conf.DefaultRoute
		}
		if r.fallback, err = newDestination(l, name, l.Conf.Pool, ""); err != nil {
			return nil, err
		}
		r.notePool(r.fallback)
		r.fallback.terminates = l.Conf.Mode == terminating
	}
	rules := make([]rule, len(l.Conf.Routes))
	for i := range rules {
		if rules[i], err = newRule(l, &l.Conf.Routes[i]); err != nil {
			return nil, err
		}
		r.routes = append(r.routes, rules[i].to)
		r.notePool(rules[i].to)
	}
	r.table = newTable(rules)
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

func parseNetworks(list []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, cidr := range list {
		p, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, fmt.Errorf("cannot parse network %q: %w", cidr, err)
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

// sniffs reports whether the first bytes of a client at this address are looked at.
func (r *routing) sniffs(source netip.Addr) bool {
	if r.l7 != "" {
		return false
	}
	switch r.conf.Protocol {
	case "tls", "quic", "postgres":
		return true
	}
	return r.conf.TLS != nil || r.byBytes(source)
}

// byBytes reports whether they decide where it goes.
func (r *routing) byBytes(source netip.Addr) bool { return r.table.needsBytes(source.Unmap()) }

// find chooses for a connection by all that is known of it. name is the server name
// where it is one of the routes', "" where that would cost an allocation. It
// returns nil where the connection is to be closed.
func (r *routing) find(c known) (to *destination, name string) {
	c.source = c.source.Unmap()
	if to, name = r.table.find(&c); to == nil {
		to = r.fallback
	}
	return to, name
}

// bySource chooses for a connection of which the first bytes say nothing.
func (r *routing) bySource(source netip.Addr) *destination {
	to, _ := r.find(known{source: source})
	return to
}

// show counts what the routes are chosen for, and stops to show what is counted
// for routes that are gone. It is called before r is in force; s.mu is held.
func (r *routing) show(metrics *metric.Registry) {
	shown := r.routes
	if r.fallback != nil && len(r.routes) > 0 {
		shown = append(slices.Clip(shown), r.fallback)
	}
	before := r.listener.routes
	r.listener.routes = make(map[string]bool, len(shown))
	for _, to := range shown {
		to.chosen = metrics.Counter(metric.L4Routed, r.listener.name, to.name)
		r.listener.routes[to.name] = true
		delete(before, to.name)
	}
	hideRoutes(metrics, r.listener.name, before)
}

func hideRoutes(metrics *metric.Registry, listener string, routes map[string]bool) {
	for name := range routes {
		metrics.Unregister(metric.L4Routed, listener, name)
	}
}
