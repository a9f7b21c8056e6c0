package loop

import (
	"net/netip"
	"time"

	"weir/pool/limit"
)

// Handover is a connection on its way from a loop to a new owner: no loop knows
// the descriptor any more, and everything that was read from it is in Data.
//
// The receiver owns FD, Data and Ticket. It must close FD and release Ticket
// exactly once each, which [Conn.Close] does for a Conn made by [NewConn].
type Handover struct {
	FD       int            // non-blocking, close-on-exec, TCP_NODELAY set where it is TCP
	Data     []byte         // read already, to be served before what the socket still has
	Local    netip.AddrPort // zero for a unix socket
	Remote   netip.AddrPort // zero for a unix socket
	Accepted time.Time
	Ticket   limit.Ticket
	SNI      string // the name that chose the route, "" where none was read

	// What a header of the PROXY protocol said beside Remote: where the client
	// connected to, and TLVs. Zero where there was none.
	Destination netip.AddrPort
	TLVs        []byte

	Listener string // the listener that accepted the connection

	// Loop is the one that gave the connection away, on which it may be parked; nil
	// where there is none.
	Loop *Loop
}
