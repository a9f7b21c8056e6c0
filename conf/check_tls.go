package conf

// l4TLS completes what depends on [l4.tls] and checks what excludes each other.
func (ck *checker) l4TLS(l *L4) {
	if l.Mode == "" {
		l.Mode = modePassthrough
		if l.TLS != nil {
			l.Mode = modeTerminate
		}
	}
	if l.UDP() {
		ck.udpTLS(l)
		return
	}
	if l.Mode == modePassthrough && l.Protocol != "auto" && ck.poolHasTLS(l.Pool) {
		ck.add(ck.at(&l.Pool), "", "pool: the clients of protocol = %q bring TLS of their own, and pool %q has a "+
			"[pool.%s.tls]; terminate theirs with [l4.tls] or choose a pool without", l.Protocol, l.Pool, l.Pool)
	}
	if l.TLS == nil {
		ck.needsTLS(&l.Mode)
		return
	}
	if ck.has(&l.ServerFirstWait) && l.ServerFirstWait > 0 {
		ck.add(ck.at(&l.ServerFirstWait), "", "server_first_wait: with [l4.tls] the client speaks first")
	}
	t := l.TLS
	if l.Protocol == "postgres" && !ck.has(&t.ALPN) {
		t.ALPN = []string{"postgresql"} // libpq insists on it with sslnegotiation=direct
	}
	switch hasCA := ck.has(&t.ClientCA); {
	case t.ClientAuth == "" && hasCA:
		t.ClientAuth = "require"
	case t.ClientAuth == "":
		t.ClientAuth = "none"
	case t.ClientAuth == "none" && hasCA:
		ck.add(ck.at(&t.ClientCA), "", "client_ca: it has no effect with client_auth = \"none\"")
	case t.ClientAuth != "none" && !hasCA:
		ck.add(ck.at(&t.ClientAuth), "", "client_auth: %q needs a client_ca", t.ClientAuth)
	}
}

// udpTLS checks that nothing on a listener for datagrams asks for TLS.
func (ck *checker) udpTLS(l *L4) {
	if l.TLS != nil {
		ck.add(ck.at(&l.TLS.Certs, l), "", "[l4.tls]: datagrams have no TLS")
	}
	pools, modes := []*string{&l.Pool}, []*string{&l.Mode}
	for i := range l.Routes {
		r := &l.Routes[i]
		pools, modes = append(pools, &r.Pool), append(modes, &r.Mode)
	}
	for _, mode := range modes {
		if *mode == modeTerminate && ck.has(mode) {
			ck.add(ck.at(mode), "", "mode: Weir does not end QUIC, only \"passthrough\" is possible on UDP")
		}
	}
	for _, pool := range pools {
		if ck.poolHasTLS(*pool) {
			ck.add(ck.at(pool), "", "pool: datagrams have no TLS, and pool %q has a [pool.%s.tls]", *pool, *pool)
		}
	}
}

// l4RouteTLS does the same for a route.
func (ck *checker) l4RouteTLS(l *L4, r *L4Route) {
	switch {
	case l.UDP():
		return
	case r.L7 != "":
		if ck.has(&r.Mode) {
			ck.add(ck.at(&r.Mode), "", "mode: the [[l7]] terminates the TLS of what is handed over")
		}
		return
	case r.Mode == "":
		r.Mode = l.Mode
	case l.TLS == nil:
		ck.needsTLS(&r.Mode)
	}
	if r.Mode == modePassthrough && r.forTLS() && ck.poolHasTLS(r.Pool) {
		ck.add(ck.at(&r.Pool), "", "pool: the connections of this route are TLS already, and pool %q has a "+
			"[pool.%s.tls]; terminate them with [l4.tls] or choose a pool without", r.Pool, r.Pool)
	}
}

func (ck *checker) needsTLS(mode *string) {
	if *mode == modeTerminate {
		ck.add(ck.at(mode), "", "mode: \"terminate\" needs [l4.tls] with certificates")
	}
}

func (ck *checker) poolHasTLS(name string) bool {
	for i := range ck.c.Pools {
		if ck.c.Pools[i].Name == name {
			return ck.c.Pools[i].TLS != nil
		}
	}
	return false
}

// poolTLS checks that TLS to the servers of p can work.
func (ck *checker) poolTLS(p *Pool) {
	t := p.TLS
	if t == nil {
		return
	}
	switch cert, key := ck.has(&t.Cert), ck.has(&t.Key); {
	case cert && !key:
		ck.add(ck.at(&t.Cert), "", "cert: it needs its key")
	case key && !cert:
		ck.add(ck.at(&t.Key), "", "key: it needs its cert")
	}
	if t.MinVersion == "1.3" && t.MaxVersion == "1.2" {
		ck.add(ck.at(&t.MaxVersion, &t.MinVersion), "", "max_version: 1.2 is below min_version, which is 1.3")
	}
	if !t.Verify {
		if ck.has(&t.CA) {
			ck.add(ck.at(&t.CA), "", "ca: it has no effect with verify = false")
		}
		return
	}
	for i := range p.Servers {
		s := &p.Servers[i]
		if s.Addr.Network == "unix" && t.Name == "" && !ck.has(&t.Name) {
			ck.add(ck.at(&s.Addr), "", "servers: %s has no host name to verify; [pool.%s.tls] needs a name",
				s.Addr, p.Name)
		}
	}
}
