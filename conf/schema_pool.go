package conf

import (
	"slices"
	"time"
)

func poolTable() table[Pool] {
	return table[Pool]{
		head: "[pool.NAME]",
		doc: "A named group of servers, for TCP and HTTP alike. A server's health is one state: what a TCP\n" +
			"listener learns about it counts for HTTP at once, and the other way round.",
		example: `
[pool.app]
servers = ["10.0.0.1:8080", { addr = "10.0.0.2:8080", weight = 2, max_conns = 500 }]
balance = "least_conn"
connect_timeout = "1s"
connect_tries = 3
connect_total_timeout = "5s"
queue = 500
queue_timeout = "3s"
proxy_protocol = "v2"
slow_start = "30s"
zone_min = 50

[pool.tenants]
servers = ["10.0.0.3:8080", "10.0.0.4:8080"]
balance = "hash"
hash_by = "header:X-Tenant"

[pool.app.health]
type = "http"
path = "/healthz"

[pool.app.ejection]
failures = 3

[pool.app.keepalive]
max_idle = 256
`,
		keys: slices.Concat(poolServerKeys(), poolConnectKeys(), poolStateKeys()),
	}
}

// poolServerKeys say which servers there are and how one is chosen.
func poolServerKeys() []key[Pool] {
	return []key[Pool]{
		{
			name: "servers", required: true,
			value: list(func(p *Pool) *[]Server { return &p.Servers }, serverTable(), "addr"),
			doc:   "The servers: an address alone, or a table.",
		},
		{
			name: "balance", def: `"round_robin"`,
			value: one(func(p *Pool) *string { return &p.Balance },
				choice("round_robin", "least_conn", "p2c", "random", "least_latency", "source_hash", "hash")),
			doc: "How a server is chosen: in turn by weight, the one with the fewest connections for its " +
				"weight, the better of two at random (`p2c`), at random, the quicker of two at random " +
				"(`least_latency`), always the same one for a client address, or for what `hash_by` names. " +
				"TCP listeners have no answers to time: `least_latency` is `p2c` for them.",
		},
		{
			name: "hash_by", none: "needed with `balance = \"hash\"`",
			value: one(func(p *Pool) *HashBy { return &p.HashBy }, hashBy()),
			doc: "What chooses the server of a request: the client's address, the path without the query, a field " +
				"or a cookie. A request without that field or cookie goes by the client's address, as all " +
				"connections of TCP listeners do. When a server leaves, only its share moves.",
		},
		{
			name: "zone_min", def: "70", unit: "percent",
			value: one(func(p *Pool) *int { return &p.ZoneMin }, count(1, 100)),
			doc: "How much of the servers in Weir's own zone, by weight, must take work for the others to get " +
				"none. Below it all zones share the work. Servers at their `max_conns` spill over at any time.",
		},
	}
}

// poolStateKeys say how servers are talked to and what is known of them.
func poolStateKeys() []key[Pool] {
	return []key[Pool]{
		{
			name: "proxy_protocol", def: `"off"`,
			value: one(func(p *Pool) *string { return &p.ProxyProtocol }, choice("off", "v1", "v2")),
			doc: "Begins each connection to a server with a header of the PROXY protocol, which tells it the " +
				"client's address; `v2` also the TLS server name, ALPN and an id. The servers must expect it. " +
				"HTTP requests then get a connection each, as one must not speak for two clients. Checks send " +
				"a header that names no client, except to a port of their own.",
		},
		{
			name: "slow_start", def: `"0s"`,
			value: one(func(p *Pool) *time.Duration { return &p.SlowStart }, duration(0, time.Hour)),
			doc:   "How long a server that came back takes to get its full share. 0s: it gets it at once.",
		},
		{
			name: "tls", none: "plain",
			value: part(func(p *Pool) bool { return p.TLS != nil }, beginPoolTLS, poolTLSTable()),
			doc:   "TLS to the servers.",
		},
		{
			name: "health", none: "no active checks",
			value: sub(func(p *Pool) *Health { return &p.Health }, healthTable()),
			doc:   "Active health checks.",
		},
		{
			name:  "ejection",
			value: sub(func(p *Pool) *Ejection { return &p.Ejection }, ejectionTable()),
			doc:   "Passive health, learned from live traffic.",
		},
		{
			name:  "breaker",
			value: sub(func(p *Pool) *Breaker { return &p.Breaker }, breakerTable()),
			doc:   "Refuses requests while the pool as a whole fails or has too much to do.",
		},
		{
			name:  "keepalive",
			value: sub(func(p *Pool) *KeepAlive { return &p.KeepAlive }, keepAliveTable()),
			doc:   "Idle connections kept to HTTP servers.",
		},
		{
			name:  "sessions",
			value: sub(func(p *Pool) *Sessions { return &p.Sessions }, sessionsTable()),
			doc:   "What becomes of TCP sessions whose server is lost.",
		},
		{
			name:  "concurrency",
			value: sub(func(p *Pool) *Concurrency { return &p.Concurrency }, concurrencyTable()),
			doc:   "A limit of HTTP requests in flight that follows from how quickly servers answer.",
		},
		{
			name: "sticky", none: "no cookie",
			value: sub(func(p *Pool) *PoolSticky { return &p.Sticky }, poolStickyTable()),
			doc:   "HTTP clients that stay on a server by a cookie.",
		},
		{
			name:  "socket",
			value: sub(func(p *Pool) *PoolSocket { return &p.Socket }, poolSocketTable()),
			doc:   "Options of the sockets that lead to the servers.",
		},
	}
}

func serverTable() table[Server] {
	return table[Server]{
		head: "[[pool.NAME.servers]]",
		doc:  "One server of a pool. Mostly written inline.",
		example: `
[pool.app]
servers = [
  "10.0.0.1:8080",
  "unix:/run/app.sock",
  { addr = "app.internal:8080", weight = 10, max_conns = 500 },
  { addr = "10.0.0.7:8080", zone = "eu-west-1a" },
  { addr = "10.0.0.8:8080", backup = true },
  { addr = "10.0.0.9:8080", maintenance = true },
]
`,
		keys: []key[Server]{
			{
				name: "addr", required: true,
				value: one(func(s *Server) *Addr { return &s.Addr }, serverAddr()),
				doc: "`host:port` or `unix:PATH`. Each address that a DNS name resolves to is a server with these " +
					"settings. Where a name has IPv4 and IPv6 addresses, TCP sessions try one of the other " +
					"family as well when a connect takes 250 ms, and the first that is established serves; " +
					"HTTP requests go on with the next server after `connect_timeout`.",
			},
			{
				name: "weight", def: "1", unit: "shares",
				value: one(func(s *Server) *int { return &s.Weight }, count(0, 1000)),
				doc:   "Its share of the traffic, compared with the other servers. 0: no new connections.",
			},
			{
				name: "zone", none: "none that is known",
				value: one(func(s *Server) *string { return &s.Zone }, zoneName()),
				doc:   "Where it runs: see `zone` of `[process]`.",
			},
			{
				name: "max_conns", def: "0", unit: "connections",
				value: one(func(s *Server) *int { return &s.MaxConns }, count(0, 10_000_000)),
				doc: "Connections and requests in flight to it at a time; others go to the next server, or wait in " +
					"the pool's `queue`. 0: no limit.",
			},
			{
				name: "backup", def: "false",
				value: one(func(s *Server) *bool { return &s.Backup }, boolean()),
				doc:   "Used only while no other server is usable.",
			},
			{
				name: "maintenance", def: "false",
				value: one(func(s *Server) *bool { return &s.Maintenance }, boolean()),
				doc:   "Kept out of rotation, and not checked.",
			},
		},
	}
}

func ejectionTable() table[Ejection] {
	return table[Ejection]{
		head: "[pool.NAME.ejection]",
		doc: "Passive health: a server that fails live traffic gets none for a while. A refused connection ejects\n" +
			"at once, connect timeouts after two, resets and 5xx after `failures` in a row.",
		example: `
[pool.app]
servers = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]

[pool.app.ejection]
enabled = true
failures = 10
time = "2s"
max_time = "1m"
max_percent = 34
gateway_failures = 3
failure_percent = 30
window = "5s"
min_requests = 50
`,
		keys: []key[Ejection]{
			{
				name: "enabled", def: "true",
				value: one(func(e *Ejection) *bool { return &e.Enabled }, boolean()),
				doc:   "Whether live traffic can eject a server.",
			},
			{
				name: "failures", def: "5", unit: "failures",
				value: one(func(e *Ejection) *int { return &e.Failures }, count(1, 10_000)),
				doc:   "Resets and 5xx responses in a row that eject a server.",
			},
			{
				name: "time", def: `"1s"`,
				value: one(func(e *Ejection) *time.Duration { return &e.Time }, duration(shortest, time.Hour)),
				doc:   "How long the first ejection lasts. Each one that follows soon lasts twice as long.",
			},
			{
				name: "max_time", def: `"30s"`,
				value: one(func(e *Ejection) *time.Duration { return &e.MaxTime }, duration(shortest, day)),
				doc:   "The longest ejection.",
			},
			{
				name: "max_percent", def: "50", unit: "percent",
				value: one(func(e *Ejection) *int { return &e.MaxPercent }, count(0, 100)),
				doc:   "How much of the pool may be ejected at a time. Active checks are not bound by it.",
			},
			{
				name: "gateway_failures", def: "0", unit: "failures",
				value: one(func(e *Ejection) *int { return &e.GatewayFailures }, count(0, 10_000)),
				doc: "502, 503 and 504 responses in a row that eject a server, where they are to count for more than " +
					"others. They count among `failures` too. 0: only there.",
			},
			{
				name: "failure_percent", def: "0", unit: "percent",
				value: one(func(e *Ejection) *int { return &e.FailurePercent }, count(0, 100)),
				doc: "Ejects also a server of whose requests and sessions at least this part failed within a " +
					"`window`, in a row or not. 0: only failures in a row count.",
			},
			{
				name: "window", def: `"10s"`,
				value: one(func(e *Ejection) *time.Duration { return &e.Window }, duration(time.Second, time.Hour)),
				doc:   "The time that `failure_percent` looks at. Windows follow one another, from zero each.",
			},
			{
				name: "min_requests", def: "20", unit: "requests",
				value: one(func(e *Ejection) *int { return &e.MinRequests }, count(1, 1_000_000)),
				doc:   "How many requests and sessions of a `window` `failure_percent` needs to say something.",
			},
		},
	}
}

func keepAliveTable() table[KeepAlive] {
	return table[KeepAlive]{
		head: "[pool.NAME.keepalive]",
		doc:  "Idle connections that are kept to HTTP servers for the next request.",
		example: `
[pool.app]
servers = ["10.0.0.1:8080"]

[pool.app.keepalive]
max_idle = 64
idle_timeout = "4s"
`,
		keys: []key[KeepAlive]{
			{
				name: "max_idle", def: "128", unit: "connections",
				value: one(func(k *KeepAlive) *int { return &k.MaxIdle }, count(0, 100_000)),
				doc:   "Idle connections kept to each server. 0: every request gets a connection of its own.",
			},
			{
				name: "idle_timeout", def: `"60s"`,
				value: one(func(k *KeepAlive) *time.Duration { return &k.IdleTimeout }, duration(shortest, day)),
				doc:   "How long one is kept. Best a little less than the server's own timeout.",
			},
		},
	}
}
