package limit

import (
	"net/netip"
	"testing"
	"time"
)

// TestJoin: a connection that is handed over meets the caps and rates of the second
// listener, counts for both until its end, and when it is refused only for the first.
func TestJoin(t *testing.T) {
	c, clock := rated(Limits{})
	port := c.Listener("port", Limits{})
	web := c.Listener("web", Limits{Max: 4, MaxPerSource: 2, Rate: 6, RatePerSource: 3})
	var held []*Ticket
	f := func(src string, want Refusal) {
		t.Helper()
		clock.pass(time.Millisecond)
		tk, r := acquire(port, src)
		if r != Admitted {
			t.Fatalf("the first listener refused by %s", r)
		}
		if got := tk.Join(web); got != want {
			t.Errorf("%q: refused by %s, want %s", src, got, want)
		}
		if want != Admitted {
			tk.Release()
			return
		}
		held = append(held, &tk)
	}
	empty := func() {
		t.Helper()
		for _, tk := range held {
			tk.Release()
			tk.Release()
		}
		held = nil
		if c.Count() != 0 || port.Count() != 0 || web.Count() != 0 || web.own.sources.len() != 0 {
			t.Errorf("%d, %d and %d connections are left, %d sources", c.Count(), port.Count(), web.Count(),
				web.own.sources.len())
		}
	}
	f("10.0.0.1", Admitted)
	f("10.0.0.1", Admitted)
	f("10.0.0.1", RefusedSource)
	f("10.0.0.2", Admitted)
	f("", Admitted) // no source, and so no cap per source
	f("10.0.0.3", RefusedListener)
	if c.Count() != 4 || port.Count() != 4 || web.Count() != 4 {
		t.Errorf("%d, %d and %d connections, want 4 each", c.Count(), port.Count(), web.Count())
	}
	empty()
	f("10.0.0.1", Admitted) // the third of this second, and the fifth of all
	empty()
	f("10.0.0.1", RefusedSourceRate)
	f("10.0.0.4", Admitted)
	f("10.0.0.5", RefusedListenerRate)
	empty()
	for _, why := range []Refusal{RefusedSource, RefusedListener, RefusedSourceRate, RefusedListenerRate} {
		if n := web.Refused(why); n != 1 {
			t.Errorf("%d refusals by %s, want 1", n, why)
		}
	}
	clock.pass(time.Minute)
	if own, r := acquire(web, "10.0.0.1"); r != Admitted { // both ways in are counted together
		t.Errorf("refused by %s", r)
	} else {
		held = append(held, &own)
	}
	f("10.0.0.1", Admitted)
	f("10.0.0.1", RefusedSource)
	empty()
}

// A client that a PROXY header named joins with its own address.
func TestJoinIdentified(t *testing.T) {
	c := New(Limits{})
	port, web := c.Listener("port", Limits{}), c.Listener("web", Limits{MaxPerSource: 1})
	for i, want := range []Refusal{Admitted, RefusedSource} {
		tk, _ := port.Acquire(netip.Addr{})
		if r := port.Identify(&tk, netip.MustParseAddr("192.0.2.1")); r != Admitted {
			t.Fatal(r)
		}
		if got := tk.Join(web); got != want {
			t.Errorf("connection %d: refused by %s, want %s", i, got, want)
		}
	}
}
