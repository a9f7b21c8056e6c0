package conf

import "time"

// l4UDPDoc is what the reference says of UDP.
const l4UDPDoc = "On UDP (`udp://` in `listen`) a client address, with the address of this machine that it sends\n" +
	"to, is a session: it has one server, counts for the limits, and its answers come from the address\n" +
	"that it asked. Datagrams pass one by one, whole and in order. A server that turns out not to be\n" +
	"there (ICMP port unreachable) is reported, and the session goes to the next one with its first\n" +
	"datagram. Clients beyond the limits are dropped and live sessions never make way; sources can be\n" +
	"made up, so `max_conns = 0` means half of the process's. Weir itself answers nothing. A reload\n" +
	"keeps the sockets and sessions of addresses that stay; those of an address that is removed end at\n" +
	"once. With routes, the name is read from the Initial packets of QUIC, versions 1 and 2. A QUIC\n" +
	"connection that moves to another client address is a new session whose packets name no server: it\n" +
	"goes to `pool`, or is lost."

// l4UDPKeys are for listeners with udp:// addresses.
func l4UDPKeys() []key[L4] {
	return []key[L4]{
		{
			name: "udp_idle_timeout", def: `"30s"`,
			value: one(func(l *L4) *time.Duration { return &l.UDPIdleTimeout }, duration(shortest, year)),
			doc: "UDP only. A client address without a datagram in either direction for this long is forgotten; its " +
				"next datagram may go to another server.",
		},
		{
			name: "udp_responses", def: "0", unit: "datagrams",
			value: one(func(l *L4) *int { return &l.UDPResponses }, count(0, 1000)),
			doc: "UDP only. How many datagrams a server answers to each one of a client, 1 for DNS. The client " +
				"address is forgotten as soon as all answers are there, and a server from which none comes within " +
				"`udp_idle_timeout` counts as failing. 0: nobody knows, only `udp_idle_timeout` ends it.",
		},
	}
}
