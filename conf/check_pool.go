package conf

import (
	"net/netip"
	"strconv"
)

// pool checks one pool.
func (ck *checker) pool(p *Pool) {
	ck.servers(p)
	ck.balance(p)
	ck.sticky(p)
	order(ck, &p.Concurrency.Min, &p.Concurrency.Max, strconv.Itoa, "min", "max", &p.Concurrency)
	ck.poolTLS(p)
	ck.health(&p.Health)
	ck.sources(p)
	ck.udpHealth(p)
	ck.sessions(p)
	order(ck, &p.Ejection.Time, &p.Ejection.MaxTime, formatDuration, "time", "max_time", &p.Ejection)
}

// sessions refuses what is to happen at a loss that cannot come about, where it is not
// the default that is written out.
func (ck *checker) sessions(p *Pool) {
	if at := &p.Sessions.OnDown; *at != "keep" && ck.has(at) && p.Health.Type == "" {
		ck.add(ck.at(at), "", "on_down: without [pool.%s.health] no server is ever down", p.Name)
	}
	if at := &p.Sessions.OnRoleLost; *at != "close" && ck.has(at) && (p.Health.Role == "" || p.Health.Role == "any") {
		ck.add(ck.at(at), "", "on_role_lost: without role = \"primary\" or \"replica\" in [pool.%s.health] "+
			"no server has a role to lose", p.Name)
	}
}

func (ck *checker) servers(p *Pool) {
	seen := first{}
	share := false
	for i := range p.Servers {
		s := &p.Servers[i]
		share = share || s.Weight > 0
		if s.Addr.IsZero() {
			continue
		}
		at := ck.at(&s.Addr)
		if line := ck.again(seen, s.Addr.String(), at); line > 0 {
			ck.add(at, "", "servers: %s is already in the pool on line %d", s.Addr, line)
		}
	}
	if len(p.Servers) > 0 && !share {
		ck.add(ck.at(&p.Servers), "", "servers: every server of pool %q has weight 0", p.Name)
	}
}

// sources checks that no two source addresses are for the same servers.
func (ck *checker) sources(p *Pool) {
	seen := first{}
	for i := range p.Socket.Source {
		s := &p.Socket.Source[i]
		ip, err := netip.ParseAddr(*s)
		if err != nil {
			continue // reported where it stands
		}
		family := "IPv6"
		if ip.Is4() {
			family = "IPv4"
		}
		if line := ck.again(seen, family, ck.at(s)); line > 0 {
			ck.add(ck.at(s), "", "source: %s is a second %s address after the one on line %d; one per family is used",
				*s, family, line)
		}
	}
}
