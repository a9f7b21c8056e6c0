package conf

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
)

// check finds what no single key shows: names that lead nowhere, addresses used
// twice, keys that exclude each other. It runs on whatever could be bound, so
// that one run reports everything, and therefore asks the binder's marks before
// it calls something missing.
func check(b *binder, c *Config) {
	ck := &checker{binder: b, c: c, pools: map[string]bool{}, l7: map[string]*L7{}}
	for i := range c.Pools {
		ck.pools[c.Pools[i].Name] = true
		ck.poolNames = append(ck.poolNames, c.Pools[i].Name)
	}
	for i := range c.L7 {
		ck.l7[c.L7[i].Name] = &c.L7[i]
		ck.l7Names = append(ck.l7Names, c.L7[i].Name)
	}
	ck.names()
	ck.listeners()
	ck.admin()
	ck.cache(&c.Cache)
	order(ck, &c.DNS.MinTTL, &c.DNS.MaxTTL, formatDuration, "min_ttl", "max_ttl", &c.DNS)
	for i := range c.Pools {
		ck.pool(&c.Pools[i])
	}
	for i := range c.L4 {
		ck.l4(&c.L4[i])
	}
	for i := range c.L7 {
		ck.listener7(&c.L7[i])
	}
}

// checker is one run of check.
type checker struct {
	*binder
	c         *Config
	pools     map[string]bool
	poolNames []string
	l7        map[string]*L7
	l7Names   []string
}

// first remembers where each thing was seen first.
type first map[string]span

// again returns the line of an earlier sighting of id, or 0 and remembers it.
func (ck *checker) again(seen first, id string, at span) int {
	if before, ok := seen[id]; ok {
		return ck.src.line(before.pos)
	}
	seen[id] = at
	return 0
}

// has reports whether id was seen.
func (f first) has(id string) bool {
	_, there := f[id]
	return there
}

// names checks that no two listeners share a name. Those of pools are keys of
// one table, where TOML itself forbids it.
func (ck *checker) names() {
	seen := first{}
	one := func(name *string) {
		if *name == "" {
			return
		}
		if line := ck.again(seen, *name, ck.at(name)); line > 0 {
			ck.add(ck.at(name), "", "name: the listener %q is already defined on line %d", *name, line)
		}
	}
	for i := range ck.c.L4 {
		one(&ck.c.L4[i].Name)
	}
	for i := range ck.c.L7 {
		one(&ck.c.L7[i].Name)
	}
}

// refPool checks that a pool with this name exists.
func (ck *checker) refPool(name *string) {
	if *name != "" && !ck.pools[*name] {
		ck.dangling(name, "pool", "[pool."+*name+"]", ck.poolNames)
	}
}

func (ck *checker) dangling(name *string, key, wanted string, names []string) {
	suggestion := near(*name, names)
	if suggestion != "" {
		suggestion = strconv.Quote(suggestion)
	}
	ck.add(ck.at(name), suggestion, "%s: there is no %s", key, wanted)
}

// order checks that lo does not exceed hi, and reports at the one that the file
// gives.
func order[V cmp.Ordered](ck *checker, lo, hi *V, format func(V) string, loName, hiName string, table any) {
	if *lo > *hi {
		ck.add(ck.at(lo, hi, table), "", "%s: %s is above %s, which is %s",
			loName, format(*lo), hiName, format(*hi))
	}
}

// listeners checks that no two listeners want the same address and port.
func (ck *checker) listeners() {
	type use struct {
		addr       *Addr
		key, owner string
	}
	byPort := map[string][]use{} // a socket's path stands for its port
	claim := func(a *Addr, key, owner string) {
		if a.IsZero() || a.Network != "unix" && a.Port == 0 {
			return // not given, or the system chooses
		}
		port := a.Path
		if a.Network != "unix" {
			port = a.Network + strconv.Itoa(int(a.Port))
		}
		for _, other := range byPort[port] {
			if overlap(a.Host, other.addr.Host) {
				ck.add(ck.at(a), "", "%s: %s overlaps with %s, the %s of %s on line %d",
					key, a, other.addr, other.key, other.owner, ck.src.line(ck.at(other.addr).pos))
				return
			}
		}
		byPort[port] = append(byPort[port], use{a, key, owner})
	}
	claim(&ck.c.Admin.Listen, "listen", "[admin]")
	for i := range ck.c.L4 {
		l := &ck.c.L4[i]
		for j := range l.Listen {
			claim(&l.Listen[j], "listen", quoted("[[l4]]", l.Name))
		}
	}
	for i := range ck.c.L7 {
		l := &ck.c.L7[i]
		for j := range l.Listen {
			claim(&l.Listen[j], "listen", quoted("[[l7]]", l.Name))
		}
		for j := range l.Redirect {
			claim(&l.Redirect[j], "redirect", quoted("[[l7]]", l.Name))
		}
	}
}

// overlap reports whether two hosts to listen on have an address in common.
func overlap(a, b string) bool {
	if a == b || a == "" || b == "" {
		return true
	}
	x, y := netip.MustParseAddr(a), netip.MustParseAddr(b)
	return x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified())
}

// quoted names a table and, if it has one, its name.
func quoted(table, name string) string {
	if name == "" {
		return table
	}
	return table + " " + strconv.Quote(name)
}

// minToken is the shortest token that may guard an address anyone can reach.
const minToken = 16

// admin checks that beyond loopback nobody gets in unencrypted or by guessing.
func (ck *checker) admin() {
	a := &ck.c.Admin
	switch cert, key := ck.has(&a.Cert), ck.has(&a.Key); {
	case cert && !key:
		ck.add(ck.at(&a.Cert), "", "cert: it needs a key")
	case key && !cert:
		ck.add(ck.at(&a.Key), "", "key: it needs a cert")
	}
	if a.Listen.Network == "unix" && ck.has(&a.Cert) {
		ck.add(ck.at(&a.Cert), "", "cert: a unix socket has no TLS")
	}
	if a.Listen.Network == "tcp" && !loopback(a.Listen.Host) {
		ck.beyondLoopback(a)
	}
}

func (ck *checker) beyondLoopback(a *Admin) {
	var missing []string
	for _, k := range []struct {
		name  string
		field any
	}{{"cert", &a.Cert}, {"key", &a.Key}, {"token", &a.Token}} {
		if !ck.has(k.field) {
			missing = append(missing, k.name)
		}
	}
	if len(missing) > 0 {
		ck.add(ck.at(&a.Listen), "", "listen: beyond loopback [admin] also needs %s", strings.Join(missing, ", "))
	}
	if !a.Token.IsZero() && len(a.Token.value) < minToken {
		ck.add(ck.at(&a.Token), "", "token: beyond loopback it needs at least %d characters", minToken)
	}
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
