package l4

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/conf"
	"weir/l4/loop"
	"weir/pool/backend"
	"weir/pool/metric"
)

// option reads one option of a TCP connection.
func option(t *testing.T, fd, level, name int) int {
	t.Helper()
	n, err := unix.GetsockoptInt(fd, level, name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// accepted serves l, which hands its connections over, and returns the next one.
func (w *world) accepted(handed chan loop.Handover) loop.Handover {
	w.t.Helper()
	dial(w.t, w.srv.Addrs("web")[0])
	select {
	case h := <-handed:
		return h
	case <-time.After(patience):
		w.t.Fatal("no connection was handed over")
		return loop.Handover{}
	}
}

// Clients' connections have the options of their listener, before and after a reload.
func TestListenerOptions(t *testing.T) {
	handed := make(chan loop.Handover, 1)
	w := newWorld(t, worldOptions{handOver: func(_ string, h loop.Handover) { handed <- h }})
	f := func(c conf.ListenSocket, want map[[2]int]int) {
		t.Helper()
		w.serve(Listener{Name: "web", Addrs: []conf.Addr{tcpAddr("127.0.0.1:0")}, L7: "web", Socket: c})
		h := w.accepted(handed)
		defer h.Ticket.Release()
		defer loop.CloseSocket(h.FD)
		for o, want := range want {
			if got := option(t, h.FD, o[0], o[1]); got != want {
				t.Errorf("option %d of level %d is %d, want %d", o[1], o[0], got, want)
			}
		}
	}
	f(conf.ListenSocket{
		NoDelay: true, KeepAlive: 29500 * time.Millisecond, KeepAliveInterval: 7 * time.Second, KeepAliveCount: 3,
		UserTimeout: 20 * time.Second,
	}, map[[2]int]int{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY}:      1,
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE}:      1,
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}:     30,
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}:    7,
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}:      3,
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}: 20000,
	})
	f(conf.ListenSocket{}, map[[2]int]int{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY}:      0,
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE}:      0,
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}: 0,
	})
}

// TestSilentClientsOfTLS are left to the kernel at first, and end all the same.
func TestSilentClientsOfTLS(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin(t, echo)))
	addr := w.simple(conf.L4{Protocol: "tls", SniffTimeout: 50 * time.Millisecond})
	silent := dial(t, addr)
	if n := w.srv.Sessions(); n != 0 {
		t.Errorf("%d sessions before the first byte", n)
	}
	if _, err := silent.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a silent client gets %v", err)
	}
}

// An option that cannot be is refused with its name, and nothing changes.
func TestListenerOptionRefused(t *testing.T) {
	w := newWorld(t, worldOptions{})
	o := options{3: 1 << 20}
	if err := o.probe(); err == nil || !strings.Contains(err.Error(), "tcp_keepalive_interval") {
		t.Fatalf("got %v", err)
	}
	l := Listener{
		Name: "web", Addrs: []conf.Addr{tcpAddr("127.0.0.1:0")}, L7: "web",
		Socket: conf.ListenSocket{KeepAlive: time.Hour, KeepAliveCount: 1000},
	}
	if _, err := w.srv.Prepare([]Listener{l}); err == nil || !strings.Contains(err.Error(), `listener "web"`) {
		t.Fatalf("got %v", err)
	}
}

// The options of a pool are those of the connections to its servers, and the source
// address is what servers see.
func TestBackendOptions(t *testing.T) {
	from := make(chan string, 1)
	server := origin(t, func(c *net.TCPConn) {
		from <- c.RemoteAddr().(*net.TCPAddr).IP.String()
		echo(c)
	})
	p := poolOf("p", server)
	p.Socket = conf.PoolSocket{
		NoDelay: true, KeepAlive: time.Minute, KeepAliveInterval: 5 * time.Second, KeepAliveCount: 3,
		UserTimeout: 20 * time.Second, Source: []string{"127.0.0.9"},
	}
	w := newWorld(t, worldOptions{loops: 1}, p)
	c := dial(t, w.simple(conf.L4{}))
	send(t, c, "ping")
	want(t, c, "ping")
	if got := <-from; got != "127.0.0.9" {
		t.Errorf("the server was connected to from %s", got)
	}
	sh := w.srv.shards[0]
	for until, old := time.Now().Add(20*time.Second), false; !old; time.Sleep(10 * time.Millisecond) {
		sh.call(func() { old = sh.first.probed }) // keepalive is for those that are not over at once
		if time.Now().After(until) {
			t.Fatal("the session got no keepalive")
		}
	}
	sh.call(func() {
		fd := sh.first.server.fd
		for _, o := range [][3]int{
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 60},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
			{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 20000},
		} {
			if n, err := unix.GetsockoptInt(fd, o[0], o[1]); err != nil || n != o[2] {
				t.Errorf("option %d of level %d is %d, %v, want %d", o[1], o[0], n, err, o[2])
			}
		}
	})
}

// Many connections from one source address share its ports between servers: the
// kernel chooses the port at the connect.
func TestSourceLeavesThePortToConnect(t *testing.T) {
	p := poolOf("p", origin(t, echo))
	p.Socket.Source = []string{"127.0.0.9"}
	w := newWorld(t, worldOptions{}, p)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := w.reg.Group("p").Socket().Apply(fd, unix.AF_INET); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil || sa.(*unix.SockaddrInet4).Port != 0 {
		t.Fatalf("bound to %+v, %v, want no port yet", sa, err)
	}
}

// A pool whose options cannot be is refused before anything changes.
func TestBackendOptionRefused(t *testing.T) {
	f := func(c conf.PoolSocket, wants ...string) {
		t.Helper()
		r := backend.New(backend.Options{})
		defer r.Close()
		p := poolOf("p", "127.0.0.1:1")
		p.Socket = c
		_, err := r.Prepare(t.Context(), []conf.Pool{p}, conf.DNS{})
		if err == nil {
			t.Fatal("no error")
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	}
	f(conf.PoolSocket{Source: []string{"192.0.2.1"}}, `pool "p"`, "source", "no interface of this machine")
	f(conf.PoolSocket{KeepAlive: time.Minute, KeepAliveInterval: time.Second, KeepAliveCount: 1000}, "tcp_keepalive_count")
}

// unprivileged runs f without the capability to administer the network.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var caps [2]unix.CapUserData
		err := unix.Capget(&head, &caps[0])
		if err == nil {
			caps[0].Effective &^= 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW // either will do since Linux 5.17
			err = unix.Capset(&head, &caps[0])
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A mark needs a capability, and the error says which.
func TestMarkNeedsTheCapability(t *testing.T) {
	w := newWorld(t, worldOptions{})
	r := backend.New(backend.Options{})
	defer r.Close()
	p := poolOf("p", "127.0.0.1:1")
	p.Socket.Mark = 7
	l := Listener{Name: "web", Addrs: []conf.Addr{tcpAddr("127.0.0.1:0")}, L7: "web", Socket: conf.ListenSocket{Mark: 7}}
	unprivileged(t, func() {
		if _, err := r.Prepare(t.Context(), []conf.Pool{p}, conf.DNS{}); err == nil ||
			!strings.Contains(err.Error(), `pool "p": cannot set mark of a socket`) ||
			!strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("got %v", err)
		}
		if _, err := w.srv.Prepare([]Listener{l}); err == nil ||
			!strings.Contains(err.Error(), `listener "web": cannot set mark 7`) ||
			!strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("got %v", err)
		}
	})
}

// An option that stops working after the start is counted, and logged once.
func TestBackendOptionLost(t *testing.T) {
	p := poolOf("p", origin(t, echo))
	w := newWorld(t, worldOptions{}, p)
	g := w.reg.Group("p")
	for range 3 {
		g.SocketFailed(&backend.SocketError{Key: "source", Err: unix.EADDRNOTAVAIL})
	}
	if n := w.metrics.Counter(metric.BackendSocketFailures, "p", "source").Load(); n != 3 {
		t.Errorf("counted %d, want 3", n)
	}
	w.until("it is logged", func() bool { return strings.Contains(w.log.String(), "no interface of this machine") })
	if n := strings.Count(w.log.String(), "no interface of this machine"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
