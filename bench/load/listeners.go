package load

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Listening finds the processes on this machine that listen on an address of TCP, as Run
// does for the target of a plan.
func Listening(addr netip.AddrPort) []int {
	if addr.Addr().Unmap().Is4() {
		return listeners(&unix.SockaddrInet4{Addr: addr.Addr().Unmap().As4(), Port: int(addr.Port())}, false)
	}
	return listeners(&unix.SockaddrInet6{Addr: addr.Addr().As16(), Port: int(addr.Port())}, false)
}

// listeners finds the processes on this machine that listen on the port of sa,
// this one left out. It finds none where the target runs elsewhere, or where we may
// not look.
func listeners(sa unix.Sockaddr, udp bool) []int {
	var port int
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		if sa.Addr[0] != 127 {
			return nil // the address may be ours, but it may be another machine's
		}
		port = sa.Port
	case *unix.SockaddrInet6:
		if sa.Addr != [16]byte{15: 1} {
			return nil
		}
		port = sa.Port
	default:
		return nil
	}
	sockets := map[string]bool{}
	const listen, unconnected = "0A", "07"
	tables, state := []string{"/proc/net/tcp", "/proc/net/tcp6"}, listen
	if udp {
		tables, state = []string{"/proc/net/udp", "/proc/net/udp6"}, unconnected
	}
	for _, table := range tables {
		text, err := os.ReadFile(table)
		if err == nil {
			listeningSockets(text, state, port, sockets)
		}
	}
	return owners(sockets)
}

// listeningSockets collects from a table of /proc/net what is on port and in state, in
// the form in which descriptors name it.
func listeningSockets(table []byte, state string, port int, sockets map[string]bool) {
	want := strings.ToUpper(strconv.FormatInt(int64(port)+0x10000, 16)[1:])
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) < 10 || string(f[3]) != state || !bytes.HasSuffix(f[1], []byte(":"+want)) {
			continue
		}
		sockets["socket:["+string(f[9])+"]"] = true
	}
}

// owners are the processes that hold one of the sockets.
func owners(sockets map[string]bool) (pids []int) {
	if len(sockets) == 0 {
		return nil
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join("/proc", p.Name(), "fd")
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // it is gone, or not ours to look at
		}
		if slices.ContainsFunc(fds, func(fd os.DirEntry) bool {
			name, err := os.Readlink(filepath.Join(dir, fd.Name()))
			return err == nil && sockets[name]
		}) {
			pids = append(pids, pid)
		}
	}
	return pids
}
