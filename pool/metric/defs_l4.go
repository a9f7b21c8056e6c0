package metric

// L4: listeners, sessions and the loops under them.
var (
	L4Accepted = &Def{
		Name: "weir_l4_accepted_total", Kind: KindCounter, Labels: []string{"listener"},
		Help: "Connections accepted, for L7 listeners too.",
	}
	L4Refused = &Def{
		Name: "weir_l4_refused_total", Kind: KindCounter, Labels: []string{"listener", "reason"},
		Help: "Connections reset at once because of a limit, by reason: global, listener and source are caps of " +
			"connections that are open, global_rate, listener_rate and source_rate of new ones per second, " +
			"memory is that the process has hardly any left.",
	}
	L4Active = &Def{
		Name: "weir_l4_active_sessions", Kind: KindGauge, Labels: []string{"listener"},
		Help: "L4 sessions that are open.",
	}
	L4ReceivedBytes = &Def{
		Name: "weir_l4_received_bytes_total", Kind: KindCounter, Labels: []string{"listener"},
		Help: "Bytes relayed from clients to backends.",
	}
	L4SentBytes = &Def{
		Name: "weir_l4_sent_bytes_total", Kind: KindCounter, Labels: []string{"listener"},
		Help: "Bytes relayed from backends to clients.",
	}
	L4Spliced = &Def{
		Name: "weir_l4_spliced_total", Kind: KindCounter, Labels: []string{"listener"},
		Help: "Times that a direction of a session moved to a pipe, because it carried bulk.",
	}
	L4Pipes = &Def{
		Name: "weir_l4_pipes", Kind: KindGauge,
		Help: "Pipes that bulk goes through; each takes two descriptors.",
	}
	L4Closed = &Def{
		Name: "weir_l4_closed_total", Kind: KindCounter, Labels: []string{"listener", "reason"},
		Help: "L4 sessions that ended, by reason.",
	}
	L4HandedOver = &Def{
		Name: "weir_l4_handed_over_total", Kind: KindCounter, Labels: []string{"listener"},
		Help: "Connections handed over to L7.",
	}
	L4Handshakes = &Def{
		Name: "weir_l4_tls_handshakes_total", Kind: KindCounter, Labels: []string{"listener", "result"},
		Help: "TLS handshakes with clients, where Weir ends TLS, by result: full, resumed or failed.",
	}
	L4Routed = &Def{
		Name: "weir_l4_routed_total", Kind: KindCounter, Labels: []string{"listener", "route"},
		MaxSets: backendSets,
		Help: "Connections for which a route was chosen, on listeners that have routes. " +
			"The route \"default\" is the pool of the listener.",
	}
	L4ConnectFailures = &Def{
		Name: "weir_l4_connect_failures_total", Kind: KindCounter, Labels: []string{"pool", "reason"},
		Help: "Connects to backends that failed, by reason.",
	}

	LoopConnections = &Def{
		Name: "weir_loop_connections", Kind: KindGauge, Labels: []string{"loop"},
		Help: "Descriptors of connections that a loop watches.",
	}
	LoopParked = &Def{
		Name: "weir_loop_parked_connections", Kind: KindGauge, Labels: []string{"loop"},
		Help: "HTTP connections among them that are quiet, and cost no goroutine and no buffer.",
	}
	LoopBackoffs = &Def{
		Name: "weir_loop_accept_backoffs_total", Kind: KindCounter, Labels: []string{"loop"},
		Help: "Times a loop stopped accepting for a moment because descriptors or memory ran out.",
	}
	LoopStalls = &Def{
		Name: "weir_loop_stalls_total", Kind: KindCounter, Labels: []string{"loop"},
		Help: "Times a loop made no progress for 100 ms and longer. After two seconds the process ends.",
	}
	LoopCallbacks = &Def{
		Name: "weir_loop_callbacks_total", Kind: KindCounter, Labels: []string{"loop"},
		Help: "Times a loop called a connection, a listener, a timer or a task.",
	}
)

var l4Defs = []*Def{
	L4Accepted, L4Refused, L4Active, L4ReceivedBytes, L4SentBytes, L4Spliced, L4Pipes, L4Closed, L4HandedOver,
	L4Routed, L4ConnectFailures, L4Handshakes,
	LoopConnections, LoopParked, LoopBackoffs, LoopCallbacks, LoopStalls,
}
