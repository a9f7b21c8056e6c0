package l4

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"weir/conf"
	"weir/pool/backend"
	"weir/pool/limit"
)

// openedUDP is a client whose session relays.
func openedUDP(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	c := dialUDP(t, addr)
	send(t, c, "hello")
	wantDatagram(t, c, "hello")
	return c
}

// Sessions of UDP are listed among those of TCP, in the order of their ids, and end
// one by one and by filter.
func TestUDPListAndEnd(t *testing.T) {
	a, b := origin(t, echo), udpOrigin(t, udpEcho).LocalAddr().String()
	w := newWorld(t, worldOptions{loops: 2}, poolOf("a", a), poolOf("b", b))
	udp := w.udpListener(conf.L4{Name: "u", Pool: "b"})
	w.serve(w.l4(conf.L4{Name: "s", Pool: "a"}), udp)
	addr := strings.TrimPrefix(w.srv.Addrs("u")[0], "udp://")
	var udps []*net.UDPConn
	for range 10 {
		opened(t, w.srv.Addrs("s")[0])
		udps = append(udps, openedUDP(t, addr))
	}
	all := w.list(Filter{}, 3)
	last, byNetwork := ^uint64(0), map[string]int{}
	for _, x := range all {
		if x.ID >= last {
			t.Errorf("session %d comes after %d", x.ID, last)
		}
		last = x.ID
		byNetwork[x.Network]++
	}
	if byNetwork["tcp"] != 10 || byNetwork["udp"] != 10 {
		t.Errorf("listed are %v, want 10 of each", byNetwork)
	}
	self := netip.MustParseAddrPort(udps[3].LocalAddr().String())
	var x Session
	for _, x = range w.list(Filter{Listener: "u", Pool: "b", Backend: b, Client: netip.PrefixFrom(self.Addr(), 32)}, 100) {
		if x.Client == self {
			break
		}
	}
	if x.Client != self || x.State != "relaying" || x.BytesIn != 5 || x.BytesOut != 5 || x.Age <= 0 || x.Start.IsZero() {
		t.Errorf("a session is shown as %+v", x)
	}
	if n := len(w.list(Filter{Listener: "u", MinAge: time.Hour}, 10)); n != 0 {
		t.Errorf("%d sessions are an hour old", n)
	}
	if n := w.end(Filter{ID: x.ID}); n != 1 {
		t.Errorf("%d sessions ended, want 1", n)
	}
	if n := w.end(Filter{ID: x.ID}); n != 0 {
		t.Errorf("%d sessions ended a second time", n)
	}
	send(t, udps[3], "anew") // its client begins another one
	wantDatagram(t, udps[3], "anew")
	if n := w.end(Filter{Listener: "u"}); n != 10 {
		t.Errorf("%d sessions ended, want 10", n)
	}
	if n, left := w.closedCount(reasonAdmin), w.srv.Sessions(); n != 11 || left != 10 {
		t.Errorf("%d closed for the administrator, want 11; %d left, want 10", n, left)
	}
}

// A walk meets each session that lives all the time once, though sessions of both
// kinds end meanwhile, also the one that is next.
func TestScanAmongEndingUDPSessions(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1})
	sh := w.srv.shards[0]
	const many = 4 * scanStep
	sh.call(func() {
		for range many {
			sh.get()
			sh.getUDP()
		}
	})
	done := make(chan int, 1)
	seen, ended, last := 0, 0, ^uint64(0)
	sh.startScan(func(l live) (int, bool) {
		seen++
		if id := l.ID(); id >= last {
			t.Errorf("session %d comes after %d", id, last)
		} else {
			last = id
		}
		if u, ok := l.(*udpSession); ok && seen%7 == 0 && u.next != nil {
			sh.retireUDP(u.next)
			ended++
		} else if s, ok := l.(*session); ok && seen%7 == 0 && s.next != nil {
			sh.retire(s.next)
			ended++
		}
		return 0, true
	}, func() { done <- seen })
	if n := <-done; n+ended != 2*many {
		t.Errorf("%d seen and %d ended of %d", n, ended, 2*many)
	}
	sh.call(func() {
		for sh.first != nil {
			sh.retire(sh.first)
		}
		for sh.udp.first != nil {
			sh.retireUDP(sh.udp.first)
		}
	})
}

// Sessions to a lost server end at once, those to others go on, and a client of an
// ended one is served by another server.
func TestUDPCloseLost(t *testing.T) {
	a, b := udpOrigin(t, udpEcho).LocalAddr().String(), udpOrigin(t, udpEcho).LocalAddr().String()
	w := newWorld(t, worldOptions{loops: 2}, poolOf("p", a, b))
	addr := w.udp(conf.L4{})
	f := func(why backend.Loss, reason reason) {
		t.Helper()
		var clients []*net.UDPConn
		for range 20 {
			clients = append(clients, openedUDP(t, addr))
		}
		lost := len(w.list(Filter{Backend: a}, 100))
		if lost == 0 || lost == 20 {
			t.Fatalf("%d of 20 sessions at one server, want some", lost)
		}
		before := w.closedCount(reason)
		w.srv.CloseLost(backend.Lost{Pool: "p", Backend: a, Why: why})
		w.until("sessions end: "+reason.String(), func() bool { return w.closedCount(reason)-before == uint64(lost) })
		if left := len(w.list(Filter{}, 100)); left != 20-lost {
			t.Errorf("%d sessions at the other server, want %d", left, 20-lost)
		}
		for _, c := range clients {
			send(t, c, "more")
			wantDatagram(t, c, "more")
		}
		w.end(Filter{})
	}
	f(backend.LossDown, reasonBackendDown)
	f(backend.LossRemoved, reasonBackendRemoved)
	f(backend.LossRole, reasonRoleLost)
}

// New clients beyond a rate are refused, counted by cause and told to the log once.
func TestUDPRefusalsAreLogged(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 2}, poolOf("p", udpOrigin(t, udpEcho).LocalAddr().String()))
	addr := w.udp(conf.L4{MaxConnRate: 3})
	c := openedUDP(t, addr)
	w.srv.mu.Lock()
	l := w.srv.listeners["t"]
	w.srv.mu.Unlock()
	w.until("clients are refused", func() bool {
		for range 20 {
			if c, err := net.Dial("udp", addr); err == nil {
				c.Write([]byte("x"))
				c.Close()
			}
		}
		return l.limit.Refused(limit.RefusedListenerRate) > 40
	})
	if n := strings.Count(w.log.String(), "listener=t limit=listener_rate"); n < 1 || n > 3 {
		t.Errorf("the log tells of the flood %d times, want once in %s\n%s", n, refusedEvery, w.log.String())
	}
	w.until("as many datagrams are dropped", func() bool { return w.dropped(dropRefused) >= 40 })
	send(t, c, "still here")
	wantDatagram(t, c, "still here")
}
