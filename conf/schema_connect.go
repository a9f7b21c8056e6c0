package conf

import "time"

// l7ConnectKeys say which CONNECT requests a listener serves.
func l7ConnectKeys() []key[L7] {
	return []key[L7]{{
		name: "connect", none: "every CONNECT is answered with 405",
		value: list(func(l *L7) *[]L7Connect { return &l.Connects }, l7ConnectTable(), ""),
		doc:   "Where clients may have tunnels to by CONNECT.",
	}}
}

func l7ConnectTable() table[L7Connect] {
	return table[L7Connect]{
		head: "[[l7.connect]]",
		doc: "Where a CONNECT may lead to. The client names a host and a port; if they are in `to`, and the\n" +
			"client's address is in `source`, it gets a tunnel to a server of the pool: never to an address of\n" +
			"its own choice, and no name of its own is resolved. Else the answer is 403, and the connection\n" +
			"ends. The first table that matches decides. Routes have no part in it. A tunnel that is open\n" +
			"outlives a reload, also one that takes the table away.",
		example: `
[pool.db]
servers = ["10.0.0.7:5432"]

[pool.app]
servers = ["10.0.0.1:8080"]

[[l7]]
name = "web"
listen = [":8080"]

[[l7.connect]]
to = ["db.example.com:5432", "*.db.example.com:5432"]
source = ["10.0.0.0/8"]
pool = "db"
tunnel_idle_timeout = "10m"

[[l7.route]]
pool = "app"
`,
		keys: []key[L7Connect]{
			{
				name: "to", required: true,
				value: some(func(c *L7Connect) *[]string { return &c.To }, connectTarget()),
				doc: "Hosts, each with a port, as clients name them. `*.example.com:443` is every name below " +
					"example.com.",
			},
			{
				name: "source", none: "every client",
				value: some(func(c *L7Connect) *[]string { return &c.Source }, network()),
				doc:   "The networks of the clients.",
			},
			{
				name: "pool", required: true,
				value: one(func(c *L7Connect) *string { return &c.Pool }, refTo("a pool")),
				doc:   "The pool that tunnels lead to.",
			},
			{
				name: "tunnel_idle_timeout", def: `"1h"`,
				value: one(func(c *L7Connect) *time.Duration { return &c.TunnelIdleTimeout },
					duration(shortest, 30*day)),
				doc: "How long a tunnel may be idle in both directions before it is closed.",
			},
		},
	}
}
