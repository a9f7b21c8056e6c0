package conf

import "time"

// What becomes of the TLS of an L4 connection.
const (
	modeTerminate   = "terminate"
	modePassthrough = "passthrough"
)

func l4TLSTable() table[L4] {
	return table[L4]{
		head: "[l4.tls]",
		doc: "Terminates TLS for TCP servers. With it, every connection of the listener must be TLS; one that is\n" +
			"not is closed. Weir ends the TLS of all of them, except where `mode` says `passthrough` and where a\n" +
			"route hands over to an `[[l7]]`. The client's server name chooses the certificate; the first one\n" +
			"serves the rest.\n\n" +
			"The server gets what the client encrypted in plain, unless its pool has a `[pool.NAME.tls]`. The end\n" +
			"of one direction stays the end of one direction. A connection that is cut without a close_notify is\n" +
			"cut to the other side as well.\n\n" +
			"A reload reads all files again. Sessions that live keep what they began with.",
		example: `
[pool.redis]
servers = ["10.0.0.1:6379"]

[[l4]]
name = "redis"
listen = [":6380"]
pool = "redis"

[l4.tls]
certs = [{ cert = "www.pem", key = "www.key" }]
min_version = "1.3"
alpn = ["redis"]
client_ca = "ca.pem"
client_auth = "require"
handshake_timeout = "5s"
`,
		keys: l4TLSKeys(),
	}
}

func l4TLSKeys() []key[L4] {
	return []key[L4]{
		{
			name: "certs", required: true,
			value: list(func(l *L4) *[]Cert { return &l.TLS.Certs }, certTable("[[l4.tls.certs]]", l4CertExample), ""),
			doc:   "Certificates with their keys.",
		},
		{
			name: "min_version", def: `"1.2"`,
			value: one(func(l *L4) *string { return &l.TLS.MinVersion }, choice("1.2", "1.3")),
			doc:   "The oldest TLS version that is accepted.",
		},
		{
			name: "alpn", none: "`postgresql` with `protocol = \"postgres\"`, else none is negotiated",
			value: some(func(l *L4) *[]string { return &l.TLS.ALPN }, alpn()),
			doc: "Protocols that clients may ask for by ALPN, the preferred one first. A client that asks only for " +
				"others is refused; one that asks for none is not.",
		},
		{
			name: "client_ca", none: "no client can be verified",
			value: one(func(l *L4) *string { return &l.TLS.ClientCA }, file()),
			doc:   "The authorities that may have signed the certificates of clients, PEM.",
		},
		{
			name: "client_auth", none: "`require` with `client_ca`, else `none`",
			value: one(func(l *L4) *string { return &l.TLS.ClientAuth }, choice("none", "request", "require")),
			doc: "Whether clients are asked for a certificate. `request`: one that is sent must verify. `require`: " +
				"there must be one.",
		},
		{
			name: "handshake_timeout", def: `"10s"`,
			value: one(func(l *L4) *time.Duration { return &l.TLS.HandshakeTimeout }, duration(shortest, time.Minute)),
			doc:   "How long a client may take for the handshake, after its TLS hello.",
		},
	}
}

const l4CertExample = `
[pool.redis]
servers = ["10.0.0.1:6379"]

[[l4]]
name = "redis"
listen = [":6380"]
pool = "redis"

[[l4.tls.certs]]
cert = "www.pem"
key = "www.key"
`

func beginPoolTLS(p *Pool) { p.TLS = new(PoolTLS) }

func poolTLSTable() table[Pool] {
	return table[Pool]{
		head: "[pool.NAME.tls]",
		doc: "TLS to the servers of the pool, for TCP and HTTP alike, with an empty table too. A server whose\n" +
			"certificate does not verify gets nothing, and never anything in plain: HTTP requests are answered\n" +
			"with 502, TCP sessions end with the reason `backend_tls`. That does not count against the server's\n" +
			"health.\n\n" +
			"Checks of the types `tls` and `http` use the same settings, unless they go to a port of their own.\n" +
			"A reload reads the files again; connections that live keep what they began with.",
		example: `
[pool.app]
servers = ["app.internal:8443"]

[pool.app.tls]
ca = "ca.pem"
name = "app.internal"
verify = true
cert = "api.pem"
key = "api.key"
min_version = "1.2"
max_version = "1.3"
alpn = ["http/1.1"]
`,
		keys: poolTLSKeys(),
	}
}

func poolTLSKeys() []key[Pool] {
	return []key[Pool]{
		{
			name: "ca", none: "those of the system",
			value: one(func(p *Pool) *string { return &p.TLS.CA }, file()),
			doc:   "The authorities that may have signed the servers' certificates, PEM. No others are then believed.",
		},
		{
			name: "name", none: "the server's host, as in `servers`",
			value: one(func(p *Pool) *string { return &p.TLS.Name }, tlsName()),
			doc: "The name that the certificate must have. It is sent as SNI, unless it is an address; the host " +
				"of an HTTP request is not.",
		},
		{
			name: "verify", def: "true",
			value: one(func(p *Pool) *bool { return &p.TLS.Verify }, boolean()),
			doc: "`false`: any certificate will do, so whoever is in between can read and change everything. " +
				"Weir warns of it at each start and reload.",
		},
		{
			name: "cert", none: "no client certificate",
			value: one(func(p *Pool) *string { return &p.TLS.Cert }, file()),
			doc:   "The certificate that Weir shows to servers that ask for one, PEM.",
		},
		{
			name: "key", none: "no client certificate",
			value: one(func(p *Pool) *string { return &p.TLS.Key }, file()),
			doc:   "Its private key, PEM.",
		},
		{
			name: "min_version", def: `"1.2"`,
			value: one(func(p *Pool) *string { return &p.TLS.MinVersion }, choice("1.2", "1.3")),
			doc:   "The oldest TLS version that is accepted.",
		},
		{
			name: "max_version", def: `"1.3"`,
			value: one(func(p *Pool) *string { return &p.TLS.MaxVersion }, choice("1.2", "1.3")),
			doc:   "The newest TLS version that is offered.",
		},
		{
			name: "alpn", none: "none is asked for",
			value: some(func(p *Pool) *[]string { return &p.TLS.ALPN }, alpn()),
			doc: "Protocols to ask for by ALPN, the preferred one first. HTTP requests go out as HTTP/1.1, " +
				"whatever is agreed on.",
		},
	}
}
