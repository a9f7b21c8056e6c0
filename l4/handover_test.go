package l4

import (
	"net"
	"strings"
	"testing"

	"weir/conf"
	"weir/l4/loop"
	"weir/pool/limit"
)

// TestRow40_HandedOverCounts: a connection that a route hands over counts against the
// caps of its L7 listener, which may have no address of its own, until L7 closes it.
func TestRow40_HandedOverCounts(t *testing.T) {
	got := make(chan loop.Handover, 8)
	w := newWorld(t, worldOptions{handOver: func(_ string, h loop.Handover) { got <- h }})
	edge := w.l4(conf.L4{Routes: []conf.L4Route{{Name: "www", SNI: []string{"web.test"}, L7: "web"}}})
	web := Listener{Name: "web", L7: "web", MaxConns: 1}
	w.serve(edge, web)
	addr := w.srv.Addrs("t")[0]
	visit := func() net.Conn {
		t.Helper()
		c := dial(t, addr)
		c.Write(hello(t, "web.test"))
		return c
	}
	visit()
	first := <-got
	wantReset(t, visit())
	w.closed(reasonOverLimit)
	if n := w.srv.listeners["web"].limit.Refused(limit.RefusedListener); n != 1 {
		t.Errorf("%d refusals of the L7 listener, want 1", n)
	}
	if text := w.log.String(); !strings.Contains(text, "listener=web limit=listener") {
		t.Errorf("the log does not name the listener that refused:\n%s", text)
	}
	refuse("", first) // L7 closes it
	visit()
	second := <-got

	web.MaxConns = 2 // a reload raises the cap, and keeps the count
	w.serve(edge, web)
	visit()
	third := <-got
	wantReset(t, visit())
	refuse("", second)
	refuse("", third)
	w.serve()
	if n := len(w.srv.listeners); n != 0 {
		t.Errorf("%d listeners are kept without a connection", n)
	}
}
