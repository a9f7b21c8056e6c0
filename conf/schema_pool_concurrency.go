package conf

func concurrencyTable() table[Concurrency] {
	return table[Concurrency]{
		head: "[pool.NAME.concurrency]",
		doc: "Finds for each server how many HTTP requests it can have in flight before they only wait for one\n" +
			"another: the limit grows while a server that is busy answers as quickly as usual, and shrinks when it\n" +
			"takes longer or fails. `max_conns` holds as well. A request that finds every server at its limit waits\n" +
			"in the pool's `queue` or gets 503. A reload keeps the limits that were found, within the new bounds.",
		example: `
[pool.app]
servers = ["10.0.0.1:8080", "10.0.0.2:8080"]
queue = 100

[pool.app.concurrency]
adaptive = true
min = 4
max = 200
tolerance = 150
`,
		keys: []key[Concurrency]{
			{
				name: "adaptive", def: "false",
				value: one(func(c *Concurrency) *bool { return &c.Adaptive }, boolean()),
				doc:   "Whether there is such a limit.",
			},
			{
				name: "min", def: "4", unit: "requests",
				value: one(func(c *Concurrency) *int { return &c.Min }, count(1, 100_000)),
				doc:   "The limit never gets lower.",
			},
			{
				name: "max", def: "1000", unit: "requests",
				value: one(func(c *Concurrency) *int { return &c.Max }, count(1, 100_000)),
				doc:   "The limit never gets higher.",
			},
			{
				name: "tolerance", def: "150", unit: "percent",
				value: one(func(c *Concurrency) *int { return &c.Tolerance }, count(100, 1000)),
				doc:   "How long an answer may take, compared with the usual, before the limit shrinks.",
			},
		},
	}
}
