package conf

import "time"

// l7MatchKeys say which requests a route is for, and which pools they go to.
func l7MatchKeys() []key[L7Route] {
	return append(l7PlaceKeys(), append(l7ConditionKeys(), l7PoolKeys()...)...)
}

// l7PlaceKeys are the conditions by which routes are found.
func l7PlaceKeys() []key[L7Route] {
	return []key[L7Route]{
		{
			name: "name", none: "made of the conditions, as in `GET www.example.com/api/+header:X-Version=2`",
			value: one(func(r *L7Route) *string { return &r.Name }, nameOf()),
			doc:   "Its name in the access log and in metrics. No other route of the listener has it.",
		},
		{
			name: "host", none: "any host",
			value: some(func(r *L7Route) *[]string { return &r.Host }, hostPattern()),
			doc:   "Hosts, without a port. `*.example.com` is every name below example.com.",
		},
		{
			name: "path", none: "any path",
			value: one(func(r *L7Route) *string { return &r.Path }, pathPattern()),
			doc: "A prefix of whole segments, an exact path, a pattern with variables for whole segments, or a " +
				"regular expression (RE2) that is found anywhere in the path unless it has ^ and $.",
		},
		{
			name: "method", none: "any method",
			value: some(func(r *L7Route) *[]string { return &r.Method }, method()),
			doc:   "Request methods.",
		},
	}
}

// l7ConditionKeys are the conditions that are looked at after host, path and method.
func l7ConditionKeys() []key[L7Route] {
	return []key[L7Route]{
		{
			name: "header", none: "any fields",
			value: list(func(r *L7Route) *[]Condition { return &r.Header }, headerConditions(), "name"),
			doc: "Conditions on header fields, all of which must hold. A name alone: the field is there. Fields that " +
				"are not sent on do not count: hop-by-hop ones, and X-Forwarded-For and its like from clients " +
				"that are no trusted proxies.",
		},
		{
			name: "query", none: "any parameters",
			value: list(func(r *L7Route) *[]Condition { return &r.Query }, queryConditions(), "name"),
			doc: "Conditions on parameters of the query, all of which must hold. Names and values are compared " +
				"without their percent-encoding, and `+` is a space.",
		},
		{
			name: "cookie", none: "any cookies",
			value: list(func(r *L7Route) *[]Condition { return &r.Cookie }, cookieConditions(), "name"),
			doc:   "Conditions on cookies, all of which must hold. Values are compared as they are.",
		},
		{
			name: "source", none: "anywhere",
			value: some(func(r *L7Route) *[]string { return &r.Source }, network()),
			doc: "Networks that the client is from: the one a PROXY header names, or the peer. X-Forwarded-For does " +
				"not count.",
		},
	}
}

// l7PoolKeys say where the requests go.
func l7PoolKeys() []key[L7Route] {
	return []key[L7Route]{
		{
			name: "pool", none: "the route has `split`, `redirect`, `respond` or `files`",
			value: one(func(r *L7Route) *string { return &r.Pool }, refTo("a pool")),
			doc:   "The pool that serves the request.",
		},
		{
			name: "split", none: "as for `pool`",
			value: list(func(r *L7Route) *[]Share { return &r.Split }, shareTable(), ""),
			doc:   "Several pools with weights, for a canary or a move. Weights are in force with the reload.",
		},
		{
			name:  "sticky",
			value: sub(func(r *L7Route) *Sticky { return &r.Sticky }, stickyTable()),
			doc:   "What keeps a client on one side of the `split`.",
		},
	}
}

// conditionTable is the form that conditions of all three kinds have.
func conditionTable(key1, doc, example string, name kind[string]) table[Condition] {
	return table[Condition]{
		head: "[[l7.route." + key1 + "]]",
		doc: doc + " At most one of\n`exact`, `prefix`, `regex` and `absent` is given; without any the name must be " +
			"there. Mostly written\ninline. Where a name comes several times, one value that fits is enough.",
		example: example,
		keys: []key[Condition]{
			{
				name: "name", required: true,
				value: one(func(c *Condition) *string { return &c.Name }, name),
				doc:   "The name.",
			},
			{
				name: "exact", none: "any value",
				value: some(func(c *Condition) *[]string { return &c.Exact }, plain(maxConditionValue)),
				doc:   "The value is one of these.",
			},
			{
				name: "prefix", none: "any value",
				value: one(func(c *Condition) *string { return &c.Prefix }, plain(maxConditionValue)),
				doc:   "The value begins with this.",
			},
			{
				name: "regex", none: "any value",
				value: one(func(c *Condition) *string { return &c.Regex }, regex()),
				doc:   "A regular expression (RE2) that is found anywhere in the value unless it has ^ and $.",
			},
			{
				name: "absent", def: "false",
				value: one(func(c *Condition) *bool { return &c.Absent }, boolean()),
				doc:   "There is none of this name.",
			},
		},
	}
}

// maxConditionValue bounds what a value is compared with, in bytes.
const maxConditionValue = 1024

func headerConditions() table[Condition] {
	return conditionTable("header", "A condition on a header field.",
		conditionExample("header", "X-Version", "Accept-Language", "User-Agent", "X-Debug"), fieldToMatch())
}

func queryConditions() table[Condition] {
	return conditionTable("query", "A condition on a parameter of the query.",
		conditionExample("query", "version", "lang", "agent", "debug"), plain(256))
}

func cookieConditions() table[Condition] {
	return conditionTable("cookie", "A condition on a cookie.",
		conditionExample("cookie", "version", "lang", "agent", "debug"), cookieName())
}

func conditionExample(key1, exact, prefix, regex, absent string) string {
	return `
[pool.app]
servers = ["10.0.0.1:8080"]

[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
pool = "app"

[[l7.route.` + key1 + `]]
name = "` + exact + `"
exact = ["2", "3"]

[[l7.route.` + key1 + `]]
name = "` + prefix + `"
prefix = "de"

[[l7.route.` + key1 + `]]
name = "` + regex + `"
regex = "(?i)mobile"

[[l7.route.` + key1 + `]]
name = "` + absent + `"
absent = true
`
}

const splitExample = `
[pool.app]
servers = ["10.0.0.1:8080"]

[pool.next]
servers = ["10.0.0.2:8080"]

[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
path = "/shop/"

[[l7.route.split]]
pool = "app"
weight = 95

[[l7.route.split]]
pool = "next"
weight = 5

[l7.route.sticky]
cookie = "side"
max_age = "720h"

[[l7.route]]
path = "/api/"
split = [{ pool = "app", weight = 95 }, { pool = "next", weight = 5 }]
sticky = { header = "X-User-Id" }
`

func shareTable() table[Share] {
	return table[Share]{
		head:    "[[l7.route.split]]",
		doc:     "One pool of several that a route spreads its requests over. Mostly written inline.",
		example: splitExample,
		keys: []key[Share]{
			{
				name: "pool", required: true,
				value: one(func(s *Share) *string { return &s.Pool }, refTo("a pool")),
				doc:   "The pool.",
			},
			{
				name: "weight", def: "1", unit: "parts",
				value: one(func(s *Share) *int { return &s.Weight }, count(0, 1_000_000)),
				doc:   "Its part of the sum of all weights. 0: it gets no requests.",
			},
		},
	}
}

func stickyTable() table[Sticky] {
	return table[Sticky]{
		head: "[l7.route.sticky]",
		doc: "Keeps a client on one side of a `split`: the hash of what it sends decides, so that every Weir with\n" +
			"the same file agrees, and after a change of weights only as many clients change sides as the weights\n" +
			"moved.\n" +
			"Growing the last pool of the list takes clients from the others and none from it. Routes with the same\n" +
			"`split` and `sticky` put a client on the same side. Without this table every request is drawn anew.",
		example: splitExample,
		keys: []key[Sticky]{
			{
				name: "cookie", none: "no cookie",
				value: one(func(s *Sticky) *string { return &s.Cookie }, cookieName()),
				doc: "A cookie of Weir's own. A client that comes without it gets one with a random value, HttpOnly, " +
					"SameSite=Lax, for all paths, and Secure on TLS.",
			},
			{
				name: "header", none: "no header",
				value: one(func(s *Sticky) *string { return &s.Header }, fieldToMatch()),
				doc:   "A field that names the client. Requests without it are drawn anew.",
			},
			{
				name: "max_age", def: `"0s"`,
				value: one(func(s *Sticky) *time.Duration { return &s.MaxAge }, duration(0, 400*day)),
				doc:   "How long the cookie lives. 0s: until the browser is closed.",
			},
		},
	}
}
