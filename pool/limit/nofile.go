package limit

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Descriptors that no connection may take: listeners, epoll and timer
// descriptors of the loops, logs, the admin side, health checks, certificates
// and configuration read at a reload. One in sixteen, within these bounds.
const (
	minReserve = 24
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
// and never more than configured where that is not zero. It is at least one.
func Budget(nofile, configured int) int {
	reserve := min(max(nofile/16, minReserve), maxReserve)
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
