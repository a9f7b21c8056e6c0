package metric

// backendSets is how many label sets a metric of backends holds. Servers come from
// the configuration and from DNS, not from clients, so it may be generous.
const backendSets = 10000

// Backends: one state for L4 and L7. The label backend is the address as in the
// status of the pool, "host:port" or "unix:/path".
var (
	BackendUp = &Def{
		Name: "weir_backend_up", Kind: KindGauge, Labels: []string{"pool", "backend"},
		MaxSets: backendSets,
		Help:    "1 while the backend takes new connections, else 0.",
	}
	BackendStateChanges = &Def{
		Name: "weir_backend_state_changes_total", Kind: KindCounter, Labels: []string{"pool", "backend", "state"},
		MaxSets: backendSets,
		Help:    "Changes of a backend's state, by the new state: healthy, ejected or down.",
	}
	BackendEjections = &Def{
		Name: "weir_backend_ejections_total", Kind: KindCounter, Labels: []string{"pool", "backend", "reason"},
		MaxSets: backendSets,
		Help: "Passive ejections of a backend, by reason: refused, connect_timeout, reset, timeout, server_error, " +
			"gateway_error (502, 503, 504), outraced (by another address of the same name) or unreachable (UDP).",
	}
	BackendPicks = &Def{
		Name: "weir_backend_picks_total", Kind: KindCounter, Labels: []string{"pool", "backend"},
		MaxSets: backendSets,
		Help:    "Times the balancer chose the backend.",
	}
	BackendPickFailures = &Def{
		Name: "weir_backend_pick_failures_total", Kind: KindCounter, Labels: []string{"pool", "reason"},
		Help: "Times the balancer had no backend to choose, by reason: none or full.",
	}
	BackendInFlight = &Def{
		Name: "weir_backend_in_flight", Kind: KindGauge, Labels: []string{"pool", "backend"},
		MaxSets: backendSets,
		Help:    "Sessions and exchanges that are on the backend.",
	}
	BackendLatency = &Def{
		Name: "weir_backend_latency_seconds", Kind: KindGauge, Labels: []string{"pool", "backend"},
		MaxSets: backendSets,
		Help: "Time the backend takes to begin an answer, by what balance = least_latency goes by: a moving average " +
			"that follows a rise at once and a fall slowly. 0 where nothing was timed.",
	}
	BackendSessions = &Def{
		Name: "weir_backend_l4_sessions_total", Kind: KindCounter, Labels: []string{"pool", "backend"},
		MaxSets: backendSets,
		Help:    "L4 sessions that were on the backend when they ended, TCP and UDP.",
	}
	BackendReceivedBytes = &Def{
		Name: "weir_backend_l4_received_bytes_total", Kind: KindCounter, Labels: []string{"pool", "backend"},
		MaxSets: backendSets,
		Help:    "Bytes that L4 sessions relayed from clients to the backend, counted when a session ends.",
	}
	BackendSentBytes = &Def{
		Name: "weir_backend_l4_sent_bytes_total", Kind: KindCounter, Labels: []string{"pool", "backend"},
		MaxSets: backendSets,
		Help:    "Bytes that L4 sessions relayed from the backend to clients, counted when a session ends.",
	}
	BackendChecks = &Def{
		Name: "weir_backend_health_checks_total", Kind: KindCounter, Labels: []string{"pool", "backend", "result"},
		MaxSets: backendSets,
		Help: "Active health checks by result: ok, failed, or local where this machine had no port, descriptor or " +
			"memory for it, which says nothing of the backend.",
	}
	BackendSocketFailures = &Def{
		Name: "weir_backend_socket_option_failures_total", Kind: KindCounter, Labels: []string{"pool", "option"},
		Help: "Connects that failed because the socket could not have an option, by key of [pool.NAME.socket].",
	}
	BackendNoPorts = &Def{
		Name: "weir_backend_no_ports_total", Kind: KindCounter, Labels: []string{"pool"},
		Help: "Connects that failed because this machine had no local port left for the backend (EADDRNOTAVAIL).",
	}
	BackendQueued = &Def{
		Name: "weir_backend_queued", Kind: KindGauge, Labels: []string{"pool"},
		Help: "Sessions and requests that wait because every backend of the pool is at its max_conns.",
	}
	BackendQueueSeconds = &Def{
		Name: "weir_backend_queue_seconds", Kind: KindHistogram, Labels: []string{"pool"},
		Help: "Time sessions and requests waited in the queue of the pool, however it ended.",
	}
	BackendQueueOverflows = &Def{
		Name: "weir_backend_queue_overflows_total", Kind: KindCounter, Labels: []string{"pool"},
		Help: "Sessions and requests turned away because the queue of the pool was full or off.",
	}
	BackendLimit = &Def{
		Name: "weir_backend_in_flight_limit", Kind: KindGauge, Labels: []string{"pool", "backend"},
		MaxSets: backendSets,
		Help: "What the backend may have in flight at present: the lower of max_conns and of what an adaptive limit " +
			"has found. 0: no limit.",
	}
	BackendBreaker = &Def{
		Name: "weir_backend_breaker_state", Kind: KindGauge, Labels: []string{"pool"},
		Help: "State of the pool's breaker: 0 closed, also where there is none, 1 half-open, 2 open.",
	}
	BackendBreakerOpened = &Def{
		Name: "weir_backend_breaker_opened_total", Kind: KindCounter, Labels: []string{"pool"},
		Help: "Times the pool's breaker opened, also again after a trial that failed.",
	}
	BackendRefused = &Def{
		Name: "weir_backend_refused_requests_total", Kind: KindCounter, Labels: []string{"pool", "reason"},
		Help: "HTTP requests that the pool's breaker refused, by reason: breaker_open or max_requests.",
	}
	BackendRequests = &Def{
		Name: "weir_backend_requests_under_way", Kind: KindGauge, Labels: []string{"pool"},
		Help: "HTTP requests to the pool, in servers and in the queue, where it has a breaker; else 0.",
	}
	BackendSticky = &Def{
		Name: "weir_backend_sticky_total", Kind: KindCounter, Labels: []string{"pool", "result"},
		Help: "Requests to a pool that keeps clients by a cookie: kept where the client stayed on its server, busy " +
			"where that was at its max_conns, moved where it could not serve or the value was no good, new without " +
			"a cookie.",
	}
	BackendDNSLookups = &Def{
		Name: "weir_backend_dns_lookups_total", Kind: KindCounter, Labels: []string{"result"},
		Help: "Lookups of server names by result: ok, empty, failed or timeout.",
	}
)

var backendDefs = []*Def{
	BackendUp, BackendStateChanges, BackendEjections, BackendPicks, BackendPickFailures,
	BackendInFlight, BackendSessions, BackendReceivedBytes, BackendSentBytes, BackendChecks, BackendSocketFailures,
	BackendQueued, BackendQueueSeconds, BackendQueueOverflows, BackendDNSLookups,
	BackendNoPorts, BackendLatency, BackendSticky, BackendLimit,
	BackendBreaker, BackendBreakerOpened, BackendRefused, BackendRequests,
}
