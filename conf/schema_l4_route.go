package conf

import "strings"

func l4RouteTable() table[L4Route] {
	return table[L4Route]{
		head: "[[l4.route]]",
		doc: "Where certain connections go: exactly one of `pool` and `l7`. At least one of `sni`, `alpn`,\n" +
			"`protocol` and `source` says which; all that are given must hold, and of a list any one.\n\n" +
			"The more specific route is first, wherever it stands: by server name (an exact one, then the longest\n" +
			"wildcard, then none), then with `alpn` before without, then with `protocol` before without, then by\n" +
			"the longest network. Only where the client offers the `alpn` of two routes that are alike in all this,\n" +
			"the order of the file decides. Two routes with the same conditions are an error.\n\n" +
			"After a reload new connections follow the new routes; open ones stay where they are.",
		example: `
[pool.db]
servers = ["10.0.0.1:5432"]

[pool.app]
servers = ["10.0.0.2:8080"]

[[l4]]
name = "edge"
listen = [":443"]

[l4.tls]
certs = [{ cert = "api.pem", key = "api.key" }]

[[l4.route]]
sni = ["api.example.com"]
pool = "app"

[[l4.route]]
name = "db"
sni = ["db.example.com", "*.db.example.com"]
alpn = ["postgresql"]
protocol = ["tls"]
source = ["10.0.0.0/8", "2001:db8::/32"]
pool = "db"
mode = "passthrough"

[[l4.route]]
sni = ["www.example.com"]
l7 = "web"

[[l7]]
name = "web"

[l7.tls]
certs = [{ cert = "www.pem", key = "www.key" }]

[[l7.route]]
pool = "app"
`,
		keys: append(l4ConditionKeys(), l4TargetKeys()...),
	}
}

// l4ConditionKeys say which connections a route is for.
func l4ConditionKeys() []key[L4Route] {
	return []key[L4Route]{
		{
			name: "name", none: "made of the conditions, as in `db.example.com+alpn:postgresql`",
			value: one(func(r *L4Route) *string { return &r.Name }, nameOf()),
			doc:   "Its name in the access log and in metrics. No other route of the listener has it.",
		},
		{
			name: "sni", none: "any name, and none",
			value: some(func(r *L4Route) *[]string { return &r.SNI }, sniPattern()),
			doc: "Server names in the TLS hello. `*.example.com` is every name below example.com. With encrypted " +
				"ClientHello it is the outer name that counts, the only one that can be seen.",
		},
		{
			name: "alpn", none: "any, and none",
			value: some(func(r *L4Route) *[]string { return &r.ALPN }, alpnProtocol()),
			doc:   "The client's TLS hello offers one of these protocols, `h2` or `postgresql` for example.",
		},
		{
			name: "protocol", none: "any",
			value: some(func(r *L4Route) *[]string { return &r.Protocol }, choice("tls", "http1", "http2", "postgres")),
			doc: "What the first bytes are: a TLS hello, a request of HTTP/1, the preface of HTTP/2 without TLS, or " +
				"a PostgreSQL client that did not begin with TLS. Needs `protocol = \"auto\"` of the listener.",
		},
		{
			name: "source", none: "anywhere",
			value: some(func(r *L4Route) *[]string { return &r.Source }, network()),
			doc: "Networks that the client is from: the one a PROXY header names, or the peer. A route with only " +
				"this key needs no first bytes.",
		},
	}
}

// l4TargetKeys say where they go.
func l4TargetKeys() []key[L4Route] {
	return []key[L4Route]{
		{
			name: "pool", none: "`l7` is set",
			value: one(func(r *L4Route) *string { return &r.Pool }, refTo("a pool")),
			doc:   "The connection passes through to a server of this pool.",
		},
		{
			name: "l7", none: "`pool` is set",
			value: one(func(r *L4Route) *string { return &r.L7 }, refTo("an [[l7]]")),
			doc: "This `[[l7]]` serves HTTP. It needs `[l7.tls]`, and terminates the TLS, unless the route is for " +
				"`http1` alone.",
		},
		{
			name: "mode", none: "that of the listener",
			value: one(func(r *L4Route) *string { return &r.Mode }, choice(modeTerminate, modePassthrough)),
			doc: "With `pool`: what becomes of the TLS of these connections. `terminate` needs `[l4.tls]`. So " +
				"one port can end some names and pass others through.",
		},
	}
}

// alpnProtocol is a protocol as TLS clients name it (RFC 7301 section 6). Case matters.
func alpnProtocol() kind[string] {
	meant := map[string]string{
		"http/2": "h2", "http2": "h2", "http1": "http/1.1", "http1.1": "http/1.1", "http/1": "http/1.1",
		"postgres": "postgresql",
	}
	k := plain(255)
	parse := k.parse
	k.typ, k.plural = "protocol name", "protocol names"
	k.parse = func(b *binder, n *node) (string, error) {
		s, err := parse(b, n)
		if err != nil {
			return "", err
		}
		lower := strings.ToLower(s)
		if m := meant[lower]; m != "" {
			return "", bad("%q is not what TLS clients call it", s).meant(m)
		}
		if lower != s && (lower == "h2" || lower == "http/1.1" || lower == "postgresql") {
			return "", bad("%q is not what TLS clients call it", s).meant(lower)
		}
		return s, nil
	}
	return k
}
