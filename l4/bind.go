package l4

import (
	"net/netip"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"weir/conf"
	"weir/l4/loop"
)

// backlog is what is asked of the kernel, which cuts it to net.core.somaxconn.
const backlog = 1 << 16

// bindKey identifies an address over reloads. Port 0 is another address for each
// place where it is written.
type bindKey struct {
	addr  conf.Addr
	name  string
	index int
}

func newBindKey(name string, index int, addr conf.Addr) bindKey {
	if addr.Network != "unix" && addr.Port == 0 {
		return bindKey{addr, name, index}
	}
	return bindKey{addr: addr}
}

// binding is one address with its listening sockets: one per loop, or, for a unix
// socket, one on one of the loops.
type binding struct {
	addr      conf.Addr // with the real port
	path      string    // of a unix socket
	inode     uint64    // of path, to know it is still ours
	local     netip.AddrPort
	fds       []int // by loop, -1: none
	accept    []loop.AcceptFunc
	listeners []*loop.Listener // each touched on its loop only
	udp       []*udpListener   // the same of an address of UDP
	options   options          // of the sockets; guarded by Server.mu
	routing   atomic.Pointer[routing]
}

// localAddr is our address on a connection. Only a wildcard has to ask the kernel.
func (b *binding) localAddr(fd int) netip.AddrPort {
	if b.local.Addr().IsUnspecified() {
		return loop.LocalAddr(fd)
	}
	return b.local
}

// close closes the sockets that no loop owns.
func (b *binding) close() {
	b.unlink()
	for i, fd := range b.fds {
		if fd >= 0 {
			loop.CloseSocket(fd)
			b.fds[i] = -1
		}
	}
}

// unlink removes the file of a unix socket, unless it has been replaced.
func (b *binding) unlink() {
	if b.path == "" || b.path[0] == '@' || b.inode == 0 {
		return
	}
	if inodeOf(b.path) == b.inode {
		_ = os.Remove(b.path) // at worst a file stays, which the next start removes
	}
	b.inode = 0
}

func inodeOf(path string) uint64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Ino
}

// bind opens the sockets of addr and lets them listen. s.mu is held.
func (s *Server) bind(addr conf.Addr, o options) (*binding, error) {
	b := &binding{addr: addr, options: o, listeners: make([]*loop.Listener, len(s.shards))}
	for _, w := range s.shards {
		b.fds = append(b.fds, -1)
		b.accept = append(b.accept, func(fd int, peer netip.AddrPort) { w.take(b, fd, peer) })
	}
	var err error
	switch addr.Network {
	case "unix":
		err = s.bindUnix(b)
	case "udp":
		err = s.bindUDP(b)
	default:
		err = s.bindTCP(b)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (s *Server) bindTCP(b *binding) error {
	at, err := resolve(b.addr)
	if err != nil {
		return err
	}
	// SO_REUSEPORT lets any process of the same user share an address without a
	// word. A bind without it tells whether someone is there.
	if b.addr.Port != 0 && !s.bound(b.addr) {
		fd, err := at.listen(false, &b.options)
		if err != nil {
			return err
		}
		loop.CloseSocket(fd)
	}
	for i := range b.fds {
		fd, err := at.listen(true, &b.options)
		if err != nil {
			return err
		}
		b.fds[i] = fd
		if i == 0 {
			b.local = loop.LocalAddr(fd)
			b.addr.Port = b.local.Port()
			at.setPort(b.addr.Port)
		}
	}
	return nil
}

// bound reports whether Weir itself has a socket in the way of addr, which the new
// one replaces: moving from one interface to all of them must not fail for our own
// sockets.
func (s *Server) bound(addr conf.Addr) bool {
	for _, b := range s.bindings {
		if b.path == "" && b.addr.Network == addr.Network && b.addr.Port == addr.Port &&
			(b.addr.Host == addr.Host || everyInterface(b.addr.Host) || everyInterface(addr.Host)) {
			return true
		}
	}
	return false
}

func everyInterface(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}
