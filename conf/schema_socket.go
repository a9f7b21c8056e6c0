package conf

import (
	"math"
	"time"
)

// The kernel keeps the times of keepalive probes in whole seconds, up to 32767.
const longestProbe = 9 * time.Hour

func poolSocketTable() table[PoolSocket] {
	return table[PoolSocket]{
		head: "[pool.NAME.socket]",
		doc: "Options of the sockets that lead to the servers, for TCP, HTTP and checks alike; of UDP only\n" +
			"`source` and `mark`. Unix sockets have none of them. An option that this machine or the rights of\n" +
			"the process do not allow refuses the start or the reload. A reload changes connections made from then on.",
		example: `
[pool.app]
servers = ["10.0.0.1:8080"]

[pool.app.socket]
tcp_nodelay = true
tcp_keepalive = "30s"
tcp_keepalive_interval = "5s"
tcp_keepalive_count = 3
tcp_user_timeout = "20s"
tcp_fast_open = false
source = ["10.0.0.9"]
mark = 0
`,
		keys: []key[PoolSocket]{
			{
				name: "tcp_nodelay", def: "true",
				value: one(func(s *PoolSocket) *bool { return &s.NoDelay }, boolean()),
				doc:   "Sends small pieces at once (TCP_NODELAY).",
			},
			{
				name: "tcp_keepalive", def: `"60s"`,
				value: one(func(s *PoolSocket) *time.Duration { return &s.KeepAlive }, duration(0, longestProbe)),
				doc: "How long a connection is silent before the kernel probes whether the peer is still there " +
					"(SO_KEEPALIVE, TCP_KEEPIDLE), in whole seconds. 0s: it never does. L4 sets this on connections " +
					"that are half a second old.",
			},
			{
				name: "tcp_keepalive_interval", def: `"15s"`,
				value: one(func(s *PoolSocket) *time.Duration { return &s.KeepAliveInterval },
					duration(time.Second, longestProbe)),
				doc: "The time between two probes (TCP_KEEPINTVL), in whole seconds.",
			},
			{
				name: "tcp_keepalive_count", def: "4", unit: "probes",
				value: one(func(s *PoolSocket) *int { return &s.KeepAliveCount }, count(1, 127)),
				doc:   "Probes without an answer that end a connection (TCP_KEEPCNT).",
			},
			{
				name: "tcp_user_timeout", def: `"0s"`,
				value: one(func(s *PoolSocket) *time.Duration { return &s.UserTimeout }, duration(0, day)),
				doc: "How long bytes that were sent may stay without an acknowledgement before the connection ends " +
					"(TCP_USER_TIMEOUT). It also takes the place of `tcp_keepalive_count`. 0s: as the kernel " +
					"sees fit, about 15 minutes.",
			},
			{
				name: "tcp_fast_open", def: "false",
				value: one(func(s *PoolSocket) *bool { return &s.FastOpen }, boolean()),
				doc: "Sends the first bytes with the SYN (TCP_FASTOPEN_CONNECT), to servers that this machine has " +
					"talked to before. Only for protocols in which the client speaks first: nothing goes out " +
					"before it does, so a refusal shows too late to try the next server.",
			},
			{
				name: "source", none: "as the routing table says",
				value: some(func(s *PoolSocket) *[]string { return &s.Source }, sourceIP()),
				doc: "The addresses of this machine that connections come from, one for IPv4 and one for IPv6 at " +
					"most. Ports are shared between servers (IP_BIND_ADDRESS_NO_PORT).",
			},
			{
				name: "mark", def: "0", unit: "the mark",
				value: one(func(s *PoolSocket) *int { return &s.Mark }, count(0, math.MaxUint32)),
				doc: "The mark of packets, for routing and firewall rules (SO_MARK); it needs CAP_NET_ADMIN. " +
					"0: none.",
			},
		},
	}
}

// listenSocketTable is [l4.socket] or [l7.socket]; example is a whole file.
func listenSocketTable(head, example string) table[ListenSocket] {
	return table[ListenSocket]{
		head: head,
		doc: "Options of the connections of clients; unix sockets have none of them. A connection takes over\n" +
			"those that its listening socket has, so they cost nothing per connection. Listeners with udp://\n" +
			"addresses have only `mark`. An option that this machine or the rights of the process do not allow\n" +
			"refuses the start or the reload. A reload changes connections accepted from then on.",
		example: example,
		keys: []key[ListenSocket]{
			{
				name: "tcp_nodelay", def: "true",
				value: one(func(s *ListenSocket) *bool { return &s.NoDelay }, boolean()),
				doc:   "Sends small pieces at once (TCP_NODELAY).",
			},
			{
				name: "tcp_keepalive", def: `"60s"`,
				value: one(func(s *ListenSocket) *time.Duration { return &s.KeepAlive }, duration(0, longestProbe)),
				doc: "How long a connection is silent before the kernel probes whether the client is still there, " +
					"in whole seconds. 0s: it never does.",
			},
			{
				name: "tcp_keepalive_interval", def: `"15s"`,
				value: one(func(s *ListenSocket) *time.Duration { return &s.KeepAliveInterval },
					duration(time.Second, longestProbe)),
				doc: "The time between two probes, in whole seconds.",
			},
			{
				name: "tcp_keepalive_count", def: "4", unit: "probes",
				value: one(func(s *ListenSocket) *int { return &s.KeepAliveCount }, count(1, 127)),
				doc:   "Probes without an answer that end a connection.",
			},
			{
				name: "tcp_user_timeout", def: `"0s"`,
				value: one(func(s *ListenSocket) *time.Duration { return &s.UserTimeout }, duration(0, day)),
				doc: "How long bytes that were sent may stay without an acknowledgement before the connection ends. " +
					"It also takes the place of `tcp_keepalive_count`. 0s: as the kernel sees fit, about 15 minutes.",
			},
			{
				name: "tcp_fast_open_queue", def: "0", unit: "connections",
				value: one(func(s *ListenSocket) *int { return &s.FastOpenQueue }, count(0, 65535)),
				doc: "Clients that may send bytes with their SYN and have not finished the handshake " +
					"(TCP_FASTOPEN). The kernel must allow it: net.ipv4.tcp_fastopen = 3. 0: none.",
			},
			{
				name: "mark", def: "0", unit: "the mark",
				value: one(func(s *ListenSocket) *int { return &s.Mark }, count(0, math.MaxUint32)),
				doc: "The mark of packets, for routing and firewall rules (SO_MARK); it needs CAP_NET_ADMIN. " +
					"0: none.",
			},
		},
	}
}

const l4SocketExample = `
[pool.db]
servers = ["10.0.0.1:5432"]

[[l4]]
name = "db"
listen = [":5432"]
pool = "db"

[l4.socket]
tcp_nodelay = true
tcp_keepalive = "30s"
tcp_keepalive_interval = "5s"
tcp_keepalive_count = 3
tcp_user_timeout = "20s"
tcp_fast_open_queue = 0
mark = 0
`

const l7SocketExample = `
[pool.app]
servers = ["10.0.0.1:8080"]

[[l7]]
name = "web"
listen = [":8080"]
route = [{ pool = "app" }]

[l7.socket]
tcp_nodelay = true
tcp_keepalive = "30s"
tcp_keepalive_interval = "5s"
tcp_keepalive_count = 3
tcp_user_timeout = "20s"
tcp_fast_open_queue = 0
mark = 0
`
