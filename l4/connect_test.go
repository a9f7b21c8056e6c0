package l4

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/conf"
	"weir/pool/metric"
)

// closedAddr is an address that refuses connections until the test ends. The port stays
// taken: a free one is given to others, the client's own connection among them.
func closedAddr(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(sa.(*unix.SockaddrInet4).Port)).String()
}

// blackHole is an address that answers no SYN: its backlog is full.
func blackHole(t *testing.T) string {
	t.Helper()
	return blackHoleAt(t, "127.0.0.1:0")
}

// blackHoleAt is the same at an address, of which port 0 means any.
func blackHoleAt(t *testing.T, addr string) string {
	t.Helper()
	at := netip.MustParseAddrPort(addr)
	var own unix.Sockaddr
	family := unix.AF_INET
	if at.Addr().Is4() {
		own = &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}
	} else {
		family, own = unix.AF_INET6, &unix.SockaddrInet6{Addr: at.Addr().As16(), Port: int(at.Port())}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, own); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Connect(c, sa)
		t.Cleanup(func() { unix.Close(c) })
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		// Of a listening socket Unacked is the length of its backlog.
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || time.Now().After(deadline) {
			t.Fatal("cannot fill the backlog", err)
		}
		if info.Unacked > 0 {
			break
		}
	}
	if sa, ok := sa.(*unix.SockaddrInet6); ok {
		return netip.AddrPortFrom(at.Addr(), uint16(sa.Port)).String()
	}
	return netip.AddrPortFrom(at.Addr(), uint16(sa.(*unix.SockaddrInet4).Port)).String()
}

func TestConnectRefusedTriesTheNext(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", closedAddr(t), closedAddr(t), origin(t, greeter("third"))))
	addr := w.simple(conf.L4{})
	for range 6 {
		c := dial(t, addr)
		want(t, c, "third\n")
		c.Close()
	}
}

func TestConnectTimeoutTriesTheNext(t *testing.T) {
	p := poolOf("p", blackHole(t), origin(t, greeter("second")))
	p.ConnectTimeout = 500 * time.Millisecond
	w := newWorld(t, worldOptions{}, p)
	addr := w.simple(conf.L4{})
	for range 3 {
		c := dial(t, addr)
		want(t, c, "second\n")
		c.Close()
	}
	if n := w.metrics.Counter(metric.L4ConnectFailures, "p", "connect_timeout").Load(); n == 0 {
		t.Error("no connect timeout was counted")
	}
}

func TestConnectAllDownResetsTheClient(t *testing.T) {
	f := func(why reason, servers ...string) {
		t.Helper()
		w := newWorld(t, worldOptions{}, poolOf("p", servers...))
		c, err := net.Dial("tcp", w.simple(conf.L4{}))
		if err == nil { // the reset may be faster than the client
			_, err = io.ReadAll(c)
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("client got %v, want a reset", err)
		}
		w.closed(why)
	}
	f(reasonConnectFailed, closedAddr(t))
	f(reasonConnectFailed, closedAddr(t), closedAddr(t), closedAddr(t))
	f(reasonConnectFailed, "unix:"+filepath.Join(t.TempDir(), "none"))
	f(reasonNoServer)
}

func TestClientGoneWhileConnecting(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", blackHole(t)))
	c := dial(t, w.simple(conf.L4{}))
	w.until("the session begins", func() bool { return w.srv.Sessions() == 1 })
	c.SetLinger(0)
	c.Close()
	w.closed(reasonClientReset)
}

// A client may send everything and end before the backend is connected.
func TestEverythingSentBeforeConnected(t *testing.T) {
	p := poolOf("p", blackHole(t), origin(t, echo))
	p.ConnectTimeout = 500 * time.Millisecond
	w := newWorld(t, worldOptions{}, p)
	addr := w.simple(conf.L4{})
	for range 2 {
		c := dial(t, addr)
		send(t, c, "early")
		c.CloseWrite()
		wantEnd(t, c, "early")
	}
}

func TestUnixSocketsOnBothSides(t *testing.T) {
	dir := t.TempDir()
	backendPath, frontPath := filepath.Join(dir, "backend"), filepath.Join(dir, "front")
	ln, err := net.Listen("unix", backendPath)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, ln, func(c net.Conn) {
		b, err := io.ReadAll(c)
		if err != nil {
			t.Error(err)
		}
		c.Write(b)
	})
	w := newWorld(t, worldOptions{}, poolOf("p", "unix:"+backendPath))
	addr := w.simple(conf.L4{Listen: []conf.Addr{{Network: "unix", Path: frontPath}}})
	if addr != "unix:"+frontPath {
		t.Errorf("address %q", addr)
	}
	text := strings.Repeat("unix ", 1<<20)
	for range 3 {
		c, err := net.Dial("unix", frontPath)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		go func() {
			io.WriteString(c, text)
			c.(*net.UnixConn).CloseWrite()
		}()
		wantEnd(t, c, text)
		c.Close()
	}
}
