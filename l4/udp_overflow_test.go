package l4

import (
	"fmt"
	"strings"
	"testing"

	"weir/conf"
	"weir/pool/metric"
)

func (w *world) overflowed() uint64 {
	w.srv.mu.Lock()
	defer w.srv.mu.Unlock()
	n := uint64(0)
	for i := range w.srv.listeners["t"].perLoop {
		n += w.srv.listeners["t"].perLoop[i].udp.overflowed.Load()
	}
	return n
}

// TestUDPOverflowIsCounted: what the kernel drops while a loop is busy is counted, and
// the session goes on.
func TestUDPOverflowIsCounted(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", udpOrigin(t, udpEcho).LocalAddr().String()))
	addr := w.udp(conf.L4{})
	c := openedUDP(t, addr)
	w.srv.shards[0].call(func() {
		big := make([]byte, 60_000)
		for range 400 { // 24 MB, and the queue has at most 4
			c.Write(big)
		}
	})
	w.until("drops are counted", func() bool { return w.overflowed() > 0 })
	if got := w.overflowed(); got >= 400 {
		t.Errorf("%d of 400 datagrams dropped by the kernel", got)
	}
	if ask(t, openedUDP(t, addr), "anew") != "anew" {
		t.Error("the listener does not go on")
	}
}

// Sessions and their bytes are counted by server, when they end.
func TestSessionsByBackend(t *testing.T) {
	tcp, udp := origin(t, echo), udpOrigin(t, udpEcho).LocalAddr().String()
	w := newWorld(t, worldOptions{loops: 2}, poolOf("p", tcp), poolOf("q", udp))
	w.serve(w.l4(conf.L4{Name: "s", Pool: "p"}), w.udpListener(conf.L4{Name: "u", Pool: "q"}))
	for range 3 {
		opened(t, w.srv.Addrs("s")[0])
		openedUDP(t, strings.TrimPrefix(w.srv.Addrs("u")[0], "udp://"))
	}
	if n := w.end(Filter{}); n != 6 {
		t.Errorf("%d sessions ended, want 6", n)
	}
	text := new(strings.Builder)
	w.metrics.WritePrometheus(text)
	for pool, server := range map[string]string{"p": tcp, "q": udp} {
		for def, want := range map[*metric.Def]int{
			metric.BackendSessions: 3, metric.BackendReceivedBytes: 15, metric.BackendSentBytes: 15,
		} {
			line := fmt.Sprintf("%s{pool=%q,backend=%q} %d\n", def.Name, pool, server, want)
			if !strings.Contains(text.String(), line) {
				t.Errorf("no %q in the metrics", line)
			}
		}
	}
}
