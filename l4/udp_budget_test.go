package l4

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/quic"

	"weir/conf"
)

// firstOfHello is the first datagram of a QUIC client whose hello goes on in a second one.
func firstOfHello(t *testing.T) []byte {
	t.Helper()
	got := make(chan []byte, 100)
	sink := udpOrigin(t, func(_ *net.UDPConn, _ netip.AddrPort, b []byte) {
		select {
		case got <- append([]byte(nil), b...):
		default:
		}
	})
	e, err := quic.Listen("udp", "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = e.Dial(ctx, "udp", sink.LocalAddr().String(), &quic.Config{TLSConfig: &tls.Config{
			ServerName: "a.example.com", NextProtos: []string{"echo"}, MinVersion: tls.VersionTLS13,
		}})
	}()
	first := <-got
	cancel()
	<-done
	e.Close(shortContext(t, 10*time.Millisecond))
	return first
}

// Unfinished hellos of made-up clients hold no more memory than a loop has for them;
// those beyond are closed, and with the memory given back a real client gets through.
func TestUDPUnfinishedHellosAreBounded(t *testing.T) {
	first := firstOfHello(t)
	q, roots := quicOrigin(t, "a.example.com")
	w := newWorld(t, worldOptions{loops: 1}, poolOf("q", q))
	addr := w.udp(conf.L4{
		Protocol: "quic", Routes: []conf.L4Route{{SNI: []string{"a.example.com"}, Pool: "q"}}, SniffTimeout: time.Second,
	})
	sh := w.srv.shards[0]
	const budget = 200 << 10
	sh.call(func() { sh.udp.budget = budget })
	for range 200 {
		dialUDP(t, addr).Write(first)
	}
	w.until("hellos are refused", func() bool { return w.closedCount(reasonOverLimit) > 100 })
	open, held := 0, 0
	sh.call(func() {
		for s := sh.udp.first; s != nil; s = s.next {
			open++
		}
		held = sh.udp.sniffing
	})
	if open == 0 || held > budget {
		t.Errorf("%d unfinished hellos hold %d bytes, the budget is %d", open, held, budget)
	}
	w.until("they time out", func() bool { return w.srv.Sessions() == 0 })
	sh.call(func() { held = sh.udp.sniffing })
	if held != 0 {
		t.Errorf("%d bytes are held for nobody", held)
	}
	if got, err := quicAsk(t, addr, "a.example.com", roots, "x"); err != nil || got != "a.example.com x" {
		t.Errorf("a real client got %q, %v", got, err)
	}
}
