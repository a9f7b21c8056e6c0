package upstream

import "golang.org/x/sys/unix"

// tcpIsOpen reports whether the peer of a socket is there: neither FIN nor RST came.
func tcpIsOpen(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.State == 1 // ESTABLISHED
}
