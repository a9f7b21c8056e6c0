package l4

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"weir/conf"
	"weir/l4/loop"
)

// resolveTimeout bounds the lookup of a listening address that is given by name.
const resolveTimeout = 5 * time.Second

// place is where a TCP socket is to listen.
type place struct {
	sa     unix.Sockaddr
	family int
	dual   bool // IPv4 as well, on an IPv6 socket
}

// resolve turns a configured address into one of the kernel. No host means every
// interface, by IPv6 and IPv4, or by IPv4 alone on a machine without IPv6.
func resolve(addr conf.Addr) (place, error) {
	port := int(addr.Port)
	if addr.Host == "" {
		if hasIPv6() {
			return place{&unix.SockaddrInet6{Port: port}, unix.AF_INET6, true}, nil
		}
		return place{&unix.SockaddrInet4{Port: port}, unix.AF_INET, false}, nil
	}
	ip, err := netip.ParseAddr(addr.Host)
	if err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), resolveTimeout)
		defer cancel()
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", addr.Host)
		if err != nil {
			return place{}, err
		}
		if len(ips) == 0 {
			return place{}, fmt.Errorf("no address for %q", addr.Host)
		}
		ip = ips[0]
	}
	if ip = ip.Unmap(); ip.Is4() {
		return place{&unix.SockaddrInet4{Port: port, Addr: ip.As4()}, unix.AF_INET, false}, nil
	}
	zone, err := zoneID(ip.Zone())
	if err != nil {
		return place{}, err
	}
	return place{&unix.SockaddrInet6{Port: port, Addr: ip.As16(), ZoneId: zone}, unix.AF_INET6, false}, nil
}

func hasIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	loop.CloseSocket(fd)
	return true
}

// zoneID is the number of the interface in a link-local address like fe80::1%eth0.
func zoneID(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("unknown zone %q: %w", zone, err)
	}
	return uint32(i.Index), nil
}

func (p place) setPort(port uint16) {
	switch sa := p.sa.(type) {
	case *unix.SockaddrInet4:
		sa.Port = int(port)
	case *unix.SockaddrInet6:
		sa.Port = int(port)
	}
}

// listen opens one listening socket, alone on its address or beside others, with
// options that clients' connections take over.
func (p place) listen(shared bool, clients *options) (int, error) {
	type option struct{ level, name, value int }
	own := []option{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
	}
	if shared {
		own = append(own, option{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1})
	}
	if p.family == unix.AF_INET6 {
		only := 1
		if p.dual {
			only = 0
		}
		own = append(own, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only})
	}
	fd, err := unix.Socket(p.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	for _, o := range own {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, o.level, o.name, o.value))
		}
	}
	if err == nil {
		err = clients.apply(fd, new(options))
	}
	return listenOn(fd, p.sa, err)
}

// listenOn binds fd and listens, or closes it where that, or what came before, failed.
func listenOn(fd int, sa unix.Sockaddr, err error) (int, error) {
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, sa))
	}
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}
	if err != nil {
		loop.CloseSocket(fd)
		return -1, err
	}
	return fd, nil
}

// bindUnix opens the socket of a unix address on the loop whose turn it is. A file
// that a dead process left behind is replaced; one that someone serves is an error.
func (s *Server) bindUnix(b *binding) error {
	b.path = b.addr.Path
	fd, err := listenUnix(b.path)
	if errors.Is(err, unix.EADDRINUSE) && b.path[0] != '@' && abandoned(b.path) {
		if err = os.Remove(b.path); err == nil {
			fd, err = listenUnix(b.path)
		}
	}
	if err != nil {
		return err
	}
	b.inode = inodeOf(b.path)
	b.fds[s.nextUnix%len(s.shards)] = fd
	s.nextUnix++
	return nil
}

func listenUnix(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	return listenOn(fd, &unix.SockaddrUnix{Name: path}, nil)
}

// abandoned reports whether path is a socket that no one listens on.
func abandoned(path string) bool {
	if st, err := os.Lstat(path); err != nil || st.Mode()&os.ModeSocket == 0 {
		return false
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer loop.CloseSocket(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) == unix.ECONNREFUSED
}
