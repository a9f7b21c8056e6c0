package backend

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"weir/conf"
)

// State says how an endpoint is doing, best first.
type State uint8

// The states of an endpoint. An active check moves it between healthy and down;
// live traffic moves it to ejected, and time or a passing check moves it back:
//
//	healthy <-> degraded -> down -> healthy      (checks: fall, rise)
//	healthy <-> degraded -> ejected -> healthy   (traffic; time, check or probe)
const (
	StateHealthy  State = iota // nothing is held against it
	StateDegraded              // in use, but recent checks or traffic failed
	StateEjected               // live traffic took it out for a time
	StateDown                  // its active check took it out
)

// String gives the word that logs, metrics and the admin API use.
func (s State) String() string {
	switch s {
	case StateHealthy:
		return "healthy"
	case StateDegraded:
		return "degraded"
	case StateEjected:
		return "ejected"
	case StateDown:
		return "down"
	}
	return "unknown"
}

// endpointKey tells endpoints apart. Checks are part of it: two pools that check
// one address in different ways may rightly disagree about it.
type endpointKey struct {
	network, address string
	name             string // the DNS name it was resolved from, with its port; "" for literals
	health           string // the check settings in canonical form
	proxy            string // v1 or v2 where checks send a PROXY header
	tls              string // the pool's settings of TLS where checks use them
	way              string // source addresses and mark of connections to it
}

func healthKey(h *conf.Health) string {
	if h.Type == "" {
		return ""
	}
	check := *h
	check.Role, check.MaxLag = "", 0 // what a pool wishes for is not part of the check
	check.Password = conf.Secret{}
	return fmt.Sprintf("%#v %x", check, sha256.Sum256([]byte(h.Password.Reveal())))
}

// Endpoint is one address under one set of check settings: what is known about
// its health is known to every group that has it, for L4 and L7 alike, and
// outlives reloads. All methods may be called from any goroutine.
type Endpoint struct {
	id       uint64
	key      endpointKey
	server   string // as configured, for people
	sockaddr unix.Sockaddr
	health   conf.Health
	socket   *Socket             // of checks; nil: no options
	tls      atomic.Pointer[TLS] // for checks; nil: plain
	hurry    chan struct{}       // tells the check that the endpoint was ejected; holds one

	down      atomic.Bool
	ejected   atomic.Bool
	failures  atomic.Uint32 // resets, timeouts and 5xx in a row
	gateway   atomic.Uint32 // 502, 503 and 504 in a row
	timeouts  atomic.Uint32 // connect timeouts in a row
	outraced  atomic.Uint32 // lost races in a row
	badCheck  atomic.Bool   // the last check failed
	probation atomic.Bool   // back from an ejection, and nothing has gone well since

	// The rest is guarded by Registry.mu.
	members  []*Member // those of committed groups; none left: the endpoint goes
	stop     context.CancelFunc
	check    checkState
	found    finding // by the last check that passed
	ejection ejectState
}

// checkState is what the active check has found so far.
type checkState struct {
	decided  bool // the first result came in
	passes   int  // in a row, since the last failure or ejection
	fails    int  // in a row
	at       time.Time
	duration time.Duration
	err      error
}

// ejectState is what live traffic has done to the endpoint.
type ejectState struct {
	since   time.Time // start of the present or last ejection
	until   time.Time // its end
	ended   time.Time // when the endpoint came back
	level   int       // ejections without a calm period between them
	cause   Outcome
	probing bool          // a probe is on its way
	retry   time.Duration // between probes
}

// ID is unique in the process and never used again.
func (e *Endpoint) ID() uint64 { return e.id }

// Addr gives the network ("tcp" or "unix") and the address as net.Dial wants them.
func (e *Endpoint) Addr() (network, address string) { return e.key.network, e.key.address }

// Sockaddr gives the address as connect(2) wants it. It is shared and must not be changed.
func (e *Endpoint) Sockaddr() unix.Sockaddr { return e.sockaddr }

// Usable reports whether neither checks nor live traffic hold the endpoint out
// of rotation. A group may still use one that is not: see Group.
func (e *Endpoint) Usable() bool { return !e.down.Load() && !e.ejected.Load() }

// State says how the endpoint is doing.
func (e *Endpoint) State() State {
	switch {
	case e.down.Load():
		return StateDown
	case e.ejected.Load():
		return StateEjected
	case e.badCheck.Load() || e.probation.Load() || e.failures.Load() > 0 || e.timeouts.Load() > 0 ||
		e.outraced.Load() > 0:
		return StateDegraded
	}
	return StateHealthy
}

// String gives the address as the configuration writes it.
func (e *Endpoint) String() string { return addressLabel(e.key.network, e.key.address) }

func addressLabel(network, address string) string {
	if network == "unix" {
		return "unix:" + address
	}
	return address
}

// place is an address to connect to, before it is an endpoint.
type place struct {
	network, address string
	name             string // as in endpointKey
	server           string // as configured
	sockaddr         unix.Sockaddr
}

// label is the name of the member at p.
func (p *place) label() string { return addressLabel(p.network, p.address) }

func unixPlace(a conf.Addr) place {
	return place{
		network: "unix", address: a.Path, server: a.String(),
		sockaddr: &unix.SockaddrUnix{Name: a.Path},
	}
}

func tcpPlace(a conf.Addr, ip netip.Addr, name string) place {
	ip = ip.Unmap()
	p := place{network: "tcp", address: netip.AddrPortFrom(ip, a.Port).String(), server: a.String()}
	if name != "" {
		p.name = net.JoinHostPort(name, strconv.Itoa(int(a.Port)))
	}
	if ip.Is4() {
		p.sockaddr = &unix.SockaddrInet4{Port: int(a.Port), Addr: ip.As4()}
		return p
	}
	sa := &unix.SockaddrInet6{Port: int(a.Port), Addr: ip.As16()}
	if zone := ip.Zone(); zone != "" {
		if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
			sa.ZoneId = uint32(n)
		} else if iface, err := net.InterfaceByName(zone); err == nil {
			sa.ZoneId = uint32(iface.Index)
		}
	}
	p.sockaddr = sa
	return p
}
