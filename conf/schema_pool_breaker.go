package conf

import "time"

func breakerTable() table[Breaker] {
	return table[Breaker]{
		head: "[pool.NAME.breaker]",
		doc: "Refuses HTTP requests with 503 at once, while the pool as a whole fails or has too much to do, so\n" +
			"that clients do not wait for what will fail and servers can recover. A request fails where the last\n" +
			"server asked could not be connected to, broke off, took too long or answered 500, 502, 503 or 504.\n" +
			"When `failure_percent` of a `window` failed, the breaker opens. After `open_time` it is half-open and\n" +
			"lets `trials` through: when all went well it closes, and the first one that fails opens it again. TCP\n" +
			"sessions do not count and are not refused. A reload keeps the state.",
		example: `
[pool.app]
servers = ["10.0.0.1:8080", "10.0.0.2:8080"]

[pool.app.breaker]
failure_percent = 50
window = "10s"
min_requests = 50
open_time = "3s"
trials = 5
max_requests = 2000
`,
		keys: []key[Breaker]{
			{
				name: "failure_percent", def: "0", unit: "percent",
				value: one(func(b *Breaker) *int { return &b.FailurePercent }, count(0, 100)),
				doc:   "The part of a window's requests that opens the breaker when it fails. 0: it never opens.",
			},
			{
				name: "window", def: `"10s"`,
				value: one(func(b *Breaker) *time.Duration { return &b.Window }, duration(time.Second, time.Hour)),
				doc:   "The time that `failure_percent` looks at. Windows follow one another, from zero each.",
			},
			{
				name: "min_requests", def: "20", unit: "requests",
				value: one(func(b *Breaker) *int { return &b.MinRequests }, count(1, 1_000_000)),
				doc:   "How many requests of a window `failure_percent` needs to say something.",
			},
			{
				name: "open_time", def: `"5s"`,
				value: one(func(b *Breaker) *time.Duration { return &b.OpenTime }, duration(shortest, time.Hour)),
				doc:   "How long the open breaker refuses all requests.",
			},
			{
				name: "trials", def: "3", unit: "requests",
				value: one(func(b *Breaker) *int { return &b.Trials }, count(1, 10_000)),
				doc:   "How many requests the half-open breaker lets through, all of which must go well.",
			},
			{
				name: "max_requests", def: "0", unit: "requests",
				value: one(func(b *Breaker) *int { return &b.MaxRequests }, count(0, 1_000_000)),
				doc: "How many HTTP requests may be under way to the pool, those in its `queue` included. One more " +
					"gets 503 at once. 0: any number.",
			},
		},
	}
}
