package l4

import (
	"testing"

	"weir/conf"
)

// TestUDPAllocations: none per datagram, none per session; what is left is the test's.
func TestUDPAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("allocations are not counted under the race detector")
		return
	}
	origin := udpOrigin(t, udpEcho).LocalAddr().String()
	f := func(what string, c conf.L4) {
		t.Helper()
		w := newWorld(t, worldOptions{loops: 1}, poolOf("p", origin))
		client := dialUDP(t, w.udp(c))
		b := make([]byte, 512)
		messages := func(n int) func() {
			return func() {
				for range n {
					client.Write(b)
					client.Read(b)
				}
			}
		}
		mallocs(messages(1000))
		const n = 10000
		if got := mallocs(messages(n)); got > n/100 {
			t.Errorf("%s: %d allocations for %d datagrams, want 0 each", what, got, n)
		}
	}
	f("one session", conf.L4{})
	f("a session for each", conf.L4{UDPResponses: 1})
}
