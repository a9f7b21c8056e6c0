package l4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/conf"
	"weir/pool/accesslog"
	"weir/pool/limit"
	"weir/pool/metric"
)

func udpAddr(s string) conf.Addr {
	a := tcpAddr(s)
	a.Network = "udp"
	return a
}

// udpOrigin is a backend of a test: answer is called for each datagram, in their order.
func udpOrigin(t testing.TB, answer func(c *net.UDPConn, from netip.AddrPort, b []byte)) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadBuffer(4 << 20)
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				answer(c, from, b[:n])
			}
		}
	})
	t.Cleanup(func() {
		c.Close()
		wg.Wait()
	})
	return c
}

func udpEcho(c *net.UDPConn, from netip.AddrPort, b []byte) { c.WriteToUDPAddrPort(b, from) }

// udpNamed answers with its name and what it got.
func udpNamed(name string) func(c *net.UDPConn, from netip.AddrPort, b []byte) {
	return func(c *net.UDPConn, from netip.AddrPort, b []byte) {
		c.WriteToUDPAddrPort([]byte(name+" "+string(b)), from)
	}
}

// udp serves one UDP listener "t" to the pool "p" and returns its address.
func (w *world) udp(c conf.L4) string {
	w.t.Helper()
	w.serve(w.udpListener(c))
	return w.udpAddr()
}

func (w *world) udpAddr() string { return strings.TrimPrefix(w.srv.Addrs("t")[0], "udp://") }

func (w *world) udpListener(c conf.L4) Listener {
	if len(c.Listen) == 0 {
		c.Listen = []conf.Addr{udpAddr("127.0.0.1:0")}
	}
	if c.Pool == "" && len(c.Routes) == 0 {
		c.Pool = "p"
	}
	if c.UDPIdleTimeout == 0 {
		c.UDPIdleTimeout = patience
	}
	return w.l4(c)
}

func dialUDP(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

// ask sends until an answer comes: a datagram may be lost at the moment when a backend is.
func ask(t testing.TB, c *net.UDPConn, s string) string {
	t.Helper()
	b := make([]byte, 1<<16)
	for range 100 {
		send(t, c, s)
		c.SetReadDeadline(time.Now().Add(patience / 100))
		if n, err := c.Read(b); err == nil {
			return string(b[:n])
		}
	}
	t.Fatalf("no answer to %q", s)
	return ""
}

// wantDatagram reads exactly one datagram.
func wantDatagram(t testing.TB, c net.Conn, s string) {
	t.Helper()
	b := make([]byte, 1<<16)
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != s {
		t.Fatalf("read %.40q (%d bytes), %v, want %.40q (%d bytes)", b[:n], n, err, s, len(s))
	}
}

func (w *world) dropped(why drop) uint64 {
	w.srv.mu.Lock()
	defer w.srv.mu.Unlock()
	n := uint64(0)
	for _, l := range w.srv.listeners {
		for i := range l.perLoop {
			n += l.perLoop[i].udp.dropped[why].Load()
		}
	}
	return n
}

// TestUDPEveryDatagramArrives: clients on several loops send datagrams of all sizes,
// within what the socket buffers hold, and get each back whole and in order.
func TestUDPEveryDatagramArrives(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 3}, poolOf("p", udpOrigin(t, udpEcho).LocalAddr().String()))
	addr := w.udp(conf.L4{})
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			c, err := net.Dial("udp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			r := rand.New(rand.NewPCG(1, uint64(client)))
			buf := make([]byte, 1<<16)
			for round := range 40 {
				var sums [][32]byte
				for i := range 1 + r.IntN(8) {
					size := r.IntN(1500)
					switch {
					case i == 0 && round%10 == 0:
						size = 65507 - r.IntN(2)*r.IntN(30000)
					case r.IntN(5) == 0:
						size = 0
					}
					b := buf[:size]
					for j := range b {
						b[j] = byte(r.Uint32())
					}
					sums = append(sums, sha256.Sum256(b))
					if _, err := c.Write(b); err != nil {
						t.Error(err)
					}
					if size > 30000 {
						break // the send buffer of the loopback has no room for much more
					}
				}
				for i, want := range sums {
					n, err := c.Read(buf)
					if err != nil || sha256.Sum256(buf[:n]) != want {
						t.Errorf("client %d, round %d, datagram %d of %d: %d bytes, %v", client, round, i, len(sums), n, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if n := w.srv.Sessions(); n != 8 {
		t.Errorf("%d sessions, want 8", n)
	}
}

// TestUDPWildcardAnswersFromTheAddressAsked: a client that uses one of several
// addresses of this machine is answered from that one.
func TestUDPWildcardAnswersFromTheAddressAsked(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", udpOrigin(t, udpEcho).LocalAddr().String()))
	f := func(listen string, hosts ...string) {
		t.Helper()
		addr := w.udp(conf.L4{Listen: []conf.Addr{udpAddr(listen)}})
		_, port, _ := net.SplitHostPort(addr)
		for _, host := range hosts {
			c := dialUDP(t, net.JoinHostPort(host, port)) // connected: takes answers from there only
			send(t, c, host)
			wantDatagram(t, c, host)
		}
	}
	f("0.0.0.0:0", "127.0.0.1", "127.0.0.2", "127.1.2.3")
	if hasIPv6() {
		f("[::]:0", "::1")
		f(":0", "::1", "127.0.0.1", "127.0.0.3")
	}
	// One socket of a client that uses two of our addresses has two sessions.
	addr := w.udp(conf.L4{Listen: []conf.Addr{udpAddr("0.0.0.0:0")}})
	port := netip.MustParseAddrPort(addr).Port()
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
		to := netip.AddrPortFrom(netip.MustParseAddr(host), port)
		c.WriteToUDPAddrPort([]byte(host), to)
		b := make([]byte, 99)
		if n, from, err := c.ReadFromUDPAddrPort(b); err != nil || string(b[:n]) != host || from != to {
			t.Errorf("asked %v, got %q from %v, %v", to, b[:n], from, err)
		}
	}
}

// TestUDPDeadBackend: nobody is at the first server. The datagram that finds out is
// sent to the next one, and the dead one is ejected.
func TestUDPDeadBackend(t *testing.T) {
	dead := udpOrigin(t, udpEcho)
	dead.Close()
	w := newWorld(t, worldOptions{}, poolOf("p", dead.LocalAddr().String(),
		udpOrigin(t, udpNamed("alive")).LocalAddr().String()))
	addr := w.udp(conf.L4{UDPResponses: 1})
	for i := range 20 {
		c := dialUDP(t, addr)
		send(t, c, fmt.Sprint(i))
		wantDatagram(t, c, fmt.Sprint("alive ", i))
	}
	if w.reg.Group("p").Usable() != 1 {
		t.Error("the dead backend is still in use")
	}
}

// TestUDPBackendDies: a long session moves to the next server when its own is gone.
func TestUDPBackendDies(t *testing.T) {
	a, b := udpOrigin(t, udpNamed("a")), udpOrigin(t, udpNamed("b"))
	w := newWorld(t, worldOptions{}, poolOf("p", a.LocalAddr().String(), b.LocalAddr().String()))
	c := dialUDP(t, w.udp(conf.L4{}))
	first, _, _ := strings.Cut(ask(t, c, "x"), " ")
	if first == "a" {
		a.Close()
	} else {
		b.Close()
	}
	w.until("the session moves", func() bool { return !strings.HasPrefix(ask(t, c, "y"), first) })
	if n := w.srv.Sessions(); n != 1 {
		t.Errorf("%d sessions, want the one there was", n)
	}
}

// TestUDPServerComesBack: a server that only UDP reaches is used again when its time
// out is over, though a connection by TCP would still be refused. The datagrams that
// ask too early are not lost.
func TestUDPServerComesBack(t *testing.T) {
	dead := udpOrigin(t, udpEcho)
	at := dead.LocalAddr().(*net.UDPAddr)
	dead.Close()
	p := poolOf("p", at.String(), udpOrigin(t, udpNamed("other")).LocalAddr().String())
	p.Ejection.Time, p.Ejection.MaxTime = 20*time.Millisecond, 50*time.Millisecond
	w := newWorld(t, worldOptions{}, p)
	addr := w.udp(conf.L4{UDPResponses: 1})
	for range 20 {
		c := dialUDP(t, addr)
		send(t, c, "x")
		wantDatagram(t, c, "other x")
	}
	back, err := net.ListenUDP("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	got := make(chan struct{})
	go func() {
		defer close(got)
		back.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 10)
		if n, from, err := back.ReadFromUDPAddrPort(b); err == nil {
			back.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	w.until("the server is used again", func() bool {
		send(t, dialUDP(t, addr), "y")
		select {
		case <-got:
			return true
		default:
			return false
		}
	})
}

func TestUDPNoServer(t *testing.T) {
	dead := udpOrigin(t, udpEcho)
	dead.Close()
	w := newWorld(t, worldOptions{}, poolOf("p", dead.LocalAddr().String()), poolOf("none"))
	c := dialUDP(t, w.udp(conf.L4{}))
	send(t, c, "x")
	w.closed(reasonConnectFailed)
	w.serve(w.udpListener(conf.L4{Pool: "none"}))
	send(t, c, "x")
	w.closed(reasonNoServer)
	w.until("the datagram is counted", func() bool { return w.dropped(dropUnsent) == 1 })
}

// TestUDPSessionsEnd: by time, and as soon as each datagram has its answer.
func TestUDPSessionsEnd(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", udpOrigin(t, udpEcho).LocalAddr().String()))
	c := dialUDP(t, w.udp(conf.L4{UDPIdleTimeout: 50 * time.Millisecond}))
	send(t, c, "x")
	wantDatagram(t, c, "x")
	w.closed(reasonIdle)
	w.serve(w.udpListener(conf.L4{UDPResponses: 2}))
	send(t, c, "y")
	wantDatagram(t, c, "y")
	if n := w.closedCount(reasonDone); n != 0 {
		t.Error("a session ended with one answer of two")
	}
	w.serve(w.udpListener(conf.L4{UDPResponses: 1}))
	for range 3 {
		c := dialUDP(t, w.udpAddr())
		send(t, c, "z")
		wantDatagram(t, c, "z")
	}
	w.until("sessions end with their answer", func() bool { return w.closedCount(reasonDone) == 3 })
}

// TestUDPSilentBackendFails: with udp_responses a server that does not answer is
// held to have failed.
func TestUDPSilentBackendFails(t *testing.T) {
	silent := udpOrigin(t, func(*net.UDPConn, netip.AddrPort, []byte) {})
	w := newWorld(t, worldOptions{}, poolOf("p", silent.LocalAddr().String(),
		udpOrigin(t, udpEcho).LocalAddr().String()))
	addr := w.udp(conf.L4{UDPResponses: 1, UDPIdleTimeout: 20 * time.Millisecond})
	w.until("the silent server is ejected", func() bool {
		send(t, dialUDP(t, addr), "x")
		return w.reg.Group("p").Usable() == 1
	})
}

// TestUDPReloadKeepsSessions: sockets and sessions stay, whatever the new file says.
func TestUDPReloadKeepsSessions(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 3}, poolOf("one", udpOrigin(t, udpNamed("one")).LocalAddr().String()),
		poolOf("two", udpOrigin(t, udpNamed("two")).LocalAddr().String()))
	addr := w.udp(conf.L4{Pool: "one"})
	var old []*net.UDPConn
	for range 8 {
		c := dialUDP(t, addr)
		send(t, c, "x")
		wantDatagram(t, c, "one x")
		old = append(old, c)
	}
	for range 3 {
		w.serve(w.udpListener(conf.L4{Pool: "two"}))
		if got := w.udpAddr(); got != addr {
			t.Fatalf("address changed from %s to %s", addr, got)
		}
		for _, c := range old {
			send(t, c, "y")
			wantDatagram(t, c, "one y")
		}
		c := dialUDP(t, addr)
		send(t, c, "z")
		wantDatagram(t, c, "two z")
	}
	w.serve()
	w.until("a removed address ends its sessions", func() bool { return w.srv.Sessions() == 0 })
	if c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))); err != nil {
		t.Errorf("a removed address is still taken: %v", err)
	} else {
		c.Close()
	}
}

// TestUDPFindsForeignSockets: an address that someone has is an error; TCP on the same
// port is not.
func TestUDPFindsForeignSockets(t *testing.T) {
	origin := udpOrigin(t, udpEcho)
	w := newWorld(t, worldOptions{}, poolOf("p", origin.LocalAddr().String()))
	taken := udpAddr(origin.LocalAddr().String())
	if u, err := w.srv.Prepare([]Listener{w.udpListener(conf.L4{Listen: []conf.Addr{taken}})}); err == nil {
		u.Abort()
		t.Error("an address that another socket has was shared with it")
	} else if !strings.Contains(err.Error(), taken.String()) {
		t.Errorf("got %v, want the address in it", err)
	}
	tcp := w.l4(conf.L4{Name: "tcp", Pool: "p", Listen: []conf.Addr{tcpAddr(origin.LocalAddr().String())}})
	for range 10 {
		u, err := w.srv.Prepare([]Listener{tcp})
		if err == nil {
			u.Commit()
			return
		}
		// Someone has that port of TCP. Another number will do.
		tcp.Addrs[0].Port = udpOrigin(t, udpEcho).LocalAddr().(*net.UDPAddr).AddrPort().Port()
	}
	t.Error("no port that UDP has can be had for TCP")
}

func TestUDPDrain(t *testing.T) {
	asked := make(chan netip.AddrPort, 1)
	origin := udpOrigin(t, func(c *net.UDPConn, from netip.AddrPort, b []byte) {
		if string(b) == "x" {
			asked <- from
			return
		}
		c.WriteToUDPAddrPort(b, from)
	})
	w := newWorld(t, worldOptions{}, poolOf("p", origin.LocalAddr().String()))
	addr := w.udp(conf.L4{UDPResponses: 1})
	c := dialUDP(t, addr)
	send(t, c, "x")
	from := <-asked
	done := make(chan error, 1)
	go func() { done <- w.srv.Drain(shortContext(t, patience)) }()
	w.until("new clients are turned away", func() bool {
		send(t, dialUDP(t, addr), "late")
		return w.dropped(dropDraining) > 0
	})
	origin.WriteToUDPAddrPort([]byte("answer"), from)
	wantDatagram(t, c, "answer")
	if err := <-done; err != nil {
		t.Errorf("drain: %v", err)
	}
}

func TestUDPDrainHasAnEnd(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", udpOrigin(t, udpEcho).LocalAddr().String()))
	c := dialUDP(t, w.udp(conf.L4{}))
	send(t, c, "x")
	wantDatagram(t, c, "x")
	if err := w.srv.Drain(shortContext(t, 10*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain: %v, want a deadline", err)
	}
	if n := w.closedCount(reasonDrain); n != 1 {
		t.Errorf("%d sessions ended by the drain, want 1", n)
	}
}

// TestUDPFloodIsBounded: clients beyond the caps get no session, no memory and no
// answer; those with a session do not notice.
func TestUDPFloodIsBounded(t *testing.T) {
	w := newWorld(t, worldOptions{limits: limit.Limits{Max: 40}},
		poolOf("p", udpOrigin(t, udpEcho).LocalAddr().String()))
	f := func(c conf.L4, want int) {
		t.Helper()
		addr := w.udp(c)
		first := dialUDP(t, addr)
		send(t, first, "first")
		wantDatagram(t, first, "first")
		before := w.dropped(dropRefused)
		for range 100 {
			send(t, dialUDP(t, addr), "flood")
		}
		w.until("the flood is refused", func() bool { return w.dropped(dropRefused)-before == uint64(101-want) })
		if n := w.srv.Sessions(); n != want {
			t.Errorf("%d sessions, want %d", n, want)
		}
		send(t, first, "again")
		wantDatagram(t, first, "again")
		w.serve()
		w.until("sessions end", func() bool { return w.srv.Sessions() == 0 })
	}
	f(conf.L4{}, 20) // half of the process's
	f(conf.L4{MaxConns: 7}, 7)
	f(conf.L4{MaxConns: 30, MaxConnsPerSource: 3}, 3)
}

// TestUDPSyslogBurst: one sender, no answers; what the kernel took arrives.
func TestUDPSyslogBurst(t *testing.T) {
	const lines = 2000
	got := make(chan string, lines)
	w := newWorld(t, worldOptions{}, poolOf("p", udpOrigin(t, func(_ *net.UDPConn, _ netip.AddrPort, b []byte) {
		got <- string(b)
	}).LocalAddr().String()))
	c := dialUDP(t, w.udp(conf.L4{}))
	line := func(i int) string { return fmt.Sprintf("<13>Nov 23 09:00:00 host app[1]: line %d of the burst", i) }
	for i := 0; i < lines; i += 50 { // within what a default receive queue holds
		for j := range 50 {
			send(t, c, line(i+j))
		}
		for j := range 50 {
			select {
			case s := <-got:
				if s != line(i+j) {
					t.Fatalf("got %q, want %q", s, line(i+j))
				}
			case <-time.After(patience):
				t.Fatalf("line %d is lost", i+j)
			}
		}
	}
}

func TestUDPAccessLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	access, err := accesslog.Open(conf.AccessLog{Path: file, Format: "json", Buffer: 1 << 20, ClientIP: "full"},
		metric.New(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	backend := udpOrigin(t, udpNamed("answer")).LocalAddr().String()
	w := newWorld(t, worldOptions{access: access}, poolOf("p", backend))
	c := dialUDP(t, w.udp(conf.L4{UDPResponses: 1}))
	send(t, c, "12345")
	wantDatagram(t, c, "answer 12345")
	w.closed(reasonDone)
	w.srv.Close() // the record is written by then
	if err := access.Close(); err != nil {
		t.Fatal(err)
	}
	line, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(bytes.TrimSpace(line), &r); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	port := float64(c.LocalAddr().(*net.UDPAddr).Port)
	for key, want := range map[string]any{
		"kind": "l4", "listener": "t", "pool": "p", "backend": backend, "client": "127.0.0.1", "client_port": port,
		"bytes_in": 5.0, "bytes_out": 12.0, "datagrams_in": 1.0, "datagrams_out": 1.0, "reason": "done",
	} {
		if r[key] != want {
			t.Errorf("%s is %v, want %v", key, r[key], want)
		}
	}
}
