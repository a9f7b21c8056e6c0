package conf

// pool checks one pool.
func (ck *checker) pool(p *Pool) {
	ck.servers(p)
	ck.poolTLS(p)
	ck.health(&p.Health)
	order(ck, &p.Ejection.Time, &p.Ejection.MaxTime, formatDuration, "time", "max_time", &p.Ejection)
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
