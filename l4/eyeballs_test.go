package l4

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"weir/conf"
	"weir/pool/backend"
	"weir/pool/metric"
)

// dualNames is a name server that knows every name as 127.0.0.1 and ::1.
func dualNames(t testing.TB) conf.DNS {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			pc.WriteTo(dualAnswer(b[:n]), from)
		}
	}()
	t.Cleanup(func() {
		pc.Close()
		<-done
	})
	return conf.DNS{Servers: []conf.Addr{tcpAddr(pc.LocalAddr().String())}, Timeout: patience, MinTTL: time.Hour, MaxTTL: time.Hour}
}

func dualAnswer(query []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.Additionals = true, nil
	q := m.Questions[0]
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 3600}
	switch q.Type {
	case dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
	case dnsmessage.TypeAAAA:
		m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AAAAResource{AAAA: netip.IPv6Loopback().As16()}}}
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// dualServer is a server of which one family is a black hole, and the member's name
// of that. serve answers on the other one; nil: that is a black hole as well.
func dualServer(t *testing.T, hole string, serve func(*net.TCPConn)) (server conf.Server, dead string) {
	t.Helper()
	other := map[string]string{"127.0.0.1": "::1", "::1": "127.0.0.1"}[hole]
	free := dualPort(t)
	if serve == nil {
		blackHoleAt(t, net.JoinHostPort(other, free))
	} else {
		ln, err := net.Listen("tcp", net.JoinHostPort(other, free))
		if err != nil {
			t.Fatal(err)
		}
		serveOn(t, ln, func(c net.Conn) { serve(c.(*net.TCPConn)) })
	}
	dead = blackHoleAt(t, net.JoinHostPort(hole, free))
	return conf.Server{Addr: tcpAddr("dual.test:" + port(dead)), Weight: 1}, dead
}

// dualPort is a port that is free in both families, and below those that the kernel
// gives to clients, so that it stays so.
func dualPort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(10_240 + rand.IntN(20_000))
		v4, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		v6, err := net.Listen("tcp", "[::1]:"+port)
		v4.Close()
		if err == nil {
			v6.Close()
			return port
		}
	}
	t.Fatal("no port is free in both families")
	return ""
}

func port(addr string) string { return strconv.Itoa(int(netip.MustParseAddrPort(addr).Port())) }

// dualPool is a pool of one name whose connects must not have to time out.
func dualPool(server conf.Server) conf.Pool {
	p := poolOf("p")
	p.Servers = []conf.Server{server}
	return p
}

func (w *world) outraced() uint64 {
	return w.metrics.Counter(metric.L4ConnectFailures, "p", "outraced").Load()
}

// A family that swallows packets costs three sessions a moment, and later ones nothing.
func TestDualStackBlackHole(t *testing.T) {
	f := func(hole string) {
		t.Helper()
		server, dead := dualServer(t, hole, greeter("here"))
		w := newWorld(t, worldOptions{dns: dualNames(t)}, dualPool(server))
		addr := w.simple(conf.L4{})
		ejected := w.metrics.Counter(metric.BackendEjections, "p", dead, "outraced")
		for n := 0; ejected.Load() == 0; n++ {
			if n > 20 {
				t.Fatalf("%s: not ejected after %d sessions, %d of them late", hole, n, w.outraced())
			}
			c := dial(t, addr)
			want(t, c, "here\n")
			c.Close()
		}
		for range 6 {
			c := dial(t, addr)
			want(t, c, "here\n")
			c.Close()
		}
		if n := w.outraced(); n != 3 {
			t.Errorf("%s: %d sessions met the black hole, want 3", hole, n)
		}
		if n := w.metrics.Counter(metric.L4ConnectFailures, "p", "connect_timeout").Load(); n != 0 {
			t.Errorf("%s: %d connects timed out, want none", hole, n)
		}
	}
	f("::1")
	f("127.0.0.1")
}

// Where both families are silent, each has its connect timeout, and both count.
func TestDualStackBothSilent(t *testing.T) {
	server, _ := dualServer(t, "::1", nil)
	p := dualPool(server)
	p.ConnectTimeout = 600 * time.Millisecond
	w := newWorld(t, worldOptions{dns: dualNames(t)}, p)
	c := dial(t, w.simple(conf.L4{}))
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client got %v, want a reset", err)
	}
	w.closed(reasonConnectFailed)
	if n := w.metrics.Counter(metric.L4ConnectFailures, "p", "connect_timeout").Load(); n != 2 {
		t.Errorf("%d connects timed out, want 2", n)
	}
}

// connect_total and connect_tries bound both connects together.
func TestDualStackLimits(t *testing.T) {
	f := func(timeouts uint64, change func(*conf.Pool)) {
		t.Helper()
		server, _ := dualServer(t, "::1", nil)
		p := dualPool(server)
		change(&p)
		w := newWorld(t, worldOptions{dns: dualNames(t)}, p)
		c := dial(t, w.simple(conf.L4{}))
		if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("client got %v, want a reset", err)
		}
		w.closed(reasonConnectFailed)
		if n := w.metrics.Counter(metric.L4ConnectFailures, "p", "connect_timeout").Load(); n != timeouts {
			t.Errorf("%d connects timed out, want %d", n, timeouts)
		}
	}
	f(2, func(p *conf.Pool) { p.ConnectTotal = 600 * time.Millisecond })
	f(1, func(p *conf.Pool) { p.ConnectTries, p.ConnectTimeout = 1, 600*time.Millisecond })
}

// Both connects hold a slot, and give it back when the client goes or the server is lost.
func TestDualStackCancel(t *testing.T) {
	server, _ := dualServer(t, "::1", nil)
	w := newWorld(t, worldOptions{dns: dualNames(t)}, dualPool(server))
	c := dial(t, w.simple(conf.L4{}))
	w.until("both connects go on", func() bool {
		m := w.reg.Group("p").Members()
		return m[0].InFlight() == 1 && m[1].InFlight() == 1
	})
	c.SetLinger(0)
	c.Close()
	w.closed(reasonClientReset)
}

// A server that its pool loses ends the connect to it, and the session only with the last.
func TestDualStackLost(t *testing.T) {
	f := func(order ...int) {
		t.Helper()
		server, _ := dualServer(t, "::1", nil)
		w := newWorld(t, worldOptions{dns: dualNames(t)}, dualPool(server))
		dial(t, w.simple(conf.L4{}))
		m := w.reg.Group("p").Members()
		w.until("both connects go on", func() bool { return m[0].InFlight() == 1 && m[1].InFlight() == 1 })
		for i, lost := range order {
			w.srv.CloseLost(backend.Lost{Pool: "p", Backend: m[lost].Name(), Why: backend.LossRemoved})
			w.until("the connect has ended", func() bool { return m[lost].InFlight() == 0 })
			if n := w.srv.Sessions(); i == 0 && n != 1 {
				t.Errorf("order %v: %d sessions, want the one", order, n)
			}
		}
		w.closed(reasonBackendRemoved)
	}
	f(0, 1)
	f(1, 0)
}

// A member without a free slot is no second way; the session has what it has.
func TestDualStackFull(t *testing.T) {
	server, dead := dualServer(t, "::1", greeter("here"))
	server.MaxConns = 1
	p := dualPool(server)
	p.ConnectTimeout, p.Queue, p.QueueTimeout = 600*time.Millisecond, 10, patience
	w := newWorld(t, worldOptions{dns: dualNames(t)}, p)
	addr := w.simple(conf.L4{})
	first := dial(t, addr)
	want(t, first, "here\n")
	second := dial(t, addr)
	w.until("the second session is in the black hole", func() bool {
		m := w.reg.Group("p").Member(dead)
		return m.InFlight() == 1
	})
	first.Close()
	want(t, second, "here\n")
}
