package backend

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"weir/conf"
)

// Socket are the options of the sockets that lead to the members of a group. It is
// immutable and may be used by any goroutine; a nil Socket sets nothing.
type Socket struct {
	noDelay bool
	general []sockopt              // of TCP and what is below
	probes  []sockopt              // keepalive
	source4 *unix.RawSockaddrInet4 // nil: the kernel chooses
	source6 *unix.RawSockaddrInet6
	way     *Socket // source and mark alone
	brief   *Socket // all but probes
}

// sockopt is one call of setsockopt(2).
type sockopt struct {
	key                string // in the configuration
	level, name, value int
}

// SocketError says which key of [pool.NAME.socket] a socket could not have. The
// backend has no part in it.
type SocketError struct {
	Key string
	Err error
}

// Error implements error.
func (e *SocketError) Error() string {
	text := fmt.Sprintf("cannot set %s of a socket: %v", e.Key, e.Err)
	switch {
	case e.Key == "mark" && errors.Is(e.Err, unix.EPERM):
		text += " (it needs the capability CAP_NET_ADMIN)"
	case e.Key == "source" && errors.Is(e.Err, unix.EADDRNOTAVAIL):
		text += " (no interface of this machine has the address)"
	case e.Key == "tcp_fast_open" && errors.Is(e.Err, unix.EOPNOTSUPP):
		text += " (the sysctl net.ipv4.tcp_fastopen forbids it)"
	}
	return text
}

// Unwrap gives the error of the kernel.
func (e *SocketError) Unwrap() error { return e.Err }

// newSocket prepares the options of c, whose addresses are valid.
func newSocket(c *conf.PoolSocket) *Socket {
	s := &Socket{noDelay: c.NoDelay, way: checkSocket(c)}
	add := func(key string, level, name, value int) {
		s.general = append(s.general, sockopt{key, level, name, value})
	}
	if c.NoDelay {
		add("tcp_nodelay", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if c.KeepAlive > 0 {
		s.probes = []sockopt{
			{"tcp_keepalive", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, wholeSeconds(c.KeepAlive)},
			{"tcp_keepalive_interval", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, wholeSeconds(c.KeepAliveInterval)},
			{"tcp_keepalive_count", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, c.KeepAliveCount},
			{"tcp_keepalive", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		}
	}
	if c.UserTimeout > 0 {
		add("tcp_user_timeout", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(max(c.UserTimeout.Milliseconds(), 1)))
	}
	if c.FastOpen {
		add("tcp_fast_open", unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1)
	}
	s.add(c)
	brief := *s
	brief.probes = nil
	s.brief = &brief
	return s
}

// checkSocket are the options of c that decide which way a connection takes: all
// that a check needs to see what traffic sees. It is nil where there are none.
func checkSocket(c *conf.PoolSocket) *Socket {
	if c.Mark == 0 && len(c.Source) == 0 {
		return nil
	}
	s := new(Socket)
	s.add(c)
	return s
}

// add takes over what decides the way of a connection.
func (s *Socket) add(c *conf.PoolSocket) {
	if c.Mark != 0 {
		s.general = append(s.general, sockopt{"mark", unix.SOL_SOCKET, unix.SO_MARK, c.Mark})
	}
	for _, text := range c.Source {
		ip, err := netip.ParseAddr(text)
		switch {
		case err != nil:
		case ip.Is4():
			s.source4 = &unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: ip.As4()}
		default:
			s.source6 = &unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: ip.As16()}
		}
	}
}

// wayKey names what checkSocket keeps, for telling endpoints apart.
func wayKey(c *conf.PoolSocket) string {
	if c.Mark == 0 && len(c.Source) == 0 {
		return ""
	}
	return fmt.Sprint(c.Mark, " ", strings.Join(c.Source, " "))
}

// wholeSeconds rounds up to what the kernel takes.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// Datagrams are those of the options that UDP sockets have too: source and mark.
func (s *Socket) Datagrams() *Socket { return s.way }

// Brief are the options without those of keepalive, which are four calls that a
// connection of a second has no use for: see Probe. Nil for nil.
func (s *Socket) Brief() *Socket {
	if s == nil || s.brief == nil {
		return s
	}
	return s.brief
}

// Probe turns keepalive on where it is wanted, on fd, a TCP socket that Brief was applied
// to. The times count from what was received last, not from this call.
func (s *Socket) Probe(fd int) error {
	if s == nil {
		return nil
	}
	return set(fd, s.probes)
}

// set sets options.
func set(fd int, options []sockopt) error {
	for i := range options {
		o := &options[i]
		value := int32(o.value)
		// Nothing here waits, so the scheduler need not know of it, as package unix tells it.
		_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(o.level), uintptr(o.name),
			uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
		if errno != 0 {
			return &SocketError{o.key, errno}
		}
	}
	return nil
}

// NoDelay reports whether TCP_NODELAY is wanted. It is for callers whose library
// sets it on its own.
func (s *Socket) NoDelay() bool { return s != nil && s.noDelay }

// Apply sets the options on fd, a socket of family that is neither bound nor
// connected. On sockets of other families than IPv4 and IPv6 it does nothing. An
// error is a *SocketError. It does not allocate unless it fails.
func (s *Socket) Apply(fd, family int) error {
	if s == nil || family != unix.AF_INET && family != unix.AF_INET6 {
		return nil
	}
	if err := set(fd, s.general); err != nil {
		return err
	}
	if err := set(fd, s.probes); err != nil {
		return err
	}
	switch {
	case family == unix.AF_INET && s.source4 != nil:
		return bindSource(fd, unsafe.Pointer(s.source4), unix.SizeofSockaddrInet4)
	case family == unix.AF_INET6 && s.source6 != nil:
		return bindSource(fd, unsafe.Pointer(s.source6), unix.SizeofSockaddrInet6)
	}
	return nil
}

// bindSource leaves the choice of a port to connect(2), which knows the peer and may
// give one port to connections to different peers. The bind of package unix would
// allocate, and write into an address that loops share.
func bindSource(fd int, source unsafe.Pointer, size uintptr) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return &SocketError{"source", err}
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(source), size); errno != 0 {
		return &SocketError{"source", errno}
	}
	return nil
}

// Control is Apply in the form of [net.Dialer]'s Control.
func (s *Socket) Control(network, _ string, c syscall.RawConn) error {
	family := unix.AF_UNSPEC
	switch network {
	case "tcp4":
		family = unix.AF_INET
	case "tcp6":
		family = unix.AF_INET6
	}
	var failed error
	if err := c.Control(func(fd uintptr) { failed = s.Apply(int(fd), family) }); err != nil {
		return err
	}
	return failed
}

// probe tries the options on sockets of the families that the servers of p have, so
// that what cannot work is known before it is in force.
func (s *Socket) probe(p *conf.Pool) error {
	v4, v6 := false, false
	for i := range p.Servers {
		a := &p.Servers[i].Addr
		ip, err := netip.ParseAddr(a.Host)
		switch {
		case a.Network == "unix":
		case err != nil: // a name: what it resolves to may change
			v4, v6 = true, v6 || s.source6 != nil
		case ip.Unmap().Is4():
			v4 = true
		default:
			v6 = true
		}
	}
	var errs []error
	if v4 {
		errs = append(errs, s.probeFamily(unix.AF_INET))
	}
	if v6 {
		errs = append(errs, s.probeFamily(unix.AF_INET6))
	}
	return errors.Join(errs...)
}

func (s *Socket) probeFamily(family int) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // no such family, or no descriptors: nothing is known of the options
	}
	err = s.Apply(fd, family)
	_ = unix.Close(fd) // nothing was done with it
	return err
}
