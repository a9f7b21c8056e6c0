package conf

import (
	"slices"
	"time"
)

// year is the longest a session may be idle or live.
const year = 365 * day

func l4Table() table[L4] {
	return table[L4]{
		head: "[[l4]]",
		doc: "A TCP or UDP listener: bytes pass through untouched. With routes, the server name and the protocols\n" +
			"in the client's TLS hello, the protocol it speaks and the network it is from decide where a connection\n" +
			"goes; the TLS is still the server's own, unless a route hands it to an `[[l7]]`.\n\n" +
			"A connection that starts a TLS hello, or a protocol that a route names, and does not finish it within\n" +
			"`sniff_timeout` and `sniff_max` is closed, and never sent to `pool`. [Routing at L4](routing.md) has\n" +
			"the whole rule.\n\n" +
			l4UDPDoc,
		example: `
[pool.db]
servers = ["10.0.0.1:5432"]

[[l4]]
name = "postgres"
listen = ["0.0.0.0:5432", "[::]:5432"]
protocol = "auto"
mode = "passthrough"
proxy_protocol = ["10.0.0.0/8"]
pool = "db"
max_conns = 5000
max_conns_per_source = 100
max_conn_rate = 2000
max_conn_rate_per_source = 20
sniff_timeout = "3s"
sniff_max = "32KiB"
server_first_wait = "200ms"
idle_timeout = "8h"
half_closed_timeout = "10s"
lifetime = "24h"
download_rate = "10MiB"
upload_rate = "1MiB"
listener_download_rate = "100MiB"
listener_upload_rate = "50MiB"

[[l4.route]]
sni = ["db.example.com"]
pool = "db"

[[l4]]
name = "mysql"
listen = [":3306"]
protocol = "mysql"
server_version = "10.11.6-MariaDB"

[[l4.route]]
sni = ["orders.example.com"]
pool = "db"

[pool.resolvers]
servers = ["10.0.0.53:53", "10.0.1.53:53"]

[[l4]]
name = "dns"
listen = ["udp://0.0.0.0:53"]
pool = "resolvers"
udp_idle_timeout = "5s"
udp_responses = 1
`,
		keys: slices.Concat(l4Keys(), connLimitKeys(
			"0: no limit, and on UDP half of the process's `max_conns`.",
			func(l *L4) *int { return &l.MaxConns }, func(l *L4) *int { return &l.MaxConnsPerSource },
			func(l *L4) *int { return &l.MaxConnRate }, func(l *L4) *int { return &l.MaxConnRatePerSource },
		), l4TimeKeys(), l4ShapeKeys(), l4UDPKeys()),
	}
}

// l4Keys say what a listener is and where its connections go.
func l4Keys() []key[L4] {
	return []key[L4]{
		{
			name: "name", required: true,
			value: one(func(l *L4) *string { return &l.Name }, nameOf()),
			doc:   "Its name in logs, metrics and the API. No other listener has it, `[[l7]]` included.",
		},
		{
			name: "listen", required: true,
			value: some(func(l *L4) *[]Addr { return &l.Listen }, listenAddr4()),
			doc: "Where to listen. No host: every interface. `0.0.0.0` is IPv4 only, `[::]` is IPv6 only. " +
				"With `udp://` before it, an address takes datagrams; all addresses of a listener do, or none.",
		},
		{
			name: "protocol", def: `"auto"`,
			value: one(func(l *L4) *string { return &l.Protocol }, choice("auto", "tls", "postgres", "mysql", "quic")),
			doc: "What clients speak. `auto`: TLS if the first byte says so, else anything. `tls`: only TLS; " +
				"a connection then counts from its first bytes on, or from about a second (TCP_DEFER_ACCEPT). " +
				"`postgres`: PostgreSQL, whose TLS starts after a request for it. `mysql`: MySQL and MariaDB, the " +
				"same; with routes Weir speaks first in the server's place. See docs/databases.md. " +
				"On UDP, `auto` is QUIC if the first datagram says so, else anything, and `quic` is only QUIC.",
		},
		{
			name: "server_version", def: `"8.0.11-Weir"`,
			value: one(func(l *L4) *string { return &l.ServerVersion }, plain(60)),
			doc: "`mysql` with routes: the version that Weir's greeting tells clients, before it is known to which " +
				"server they go. Clients choose what they send by it: name the oldest of your servers' versions.",
		},
		{
			name: "proxy_protocol", none: "no header is read",
			value: many(func(l *L4) *[]string { return &l.ProxyProtocol }, network()),
			doc: "Load balancers in front of Weir. A connection from these networks must begin with a header of " +
				"the PROXY protocol, version 1 or 2, within 5s, and the client it names is the client in logs, " +
				"balancing and limits; without one it is closed. From anyone else no header is believed: on " +
				"a listener with this key a connection that begins with one is closed.",
		},
		{
			name: "tls", none: "TLS passes through",
			value: part(func(l *L4) bool { return l.TLS != nil }, func(l *L4) { l.TLS = new(L4TLS) }, l4TLSTable()),
			doc:   "Terminates TLS.",
		},
		{
			name: "mode", none: "`terminate` with `[l4.tls]`, else `passthrough`",
			value: one(func(l *L4) *string { return &l.Mode }, choice(modeTerminate, modePassthrough)),
			doc: "What becomes of the TLS of connections that go to `pool`, and to the pool of a route that does " +
				"not say it itself. `terminate`: Weir ends it. `passthrough`: it is the server's own.",
		},
		{
			name: "pool", none: "such connections are closed",
			value: one(func(l *L4) *string { return &l.Pool }, refTo("a pool")),
			doc:   "Where a connection goes if there is no route, or none matches.",
		},
		{
			name:  "route",
			value: list(func(l *L4) *[]L4Route { return &l.Routes }, l4RouteTable(), ""),
			doc:   "Where certain connections go.",
		},
	}
}

// l4TimeKeys bound what a session may wait for.
func l4TimeKeys() []key[L4] {
	return []key[L4]{
		{
			name: "sniff_timeout", def: `"5s"`,
			value: one(func(l *L4) *time.Duration { return &l.SniffTimeout }, duration(shortest, time.Minute)),
			doc: "How long a client may take to send what the routes need. Refused where nothing is waited for: " +
				"without `[l4.tls]`, a `protocol` that is looked at, or a route by more than `source`.",
		},
		{
			name: "sniff_max", def: `"16KiB"`,
			value: one(func(l *L4) *Size { return &l.SniffMax }, size(4<<10, 64<<10)),
			doc:   "How long a TLS hello may be. Refused where none is read.",
		},
		{
			name: "server_first_wait", def: `"0s"`,
			value: one(func(l *L4) *time.Duration { return &l.ServerFirstWait }, duration(0, time.Minute)),
			doc: "For protocols in which the server speaks first: a client that is silent for this long goes " +
				"where its `source` leads without any bytes, or to `pool`. 0s: it is closed after `sniff_timeout`.",
		},
		{
			name: "idle_timeout", def: `"1h"`,
			value: one(func(l *L4) *time.Duration { return &l.IdleTimeout }, duration(shortest, year)),
			doc:   "A session without a byte in either direction for this long is closed.",
		},
		{
			name: "half_closed_timeout", def: `"30s"`,
			value: one(func(l *L4) *time.Duration { return &l.HalfClosedTimeout }, duration(shortest, year)),
			doc:   "The same once one side has finished sending.",
		},
		{
			name: "lifetime", def: `"0s"`,
			value: one(func(l *L4) *time.Duration { return &l.Lifetime }, duration(0, year)),
			doc:   "How long a session may live, busy or not. 0s: no limit.",
		},
		{
			name: "socket",
			value: sub(func(l *L4) *ListenSocket { return &l.Socket },
				listenSocketTable("[l4.socket]", l4SocketExample)),
			doc: "Options of the connections of clients.",
		},
	}
}
