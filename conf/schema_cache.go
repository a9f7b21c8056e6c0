package conf

import "time"

func cacheTable() table[Cache] {
	return table[Cache]{
		head: "[cache]",
		doc: "Where responses are stored that routes with `cache` may serve again. It is shared by all of them and\n" +
			"survives reloads; less `memory` is in force at once, and what does not fit is dropped. Without such\n" +
			"a route it takes nothing. [caching.md](caching.md) tells what is stored and why.",
		example: `
[cache]
memory = "1GiB"
max_object = "32MiB"

[cache.disk]
path = "/var/cache/weir"
size = "100GiB"

[pool.app]
servers = ["10.0.0.1:8080"]

[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
pool = "app"
cache = true
`,
		keys: []key[Cache]{
			{
				name: "memory", def: `"256MiB"`,
				value: one(func(c *Cache) *Size { return &c.Memory }, size(1<<20, 1<<44)),
				doc: "The memory for all stored responses, with everything that is kept about them. By default no " +
					"more than a quarter of `memory_limit` of `[process]`.",
			},
			{
				name: "max_object", def: `"16MiB"`,
				value: one(func(c *Cache) *Size { return &c.MaxObject }, size(1<<10, 1<<40)),
				doc:   "The longest body that is stored. A longer one is passed on as it comes.",
			},
			{
				name: "disk", none: "memory alone",
				value: optional(func(c *Cache) **CacheDisk { return &c.Disk }, cacheDiskTable()),
				doc:   "A directory for stored responses, beside memory.",
			},
		},
	}
}

func cacheDiskTable() table[CacheDisk] {
	return table[CacheDisk]{
		head: "[cache.disk]",
		doc: "A directory that keeps stored responses for when memory has let them go, and over restarts and kills.\n" +
			"What is stored is written there behind the answer, and read with a checksum for every 64 KiB; a disk\n" +
			"that fails is a cache that misses. One process at a time uses a directory, another waits for it with\n" +
			"memory alone. A reload that changes `path` or `size` opens it anew.\n" +
			"[caching.md](caching.md#on-disk) tells more.",
		example: `
[cache.disk]
path = "/var/cache/weir"
size = "100GiB"

[pool.app]
servers = ["10.0.0.1:8080"]

[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
pool = "app"
cache = true
`,
		keys: []key[CacheDisk]{
			{
				name: "path", required: true,
				value: one(func(d *CacheDisk) *string { return &d.Path }, dir()),
				doc: "The directory. It is made if it is not there, its parent has to be. Files in it that " +
					"are not the cache's are left alone.",
			},
			{
				name: "size", required: true,
				value: one(func(d *CacheDisk) *Size { return &d.Size }, size(16<<20, 1<<50)),
				doc: "What all files together may take, those that are being written included. On a file system that " +
					"has less, it is less.",
			},
		},
	}
}

// l7CacheKeys say what is stored of a route's responses.
func l7CacheKeys() []key[L7Route] {
	return []key[L7Route]{{
		name:  "cache",
		value: switched(func(r *L7Route) **RouteCache { return &r.Cache }, routeCacheTable()),
		doc:   "Stores responses and serves them again, as RFC 9111 says. `true`: with the defaults of the table.",
	}}
}

func routeCacheTable() table[RouteCache] {
	keys := routeCacheTimeKeys()
	keys = append(keys, routeCacheStaleKeys()...)
	keys = append(keys, routeCacheWhatKeys()...)
	keys = append(keys, routeCacheBypassKeys()...)
	keys = append(keys, routeCacheUseKeys()...)
	return table[RouteCache]{
		head: "[l7.route.cache]",
		doc: "Stores responses of the route's pool and answers further requests with them, as RFC 9111 has it for a\n" +
			"shared cache. `cache = true` is the same as an empty table. Without any of these keys only the fields\n" +
			"of requests and responses decide. A reload changes what is stored and served from then on; what is\n" +
			"stored stays as fresh as it was judged to be, and `key` with another meaning finds none of it.",
		example: actionExample + `
[l7.route.cache]
ttl = "10m"
min_ttl = "1s"
max_ttl = "24h"
default_ttl = "1m"
status_ttl = { 404 = "10s", 301 = "1h" }
heuristic = 10
heuristic_max = "24h"
stale_while_revalidate = "30s"
stale_if_error = "1h"
grace = "6h"
targets = ["Weir-Cache-Control", "CDN-Cache-Control"]
ignore_request = true
set_cookie = true
authorized = true
bypass_header = ["X-Preview"]
bypass_query = ["nocache"]
bypass_cookie = [{ name = "session" }]
lock_timeout = "5s"
on_client_gone = "finish"
purge = ["10.0.0.0/8"]
cache_status = true
revalidate_behind = 100
slice = "1MiB"

[l7.route.cache.key]
query = "sorted"
query_deny = ["utm_source", "utm_medium"]
headers = ["X-Tenant"]
cookies = ["currency"]
`,
		keys: keys,
	}
}

// routeCacheTimeKeys say how long responses are fresh.
func routeCacheTimeKeys() []key[RouteCache] {
	ttl := func() kind[time.Duration] { return duration(time.Second, year) }
	return []key[RouteCache]{
		{
			name: "ttl", none: "what the response says",
			value: one(func(c *RouteCache) *time.Duration { return &c.TTL }, ttl()),
			doc: "How long responses that may be stored are fresh, whatever they say of it. `no-store`, `private` " +
				"and the like still hold.",
		},
		{
			name: "min_ttl", def: `"0s"`,
			value: one(func(c *RouteCache) *time.Duration { return &c.MinTTL }, duration(0, year)),
			doc: "A response that says less is fresh for so long, unless it is not to be reused at all without " +
				"asking.",
		},
		{
			name: "max_ttl", none: "no limit",
			value: one(func(c *RouteCache) *time.Duration { return &c.MaxTTL }, ttl()),
			doc:   "A response that says more is fresh for so long.",
		},
		{
			name: "default_ttl", none: "`heuristic`",
			value: one(func(c *RouteCache) *time.Duration { return &c.DefaultTTL }, ttl()),
			doc:   "How long responses are fresh that do not say and whose status allows it.",
		},
		{
			name: "status_ttl", none: "as the keys above say",
			value: statusTTLs(func(c *RouteCache) *[]StatusTTL { return &c.StatusTTL }, statusCode(), ttl()),
			doc: "The same by status, in place of `default_ttl` and `heuristic`, and for statuses as well that are " +
				"otherwise not stored: a short time for 404 or 503 keeps a storm of them from the servers.",
		},
		{
			name: "heuristic", def: "10", unit: "percent",
			value: one(func(c *RouteCache) *int { return &c.Heuristic }, count(0, 100)),
			doc: "A response that says nothing of its freshness but has Last-Modified is fresh for this part of the " +
				"time since then (RFC 9111 section 4.2.2). 0: it is not.",
		},
		{
			name: "heuristic_max", def: `"24h"`,
			value: one(func(c *RouteCache) *time.Duration { return &c.HeuristicMax }, ttl()),
			doc:   "The longest that `heuristic` makes of it.",
		},
	}
}

// routeCacheStaleKeys say when a response is served that is not fresh any more.
func routeCacheStaleKeys() []key[RouteCache] {
	return []key[RouteCache]{
		{
			name: "stale_while_revalidate", def: `"0s"`,
			value: one(func(c *RouteCache) *time.Duration { return &c.StaleWhileRevalidate }, duration(0, year)),
			doc: "How long a stale response is still served while a new one is fetched behind it, where the response " +
				"does not say (RFC 5861).",
		},
		{
			name: "stale_if_error", def: `"0s"`,
			value: one(func(c *RouteCache) *time.Duration { return &c.StaleIfError }, duration(0, year)),
			doc: "How long a stale response is served in place of a 500, 502, 503 or 504, where the response does " +
				"not say (RFC 5861).",
		},
		{
			name: "grace", def: `"1h"`,
			value: one(func(c *RouteCache) *time.Duration { return &c.Grace }, duration(0, year)),
			doc: "How long a stale response is served while no server of the pool can be asked: all are down, full " +
				"or out of reach, or none answers (RFC 9111 section 4.2.4). Responses with `must-revalidate`, " +
				"`proxy-revalidate`, `s-maxage` or `no-cache` never are.",
		},
		{
			name: "revalidate_behind", def: "64", unit: "requests",
			value: one(func(c *RouteCache) *int { return &c.RevalidateBehind }, count(0, 100_000)),
			doc: "The most fetches in the background of this route at a time. Beyond it the client that finds a " +
				"stale response waits for a new one.",
		},
	}
}

// routeCacheWhatKeys say what may be stored.
func routeCacheWhatKeys() []key[RouteCache] {
	return []key[RouteCache]{
		{
			name: "targets", def: `["CDN-Cache-Control"]`,
			value: many(func(c *RouteCache) *[]string { return &c.Targets }, headerName()),
			doc: "Targeted cache fields (RFC 9213), the most specific first. Where a response has one, Cache-Control " +
				"and Expires do not count.",
		},
		{
			name: "ignore_request", def: "false",
			value: one(func(c *RouteCache) *bool { return &c.IgnoreRequest }, boolean()),
			doc: "Leaves Cache-Control and Pragma of requests out of account, so that a client's reload costs the " +
				"servers nothing. `only-if-cached` still counts.",
		},
		{
			name: "set_cookie", def: "false",
			value: one(func(c *RouteCache) *bool { return &c.SetCookie }, boolean()),
			doc: "Also stores responses with Set-Cookie. Every client gets the same cookies then; `hide_headers` " +
				"takes them away.",
		},
		{
			name: "authorized", def: "false",
			value: one(func(c *RouteCache) *bool { return &c.Authorized }, boolean()),
			doc: "Also stores responses to requests with Authorization that do not allow it by `public`, `s-maxage` " +
				"or `must-revalidate` (RFC 9111 section 3.5). Name Authorization in `headers` of `key` unless all " +
				"users get the same.",
		},
		{
			name:  "key",
			value: sub(func(c *RouteCache) *CacheKey { return &c.Key }, cacheKeyTable()),
			doc:   "What tells requests apart.",
		},
	}
}

// routeCacheBypassKeys say which requests do not touch the cache.
func routeCacheBypassKeys() []key[RouteCache] {
	bypass := func(part string, name kind[string]) table[Condition] {
		one := "cache.bypass_" + part
		return conditionTable(one, "A condition on which a request does not touch the cache.",
			conditionExample(one, "version", "lang", "agent", "debug"), name)
	}
	return []key[RouteCache]{
		{
			name: "bypass_header", none: "none",
			value: list(func(c *RouteCache) *[]Condition { return &c.BypassHeader },
				bypass("header", fieldToMatch()), "name"),
			doc: "Requests for which one of these conditions holds go to a server as if there were no cache, and " +
				"nothing of them is stored.",
		},
		{
			name: "bypass_query", none: "none",
			value: list(func(c *RouteCache) *[]Condition { return &c.BypassQuery },
				bypass("query", plain(256)), "name"),
			doc: "The same, by parameters of the query.",
		},
		{
			name: "bypass_cookie", none: "none",
			value: list(func(c *RouteCache) *[]Condition { return &c.BypassCookie },
				bypass("cookie", cookieName()), "name"),
			doc: "The same, by cookies: `bypass_cookie = [\"session\"]` keeps users that are logged in out of it.",
		},
	}
}

// routeCacheUseKeys say how the cache is used.
func routeCacheUseKeys() []key[RouteCache] {
	return []key[RouteCache]{
		{
			name: "lock_timeout", def: `"5s"`,
			value: one(func(c *RouteCache) *time.Duration { return &c.LockTimeout }, duration(0, 10*time.Minute)),
			doc: "How long a request waits for the head of a response that another request is fetching. Then it asks " +
				"a server itself, one such request of a key per `lock_timeout`. 0s: nobody waits.",
		},
		{
			name: "on_client_gone", def: `"cancel"`,
			value: one(func(c *RouteCache) *string { return &c.OnClientGone }, choice("cancel", "finish")),
			doc: "What becomes of a fetch when no client waits for it any more. `cancel`: it is broken off unless " +
				"nine tenths of the body are there. `finish`: it goes on and is stored.",
		},
		{
			name: "purge", none: "PURGE goes to a server like any other method",
			value: some(func(c *RouteCache) *[]string { return &c.Purge }, network()),
			doc: "Networks from which a request with the method PURGE drops what is stored for its URL. From " +
				"elsewhere it is answered with 403. X-Forwarded-For does not count.",
		},
		{
			name: "cache_status", def: "true",
			value: one(func(c *RouteCache) *bool { return &c.CacheStatus }, boolean()),
			doc:   "Tells in the Cache-Status field (RFC 9211) of responses what the cache did.",
		},
		{
			name: "slice", none: "all of it is fetched for a range",
			value: one(func(c *RouteCache) *Size { return &c.Slice }, size(64<<10, 1<<30)),
			doc: "A GET of one range is answered from slices of this size, each fetched and stored by itself, " +
				"so that a seek in a long video fetches no more than it shows, and so is a GET of all of what is " +
				"longer than `max_object`. Servers must answer ranges with a strong ETag. At most " +
				"`max_object`. After a reload with another size, slices of the old one are not found.",
		},
	}
}

func cacheKeyTable() table[CacheKey] {
	return table[CacheKey]{
		head: "[l7.route.cache.key]",
		doc: "Two requests get the same stored response if they have the same scheme, host, path and query, and the\n" +
			"same values of what is named here. Octets that need no percent-encoding count the same with it and\n" +
			"without. The path is the client's, not that of `rewrite_path`.",
		example: actionExample + `
[l7.route.cache.key]
query = "sorted"
query_allow = ["id", "page"]
headers = ["X-Tenant"]
cookies = ["currency"]

[[l7.route]]
path = "/search"
pool = "app"
cache = { key = { query_deny = ["utm_source"] } }
`,
		keys: []key[CacheKey]{
			{
				name: "query", def: `"as_is"`,
				value: one(func(k *CacheKey) *string { return &k.Query }, choice("as_is", "sorted", "ignore")),
				doc: "`as_is`: the query as it was sent. `sorted`: the order of its parameters does not count. " +
					"`ignore`: it does not count at all.",
			},
			{
				name: "query_allow", none: "all parameters count",
				value: some(func(k *CacheKey) *[]string { return &k.QueryAllow }, plain(256)),
				doc:   "Only these parameters count. Servers still get them all.",
			},
			{
				name: "query_deny", none: "all parameters count",
				value: some(func(k *CacheKey) *[]string { return &k.QueryDeny }, plain(256)),
				doc:   "These parameters do not count.",
			},
			{
				name: "headers", none: "none",
				value: some(func(k *CacheKey) *[]string { return &k.Headers }, fieldToMatch()),
				doc:   "Request fields whose values count. For those that responses name in Vary it is not needed.",
			},
			{
				name: "cookies", none: "none",
				value: some(func(k *CacheKey) *[]string { return &k.Cookies }, cookieName()),
				doc:   "Cookies whose values count.",
			},
		},
	}
}
