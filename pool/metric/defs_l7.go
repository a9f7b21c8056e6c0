package metric

// L7: listeners, exchanges and connections to HTTP backends.
var (
	L7Requests = &Def{
		Name: "weir_l7_requests_total", Kind: KindCounter, Labels: []string{"listener", "route", "status"},
		Help: "Requests answered, by listener, route and class of the status: 1xx to 5xx, or none.",
	}
	L7RequestSeconds = &Def{
		Name: "weir_l7_request_seconds", Kind: KindHistogram, Labels: []string{"listener", "route"},
		Help: "Time from the complete head of a request to the last byte of its response.",
	}
	L7Errors = &Def{
		Name: "weir_l7_errors_total", Kind: KindCounter, Labels: []string{"listener", "side", "reason"},
		Help: "Exchanges that failed, by side (client, upstream, internal) and reason.",
	}
	L7Retries = &Def{
		Name: "weir_l7_retries_total", Kind: KindCounter, Labels: []string{"pool"},
		Help: "Requests sent again, on a fresh connection or to another server.",
	}
	L7RetriesDenied = &Def{
		Name: "weir_l7_retries_denied_total", Kind: KindCounter, Labels: []string{"pool"},
		Help: "Retries that were safe but exceeded the retry budget.",
	}
	L7Hedges = &Def{
		Name: "weir_l7_hedges_total", Kind: KindCounter, Labels: []string{"pool"},
		Help: "Requests sent to a second server because the first was slow to answer; retries count them too.",
	}
	L7HedgesWon = &Def{
		Name: "weir_l7_hedges_won_total", Kind: KindCounter, Labels: []string{"pool"},
		Help: "Hedges in which the second server answered first.",
	}
	L7Active = &Def{
		Name: "weir_l7_active_connections", Kind: KindGauge, Labels: []string{"listener"},
		Help: "Client connections that are open.",
	}
	L7ActiveRequests = &Def{
		Name: "weir_l7_active_requests", Kind: KindGauge, Labels: []string{"listener"},
		Help: "Requests being answered.",
	}
	L7LaneRequests = &Def{
		Name: "weir_l7_lane_requests_total", Kind: KindCounter, Labels: []string{"result"},
		Help: "Requests that were read on the event loop of their connection, by result: served there, or left " +
			"to a goroutine because something else than the answer of a server had to be waited for.",
	}
	L7Tunnels = &Def{
		Name: "weir_l7_tunnels", Kind: KindGauge, Labels: []string{"listener"},
		Help: "Tunnels that are open: WebSockets and what CONNECT opened, which are active requests too.",
	}
	L7ReceivedBytes = &Def{
		Name: "weir_l7_received_bytes_total", Kind: KindCounter, Labels: []string{"listener"},
		Help: "Bytes of requests received from clients, heads included.",
	}
	L7SentBytes = &Def{
		Name: "weir_l7_sent_bytes_total", Kind: KindCounter, Labels: []string{"listener"},
		Help: "Bytes of responses sent to clients, heads included.",
	}
	L7Truncated = &Def{
		Name: "weir_l7_truncated_responses_total", Kind: KindCounter, Labels: []string{"pool"},
		Help: "Responses that ended short and were passed on as broken.",
	}
	L7Mirrored = &Def{
		Name: "weir_l7_mirrored_requests_total", Kind: KindCounter, Labels: []string{"pool", "result"},
		Help: "Copies of requests for a mirror, by its pool and result: sent (and answered), failed or left_out.",
	}
	L7Handshakes = &Def{
		Name: "weir_l7_tls_handshakes_total", Kind: KindCounter, Labels: []string{"listener", "result"},
		Help: "TLS handshakes by result: full, resumed or failed.",
	}
	L7UpstreamConnects = &Def{
		Name: "weir_l7_upstream_connects_total", Kind: KindCounter, Labels: []string{"pool", "result"},
		Help: "Connects to HTTP backends by result: ok or failed.",
	}
	L7UpstreamReuses = &Def{
		Name: "weir_l7_upstream_reuses_total", Kind: KindCounter, Labels: []string{"pool"},
		Help: "Requests sent on a connection that was kept alive.",
	}
	L7UpstreamStale = &Def{
		Name: "weir_l7_upstream_stale_total", Kind: KindCounter, Labels: []string{"pool"},
		Help: "Kept-alive connections to HTTP backends that were found closed, or with surplus bytes, before use.",
	}
	L7UpstreamIdle = &Def{
		Name: "weir_l7_upstream_idle_connections", Kind: KindGauge, Labels: []string{"pool"},
		Help: "Kept-alive connections to HTTP backends that wait for a request.",
	}
)

var l7Defs = []*Def{
	L7Requests, L7RequestSeconds, L7Errors, L7Retries, L7RetriesDenied, L7Hedges, L7HedgesWon,
	L7Mirrored, L7Active, L7ActiveRequests, L7LaneRequests, L7Tunnels, L7ReceivedBytes, L7SentBytes,
	L7Truncated, L7Handshakes,
	L7UpstreamConnects, L7UpstreamReuses, L7UpstreamStale, L7UpstreamIdle,
}
