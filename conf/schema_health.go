package conf

import (
	"net/netip"
	"strings"
	"time"
)

// The defaults find a server that came back within down_interval x rise = 1 s.
func healthTable() table[Health] {
	return table[Health]{
		head: "[pool.NAME.health]",
		doc: "Active health checks at an interval, on a connection of their own. Without this table there are none.\n" +
			"\n" +
			"A check of type `postgres` or `mysql` without a `user` only sees that the server answers the protocol,\n" +
			"and leaves a line about a refused login in the server's log. Do not check a MySQL server with `tcp`:\n" +
			"it counts connections without a login and, after `max_connect_errors` of them, refuses all from here.\n" +
			"With one it logs in and learns the server's role. `role` and `max_lag` are the pool's wish and not\n" +
			"part of the check: two pools with the same servers, one for the primary and one for the replicas,\n" +
			"share their checks. A server that does not fit the wish is not down; this pool just does not use it,\n" +
			"and follows a failover at the next check. While no server fits, all are checked at `down_interval`.\n" +
			"Weir believes what the servers say: if two call themselves primary, both are used.",
		example: healthExample,
		keys: append(append(append([]key[Health]{
			{
				name: "type", required: true,
				value: one(func(h *Health) *string { return &h.Type },
					choice("tcp", "tls", "http", "postgres", "mysql", "redis", "smtp", "expect")),
				doc: "`tcp`: the server accepts a connection. `tls`: it completes a handshake. `http`: it answers a " +
					"GET request. `postgres`, `mysql` (MariaDB too), `redis` (Valkey too), `smtp`: it speaks its " +
					"protocol and is ready for work. `expect`: it answers as `script` says.",
			},
			{
				name: "interval", def: `"2s"`,
				value: one(func(h *Health) *time.Duration { return &h.Interval }, duration(shortest, time.Hour)),
				doc:   "Time between two checks of a server that is up.",
			},
			{
				name: "down_interval", def: `"500ms"`,
				value: one(func(h *Health) *time.Duration { return &h.DownInterval }, duration(shortest, time.Hour)),
				doc:   "Time between two checks of a server that is down.",
			},
			{
				name: "timeout", def: `"1s"`,
				value: one(func(h *Health) *time.Duration { return &h.Timeout }, duration(shortest, time.Minute)),
				doc:   "How long one check may take, connection and answer together.",
			},
			{
				name: "rise", def: "2", unit: "checks",
				value: one(func(h *Health) *int { return &h.Rise }, count(1, 100)),
				doc:   "Passed checks in a row that bring a server up.",
			},
			{
				name: "fall", def: "3", unit: "checks",
				value: one(func(h *Health) *int { return &h.Fall }, count(1, 100)),
				doc:   "Failed checks in a row that take a server down.",
			},
			{
				name: "port", none: "the server's own",
				value: one(func(h *Health) *uint16 { return &h.Port }, port()),
				doc:   "Another port to check.",
			},
		}, httpHealthKeys()...), loginHealthKeys()...), databaseHealthKeys()...),
	}
}

const healthExample = `
[pool.app]
servers = ["10.0.0.1:8080"]

[pool.app.health]
type = "http"
interval = "5s"
down_interval = "1s"
timeout = "500ms"
rise = 1
fall = 2
port = 8081
path = "/healthz"
host = "app.internal"
status = [200, 204]
body = "ok"

[pool.db-primary]
servers = ["10.0.0.5:5432", "10.0.0.6:5432"]

[pool.db-primary.health]
type = "postgres"
user = "weir_health"
password = "file:db.password"
database = "app"
tls = "require"
ca = "ca.pem"
name = "db.internal"
role = "primary"

[pool.db-replicas]
servers = ["10.0.0.5:5432", "10.0.0.6:5432"]

[pool.db-replicas.health]
type = "postgres"
user = "weir_health"
password = "file:db.password"
role = "replica"
max_lag = "10s"

[pool.pop3]
servers = ["10.0.0.7:110"]

[pool.pop3.health]
type = "expect"
script = [{ expect = "+OK" }, { send = "QUIT\\r\\n", expect = "+OK" }]

[pool.resolvers]
servers = ["10.0.0.53:53"]

[pool.resolvers.health]
type = "expect"
udp = true

# DNS: who is responsible for the root? The answer repeats the number, "ab".
[[pool.resolvers.health.script]]
send = "ab\\u0001\\u0000\\u0000\\u0001\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0002\\u0000\\u0001"
expect = "ab"
`

// httpHealthKeys are the keys of a health check of type http.
func httpHealthKeys() []key[Health] {
	return []key[Health]{
		{
			name: "path", def: `"/"`,
			value: one(func(h *Health) *string { return &h.Path }, urlPath()),
			doc:   "`http`: what to ask for.",
		},
		{
			name: "host", none: "the server's address",
			value: one(func(h *Health) *string { return &h.Host }, hostHeader()),
			doc:   "`http`: the Host field of the request.",
		},
		{
			name: "status", none: "200 to 399", unit: "status codes",
			value: some(func(h *Health) *[]int { return &h.Status }, statusCode()),
			doc:   "`http`: the status codes that pass.",
		},
		{
			name: "body", none: "any body",
			value: one(func(h *Health) *string { return &h.Body }, plain(4096)),
			doc:   "`http`: text that must be found in the first 64 KiB of the body.",
		},
	}
}

// loginHealthKeys say how a check encrypts and who it logs in as.
func loginHealthKeys() []key[Health] {
	return []key[Health]{
		{
			name: "tls", none: "`prefer` for `postgres` and `mysql` with a `user`, else `off`",
			value: one(func(h *Health) *string { return &h.TLS }, choice("off", "prefer", "require")),
			doc: "`postgres`, `mysql`, `redis`: whether the check encrypts: never, where the server can, or always. " +
				"`redis` knows only `off` and `require`.",
		},
		{
			name: "ca", none: "the system's, where `name` is given",
			value: one(func(h *Health) *string { return &h.CA }, file()),
			doc: "`tls`, and others with `tls = \"require\"`: the authorities that may have signed the server's " +
				"certificate, PEM. The certificate is verified only where `ca` or `name` is given.",
		},
		{
			name: "name", none: "the server's address",
			value: one(func(h *Health) *string { return &h.Name }, tlsName()),
			doc:   "Like `ca`: the name that the certificate must have. It is sent to the server as SNI.",
		},
		{
			name: "user", none: "no login",
			value: one(func(h *Health) *string { return &h.User }, plain(128)),
			doc:   "`postgres`, `mysql`, `redis`: who the check logs in as. It needs no rights beyond that.",
		},
		{
			name: "password", none: "none",
			value: one(func(h *Health) *Secret { return &h.Password }, secret()),
			doc: "The user's password; for `redis` also without a `user`. `postgres`: SCRAM-SHA-256, md5 and " +
				"cleartext; `mysql`: caching_sha2_password (whose full form needs TLS or a unix socket) and " +
				"mysql_native_password.",
		},
		{
			name: "database", def: `"postgres"`,
			value: one(func(h *Health) *string { return &h.Database }, plain(63)),
			doc:   "`postgres`: the database to connect to.",
		},
	}
}

// databaseHealthKeys are the pool's wishes and the script of an expect check.
func databaseHealthKeys() []key[Health] {
	return []key[Health]{
		{
			name: "role", def: `"any"`,
			value: one(func(h *Health) *string { return &h.Role }, choice("any", "primary", "replica")),
			doc: "`postgres`, `mysql` (both need a `user`), `redis`: use only servers of this role. A MySQL server " +
				"with `read_only` is a replica. Until the first check has seen its role, a server is not used.",
		},
		{
			name: "max_lag", none: "no limit",
			value: one(func(h *Health) *time.Duration { return &h.MaxLag }, duration(time.Millisecond, day)),
			doc: "`postgres` with a `user`: how far behind a replica may be and still be used. A replica that has " +
				"lost its primary is as far behind as the last transaction it has seen is old.",
		},
		{
			name:  "script",
			value: list(func(h *Health) *[]HealthStep { return &h.Script }, healthStepTable(), ""),
			doc:   "`expect`: what to send and what to wait for, in this order.",
		},
		{
			name: "udp", def: "false",
			value: one(func(h *Health) *bool { return &h.UDP }, boolean()),
			doc:   "`expect`: by UDP; each `send` is a datagram.",
		},
	}
}

// maxStepText is the longest text of a step.
const maxStepText = 4096

func healthStepTable() table[HealthStep] {
	return table[HealthStep]{
		head: "[[pool.NAME.health.script]]",
		doc: "One step of a check of type `expect`. It sends first, then waits. Write control characters as in\n" +
			"any TOML string: `\\r\\n`, `\\u0000`. Put no secrets here: they are shown with the configuration.",
		example: `
[pool.mail]
servers = ["10.0.0.1:143"]

[pool.mail.health]
type = "expect"

[[pool.mail.health.script]]
expect = "* OK"

[[pool.mail.health.script]]
send = "a LOGOUT\\r\\n"
expect = "a OK"
`,
		keys: []key[HealthStep]{
			{
				name: "send", none: "nothing is sent",
				value: one(func(s *HealthStep) *string { return &s.Send }, stepText()),
				doc:   "Text to send.",
			},
			{
				name: "expect", none: "nothing is waited for",
				value: one(func(s *HealthStep) *string { return &s.Expect }, stepText()),
				doc: "Text that must be found in the answer. The next step looks behind it. The whole answer may " +
					"have 64 KiB.",
			},
		},
	}
}

// stepText is any text, control characters and all.
func stepText() kind[string] {
	return word("string", "strings", func(s string) (string, error) {
		switch {
		case s == "":
			return "", bad("is empty; leave the key out instead")
		case len(s) > maxStepText:
			return "", bad("%d bytes are more than the allowed %d", len(s), maxStepText)
		}
		return s, nil
	})
}

// tlsName is a name in a certificate: a DNS name without a wildcard, or an address.
func tlsName() kind[string] {
	return word("name", "names", func(s string) (string, error) {
		if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
			return ip.String(), nil
		}
		if !isDNSName(s) {
			return "", bad("%q is not a DNS name", s)
		}
		return strings.ToLower(strings.TrimSuffix(s, ".")), nil
	})
}
