package conf

import (
	"net"
	"strconv"
)

// Addr is an address to listen on or to connect to, parsed and checked.
// The zero Addr means "not given".
type Addr struct {
	Network string // "tcp", "udp" or "unix"
	Host    string // IP address or DNS name without brackets; "" is every interface
	Port    uint16 // 0 in a listener lets the system choose
	Path    string // unix only; a leading '@' is Linux's abstract namespace
}

// IsZero reports whether the address was not given.
func (a Addr) IsZero() bool { return a == Addr{} }

// String gives the form the configuration file uses: "host:port", "udp://host:port" or
// "unix:/path".
func (a Addr) String() string {
	switch a.Network {
	case "":
		return ""
	case "unix":
		return "unix:" + a.Path
	}
	s := net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
	if a.Network == "udp" {
		return udpScheme + s
	}
	return s
}
