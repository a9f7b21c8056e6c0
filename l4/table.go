package l4

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"weir/conf"
	"weir/l4/sniff"
)

// The rule by which a route is chosen, as docs/routing.md gives it to users: of the
// routes whose conditions all hold, the first by
//
//	server name   exact, then the longest wildcard, then none
//	ALPN          given, then not
//	protocol      given, then not
//	source        the longest network, then none
//	the file      the first
//
// A table has this order worked out: one map lookup by name (and one per dot for
// wildcards) gives the choices, whose tiers are in order and find networks of one
// length by one map lookup each.

// known is what is known of a connection when it is routed.
type known struct {
	source   netip.Addr      // not IPv4 in IPv6; zero where a unix socket is the peer
	protocol sniff.Protocols // 0: none of those that routes ask for
	hello    *sniff.Hello    // nil: no TLS, or it was not read
}

// rule is a route that is ready for a table.
type rule struct {
	sni       []string
	alpn      []string
	protocols sniff.Protocols // 0: any
	sources   []netip.Prefix  // none: any
	to        *destination
}

func newRule(l *Listener, c *conf.L4Route) (r rule, err error) {
	r = rule{sni: c.SNI, alpn: c.ALPN}
	for _, name := range c.Protocol {
		p := sniff.ProtocolNamed(name)
		if p == 0 {
			return r, fmt.Errorf("cannot use route %q of listener %q: no protocol is called %q", c.Name, l.Name, name)
		}
		r.protocols |= p
	}
	if r.sources, err = parseNetworks(c.Source); err != nil {
		return r, fmt.Errorf("cannot use route %q of listener %q: %w", c.Name, l.Name, err)
	}
	if r.to, err = newDestination(l, c.Name, c.Pool, c.L7); err != nil {
		return r, err
	}
	r.to.terminates = c.Mode == terminating
	r.to.clear = r.protocols&^sniff.TLS != 0
	return r, nil
}

// byBytes reports whether first bytes are needed to know if r matches.
func (r *rule) byBytes() bool { return len(r.sni) > 0 || len(r.alpn) > 0 || r.protocols != 0 }

// table is immutable. The zero table has no routes.
type table struct {
	exact     map[string]named
	wildcard  map[string]choices // by suffix, "*" removed: ".example.com"
	nameless  choices            // routes that ask for no name
	protocols sniff.Protocols    // those that routes ask for
	sniffsAll bool               // a route that needs first bytes is for every source
	sniffed   networks           // else: the sources that such routes are for
}

// named keeps the name beside its choices, so that looking it up gives a string
// without allocating one.
type named struct {
	name    string
	choices choices
}

func newTable(rules []rule) table {
	t := table{exact: make(map[string]named), wildcard: make(map[string]choices)}
	var nameless []int
	byName := make(map[string][]int)
	var sniffed []netip.Prefix
	for i := range rules {
		r := &rules[i]
		if len(r.sni) == 0 {
			nameless = append(nameless, i)
		}
		for _, name := range r.sni {
			byName[name] = append(byName[name], i)
		}
		t.protocols |= r.protocols
		if r.byBytes() {
			t.sniffsAll = t.sniffsAll || len(r.sources) == 0
			sniffed = append(sniffed, r.sources...)
		}
	}
	t.sniffed = newNetworks(sniffed)
	t.nameless = newChoices(rules, nameless)
	shared := make(map[string]choices) // names with the same routes have the same choices
	for name, routes := range byName {
		key := ""
		for _, i := range routes {
			key = string(binary.AppendUvarint([]byte(key), uint64(i))) //nolint:gosec // an index
		}
		c, ok := shared[key]
		if !ok {
			c = newChoices(rules, routes)
			shared[key] = c
		}
		if suffix, ok := strings.CutPrefix(name, "*"); ok {
			t.wildcard[suffix] = c
		} else {
			t.exact[name] = named{name, c}
		}
	}
	return t
}

// needsBytes reports whether a route for this source asks for first bytes.
func (t *table) needsBytes(source netip.Addr) bool {
	return t.sniffsAll || t.sniffed.contain(source)
}

// find returns the first route that matches, or nil, and the server name where it
// is one that the routes name.
func (t *table) find(c *known) (to *destination, name string) {
	if c.hello != nil {
		sni := c.hello.SNI()
		e := t.exact[string(sni)]
		if to, name = e.choices.find(c), e.name; to != nil {
			return to, name
		}
		if to = t.findWildcard(sni, c); to != nil {
			return to, name
		}
	}
	return t.nameless.find(c), name
}

func (t *table) findWildcard(sni []byte, c *known) *destination {
	if len(t.wildcard) == 0 {
		return nil
	}
	for i := bytes.IndexByte(sni, '.'); i >= 0; {
		if to := t.wildcard[string(sni[i:])].find(c); to != nil {
			return to
		}
		next := bytes.IndexByte(sni[i+1:], '.')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return nil
}

// choices are the routes of one server name, tier by tier in the order of the rule.
type choices []tier

// tier has the routes that are alike in whether they ask for ALPN and a protocol
// and in the length of their networks.
type tier struct {
	alpn, protocol bool
	bits           int // -1: no network
	anywhere       []candidate
	within         map[netip.Prefix][]candidate
}

// candidate is a route, its name and network apart.
type candidate struct {
	alpn      []string
	protocols sniff.Protocols
	to        *destination
}

func newChoices(rules []rule, routes []int) choices {
	var c choices
	for _, i := range routes {
		r := &rules[i]
		n := candidate{r.alpn, r.protocols, r.to}
		if len(r.sources) == 0 {
			t := c.tier(r, -1)
			t.anywhere = append(t.anywhere, n)
		}
		for _, p := range r.sources {
			t := c.tier(r, p.Bits())
			t.within[p] = append(t.within[p], n)
		}
	}
	slices.SortFunc(c, compareTiers)
	return c
}

// tier returns that of a route with networks of this length.
func (c *choices) tier(r *rule, bits int) *tier {
	alpn, protocol := len(r.alpn) > 0, r.protocols != 0
	for i := range *c {
		if t := &(*c)[i]; t.alpn == alpn && t.protocol == protocol && t.bits == bits {
			return t
		}
	}
	*c = append(*c, tier{alpn: alpn, protocol: protocol, bits: bits, within: make(map[netip.Prefix][]candidate)})
	return &(*c)[len(*c)-1]
}

func compareTiers(a, b tier) int {
	given := func(b bool) int {
		if b {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(given(a.alpn), given(b.alpn)),
		cmp.Compare(given(a.protocol), given(b.protocol)),
		cmp.Compare(b.bits, a.bits),
	)
}

func (c choices) find(k *known) *destination {
	for i := range c {
		t := &c[i]
		list := t.anywhere
		if t.bits >= 0 {
			p, ok := truncated(k.source, t.bits)
			if !ok {
				continue
			}
			list = t.within[p]
		}
		for j := range list {
			if list[j].holds(k) {
				return list[j].to
			}
		}
	}
	return nil
}

func (n *candidate) holds(k *known) bool {
	if n.protocols != 0 && n.protocols&k.protocol == 0 {
		return false
	}
	if len(n.alpn) == 0 {
		return true
	}
	if k.hello == nil {
		return false
	}
	for offered := range k.hello.ALPN {
		for _, wanted := range n.alpn { //nolint:modernize // Contains would make a string
			if string(offered) == wanted {
				return true
			}
		}
	}
	return false
}

// networks is a set of them.
type networks struct {
	bits []int // lengths that occur
	set  map[netip.Prefix]bool
}

func newNetworks(list []netip.Prefix) networks {
	n := networks{set: make(map[netip.Prefix]bool, len(list))}
	for _, p := range list {
		n.set[p] = true
		if !slices.Contains(n.bits, p.Bits()) {
			n.bits = append(n.bits, p.Bits())
		}
	}
	return n
}

func (n *networks) contain(a netip.Addr) bool {
	for _, bits := range n.bits {
		if p, ok := truncated(a, bits); ok && n.set[p] {
			return true
		}
	}
	return false
}

// truncated is the network of this length around a, if there is one. The test
// comes first because [netip.Addr.Prefix] makes an error, which allocates.
func truncated(a netip.Addr, bits int) (netip.Prefix, bool) {
	if bits > a.BitLen() {
		return netip.Prefix{}, false
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}
