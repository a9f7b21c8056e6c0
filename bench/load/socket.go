package load

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The sockets never block, so the scheduler need not be told of the calls.

// write is write(2); b is not empty.
func write(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])),
		uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// receive is recv(2); b is not empty. With drop the bytes are taken out of the
// socket and, where it is TCP, not copied: b says how many.
func receive(fd int, b []byte, drop bool) (int, unix.Errno) {
	flags := uintptr(0)
	if drop {
		flags = unix.MSG_TRUNC // tcp(7)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])),
		uintptr(len(b)), flags, 0, 0)
	return int(n), errno
}
