package conf

import "time"

func sessionsTable() table[Sessions] {
	return table[Sessions]{
		head: "[pool.NAME.sessions]",
		doc: "What becomes of the sessions of an `[[l4]]` when the pool loses their server. `keep`: they go on\n" +
			"until they end by themselves. `close`: they are reset at once. `drain`: they are reset after\n" +
			"`drain_timeout` unless the server is back by then. New connections go elsewhere in any case, and a\n" +
			"server that live traffic ejected is not lost. Requests of an `[[l7]]` finish. A reload changes what\n" +
			"happens at the next loss.\n\n" +
			"By default a session ends early only where it would do harm: behind a failed check many servers still\n" +
			"work, and addresses come and go with each DNS answer; but a client that goes on writing to what is no\n" +
			"longer the primary gets errors, or worse, none. With `role = \"primary\"`, `on_down = \"close\"` makes\n" +
			"clients look for the new primary without waiting for their own timeouts.",
		example: `
[pool.db]
servers = ["10.0.0.1:5432", "10.0.0.2:5432"]

[pool.db.health]
type = "postgres"
user = "weir"
role = "primary"

[pool.db.sessions]
on_down = "close"
on_removed = "drain"
on_role_lost = "close"
drain_timeout = "10m"
`,
		keys: []key[Sessions]{
			{
				name: "on_down", def: `"keep"`,
				value: one(func(s *Sessions) *string { return &s.OnDown }, afterLoss()),
				doc:   "When its active check took the server out; `drain` and `close` need `[pool.NAME.health]`.",
			},
			{
				name: "on_removed", def: `"keep"`,
				value: one(func(s *Sessions) *string { return &s.OnRemoved }, afterLoss()),
				doc:   "When the server left the configuration, or its DNS name no longer has the address.",
			},
			{
				name: "on_role_lost", def: `"close"`,
				value: one(func(s *Sessions) *string { return &s.OnRoleLost }, afterLoss()),
				doc:   "When the server no longer has the `role` that the pool wants; `keep` and `drain` need one.",
			},
			{
				name: "drain_timeout", def: `"5m"`,
				value: one(func(s *Sessions) *time.Duration { return &s.DrainTimeout }, duration(shortest, 7*day)),
				doc:   "How long sessions that drain may go on.",
			},
		},
	}
}

func afterLoss() kind[string] { return choice("keep", "drain", "close") }
