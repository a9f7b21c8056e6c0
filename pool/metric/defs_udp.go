package metric

// UDP: what listeners with udp:// addresses have beside the metrics of L4, in which
// a session is a client address with its backend.
var (
	L4ReceivedDatagrams = &Def{
		Name: "weir_l4_received_datagrams_total", Kind: KindCounter, Labels: []string{"listener"},
		Help: "Datagrams relayed from clients to backends.",
	}
	L4SentDatagrams = &Def{
		Name: "weir_l4_sent_datagrams_total", Kind: KindCounter, Labels: []string{"listener"},
		Help: "Datagrams relayed from backends to clients.",
	}
	L4DroppedDatagrams = &Def{
		Name: "weir_l4_dropped_datagrams_total", Kind: KindCounter, Labels: []string{"listener", "reason"},
		Help: "Datagrams that Weir received and did not pass on, by reason: refused (a limit), draining, unsent (no " +
			"route or no backend), held (too many before a route is known), truncated, too_large, backend_full or " +
			"client_full (no room in a send queue), failed.",
	}
	L4OverflowedDatagrams = &Def{
		Name: "weir_l4_overflowed_datagrams_total", Kind: KindCounter, Labels: []string{"listener"},
		Help: "Datagrams from clients that Weir never saw: the kernel dropped them because the receive queue of the " +
			"listener was full, or the checksum was wrong. Read once a second.",
	}
)

var udpDefs = []*Def{L4ReceivedDatagrams, L4SentDatagrams, L4DroppedDatagrams, L4OverflowedDatagrams}
