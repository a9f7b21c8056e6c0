package conf

import "slices"

// l4 checks one [[l4]].
func (ck *checker) l4(l *L4) {
	ck.refPool(&l.Pool)
	ck.l4UDP(l)
	if !ck.has(&l.Pool) && !ck.has(&l.Routes) {
		ck.add(ck.at(l), "", "[[l4]] needs a pool, a route, or both")
	}
	ck.l4TLS(l)
	ck.l4Sniff(l)
	if l.ServerFirstWait > 0 && !l.UDP() {
		at := ck.at(&l.ServerFirstWait)
		switch {
		case l.Protocol != "auto":
			ck.add(at, "", "server_first_wait: with protocol = %q the client speaks first", l.Protocol)
		case !ck.has(&l.Routes):
			ck.add(at, "", "server_first_wait: without routes no client is waited for")
		case !ck.has(&l.Pool) && !slices.ContainsFunc(l.Routes, func(r L4Route) bool { return r.bySourceAlone() }):
			ck.add(at, "", "server_first_wait: without a pool, or a route by source alone, there is nowhere "+
				"for a silent client to go")
		default:
			order(ck, &l.ServerFirstWait, &l.SniffTimeout, formatDuration, "server_first_wait", "sniff_timeout", l)
		}
	}
	if ck.has(&l.ServerVersion) && l.Protocol != "mysql" {
		ck.add(ck.at(&l.ServerVersion), "", "server_version: only with protocol = \"mysql\" does Weir speak first")
	}
	ck.l4Rates(l)
	ck.l4Routes(l)
}

// l4Sniff refuses bounds for first bytes that nobody looks at.
func (ck *checker) l4Sniff(l *L4) {
	if l.Protocol == "tls" || l.Protocol == "quic" || l.TLS != nil ||
		slices.ContainsFunc(l.Routes, func(r L4Route) bool { return !r.bySourceAlone() }) {
		return
	}
	const why = "without [l4.tls], or a route that needs them, the first bytes of a client are not looked at"
	if ck.has(&l.SniffTimeout) && l.Protocol != "postgres" { // there a CancelRequest is looked for
		ck.add(ck.at(&l.SniffTimeout), "", "sniff_timeout: %s", why)
	}
	if ck.has(&l.SniffMax) {
		ck.add(ck.at(&l.SniffMax), "", "sniff_max: %s", why)
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
