package conf

import "time"

// poolConnectKeys bound the search for a server that takes a connection.
func poolConnectKeys() []key[Pool] {
	return []key[Pool]{
		{
			name: "connect_timeout", def: `"2s"`,
			value: one(func(p *Pool) *time.Duration { return &p.ConnectTimeout },
				duration(shortest, 5*time.Minute)),
			doc: "How long one server may take to accept a connection before the next is tried.",
		},
		{
			name: "connect_tries", def: "4", unit: "servers",
			value: one(func(p *Pool) *int { return &p.ConnectTries }, count(1, 16)),
			doc:   "How many servers are tried for one connection or request before it fails.",
		},
		{
			name: "connect_total_timeout", def: `"10s"`,
			value: one(func(p *Pool) *time.Duration { return &p.ConnectTotal }, duration(0, 5*time.Minute)),
			doc: "How long all tries of one TCP session may take together, without its time in the queue. " +
				"0s: no limit.",
		},
		{
			name: "queue", def: "1000", unit: "sessions and requests",
			value: one(func(p *Pool) *int { return &p.Queue }, count(0, 1_000_000)),
			doc: "TCP sessions and HTTP requests that may wait, first come first served, while every server is at " +
				"its `max_conns`; more are closed, or get 503. A shorter queue after a reload sends nobody away " +
				"who is in it. Sessions of UDP listeners do not wait: their datagrams are dropped, and counted " +
				"as `unsent`. 0: no one waits.",
		},
		{
			name: "queue_timeout", def: `"5s"`,
			value: one(func(p *Pool) *time.Duration { return &p.QueueTimeout }, duration(shortest, time.Hour)),
			doc:   "How long one may wait in the queue. Beyond it a session is closed and a request gets 503.",
		},
	}
}
