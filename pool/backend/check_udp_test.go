package backend

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"weir/conf"
)

// TestExpectCheckByUDP: each step is a datagram; a server that is not there or says
// something else fails.
func TestExpectCheckByUDP(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 100)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(append([]byte("you said "), b[:n]...), from)
		}
	})
	check := func(timeout time.Duration, script ...conf.HealthStep) error {
		t.Helper()
		e := &Endpoint{
			key:    endpointKey{network: "tcp", address: c.LocalAddr().String()},
			health: conf.Health{Type: checkExpect, UDP: true, Script: script},
		}
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		_, err := netProber{}.check(ctx, e)
		return err
	}
	const patience = 20 * time.Second
	one, two := conf.HealthStep{Send: "one", Expect: "said one"}, conf.HealthStep{Send: "two", Expect: "two"}
	if err := check(patience, one, two); err != nil {
		t.Error(err)
	}
	if check(50*time.Millisecond, one, conf.HealthStep{Send: "two", Expect: "three"}) == nil {
		t.Error("another answer than expected passes")
	}
	c.Close()
	wg.Wait()
	if check(patience, one) == nil {
		t.Error("a server that is not there passes")
	}
}
