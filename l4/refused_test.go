package l4

import (
	"net"
	"strings"
	"testing"

	"weir/conf"
	"weir/l4/loop"
	"weir/pool/limit"
)

// TestRow40_ConnectionFlood: connections beyond a rate are reset at accept, counted
// by cause and told to the log once; sessions that are there do not notice. On a
// listener whose connections go to L7 it is the same.
func TestRow40_ConnectionFlood(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 2, handOver: func(_ string, h loop.Handover) {
		h.Ticket.Release()
		loop.CloseSocket(h.FD)
	}}, poolOf("p", origin(t, echo)))
	w.serve(w.l4(conf.L4{Pool: "p", MaxConnRate: 3}), Listener{
		Name: "web", L7: "web", Addrs: []conf.Addr{tcpAddr("127.0.0.1:0")}, ConnRatePerSource: 3,
	})
	c := opened(t, w.srv.Addrs("t")[0])
	flood := func(name string, why limit.Refusal) {
		t.Helper()
		w.srv.mu.Lock()
		l := w.srv.listeners[name]
		w.srv.mu.Unlock()
		w.until("connections are refused", func() bool {
			for range 20 {
				if c, err := net.Dial("tcp", w.srv.Addrs(name)[0]); err == nil {
					c.Close()
				}
			}
			return l.limit.Refused(why) > 40
		})
		if n := strings.Count(w.log.String(), "listener="+name+" limit="+why.String()); n < 1 || n > 3 {
			t.Errorf("the log tells of the flood %d times, want once in %s\n%s", n, refusedEvery, w.log.String())
		}
	}
	flood("t", limit.RefusedListenerRate)
	flood("web", limit.RefusedSourceRate)
	send(t, c, "still here")
	want(t, c, "still here")
	text := new(strings.Builder)
	w.metrics.WritePrometheus(text)
	if !strings.Contains(text.String(), `weir_l4_refused_total{listener="t",reason="listener_rate"}`) {
		t.Errorf("no counter of its own in\n%s", text)
	}
}
