package l4

import (
	"fmt"
	"net/netip"

	"weir/conf"
	"weir/l4/sniff"
	"weir/pool/backend"
)

// Choice is where an [[l4]] sends a connection. The zero value: it is closed.
type Choice struct {
	Route string // "" where the listener has no routes
	Pool  string // this or L7
	L7    string

	Terminates bool // its TLS is ended by the listener
}

// Explain says where a listener sends connections that begin with these bytes, a
// whole TLS hello or the start of a request of HTTP/1, by the code that routes
// sessions. It opens nothing.
func Explain(c *conf.L4, source netip.Addr, first []byte) (Choice, error) {
	if c.Protocol == "postgres" || c.Protocol == "mysql" {
		return Choice{}, fmt.Errorf("cannot pass HTTP through [[l4]] %q: it has protocol = %q", c.Name, c.Protocol)
	}
	groups := func(string) *backend.Group { return new(backend.Group) } // nothing is picked from it
	r, err := newRouting(&Listener{Name: c.Name, Conf: c, Groups: groups}, nil)
	if err != nil {
		return Choice{}, err
	}
	k := known{source: source}
	if r.sniffs(source) {
		var hello sniff.Hello
		switch v := sniff.ClientHello(first, int(c.SniffMax), &hello); v {
		case sniff.Done:
			k.protocol, k.hello = sniff.TLS, &hello
		case sniff.NotTLS:
			if c.Protocol != "auto" {
				return Choice{}, fmt.Errorf(
					"cannot pass a connection without TLS through [[l4]] %q: it has protocol = %q",
					c.Name, c.Protocol)
			}
			k.protocol, _ = sniff.Protocol(first, r.table.protocols)
		default:
			return Choice{}, fmt.Errorf("cannot read the TLS hello: it is %s", v)
		}
	}
	to, _ := r.find(k)
	if to == nil || c.TLS != nil && k.protocol&sniff.TLS == 0 && !to.clear {
		return Choice{}, nil
	}
	return Choice{
		Route: to.name, Pool: to.pool, L7: to.l7,
		Terminates: to.terminates && c.TLS != nil && k.protocol == sniff.TLS,
	}, nil
}
