package conf

// connLimitKeys are the caps that [[l4]] and [[l7]] share. none says what no cap means.
func connLimitKeys[T any](none string, conns, perSource, rate, ratePerSource func(*T) *int) []key[T] {
	const most = 100_000_000
	return []key[T]{
		{
			name: "max_conns", def: "0", unit: "client connections",
			value: one(conns, count(0, most)),
			doc:   "Client connections of this listener; more are refused. " + none,
		},
		{
			name: "max_conns_per_source", def: "0", unit: "client connections",
			value: one(perSource, count(0, most)),
			doc:   "Client connections of this listener from one source network. 0: no limit.",
		},
		{
			name: "max_conn_rate", def: "0", unit: "client connections per second",
			value: one(rate, count(0, most)),
			doc: "New client connections of this listener per second; more are reset at once. Those of one " +
				"second may come together. 0: no limit.",
		},
		{
			name: "max_conn_rate_per_source", def: "0", unit: "client connections per second",
			value: one(ratePerSource, count(0, most)),
			doc:   "The same from one source network. 0: no limit.",
		},
	}
}

// processLimitKeys are those of [process].
func processLimitKeys() []key[Process] {
	const most = 100_000_000
	return []key[Process]{
		{
			name: "max_conns", def: "0", unit: "client connections",
			value: one(func(p *Process) *int { return &p.MaxConns }, count(0, most)),
			doc: "Client connections over all listeners; more are refused. 0: as many as the file descriptors " +
				"allow.",
		},
		{
			name: "max_conns_per_source", def: "0", unit: "client connections",
			value: one(func(p *Process) *int { return &p.MaxConnsPerSource }, count(0, most)),
			doc:   "Client connections from one source network over all listeners. 0: no limit.",
		},
		{
			name: "max_conn_rate", def: "0", unit: "client connections per second",
			value: one(func(p *Process) *int { return &p.MaxConnRate }, count(0, most)),
			doc: "New client connections per second over all listeners; more are reset at once. Those of one " +
				"second may come together. 0: no limit.",
		},
		{
			name: "max_conn_rate_per_source", def: "0", unit: "client connections per second",
			value: one(func(p *Process) *int { return &p.MaxConnRatePerSource }, count(0, most)),
			doc: "The same from one source network over all listeners. 16384 networks are remembered at a time; " +
				"in a flood from more, some get another second's worth. 0: no limit.",
		},
		{
			name: "source_prefix_v4", def: "32", unit: "bits",
			value: one(func(p *Process) *int { return &p.SourcePrefixV4 }, count(8, 32)),
			doc:   "How many bits of an IPv4 address make a source network, for all limits per source.",
		},
		{
			name: "source_prefix_v6", def: "64", unit: "bits",
			value: one(func(p *Process) *int { return &p.SourcePrefixV6 }, count(16, 128)),
			doc:   "The same of an IPv6 address. One client commonly has a /64, and some have a /48.",
		},
	}
}
