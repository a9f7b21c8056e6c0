package loop

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// receiveBuffer is what is asked for the receive queue of a socket that all clients
// of an address send to: a burst of some thousand short datagrams, which the kernel
// counts with all their overhead.
const receiveBuffer = 4 << 20

// WatchReads makes h responsible for fd, an open non-blocking descriptor, of which
// only reading matters. Unlike after Watch, h is called again and again as long as
// fd is readable or has an error pending, so it may take one batch at a time.
func (l *Loop) WatchReads(fd int, h Handler) error {
	l.set(fd, h)
	if err := l.p.watchReads(fd); err != nil {
		l.table[fd] = nil
		return fmt.Errorf("cannot watch descriptor: %w", err)
	}
	l.stats.Watched.Add(1)
	return nil
}

// DialDatagrams returns a UDP socket that sends to sa and takes from nobody else. It
// is not watched yet. An error leaves nothing open. sa is only read; options may be nil.
func (l *Loop) DialDatagrams(sa unix.Sockaddr, options SocketOptions) (int, error) {
	own, family := l.dialed.copyOf(sa)
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return -1, unix.EAFNOSUPPORT
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if options != nil {
		err = options.Apply(fd, family)
	}
	if err == nil {
		err = unix.Connect(fd, own)
	}
	if err != nil {
		CloseSocket(fd)
		return -1, err
	}
	return fd, nil
}

// PrepareDatagrams sets up fd, a bound UDP socket that clients send to: a long
// receive queue, and, where it is bound to every address, the word of the kernel to
// which of them a datagram came.
func PrepareDatagrams(fd int) error {
	// A shorter queue only loses more of a burst. With CAP_NET_ADMIN net.core.rmem_max,
	// which is small by default, does not count.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return fmt.Errorf("cannot read the address of a socket: %w", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		if sa.Addr == [4]byte{} {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	case *unix.SockaddrInet6:
		if sa.Addr == [16]byte{} {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot ask for the addresses that datagrams come to: %w", err)
	}
	return nil
}

// The indices of what SO_MEMINFO returns (linux/sock_diag.h).
const (
	memInfoDrops = 8
	numMemInfo   = 9
)

// Overflows says how many datagrams the kernel has dropped because the receive queue
// of fd was full, or a checksum was wrong, since the socket is there. The number is
// the kernel's and wraps around. It reports false where the kernel does not tell.
func Overflows(fd int) (uint32, bool) {
	var info [numMemInfo]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	return info[memInfoDrops], errno == 0 && size == uint32(unsafe.Sizeof(info))
}

// SendDatagram sends p, which may be empty, on a connected UDP socket. It does not block.
func SendDatagram(fd int, p []byte) unix.Errno {
	for {
		_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return errno
		}
	}
}
