package l4

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"weir/conf"
	"weir/l4/loop"
)

// numOptions is how many options a listening socket has.
const numOptions = 9

// options are the values of listenOptions: those that clients' connections take over from
// their listening socket, and how that socket waits. The zero value is what a new socket
// has.
type options [numOptions]int

// listenOptions says how each value is set. One that is only used with another is
// not reset to 0, which the kernel would refuse.
var listenOptions = [numOptions]struct {
	key         string
	level, name int
	dependent   bool
}{
	{"tcp_nodelay", unix.IPPROTO_TCP, unix.TCP_NODELAY, false},
	{"tcp_keepalive", unix.SOL_SOCKET, unix.SO_KEEPALIVE, false},
	{"tcp_keepalive", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, true},
	{"tcp_keepalive_interval", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, true},
	{"tcp_keepalive_count", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, true},
	{"tcp_user_timeout", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, false},
	{"tcp_fast_open_queue", unix.IPPROTO_TCP, unix.TCP_FASTOPEN, false},
	{"mark", unix.SOL_SOCKET, unix.SO_MARK, false},
	{"protocol", unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, false},
}

// deferred makes the kernel hand connections over when the client has sent something, or
// after this many seconds. It is for protocols in which the client speaks first: a session
// then begins with its first bytes, which spares the loop a wake-up for each.
const deferred = 1

// newOptions gives the values for c. The kernel counts probes in whole seconds.
func newOptions(c *conf.ListenSocket) options {
	seconds := func(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
	var o options
	if c.NoDelay {
		o[0] = 1
	}
	if c.KeepAlive > 0 {
		o[1], o[2], o[3], o[4] = 1, seconds(c.KeepAlive), seconds(c.KeepAliveInterval), c.KeepAliveCount
	}
	o[5] = int(c.UserTimeout.Milliseconds())
	o[6], o[7] = c.FastOpenQueue, c.Mark
	return o
}

// apply changes fd, a TCP socket with the options before, to o.
func (o *options) apply(fd int, before *options) error {
	for i := range listenOptions {
		how := &listenOptions[i]
		if o[i] == before[i] || o[i] == 0 && how.dependent {
			continue
		}
		if err := unix.SetsockoptInt(fd, how.level, how.name, o[i]); err != nil {
			if how.key == "mark" && err == unix.EPERM {
				return fmt.Errorf("cannot set mark %d: %w (it needs the capability CAP_NET_ADMIN)", o[i], err)
			}
			return fmt.Errorf("cannot set %s: %w", how.key, err)
		}
	}
	return nil
}

// probe tries the options on a socket that is not used, so that what cannot work is
// known before it is in force.
func (o *options) probe() error {
	if o[6] > 0 {
		if err := fastOpenAllowed(); err != nil {
			return err
		}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil //nolint:nilerr // no descriptors, or no IPv4: nothing is known of the options
	}
	defer loop.CloseSocket(fd)
	return o.apply(fd, new(options))
}

// The bit of the sysctl that lets servers accept data with a SYN.
const (
	fastOpenSysctl = "/proc/sys/net/ipv4/tcp_fastopen"
	fastOpenServer = 2
)

var errFastOpen = errors.New("cannot set tcp_fast_open_queue: " +
	"the sysctl net.ipv4.tcp_fastopen forbids it, expected 2 or 3")

// fastOpenAllowed asks the system: the socket option alone would succeed and do nothing.
func fastOpenAllowed() error {
	text, err := os.ReadFile(fastOpenSysctl)
	if err != nil {
		return nil //nolint:nilerr // no such file: the option will tell
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil && n&fastOpenServer == 0 {
		return errFastOpen
	}
	return nil
}

// tune brings the listening sockets of b to o. Prepare has shown that it works; where
// it does not all the same, they stay as they were.
func (s *Server) tune(b *binding, o options) {
	if b.addr.Network == "unix" || b.options == o {
		return
	}
	for _, fd := range b.fds {
		if fd < 0 {
			continue
		}
		if err := o.apply(fd, &b.options); err != nil {
			s.log.Error("cannot change socket options of a listener", "address", b.addr.String(), "error", err)
			return
		}
	}
	b.options = o
}
