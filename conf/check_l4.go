package conf

import "strconv"

// l4 checks one [[l4]].
func (ck *checker) l4(l *L4) {
	ck.refPool(&l.Pool)
	ck.l4UDP(l)
	if !ck.has(&l.Pool) && !ck.has(&l.Routes) {
		ck.add(ck.at(l), "", "[[l4]] needs a pool, a route, or both")
	}
	ck.l4TLS(l)
	if l.ServerFirstWait > 0 && !l.UDP() {
		at := ck.at(&l.ServerFirstWait)
		switch {
		case l.Protocol != "auto":
			ck.add(at, "", "server_first_wait: with protocol = %q the client speaks first", l.Protocol)
		case !ck.has(&l.Pool):
			ck.add(at, "", "server_first_wait: without a pool there is nowhere for a silent client to go")
		default:
			order(ck, &l.ServerFirstWait, &l.SniffTimeout, formatDuration, "server_first_wait", "sniff_timeout", l)
		}
	}
	if ck.has(&l.ServerVersion) && l.Protocol != "mysql" {
		ck.add(ck.at(&l.ServerVersion), "", "server_version: only with protocol = \"mysql\" does Weir speak first")
	}
	ck.l4Rates(l)
	seen := first{}
	for i := range l.Routes {
		ck.l4Route(l, &l.Routes[i], seen)
	}
}

// minRate is the lowest rate of bytes per second: below it a session would stand still.
const minRate = Size(1) << 10

func (ck *checker) l4Rates(l *L4) {
	for _, r := range []struct {
		name string
		rate *Size
	}{
		{"download_rate", &l.DownloadRate},
		{"upload_rate", &l.UploadRate},
		{"listener_download_rate", &l.ListenerDownloadRate},
		{"listener_upload_rate", &l.ListenerUploadRate},
	} {
		if *r.rate > 0 && *r.rate < minRate {
			ck.add(ck.at(r.rate), "", "%s: %s is below the minimum %s; 0B is no limit", r.name, *r.rate, minRate)
		}
	}
}

func (ck *checker) l4Route(l *L4, r *L4Route, seen first) {
	ck.refPool(&r.Pool)
	switch pool, l7 := ck.has(&r.Pool), ck.has(&r.L7); {
	case pool && l7:
		ck.add(ck.at(&r.L7), "", "[[l4.route]] has both pool and l7; it needs exactly one")
	case !pool && !l7:
		ck.add(ck.at(r), "", "[[l4.route]] needs pool or l7")
	}
	if r.L7 != "" {
		ck.handOver(l, &r.L7)
	}
	ck.l4RouteTLS(l, r)
	for i := range r.SNI {
		name := &r.SNI[i]
		if *name == "" {
			continue
		}
		if line := ck.again(seen, *name, ck.at(name)); line > 0 {
			ck.add(ck.at(name), "", "sni: %q already has a route on line %d", *name, line)
		}
	}
}

// handOver checks that the [[l7]] that gets connections can serve them.
func (ck *checker) handOver(l *L4, name *string) {
	target := ck.l7[*name]
	switch {
	case target == nil:
		ck.dangling(name, "l7", "[[l7]] with the name "+strconv.Quote(*name), ck.l7Names)
	case target.TLS == nil:
		ck.add(ck.at(name), "", "l7: %q has no [l7.tls], but connections with a server name are TLS", *name)
	case l.Protocol == "postgres":
		ck.add(ck.at(name), "", "l7: a connection that speaks PostgreSQL cannot be served as HTTP")
	case l.Protocol == "mysql":
		ck.add(ck.at(name), "", "l7: a connection that speaks MySQL cannot be served as HTTP")
	}
}
