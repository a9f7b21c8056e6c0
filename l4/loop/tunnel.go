package loop

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Tunnel is the connections of a client and a server on their way to a loop that is to
// relay between them: the way back of a [Handover].
//
// The receiver owns both descriptors, and closes each exactly once. It calls Done once,
// on the loop, when it has.
type Tunnel struct {
	Client, Server TunnelEnd
	Idle           time.Duration // without an octet either way, after which it ends; more than 0
	Info           TunnelInfo
	Done           func(TunnelResult)
}

// TunnelInfo says whose a tunnel is, to those who look at tunnels.
type TunnelInfo struct {
	Kind     string // "websocket" or "connect"
	Listener string
	Client   netip.AddrPort // the zero value on a unix socket
	SNI      string         // "": the client asked for none
	Route    string
	Pool     string
	Backend  string
}

// TunnelView is a tunnel that its owner relays, as those see it who look at tunnels. Its
// methods are called on a loop and do not block.
type TunnelView interface {
	// Moved returns the octets from the client and from the server so far, and for how long
	// there have been none.
	Moved() (up, down uint64, idle time.Duration)
	// End resets the tunnel by an administrator's order. It may be called again.
	End()
}

// TunnelEnd is one of the two connections of a [Tunnel].
type TunnelEnd struct {
	FD   int    // non-blocking and in no poller
	TCP  bool   // and not a unix socket
	Data []byte // read from it already; goes to the other one first. Borrowed until Relay returns
}

// TunnelResult says how a tunnel ended.
type TunnelResult struct {
	Cause    TunnelCause
	Up, Down uint64 // octets that were read from the client, and from the server
}

// TunnelCause is why a tunnel ended.
type TunnelCause uint8

// The causes. Of all but the first two a side may have missed octets, which it sees by
// a reset.
const (
	TunnelDone        TunnelCause = iota // both directions ended
	TunnelIdle                           // nothing moved for as long as it may
	TunnelClientReset                    // the client broke its connection
	TunnelServerReset                    // the server did
	TunnelEnded                          // whoever relayed it was told to end it
	TunnelAdmin                          // an administrator ended it
	TunnelFailed                         // a bug of ours, or no memory in the kernel
)

// Extract returns a new descriptor of the connection of c, which is in no poller of the
// runtime. It is the caller's, as c still is: closing c then leaves the connection open.
// The runtime has no other way to give up a descriptor. An error means that there is
// none left, or that c is closed.
func Extract(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("cannot reach descriptor: %w", err)
	}
	var errDup error
	err = raw.Control(func(from uintptr) { fd, errDup = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = errDup
	}
	if err != nil {
		return -1, fmt.Errorf("cannot duplicate descriptor: %w", err)
	}
	return fd, nil
}
