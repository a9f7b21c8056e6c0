package torture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// A port is reserved for the length of a run by a socket that is bound to it and
// does not listen. While nobody listens, connects are refused, and the kernel gives
// the number to nobody else, not to an outgoing connection either.
type port struct {
	fd   int
	addr string
}

func reservePort() (*port, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot reserve a port: %w", err)
	}
	p := &port{fd: fd}
	if err := p.bind(); err != nil {
		p.close()
		return nil, fmt.Errorf("cannot reserve a port: %w", err)
	}
	return p, nil
}

func (p *port) bind() error {
	err := errors.Join(
		unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(p.fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
	)
	if err != nil {
		return err
	}
	name, err := unix.Getsockname(p.fd)
	if err != nil {
		return err
	}
	in4, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return fmt.Errorf("a name of type %T", name)
	}
	p.addr = fmt.Sprintf("127.0.0.1:%d", in4.Port)
	return nil
}

// listen listens on the port; any number of times one after another.
func (p *port) listen() (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}); e != nil {
			return e
		}
		return err
	}}
	return lc.Listen(context.Background(), "tcp", p.addr)
}

func (p *port) close() { _ = unix.Close(p.fd) }

// A hole is an address that swallows connection attempts: its accept queue is full,
// so the kernel drops further SYNs, as a dead host does.
type hole struct {
	*port
	fill []int
}

func newHole() (*hole, error) {
	p, err := reservePort()
	if err != nil {
		return nil, err
	}
	h := &hole{port: p}
	if err := unix.Listen(p.fd, 0); err != nil {
		h.close()
		return nil, fmt.Errorf("cannot listen on %s: %w", p.addr, err)
	}
	name, err := unix.Getsockname(p.fd)
	for range 4 {
		fd, e := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err = errors.Join(err, e); err != nil {
			h.close()
			return nil, fmt.Errorf("cannot fill the queue of %s: %w", p.addr, err)
		}
		h.fill = append(h.fill, fd)
		_ = unix.Connect(fd, name) // in progress, or queued: both fill
	}
	return h, nil
}

func (h *hole) close() {
	for _, fd := range h.fill {
		_ = unix.Close(fd)
	}
	h.port.close()
}

// freePorts returns addresses that nobody listens on now.
func freePorts(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("cannot find a free port: %w", err)
		}
		defer l.Close() //nolint:errcheck,gocritic // all are held until the last one is found
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
