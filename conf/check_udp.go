package conf

// l4UDP checks a listener for datagrams: its addresses are of one kind, and each key
// and pool makes sense with it.
func (ck *checker) l4UDP(l *L4) {
	kind, mixed := l.UDP(), false
	for i := range l.Listen {
		if a := &l.Listen[i]; !a.IsZero() && (a.Network == "udp") != kind && !mixed {
			mixed = true
			ck.add(ck.at(a), "", "listen: %s and %s: a listener takes either connections or datagrams", &l.Listen[0], a)
		}
	}
	if mixed {
		return
	}
	if !kind {
		ck.tcpOnly(l)
		return
	}
	ck.udpKeys(l)
	if l.Protocol != "auto" && l.Protocol != "quic" {
		ck.add(ck.at(&l.Protocol), "", "protocol: %q is not spoken on UDP: expected \"auto\" or \"quic\"", l.Protocol)
	}
	if l.Protocol == "quic" && !ck.has(&l.Routes) {
		ck.add(ck.at(&l.Protocol), "", "protocol: \"quic\" is for routes, and there are none")
	}
	ck.udpPool(&l.Pool)
	for i := range l.Routes {
		r := &l.Routes[i]
		if r.L7 != "" {
			ck.add(ck.at(&r.L7), "", "l7: HTTP over QUIC is passed through to a pool, not served")
		}
		ck.udpPool(&r.Pool)
	}
}

// udpKeys refuses the keys that only connections have.
func (ck *checker) udpKeys(l *L4) {
	const (
		noRate   = "datagrams cannot wait, and are not shaped"
		noOption = "a UDP socket has no such option"
	)
	for _, k := range []struct {
		name  string
		field any
		why   string
	}{
		{"proxy_protocol", &l.ProxyProtocol, "a datagram has no room for a header of the PROXY protocol"},
		{"server_first_wait", &l.ServerFirstWait, "a server cannot speak first on UDP"},
		{"idle_timeout", &l.IdleTimeout, "on UDP it is udp_idle_timeout"},
		{"half_closed_timeout", &l.HalfClosedTimeout, "UDP has no end of one side"},
		{"lifetime", &l.Lifetime, "it has no effect on UDP"},
		{"download_rate", &l.DownloadRate, noRate},
		{"upload_rate", &l.UploadRate, noRate},
		{"listener_download_rate", &l.ListenerDownloadRate, noRate},
		{"listener_upload_rate", &l.ListenerUploadRate, noRate},
		{"tcp_nodelay", &l.Socket.NoDelay, noOption},
		{"tcp_keepalive", &l.Socket.KeepAlive, noOption},
		{"tcp_keepalive_interval", &l.Socket.KeepAliveInterval, noOption},
		{"tcp_keepalive_count", &l.Socket.KeepAliveCount, noOption},
		{"tcp_user_timeout", &l.Socket.UserTimeout, noOption},
		{"tcp_fast_open_queue", &l.Socket.FastOpenQueue, noOption},
	} {
		if ck.has(k.field) {
			ck.add(ck.at(k.field), "", "%s: %s", k.name, k.why)
		}
	}
}

// tcpOnly checks that a listener for connections has no key of UDP.
func (ck *checker) tcpOnly(l *L4) {
	const why = "it is for listeners with udp:// addresses"
	if ck.has(&l.UDPIdleTimeout) {
		ck.add(ck.at(&l.UDPIdleTimeout), "", "udp_idle_timeout: %s", why)
	}
	if ck.has(&l.UDPResponses) {
		ck.add(ck.at(&l.UDPResponses), "", "udp_responses: %s", why)
	}
	if l.Protocol == "quic" {
		ck.add(ck.at(&l.Protocol), "", "protocol: \"quic\": %s", why)
	}
}

// udpPool checks that datagrams can be sent to the servers of a pool as it is.
func (ck *checker) udpPool(name *string) {
	for i := range ck.c.Pools {
		p := &ck.c.Pools[i]
		if *name == "" || p.Name != *name {
			continue
		}
		if p.ProxyProtocol != "off" {
			ck.add(ck.at(name), "", "pool: %q has proxy_protocol = %q, but a datagram has no room for the header",
				p.Name, p.ProxyProtocol)
		}
		for j := range p.Servers {
			if a := p.Servers[j].Addr; a.Network == "unix" {
				ck.add(ck.at(name), "", "pool: %q has the server %s, which takes no datagrams", p.Name, a)
			}
		}
	}
}

// udpHealth checks that a check by UDP can reach the servers of its pool.
func (ck *checker) udpHealth(p *Pool) {
	if !p.Health.UDP {
		return
	}
	at := ck.at(&p.Health.UDP)
	if p.ProxyProtocol != "off" {
		ck.add(at, "", "udp: a datagram has no room for the header of proxy_protocol = %q", p.ProxyProtocol)
	}
	for i := range p.Servers {
		if a := p.Servers[i].Addr; a.Network == "unix" {
			ck.add(at, "", "udp: the server %s takes no datagrams", a)
		}
	}
}
