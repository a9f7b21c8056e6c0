package conf

import (
	"slices"
	"time"
)

// Shortest and longest durations that make sense for most timeouts. The
// shortest is below what anyone would run with, so that tests can be quick.
const (
	shortest = 10 * time.Millisecond
	day      = 24 * time.Hour
)

// schema is the whole file. It is built anew for each use and holds no state.
func schema() table[Config] {
	return table[Config]{
		keys: []key[Config]{
			{
				name:  "process",
				value: sub(func(c *Config) *Process { return &c.Process }, processTable()),
				doc:   "What holds for Weir as a whole.",
			},
			{
				name:  "admin",
				value: sub(func(c *Config) *Admin { return &c.Admin }, adminTable()),
				doc:   "Metrics, health and the admin API.",
			},
			{
				name:  "log",
				value: sub(func(c *Config) *Log { return &c.Log }, logTable()),
				doc:   "The process log.",
			},
			{
				name:  "access_log",
				value: sub(func(c *Config) *AccessLog { return &c.AccessLog }, accessLogTable()),
				doc:   "One record per L4 session and per HTTP exchange.",
			},
			{
				name:  "dns",
				value: sub(func(c *Config) *DNS { return &c.DNS }, dnsTable()),
				doc:   "How names of servers are resolved.",
			},
			{
				name:  "cache",
				value: sub(func(c *Config) *Cache { return &c.Cache }, cacheTable()),
				doc:   "Where responses are stored.",
			},
			{
				name:  "compress",
				value: sub(func(c *Config) *Compression { return &c.Compress }, compressionTable()),
				doc:   "What encoding responses may take of the process.",
			},
			{
				name: "pool",
				value: named(func(c *Config) *[]Pool { return &c.Pools },
					func(p *Pool) *string { return &p.Name }, poolTable()),
				doc: "Groups of servers, by name.",
			},
			{
				name:  "l4",
				value: list(func(c *Config) *[]L4 { return &c.L4 }, l4Table(), ""),
				doc:   "TCP listeners.",
			},
			{
				name:  "l7",
				value: list(func(c *Config) *[]L7 { return &c.L7 }, l7Table(), ""),
				doc:   "HTTP listeners.",
			},
		},
	}
}

func processTable() table[Process] {
	return table[Process]{
		head: "[process]",
		doc: "What holds for Weir as a whole. `loops`, `memory_limit` and the directories are read at the start, " +
			"not at a reload.",
		example: `
[process]
loops = 4
max_conns = 200_000
max_conns_per_source = 1000
max_conn_rate = 50_000
max_conn_rate_per_source = 200
source_prefix_v4 = 24
source_prefix_v6 = 56
memory_limit = "4GiB"
zone = "eu-west-1a"
drain_timeout = "1m"
state_dir = "/var/lib/weir"
runtime_dir = "/run/weir"
`,
		keys: slices.Concat([]key[Process]{
			{
				name: "loops", def: "0", unit: "event loops",
				value: one(func(p *Process) *int { return &p.Loops }, count(0, 1024)),
				doc:   "How many event loops accept and relay connections. 0: one per core.",
			},
		}, processLimitKeys(), []key[Process]{
			memoryKey(),
			{
				name: "zone", none: "no zone is preferred",
				value: one(func(p *Process) *string { return &p.Zone }, zoneName()),
				doc:   "Where this Weir runs. Pools prefer their servers with the same `zone`.",
			},
			{
				name: "drain_timeout", def: `"30s"`,
				value: one(func(p *Process) *time.Duration { return &p.DrainTimeout }, duration(0, day)),
				doc:   "How long connections may go on after SIGTERM before they are closed.",
			},
			{
				name: "state_dir", none: "the first of `$STATE_DIRECTORY`, " +
					"/var/lib/weir (root) and `$XDG_STATE_HOME`/weir",
				value: one(func(p *Process) *string { return &p.StateDir }, dir()),
				doc:   "Where the admin token and the key of sticky cookies are kept. Made when it is missing.",
			},
			{
				name: "runtime_dir", none: "the first of `$RUNTIME_DIRECTORY`, /run/weir (root), " +
					"`$XDG_RUNTIME_DIR`/weir and `state_dir`/run",
				value: one(func(p *Process) *string { return &p.RuntimeDir }, dir()),
				doc:   "Where the admin socket is made when `[admin]` has no `listen`.",
			},
		}),
	}
}

func adminTable() table[Admin] {
	return table[Admin]{
		head: "[admin]",
		doc: "Where /metrics, /healthz, /readyz and the admin API answer. All but the first three need the token.\n" +
			"An address beyond loopback needs `cert`, `key` and `token`. The whole table is read at the start only.",
		example: `
[admin]
listen = "10.0.0.5:9901"
token = "file:admin.token"
cert = "admin.pem"
key = "admin.key"
`,
		keys: []key[Admin]{
			{
				name: "listen", none: "a socket in `runtime_dir`",
				value: one(func(a *Admin) *Addr { return &a.Listen }, listenAddr()),
				doc:   "An IP address and port, or `unix:PATH`.",
			},
			{
				name: "token", none: "made at the first start, kept in `state_dir`",
				value: one(func(a *Admin) *Secret { return &a.Token }, secret()),
				doc:   "What a request shows to use the API. Beyond loopback it has at least 16 characters.",
			},
			{
				name: "cert", none: "no TLS",
				value: one(func(a *Admin) *string { return &a.Cert }, file()),
				doc:   "Certificate chain, PEM.",
			},
			{
				name: "key", none: "no TLS",
				value: one(func(a *Admin) *string { return &a.Key }, file()),
				doc:   "Private key of `cert`, PEM.",
			},
		},
	}
}

func logTable() table[Log] {
	return table[Log]{
		head: "[log]",
		doc:  "The process log, on standard error: what Weir does and what goes wrong with it.",
		example: `
[log]
level = "debug"
format = "json"
`,
		keys: []key[Log]{
			{
				name: "level", def: `"info"`,
				value: one(func(l *Log) *string { return &l.Level }, choice("debug", "info", "warn", "error")),
				doc:   "The least important messages that are written.",
			},
			{
				name: "format", def: `"logfmt"`,
				value: one(func(l *Log) *string { return &l.Format }, choice("logfmt", "json")),
				doc:   "How a message is written. Read at the start only.",
			},
		},
	}
}

func accessLogTable() table[AccessLog] {
	return table[AccessLog]{
		head: "[access_log]",
		doc: "One record per L4 session and per HTTP exchange. Writing never holds traffic up: when the disk is\n" +
			"slower than the traffic, records are dropped and counted. SIGUSR1 reopens the file. The table is read\n" +
			"at the start only.",
		example: `
[access_log]
path = "/var/log/weir/access.log"
format = "json"
buffer = "4MiB"
client_ip = "masked"
query = true
`,
		keys: []key[AccessLog]{
			{
				name: "path", def: `"off"`,
				value: one(func(a *AccessLog) *string { return &a.Path }, logFile()),
				doc:   "Where records go.",
			},
			{
				name: "format", def: `"json"`,
				value: one(func(a *AccessLog) *string { return &a.Format }, choice("json", "logfmt")),
				doc:   "How a record is written.",
			},
			{
				name: "buffer", def: `"1MiB"`,
				value: one(func(a *AccessLog) *Size { return &a.Buffer }, size(64<<10, 1<<30)),
				doc:   "What may wait for the disk; beyond it records are dropped.",
			},
			{
				name: "client_ip", def: `"full"`,
				value: one(func(a *AccessLog) *string { return &a.ClientIP }, choice("full", "masked", "none")),
				doc:   "How much of the client's address is kept. `masked` keeps /24 of IPv4 and /48 of IPv6.",
			},
			{
				name: "query", def: "false",
				value: one(func(a *AccessLog) *bool { return &a.Query }, boolean()),
				doc:   "Whether query strings are kept. They often hold personal data.",
			},
		},
	}
}

func dnsTable() table[DNS] {
	return table[DNS]{
		head: "[dns]",
		doc: "How names of servers are resolved. /etc/hosts comes first. Names are resolved again when their TTL\n" +
			"is over; if that fails, the last good addresses stay.",
		example: `
[dns]
servers = ["10.0.0.53", "10.0.1.53:5353"]
timeout = "1s"
min_ttl = "5s"
max_ttl = "1m"
`,
		keys: []key[DNS]{
			{
				name: "servers", none: "those of /etc/resolv.conf",
				value: some(func(d *DNS) *[]Addr { return &d.Servers }, resolverAddr()),
				doc:   "IP addresses of the DNS servers to ask; port 53 unless given.",
			},
			{
				name: "timeout", def: `"2s"`,
				value: one(func(d *DNS) *time.Duration { return &d.Timeout }, duration(shortest, time.Minute)),
				doc:   "How long one server may take to answer.",
			},
			{
				name: "min_ttl", def: `"1s"`,
				value: one(func(d *DNS) *time.Duration { return &d.MinTTL }, duration(shortest, time.Hour)),
				doc:   "A shorter TTL is raised to this.",
			},
			{
				name: "max_ttl", def: `"5m"`,
				value: one(func(d *DNS) *time.Duration { return &d.MaxTTL }, duration(time.Second, day)),
				doc:   "A longer TTL is cut to this.",
			},
		},
	}
}
