package conf

import "time"

// l7TryKeys say how long and how often a server is asked.
func l7TryKeys() []key[L7Route] {
	return []key[L7Route]{
		{
			name: "timeout", def: `"0s"`,
			value: one(func(r *L7Route) *time.Duration { return &r.Timeout }, duration(0, day)),
			doc: "How long it may take to the head of a response altogether: the queue, connects and all tries. " +
				"The time that a client takes to send a body that is not held does not count. Beyond it the " +
				"answer is 504, or 503 in the queue. 0s: no limit.",
		},
		{
			name: "request_buffer", def: `"0B"`,
			value: one(func(r *L7Route) *Size { return &r.RequestBuffer }, size(0, 16<<20)),
			doc: "A request body up to this size is read wholly before a server is chosen: slow clients occupy no " +
				"server, and the request may be sent again like one without a body. A longer one streams, " +
				"what was held first. A client that waits for `100 Continue` gets it from Weir, and the server no " +
				"Expect. 0B: none is held.",
		},
		{
			name:  "retry",
			value: sub(func(r *L7Route) *Retry { return &r.Retry }, retryTable()),
			doc:   "What may be sent again, when, and how often.",
		},
	}
}

func retryTable() table[Retry] {
	return table[Retry]{
		head: "[l7.route.retry]",
		doc: "A request that failed at one server goes to another, or to the same one where a kept-alive connection\n" +
			"had been closed. It must be one that can be repeated: GET, HEAD, OPTIONS or one of `methods`, without\n" +
			"a body or with one that `request_buffer` holds, and no byte of a response has come (of a response\n" +
			"with a status in `on`, nothing has gone to the client). Each server gets it once; `connect_tries` of\n" +
			"the pool counts too. Retries may be a fifth of a pool's requests in the last ten seconds, and ten in\n" +
			"each second in any case.\n\n" +
			"A connection that could not be made sent nothing: going on to the next server is no retry and takes\n" +
			"none of that budget, unless that server is in trouble as well.",
		example: `
[pool.app]
servers = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]

[[l7]]
name = "web"
listen = [":8080"]

[[l7.route]]
pool = "app"
timeout = "10s"
request_buffer = "256KiB"

[l7.route.retry]
methods = ["PUT", "DELETE"]
tries = 3
on = ["connect", "reset", "timeout", "502", "503", "504"]
try_timeout = "2s"
hedge = 95
`,
		keys: retryKeys(),
	}
}

func retryKeys() []key[Retry] {
	return []key[Retry]{
		{
			name: "methods", none: "GET, HEAD, OPTIONS",
			value: some(func(r *Retry) *[]string { return &r.Methods }, method()),
			doc:   "Further methods that may be repeated. Name only what does no harm when it is done twice.",
		},
		{
			name: "tries", def: "2", unit: "tries",
			value: one(func(r *Retry) *int { return &r.Tries }, count(1, 16)),
			doc:   "How often a request is sent at most, the first time included. 1: never again.",
		},
		{
			name: "on", none: "connect, reset",
			value: some(func(r *Retry) *[]string { return &r.On },
				choice("connect", "reset", "timeout", "429", "500", "502", "503", "504")),
			doc: "What makes another server be asked. `connect`: no connection could be made. `reset`: the " +
				"connection broke before the response. `timeout`: no response began in time. A status: the " +
				"server answered with it; where no other server is left, the client gets that answer.",
		},
		{
			name: "try_timeout", none: "`response_header_timeout`",
			value: one(func(r *Retry) *time.Duration { return &r.TryTimeout }, duration(shortest, day)),
			doc: "How long a server may take to start its response while another try is left. The last try has " +
				"`response_header_timeout`. Needs `timeout` in `on`.",
		},
		{
			name: "hedge", def: "0", unit: "percent",
			value: one(func(r *Retry) *int { return &r.Hedge }, count(0, 99)),
			doc: "A request without a body that has no answer after the time in which this percentage of the " +
				"pool's recent requests had one is also sent to a second server, and the first to answer serves " +
				"the client. It counts as a try and against the budget. 0: never.",
		},
	}
}
