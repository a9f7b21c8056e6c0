package metric

// Backends: one state for L4 and L7. The label backend is the address as in the
// status of the pool, "host:port" or "unix:/path".
var (
	BackendUp = &Def{
		Name: "weir_backend_up", Kind: KindGauge, Labels: []string{"pool", "backend"},
		Help: "1 while the backend takes new connections, else 0.",
	}
	BackendStateChanges = &Def{
		Name: "weir_backend_state_changes_total", Kind: KindCounter, Labels: []string{"pool", "backend", "state"},
		Help: "Changes of a backend's state, by the new state.",
	}
	BackendEjections = &Def{
		Name: "weir_backend_ejections_total", Kind: KindCounter, Labels: []string{"pool", "backend", "reason"},
		Help: "Passive ejections of a backend, by reason: refused, timeout, reset or status.",
	}
	BackendPicks = &Def{
		Name: "weir_backend_picks_total", Kind: KindCounter, Labels: []string{"pool", "backend"},
		Help: "Times the balancer chose the backend.",
	}
	BackendPickFailures = &Def{
		Name: "weir_backend_pick_failures_total", Kind: KindCounter, Labels: []string{"pool", "reason"},
		Help: "Times the balancer had no backend to choose, by reason: none or full.",
	}
	BackendInFlight = &Def{
		Name: "weir_backend_in_flight", Kind: KindGauge, Labels: []string{"pool", "backend"},
		Help: "Sessions and exchanges that are on the backend.",
	}
	BackendChecks = &Def{
		Name: "weir_backend_health_checks_total", Kind: KindCounter, Labels: []string{"pool", "backend", "result"},
		Help: "Active health checks by result: ok or failed.",
	}
	BackendDNSLookups = &Def{
		Name: "weir_backend_dns_lookups_total", Kind: KindCounter, Labels: []string{"result"},
		Help: "Lookups of server names by result: ok, empty, failed or timeout.",
	}
)

var backendDefs = []*Def{
	BackendUp, BackendStateChanges, BackendEjections, BackendPicks, BackendPickFailures,
	BackendInFlight, BackendChecks, BackendDNSLookups,
}
