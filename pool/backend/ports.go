package backend

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"weir/pool/metric"
)

// portsEvery is how often the log may say that a group has no ports: each connect
// fails until connections end, and a line for each would fill the disk as well.
const portsEvery = 10 * time.Second

// portsTold is what the log has been told of one group.
type portsTold struct {
	next  atomic.Int64 // when it may be told more: Unix time in nanoseconds
	count atomic.Int64 // connects since the last line
}

// OutOfPorts reports whether err is that of a connect for which this machine had no
// local port (or address) left: EADDRNOTAVAIL of connect(2). The server has no part
// in it; another one, at another address, may still be reached. A source address
// that no interface has is another matter: that is a *SocketError.
func OutOfPorts(err error) bool {
	if _, ok := errors.AsType[*SocketError](err); ok {
		return false
	}
	return errors.Is(err, unix.EADDRNOTAVAIL)
}

// starved reports whether err says that this machine, not the peer, ran out of
// ports, descriptors or memory. A check that fails by it has learned nothing.
func starved(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return false
	}
	switch errno {
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		return true
	}
	return OutOfPorts(err)
}

// ConnectFailed takes note of an error of a connect that is Weir's own: a socket
// option, or no port left. Each is counted and, not each time, logged. Other errors,
// nil too, are nothing to it: they are reported to the member. It does not block.
func (g *Group) ConnectFailed(err error) {
	if failed, ok := errors.AsType[*SocketError](err); ok {
		g.SocketFailed(failed)
		return
	}
	if !OutOfPorts(err) {
		return
	}
	g.r.metrics.Counter(metric.BackendNoPorts, g.name).Inc()
	p := &g.ports
	p.count.Add(1)
	now := time.Now().UnixNano()
	next := p.next.Load()
	if now < next || !p.next.CompareAndSwap(next, now+int64(portsEvery)) {
		return
	}
	g.r.events.add(slog.LevelWarn, "no local port is left for connections to backends of a pool",
		"pool", g.name, "connects", p.count.Swap(0), "error", err,
		"hint", "widen net.ipv4.ip_local_port_range, or add addresses to socket.source or servers to the pool")
}
