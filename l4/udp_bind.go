package l4

import (
	"os"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
)

// bindUDP opens a socket for each loop on the address of b. The kernel chooses among
// them by the addresses of a datagram, and chooses alike as long as the sockets stay.
func (s *Server) bindUDP(b *binding) error {
	b.udp = make([]*udpListener, len(s.shards))
	at, err := resolve(b.addr)
	if err != nil {
		return err
	}
	// As for TCP: a bind without SO_REUSEPORT tells whether someone is there. With it,
	// the kernel would choose for port 0 a port that other sockets share already.
	if b.addr.Port == 0 || !s.bound(b.addr) {
		fd, err := at.datagrams(false, &b.options)
		if err != nil {
			return err
		}
		at.setPort(loop.LocalAddr(fd).Port())
		loop.CloseSocket(fd)
	}
	for i := range b.fds {
		fd, err := at.datagrams(true, &b.options)
		if err != nil {
			return err
		}
		b.fds[i] = fd
		if i == 0 {
			b.local = loop.LocalAddr(fd)
			b.addr.Port = b.local.Port()
		}
	}
	// While the sockets came one by one, datagrams may have come to one that the kernel
	// does not choose for their client any more. They are as lost as those before the
	// first socket.
	batch := loop.NewBatch()
	for _, fd := range b.fds {
		discard(batch, fd)
	}
	return nil
}

// discardMax bounds what discard reads, so that a flood cannot hold up a reload.
const discardMax = 1024

func discard(batch *loop.Batch, fd int) {
	for range discardMax {
		if n, errno := batch.Receive(fd); errno != unix.EINTR && n < loop.BatchSize {
			return
		}
	}
}

// datagrams opens one UDP socket, alone on its address or beside others.
func (p place) datagrams(shared bool, o *options) (int, error) {
	fd, err := unix.Socket(p.family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	set := func(level, name, value int) {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, name, value))
		}
	}
	if shared {
		set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if p.family == unix.AF_INET6 {
		only := 1
		if p.dual {
			only = 0
		}
		set(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, p.sa))
	}
	if err == nil {
		err = loop.PrepareDatagrams(fd)
	}
	if err == nil {
		err = o.apply(fd, new(options))
	}
	if err != nil {
		loop.CloseSocket(fd)
		return -1, err
	}
	return fd, nil
}

// serveUDP starts to receive on the socket of loop i.
func (s *Server) serveUDP(b *binding, i int) {
	w := s.shards[i]
	w.call(func() {
		ul, err := w.listenUDP(b, b.fds[i])
		if err != nil {
			s.log.Error("cannot receive on one of the loops", "address", b.addr.String(), "loop", i, "error", err)
			loop.CloseSocket(b.fds[i])
			b.fds[i] = -1
			return
		}
		b.udp[i] = ul
	})
}

// stopUDP ends the socket of loop i, on that loop: with its last session where Weir
// drains, at once where the address was removed, since it must be free for others.
func (b *binding) stopUDP(i int, draining bool) {
	ul := b.udp[i]
	if ul == nil {
		return
	}
	b.fds[i] = -1
	if draining {
		ul.drain()
	} else {
		ul.end(reasonRemoved)
	}
}
