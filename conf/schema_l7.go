package conf

import (
	"slices"
	"time"
)

func l7Table() table[L7] {
	keys := l7Keys()
	keys = append(keys, l7LimitKeys()...)
	keys = append(keys, l7FieldKeys()...)
	keys = append(keys, l7ConnectKeys()...)
	return table[L7]{
		head: "[[l7]]",
		doc: "An HTTP listener. A request that no route matches is answered with 404. With `[l7.tls]` every\n" +
			"connection is TLS, its own ones and those that an `[[l4]]` hands over; without it all are plain.",
		example: `
[pool.app]
servers = ["10.0.0.1:8080"]

[[l7]]
name = "web"
listen = ["0.0.0.0:443"]
proxy_protocol = ["10.0.0.2", "10.0.0.3"]
max_conns = 100_000
max_conns_per_source = 200
max_conn_rate = 5000
max_conn_rate_per_source = 50
header_timeout = "5s"
keepalive_timeout = "2m"
body_grace = "20s"
body_min_rate = "512B"
max_header_bytes = "16KiB"
max_header_fields = 64
max_uri = "4KiB"
max_body = "100MiB"
paths = "allow_encoded_slash"
trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]
forwarded = true
via = true
hide_headers = ["Server", "X-Powered-By"]

[l7.tls]
certs = [{ cert = "www.pem", key = "www.key" }]

[[l7.route]]
pool = "app"
`,
		keys: keys,
	}
}

// l7Keys say what a listener is and where its requests go.
func l7Keys() []key[L7] {
	return []key[L7]{
		{
			name: "name", required: true,
			value: one(func(l *L7) *string { return &l.Name }, nameOf()),
			doc:   "Its name in logs, metrics and the API. No other listener has it, `[[l4]]` included.",
		},
		{
			name: "listen", none: "only connections that an `[[l4]]` hands over",
			value: some(func(l *L7) *[]Addr { return &l.Listen }, listenAddr()),
			doc:   "Where to listen. No host: every interface. `0.0.0.0` is IPv4 only, `[::]` is IPv6 only.",
		},
		{
			name: "proxy_protocol", none: "no header is read",
			value: many(func(l *L7) *[]string { return &l.ProxyProtocol }, network()),
			doc: "Load balancers in front of Weir that send the PROXY protocol. As in `[[l4]]`: from these networks " +
				"a header is required, and the client it names is the client everywhere, X-Forwarded-For included; " +
				"from anyone else a header is an error of the protocol. Connections that an `[[l4]]` hands over " +
				"were read there.",
		},
		{
			name: "tls", none: "plain HTTP",
			value: part(func(l *L7) bool { return l.TLS != nil }, func(l *L7) { l.TLS = new(TLS) }, tlsTable()),
			doc:   "Terminates TLS.",
		},
		{
			name: "route", required: true,
			value: list(func(l *L7) *[]L7Route { return &l.Routes }, l7RouteTable(), ""),
			doc:   "Where requests go.",
		},
		{
			name: "socket",
			value: sub(func(l *L7) *ListenSocket { return &l.Socket },
				listenSocketTable("[l7.socket]", l7SocketExample)),
			doc: "Options of the connections of clients.",
		},
	}
}

// l7LimitKeys bound what a client may take.
func l7LimitKeys() []key[L7] {
	return append(connLimitKeys("Those that an `[[l4]]` hands over count too, for this key and the three below. "+
		"0: no limit.",
		func(l *L7) *int { return &l.MaxConns }, func(l *L7) *int { return &l.MaxConnsPerSource },
		func(l *L7) *int { return &l.MaxConnRate }, func(l *L7) *int { return &l.MaxConnRatePerSource },
	), []key[L7]{
		{
			name: "header_timeout", def: `"10s"`,
			value: one(func(l *L7) *time.Duration { return &l.HeaderTimeout }, duration(shortest, 10*time.Minute)),
			doc:   "How long the head of a request may take from its first byte, however it trickles in.",
		},
		{
			name: "keepalive_timeout", def: `"60s"`,
			value: one(func(l *L7) *time.Duration { return &l.KeepAliveTimeout }, duration(shortest, day)),
			doc:   "How long a connection may be idle between two requests.",
		},
		{
			name: "body_grace", def: `"10s"`,
			value: one(func(l *L7) *time.Duration { return &l.BodyGrace }, duration(shortest, time.Hour)),
			doc:   "How long a body may be slower than `body_min_rate`.",
		},
		{
			name: "body_min_rate", def: `"1KiB"`, unit: "per second",
			value: one(func(l *L7) *Size { return &l.BodyMinRate }, size(0, 1<<30)),
			doc: "The least a client must send of a request body, or take of a response, after the grace. 0B: " +
				"anything goes, and a client that stalls holds its connection, and a server, for as long as it likes.",
		},
		{
			name: "max_header_bytes", def: `"32KiB"`,
			value: one(func(l *L7) *Size { return &l.MaxHeaderBytes }, size(1<<10, 1<<20)),
			doc:   "The longest head of a request; beyond it the answer is 431.",
		},
		{
			name: "max_header_fields", def: "100", unit: "fields",
			value: one(func(l *L7) *int { return &l.MaxHeaderFields }, count(8, 10_000)),
			doc:   "The most fields in the head of a request; beyond it the answer is 431.",
		},
		{
			name: "max_uri", def: `"8KiB"`,
			value: one(func(l *L7) *Size { return &l.MaxURI }, size(64, 64<<10)),
			doc:   "The longest request target; beyond it the answer is 414.",
		},
		{
			name: "max_body", def: `"0B"`,
			value: one(func(l *L7) *Size { return &l.MaxBody }, size(0, 1<<50)),
			doc:   "The longest request body; beyond it the answer is 413. 0B: no limit.",
		},
	}...)
}

// l7FieldKeys say how requests and responses are read and changed.
func l7FieldKeys() []key[L7] {
	return []key[L7]{
		{
			name: "paths", def: `"strict"`,
			value: one(func(l *L7) *string { return &l.Paths }, choice("strict", "allow_encoded_slash")),
			doc: "`strict` answers 400 to dot segments, backslashes and encoded slashes, backslashes and NULs. " +
				"`allow_encoded_slash` lets %2F pass.",
		},
		{
			name: "trusted_proxies", none: "no peer is trusted",
			value: many(func(l *L7) *[]string { return &l.TrustedProxies }, network()),
			doc: "Peers whose X-Forwarded fields are kept and appended to. Those of others are replaced. " +
				"`source_hash` and `hash` go by the client that they speak for.",
		},
		{
			name: "forwarded", def: "false",
			value: one(func(l *L7) *bool { return &l.Forwarded }, boolean()),
			doc:   "Also send the Forwarded field (RFC 7239).",
		},
		{
			name: "via", def: "false",
			value: one(func(l *L7) *bool { return &l.Via }, boolean()),
			doc:   "Send the Via field (RFC 9110 section 7.6.3) both ways.",
		},
		{
			name: "hide_headers", none: "all are sent on",
			value: many(func(l *L7) *[]string { return &l.HideHeaders }, headerName()),
			doc:   "Response fields that are not sent on to clients, `Server` and the like.",
		},
	}
}

func tlsTable() table[L7] {
	return table[L7]{
		head: "[l7.tls]",
		doc:  "Terminates TLS. The client's server name chooses the certificate; the first one serves the rest.",
		example: `
[pool.app]
servers = ["10.0.0.1:8080"]

[[l7]]
name = "web"
listen = [":443"]

[l7.tls]
certs = [
  { cert = "www.pem", key = "www.key" },
  { cert = "api.pem", key = "api.key" },
]
min_version = "1.3"
redirect = [":80"]

[[l7.route]]
pool = "app"
`,
		keys: []key[L7]{
			{
				name: "certs", required: true,
				value: list(func(l *L7) *[]Cert { return &l.TLS.Certs }, certTable("[[l7.tls.certs]]", l7CertExample),
					""),
				doc: "Certificates with their keys.",
			},
			{
				name: "min_version", def: `"1.2"`,
				value: one(func(l *L7) *string { return &l.TLS.MinVersion }, choice("1.2", "1.3")),
				doc:   "The oldest TLS version that is accepted.",
			},
			{
				name: "redirect", none: "no redirect",
				value: some(func(l *L7) *[]Addr { return &l.Redirect }, listenAddr()),
				doc:   "Further addresses of the listener, where plain HTTP is sent to https.",
			},
		},
	}
}

func certTable(head, example string) table[Cert] {
	return table[Cert]{
		head:    head,
		doc:     "One certificate with its key. Mostly written inline. A reload reads the files again.",
		example: example,
		keys: []key[Cert]{
			{
				name: "cert", required: true,
				value: one(func(c *Cert) *string { return &c.Cert }, file()),
				doc:   "Certificate chain, PEM, the server's own certificate first.",
			},
			{
				name: "key", required: true,
				value: one(func(c *Cert) *string { return &c.Key }, file()),
				doc:   "Private key, PEM.",
			},
		},
	}
}

const l7CertExample = `
[pool.app]
servers = ["10.0.0.1:8080"]

[[l7]]
name = "web"
listen = [":443"]
route = [{ pool = "app" }]

[[l7.tls.certs]]
cert = "www.pem"
key = "www.key"
`

func l7RouteTable() table[L7Route] {
	return table[L7Route]{
		head: "[[l7.route]]",
		doc: "Which requests, and where they go: exactly one of `pool` and `split`. A route without conditions\n" +
			"matches everything. All conditions that are given must hold, and of a list any one.\n\n" +
			"The more specific route is first, wherever it stands: by host (an exact one, then the longest\n" +
			"wildcard, then none), then by path (an exact one, the longest prefix, patterns, regular\n" +
			"expressions, none), then with `method` before without, then by the longest `source`, then by the\n" +
			"number of conditions on fields, parameters and cookies, exact ones counting more. The order in the\n" +
			"file decides last. `weir explain` shows the order and what a request makes of it.",
		example: `
[pool.app]
servers = ["10.0.0.1:8080"]

[pool.next]
servers = ["10.0.0.2:8080"]

[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
host = ["www.example.com", "*.example.org"]
path = "/api/"
method = ["GET", "POST"]
header = [{ name = "X-Version", exact = ["2"] }]
query = ["debug"]
cookie = [{ name = "beta", absent = true }]
source = ["10.0.0.0/8"]
pool = "app"
rewrite_host = "app.internal"
rewrite_path = "/v2/{rest}"
response_header_timeout = "10s"
read_timeout = "20s"
tunnel_idle_timeout = "10m"
timeout = "25s"
max_body = "10MiB"
request_buffer = "64KiB"
body_grace = "30s"
body_min_rate = "256B"
on_client_fin = "cancel"
hide_headers = ["X-Debug"]

[l7.route.retry]
methods = ["PUT", "DELETE"]
tries = 3
on = ["connect", "reset", "timeout", "503"]
try_timeout = "2s"
hedge = 95

[[l7.route]]
name = "icon"
path = "=/favicon.ico"
pool = "app"

[[l7.route]]
path = "/shop/"
split = [{ pool = "app", weight = 95 }, { pool = "next", weight = 5 }]
sticky = { cookie = "side" }

[[l7.route]]
path = "/users/{id}/orders"
pool = "app"

[[l7.route]]
path = '~^/v[0-9]+/'
pool = "app"
`,
		keys: slices.Concat(l7RouteKeys(), l7TryKeys(), l7ActionKeys(), l7CacheKeys(), l7CompressKeys()),
	}
}

func l7RouteKeys() []key[L7Route] {
	return append(l7MatchKeys(), []key[L7Route]{
		{
			name: "rewrite_host", none: "Host as received",
			value: one(func(r *L7Route) *Template { return &r.RewriteHost }, hostTemplate()),
			doc:   "The Host field that servers get, with the variables of `rewrite_path`.",
		},
		{
			name: "response_header_timeout", def: `"60s"`,
			value: one(func(r *L7Route) *time.Duration { return &r.ResponseHeaderTimeout }, duration(shortest, day)),
			doc: "How long a server may take to start its response, from when it has the request; beyond it the " +
				"answer is 504.",
		},
		{
			name: "read_timeout", def: `"60s"`,
			value: one(func(r *L7Route) *time.Duration { return &r.ReadTimeout }, duration(shortest, day)),
			doc:   "How long a response body may stall before the exchange is broken off.",
		},
		{
			name: "tunnel_idle_timeout", def: `"1h"`,
			value: one(func(r *L7Route) *time.Duration { return &r.TunnelIdleTimeout }, duration(shortest, 30*day)),
			doc: "How long a WebSocket may be idle in both directions before it is closed. Pings and pongs count " +
				"as traffic. `[[l7.connect]]` has its own.",
		},
		{
			name: "max_body", none: "as the listener has it",
			value: one(func(r *L7Route) *Size { return &r.MaxBody }, size(1, 1<<50)),
			doc:   "The longest request body of this route, above or below that of the listener.",
		},
		{
			name: "on_client_fin", def: `"ignore"`,
			value: one(func(r *L7Route) *string { return &r.OnClientFin }, choice("ignore", "cancel")),
			doc: "What a client's end of sending means. `ignore`: it still gets its answer. `cancel`: it is " +
				"gone, and so is the request.",
		},
		{
			name: "hide_headers", none: "those of the listener",
			value: many(func(r *L7Route) *[]string { return &r.HideHeaders }, headerName()),
			doc:   "Response fields that are not sent on, beside those of the listener.",
		},
	}...)
}
