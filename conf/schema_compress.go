package conf

// compressionTable is what holds for all routes together.
func compressionTable() table[Compression] {
	return table[Compression]{
		head: "[compress]",
		doc: "What encoding the responses of all routes with `compress` may take. Without such a route it does\n" +
			"nothing. A reload changes it at once; responses under way are finished as they began.",
		example: `
[compress]
memory = "256MiB"
cpu = 90
dictionaries = "64MiB"

[pool.app]
servers = ["10.0.0.1:8080"]

[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
pool = "app"
compress = true
`,
		keys: []key[Compression]{
			{
				name: "memory", def: `"128MiB"`,
				value: one(func(c *Compression) *Size { return &c.Memory }, size(0, 1<<40)),
				doc: "For all responses that are being encoded at one time; each takes 1 to 14 MiB, by its " +
					"algorithm and level. A response for which there is none left is sent as it is. 0B: none is " +
					"encoded.",
			},
			{
				name: "cpu", def: "85", unit: "percent",
				value: one(func(c *Compression) *int { return &c.CPU }, count(0, 100)),
				doc: "While Weir uses this share of the CPU that it may use, the levels of all algorithms fall, a " +
					"step each 200 ms; once it is 15 percent below, they rise again, a step each second. 0: they " +
					"never fall.",
			},
			{
				name: "dictionaries", def: `"32MiB"`,
				value: one(func(c *Compression) *Size { return &c.Dictionaries }, size(0, 1<<40)),
				doc: "The memory for earlier responses that later ones are encoded against, where a route has " +
					"`dictionary`. What was used least recently makes room.",
			},
		},
	}
}

// l7CompressKeys say which responses of a route are encoded.
func l7CompressKeys() []key[L7Route] {
	return []key[L7Route]{{
		name:  "compress",
		value: switched(func(r *L7Route) **Compress { return &r.Compress }, compressTable()),
		doc: "Encodes the responses of the pool's servers with zstd, brotli or gzip. `true`: with the defaults of " +
			"the table.",
	}}
}

func compressTable() table[Compress] {
	return table[Compress]{
		head: "[l7.route.compress]",
		doc: "Encodes responses for clients that accept it. Those stay as they are that are encoded already, short,\n" +
			"of another type, a part of something, or marked `no-transform`; and where it could help an attacker\n" +
			"who can watch the length of what is encoded (BREACH): see [compression.md](compression.md). A reload\n" +
			"changes it from the next request on.",
		example: actionExample + `
[l7.route.compress]
algorithms = ["br", "gzip", "zstd"]
types = ["text/*", "application/json", "+json"]
min_size = "1KiB"
gzip_level = 6
br_level = 5
zstd_level = 1
accept_encoding = "identity"
set_cookie = true
cross_site = true
dictionary = "/static/app-*.js"
`,
		keys: append(compressWhatKeys(), compressHowKeys()...),
	}
}

// compressWhatKeys say what is encoded.
func compressWhatKeys() []key[Compress] {
	return []key[Compress]{
		{
			name: "algorithms", def: `["zstd", "br", "gzip"]`,
			value: some(func(c *Compress) *[]string { return &c.Algorithms }, choice("zstd", "br", "gzip")),
			doc: "What may be used, the preferred first. The client's weights come before this order: it decides " +
				"among those that the client likes equally.",
		},
		{
			name: "types",
			def: `["text/*", "+json", "+xml", "application/json", "application/javascript", ` +
				`"application/x-javascript", "application/xml", "application/wasm", "application/x-ndjson", ` +
				`"application/graphql-response", "application/vnd.ms-fontobject", "font/ttf", "font/otf", ` +
				`"image/bmp", "image/x-icon", "image/vnd.microsoft.icon"]`,
			value: some(func(c *Compress) *[]string { return &c.Types }, mediaTypes()),
			doc: "Media types that are encoded: whole ones, `text/*`, or `+json` for all with that suffix. gRPC " +
				"never is.",
		},
		{
			name: "min_size", def: `"512B"`,
			value: one(func(c *Compress) *Size { return &c.MinSize }, size(0, 1<<30)),
			doc: "The shortest response that is encoded. One whose length its head does not tell is taken to be " +
				"longer.",
		},
		{
			name: "set_cookie", def: "false",
			value: one(func(c *Compress) *bool { return &c.SetCookie }, boolean()),
			doc:   "Also encode responses that set a cookie.",
		},
		{
			name: "cross_site", def: "false",
			value: one(func(c *Compress) *bool { return &c.CrossSite }, boolean()),
			doc: "Also encode responses to requests with a cookie that another site caused, as `Sec-Fetch-Site: " +
				"cross-site` tells.",
		},
	}
}

// compressHowKeys say how well, and what the servers get to know.
func compressHowKeys() []key[Compress] {
	return []key[Compress]{
		{
			name: "gzip_level", def: "4", unit: "level",
			value: one(func(c *Compress) *int { return &c.GzipLevel }, count(1, 9)),
			doc:   "From 1 to 9, the best. 4 is the fastest; those below it find less and are no faster.",
		},
		{
			name: "br_level", def: "4", unit: "level",
			value: one(func(c *Compress) *int { return &c.BrLevel }, count(1, 7)),
			doc:   "1 is the fastest, 7 the best; those of brotli's reference, which goes on to 11.",
		},
		{
			name: "zstd_level", def: "2", unit: "level",
			value: one(func(c *Compress) *int { return &c.ZstdLevel }, count(1, 3)),
			doc:   "1 is the fastest, 3 the best; about the levels 1, 3 and 7 of the zstd command.",
		},
		{
			name: "accept_encoding", def: `"as_received"`,
			value: one(func(c *Compress) *string { return &c.AcceptEncoding }, choice("as_received", "identity")),
			doc: "The Accept-Encoding that servers get: the client's, so that what a server encodes is passed on, " +
				"or `identity`, so that all encoding is Weir's.",
		},
		{
			name: "dictionary", none: "none are used",
			value: one(func(c *Compress) *string { return &c.Dictionary }, starPattern()),
			doc: "Responses whose path matches, as `/static/app-*.js`, are kept as dictionaries (RFC 9842): who has " +
				"an earlier one gets a later one as the difference, with `dcz` or `dcb`. `*` stands for anything.",
		},
	}
}
