package l4

import (
	"net"
	"testing"

	"weir/conf"
	"weir/l4/loop"
	"weir/pool/limit"
)

// Where memory is short, new sessions are reset and counted; those for L7 only where
// all are; what is there goes on, and all come in again when it is over.
func TestRow49_RefusedForMemory(t *testing.T) {
	w := newWorld(t, worldOptions{handOver: func(_ string, h loop.Handover) {
		h.Ticket.Release()
		_, _ = loop.Write(h.FD, []byte("l7"))
		loop.CloseSocket(h.FD)
	}}, poolOf("p", origin(t, echo)))
	w.serve(w.l4(conf.L4{Pool: "p"}), Listener{Name: "web", L7: "web", Addrs: []conf.Addr{tcpAddr("127.0.0.1:0")}})
	addr, web := w.srv.Addrs("t")[0], w.srv.Addrs("web")[0]
	comesIn := func(addr string) bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer c.Close()
		if _, err = c.Write([]byte("x")); err != nil {
			return false // it has been reset already
		}
		n, err := c.Read(make([]byte, 10))
		return n > 0 && err == nil
	}
	old := dial(t, addr)
	send(t, old, "a")
	want(t, old, "a")
	f := func(sessions, all, session, l7 bool) {
		t.Helper()
		w.srv.RefuseForMemory(sessions, all)
		if got4, got7 := comesIn(addr), comesIn(web); got4 != session || got7 != l7 {
			t.Errorf("sessions %t, all %t: a session comes in %t, one for L7 %t, want %t, %t",
				sessions, all, got4, got7, session, l7)
		}
		send(t, old, "b")
		want(t, old, "b")
	}
	f(false, false, true, true)
	f(true, false, false, true)
	f(true, true, false, false)
	f(false, true, false, false)
	f(true, false, false, true)
	f(false, false, true, true)
	w.srv.mu.Lock()
	refused, refused7 := w.srv.listeners["t"].limit, w.srv.listeners["web"].limit
	w.srv.mu.Unlock()
	if n, n7 := refused.Refused(limit.RefusedMemory), refused7.Refused(limit.RefusedMemory); n != 4 || n7 != 2 {
		t.Errorf("%d sessions were refused, and %d for L7, want 4 and 2", n, n7)
	}
}

// A datagram begins no session then, and one that has a session goes on.
func TestRow49_DatagramsForMemory(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", udpOrigin(t, udpEcho).LocalAddr().String()))
	addr := w.udp(conf.L4{Pool: "p"})
	old := dialUDP(t, addr)
	post := func(c net.Conn) { _, _ = c.Write([]byte("x")) }
	answered := func(c net.Conn) bool {
		n, err := c.Read(make([]byte, 10))
		return n > 0 && err == nil
	}
	post(old)
	if !answered(old) {
		t.Fatal("no answer")
	}
	w.srv.RefuseForMemory(true, false)
	post(dialUDP(t, addr))
	l := func() *limit.Listener {
		w.srv.mu.Lock()
		defer w.srv.mu.Unlock()
		return w.srv.listeners["t"].limit
	}()
	w.until("the datagram is refused", func() bool { return l.Refused(limit.RefusedMemory) == 1 })
	post(old)
	if !answered(old) {
		t.Error("the session that was there has no answer")
	}
}
