package conf

import "time"

// l7ActionKeys say what a route does with its requests, beside sending them to a pool.
func l7ActionKeys() []key[L7Route] {
	return []key[L7Route]{
		{
			name: "rewrite_path", none: "the path as received",
			value: one(func(r *L7Route) *Template { return &r.RewritePath }, pathTemplate()),
			doc: "The path that servers get, or that is looked for among the files. With variables: those of `path` " +
				"(`{id}` of a pattern, `{name}` and `{1}` of a regular expression, `{rest}` of a prefix) and " +
				"`{client_ip}`, `{host}`, `{method}`, `{path}`, `{query}`, `{request_id}`, `{scheme}`; `{{` and `}}` " +
				"are braces. The query stays unless the text has a `?`. On a route with a cache `{client_ip}` and " +
				"`{request_id}` have no place here or in `rewrite_host`. [actions.md](actions.md) tells more.",
		},
		{
			name:  "request_headers",
			value: sub(func(r *L7Route) *FieldChanges { return &r.RequestHeaders }, requestHeadersTable()),
			doc:   "Changes fields of the request that a server gets.",
		},
		{
			name:  "response_headers",
			value: sub(func(r *L7Route) *FieldChanges { return &r.ResponseHeaders }, responseHeadersTable()),
			doc: "Changes fields of the response that the client gets, from a server, a file, a redirect or a " +
				"fixed response; not those of Weir's own error answers.",
		},
		{
			name:  "redirect",
			value: optional(func(r *L7Route) **Redirect { return &r.Redirect }, redirectTable()),
			doc:   "Sends the client elsewhere.",
		},
		{
			name:  "respond",
			value: optional(func(r *L7Route) **Respond { return &r.Respond }, respondTable()),
			doc:   "Answers with what stands here.",
		},
		{
			name:  "files",
			value: optional(func(r *L7Route) **Files { return &r.Files }, filesTable()),
			doc:   "Serves files of a directory.",
		},
		{
			name:  "mirror",
			value: optional(func(r *L7Route) **Mirror { return &r.Mirror }, mirrorTable()),
			doc:   "Sends copies of requests to another pool.",
		},
		{
			name:  "fault",
			value: optional(func(r *L7Route) **Fault { return &r.Fault }, faultTable()),
			doc:   "Injects faults, for tests of clients.",
		},
		{
			name: "body_grace", none: "as the listener has it",
			value: one(func(r *L7Route) *time.Duration { return &r.BodyGrace }, duration(shortest, time.Hour)),
			doc:   "How long a body may be slower than `body_min_rate`, on this route.",
		},
		{
			name: "body_min_rate", none: "as the listener has it",
			value: one(func(r *L7Route) *Size { return &r.BodyMinRate }, size(1, 1<<30)), unit: "per second",
			doc: "The least a client must send of a request body, or take of a response, on this route.",
		},
	}
}

// actionExample begins an example of a table below a route that has a pool.
const actionExample = `
[pool.app]
servers = ["10.0.0.1:8080"]

[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
path = "/users/{id}"
pool = "app"
`

func requestHeadersTable() table[FieldChanges] {
	return table[FieldChanges]{
		head: "[l7.route.request_headers]",
		doc: "First fields are removed, then set, then added. Host is `rewrite_host`; the fields of framing and of\n" +
			"the connection, and those by which Weir tells servers who asks, cannot be changed.",
		example: actionExample + `
[l7.route.request_headers]
set = { X-User = "{id}", X-Real-IP = "{client_ip}" }
add = { Via = "1.1 edge" }
remove = ["Cookie", "X-Debug"]
`,
		keys: fieldChangesKeys(requestField()),
	}
}

func responseHeadersTable() table[FieldChanges] {
	return table[FieldChanges]{
		head: "[l7.route.response_headers]",
		doc:  "First fields are removed, then set, then added. The fields of framing and of the connection stay.",
		example: actionExample + `
[l7.route.response_headers]
set = { Cache-Control = "no-store", Strict-Transport-Security = "max-age=31536000" }
add = { Vary = "Accept-Encoding" }
remove = ["Server"]
`,
		keys: fieldChangesKeys(responseField()),
	}
}

func fieldChangesKeys(name kind[string]) []key[FieldChanges] {
	return []key[FieldChanges]{
		{
			name: "set", none: "none",
			value: fieldValues(func(c *FieldChanges) *[]FieldValue { return &c.Set }, name, fieldTemplate()),
			doc:   "Fields that take the place of all of their name. Values have the variables of `rewrite_path`.",
		},
		{
			name: "add", none: "none",
			value: fieldValues(func(c *FieldChanges) *[]FieldValue { return &c.Add }, name, fieldTemplate()),
			doc:   "Fields that come beside those there are.",
		},
		{
			name: "remove", none: "none",
			value: some(func(c *FieldChanges) *[]string { return &c.Remove }, name),
			doc:   "Fields that are taken away.",
		},
	}
}

func redirectTable() table[Redirect] {
	return table[Redirect]{
		head: "[l7.route.redirect]",
		doc: "Answers with the place where the client should ask. What is not given stays as the client has it, the\n" +
			"query too, unless `path` has a `?`. The place is never another host than the file names or the client\n" +
			"asked for.",
		example: `
[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
path = '~^/blog/([0-9]+)-.*$'

[l7.route.redirect]
status = 301
scheme = "https"
host = "www.example.com"
path = "/articles/{1}"
`,
		keys: []key[Redirect]{
			{
				name: "status", def: "307",
				value: one(func(r *Redirect) *int { return &r.Status }, redirectStatus()),
				doc: "301 and 308 are permanent: clients remember them. 307 and 308 keep the method; after 303 " +
					"clients ask with GET.",
			},
			{
				name: "scheme", none: "that of the client",
				value: one(func(r *Redirect) *string { return &r.Scheme }, choice("http", "https")),
				doc:   "The port of the client goes with its scheme, unless `host` has one.",
			},
			{
				name: "host", none: "that of the request",
				value: one(func(r *Redirect) *string { return &r.Host }, hostHeader()),
				doc:   "The host, with a port where it is not the default one.",
			},
			{
				name: "path", none: "the path as received",
				value: one(func(r *Redirect) *Template { return &r.Path }, pathTemplate()),
				doc:   "The path, with the variables of `rewrite_path`.",
			},
		},
	}
}

func respondTable() table[Respond] {
	return table[Respond]{
		head: "[l7.route.respond]",
		doc:  "A fixed answer. A request with a body gets it too; the body is dropped.",
		example: `
[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
path = "=/healthz"

[l7.route.respond]
status = 200
body = '{"status":"up"}'
content_type = "application/json"
`,
		keys: []key[Respond]{
			{
				name: "status", def: "200",
				value: one(func(r *Respond) *int { return &r.Status }, statusCode()), unit: "status",
				doc: "The status. 204, 205 and 304 have no body.",
			},
			{
				name: "body", none: "an empty body",
				value: one(func(r *Respond) *string { return &r.Body }, bodyText()),
				doc:   "The body, as it stands here: it has no variables.",
			},
			{
				name: "content_type", none: "`text/plain; charset=utf-8` where there is a body",
				value: one(func(r *Respond) *string { return &r.ContentType }, plain(256)),
				doc:   "The Content-Type field.",
			},
		},
	}
}

func filesTable() table[Files] {
	return table[Files]{
		head: "[l7.route.files]",
		doc: "Answers GET and HEAD with files of a directory. The whole path of the request is looked for below\n" +
			"`root`; `rewrite_path` changes what is looked for. Symbolic links are followed inside `root` and\n" +
			"never out of it. Answers have ETag and Last-Modified; conditions and ranges are honoured. A directory\n" +
			"without the final slash is a redirect to it; there are no listings.",
		example: `
[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
path = "/static/"
rewrite_path = "/{rest}"

[l7.route.files]
root = "www"
index = ["index.html", "index.htm"]
precompressed = ["br", "zstd", "gzip"]
dotfiles = true
fallback = "/index.html"
memory = "64MiB"
`,
		keys: []key[Files]{
			{
				name: "root", required: true,
				value: one(func(f *Files) *string { return &f.Root }, existingDir()),
				doc: "The directory. One that takes its place under the same name, as by a link that is turned, is " +
					"noticed within a second.",
			},
			{
				name: "index", def: `["index.html"]`,
				value: many(func(f *Files) *[]string { return &f.Index }, fileName()),
				doc:   "Files that stand for their directory; the first that is there. An empty array: none does.",
			},
			{
				name: "precompressed", none: "only the files themselves",
				value: some(func(f *Files) *[]string { return &f.Precompressed }, choice("br", "zstd", "gzip")),
				doc: "Sends FILE.br, FILE.zst or FILE.gz in place of FILE where it is there and the client takes it; " +
					"the first that does.",
			},
			{
				name: "dotfiles", def: "false",
				value: one(func(f *Files) *bool { return &f.Dotfiles }, boolean()),
				doc:   "Also serves what has a name that begins with a dot, or lies below such a name.",
			},
			{
				name: "fallback", none: "404",
				value: one(func(f *Files) *string { return &f.Fallback }, urlPath()),
				doc: "The file for paths that lead to none, for applications that route in the browser. " +
					"The status is 200.",
			},
			{
				name: "memory", def: `"16MiB"`,
				value: one(func(f *Files) *Size { return &f.Memory }, size(0, 1<<40)),
				doc: "For files of up to 64 KiB that were asked for, their precompressed forms, and what `compress` " +
					"made of them. Each is compared with what is in the directory once in a second at most. " +
					"`\"0B\"`: each request opens its file.",
			},
		},
	}
}

func mirrorTable() table[Mirror] {
	return table[Mirror]{
		head: "[l7.route.mirror]",
		doc: "Sends copies of requests to another pool, after the client has its answer, and drops what comes back.\n" +
			"Nothing about it changes or delays that answer. Copies that are too many or too long are not sent, and\n" +
			"counted in `weir_l7_mirrored_requests_total`; WebSockets are never mirrored.",
		example: `
[pool.shadow]
servers = ["10.0.1.1:8080"]
` + actionExample + `
[l7.route.mirror]
pool = "shadow"
percent = 10
max_body = "256KiB"
max_pending = 32
timeout = "5s"
`,
		keys: []key[Mirror]{
			{
				name: "pool", required: true,
				value: one(func(m *Mirror) *string { return &m.Pool }, refTo("a pool")),
				doc:   "The pool that gets the copies. Its health and limits hold as for other requests.",
			},
			{
				name: "percent", def: "100", unit: "percent",
				value: one(func(m *Mirror) *int { return &m.Percent }, count(1, 100)),
				doc:   "How many of the requests are mirrored, chosen at random.",
			},
			{
				name: "max_body", def: `"64KiB"`,
				value: one(func(m *Mirror) *Size { return &m.MaxBody }, size(0, 16<<20)),
				doc: "The longest body that is kept for a copy; a longer request is not mirrored. " +
					"0B: only requests without one.",
			},
			{
				name: "max_pending", def: "64", unit: "requests",
				value: one(func(m *Mirror) *int { return &m.MaxPending }, count(1, 10_000)),
				doc:   "The most copies of this route under way; with more, copies are left out.",
			},
			{
				name: "timeout", def: `"10s"`,
				value: one(func(m *Mirror) *time.Duration { return &m.Timeout }, duration(shortest, 10*time.Minute)),
				doc:   "How long a copy may take altogether, once it has a connection.",
			},
		},
	}
}

func faultTable() table[Fault] {
	return table[Fault]{
		head: "[l7.route.fault]",
		doc: "Makes a share of the requests slow, or fail, before anything else is done with them. The two are\n" +
			"drawn independently; the delay comes first. A client that goes away ends its delay.",
		example: actionExample + `
[l7.route.fault]
delay = "250ms"
delay_percent = 20
abort = 503
abort_percent = 5
`,
		keys: []key[Fault]{
			{
				name: "delay", none: "no delay",
				value: one(func(f *Fault) *time.Duration { return &f.Delay }, duration(time.Millisecond, time.Minute)),
				doc:   "How long requests are held back.",
			},
			{
				name: "delay_percent", def: "100", unit: "percent",
				value: one(func(f *Fault) *int { return &f.DelayPercent }, count(0, 100)),
				doc:   "How many of the requests are delayed.",
			},
			{
				name: "abort", none: "no failure",
				value: one(func(f *Fault) *int { return &f.Abort }, count(400, 599)), unit: "status",
				doc: "The status that requests are answered with.",
			},
			{
				name: "abort_percent", def: "100", unit: "percent",
				value: one(func(f *Fault) *int { return &f.AbortPercent }, count(0, 100)),
				doc:   "How many of the requests fail.",
			},
		},
	}
}
