package limit

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Descriptors that no connection may take: logs, the admin side, health checks,
// name servers, certificates and configuration read at a reload. One in sixteen,
// within these bounds.
const (
	minReserve = 16
	maxReserve = 1024
)

// fdsPerConn is what one proxied connection costs: the client's descriptor and the backend's.
const fdsPerConn = 2

// maxConns bounds what is derived where descriptors are practically without limit.
const maxConns = 1 << 24

// RaiseNoFile raises the soft limit of open descriptors to the hard one and
// returns the limit that then holds.
func RaiseNoFile() (int, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	if r.Cur < r.Max {
		raised := unix.Rlimit{Cur: r.Max, Max: r.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
			err = fmt.Errorf("cannot raise the limit of open files from %d to %d: %w", r.Cur, r.Max, err)
			return clampInt(r.Cur), err
		}
		r.Cur = r.Max
	}
	return clampInt(r.Cur), nil
}

// Budget returns how many client connections nofile descriptors are enough for,
// when fixed of them are in use all the time (listening sockets, event queues) and
// each connection has one at a backend as well. It is never more than configured
// where that is not zero, and at least one.
func Budget(nofile, fixed, configured int) int {
	reserve := fixed + min(max(nofile/16, minReserve), maxReserve)
	n := min(max((nofile-reserve)/fdsPerConn, 1), maxConns)
	if configured > 0 {
		n = min(n, configured)
	}
	return n
}

func clampInt(n uint64) int {
	const most = 1<<31 - 1
	return int(min(n, most))
}
