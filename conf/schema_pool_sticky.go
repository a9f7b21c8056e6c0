package conf

import "time"

func poolStickyTable() table[PoolSticky] {
	return table[PoolSticky]{
		head: "[pool.NAME.sticky]",
		doc: "Keeps each HTTP client on the server that answered it first, by a cookie of Weir's own. Its value is\n" +
			"a signature over pool and server: it tells nothing about the server, and nobody can make one. Where\n" +
			"the server is out of rotation or unknown, `balance` chooses another one and the client gets a new\n" +
			"cookie; where it is at its `max_conns`, another one serves the request and the cookie stays. The\n" +
			"server receives the cookie like any other. TCP listeners know no cookies. A reload keeps clients\n" +
			"where they are, as long as the key stays.",
		example: `
[pool.app]
servers = ["10.0.0.1:8080", "10.0.0.2:8080"]

[pool.app.sticky]
cookie = "weir_server"
key = "not-this-one-but-32-random-chars"
max_age = "8h"
path = "/app"
domain = "example.com"
same_site = "strict"
secure = "always"
http_only = true
`,
		keys: []key[PoolSticky]{
			{
				name: "cookie", required: true,
				value: one(func(s *PoolSticky) *string { return &s.Cookie }, cookieName()),
				doc:   "The name of the cookie.",
			},
			{
				name: "key", none: "made at the first start, kept in `state_dir`",
				value: one(func(s *PoolSticky) *Secret { return &s.Key }, secret()),
				doc: "What signs the cookie. Several Weirs that serve the same clients need the same one. At least " +
					"16 characters.",
			},
			{
				name: "max_age", def: `"0s"`,
				value: one(func(s *PoolSticky) *time.Duration { return &s.MaxAge }, duration(0, 400*day)),
				doc:   "How long the cookie lives. 0s: until the browser is closed.",
			},
			{
				name: "path", def: `"/"`,
				value: one(func(s *PoolSticky) *string { return &s.Path }, cookiePath()),
				doc:   "The attribute Path: below it the browser sends the cookie.",
			},
			{
				name: "domain", none: "the host that was asked",
				value: one(func(s *PoolSticky) *string { return &s.Domain }, tlsName()),
				doc:   "The attribute Domain: it and the names below it get the cookie.",
			},
			{
				name: "same_site", def: `"lax"`,
				value: one(func(s *PoolSticky) *string { return &s.SameSite }, choice("lax", "strict", "none")),
				doc:   "The attribute SameSite. `none` needs `secure` other than `never`.",
			},
			{
				name: "secure", def: `"auto"`,
				value: one(func(s *PoolSticky) *string { return &s.Secure }, choice("auto", "always", "never")),
				doc:   "The attribute Secure. `auto`: where clients use TLS, to Weir or to a trusted proxy.",
			},
			{
				name: "http_only", def: "true",
				value: one(func(s *PoolSticky) *bool { return &s.HTTPOnly }, boolean()),
				doc:   "The attribute HttpOnly: scripts do not see the cookie.",
			},
		},
	}
}
