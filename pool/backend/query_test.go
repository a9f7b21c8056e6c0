package backend

import (
	"net/netip"
	"testing"
)

func TestHashAddrIsStable(t *testing.T) {
	f := func(addr string, same bool) {
		t.Helper()
		a := HashAddr(netip.MustParseAddr("192.0.2.1"))
		if got := HashAddr(netip.MustParseAddr(addr)) == a; got != same {
			t.Errorf("%s: same as 192.0.2.1: %v, want %v", addr, got, same)
		}
	}
	f("192.0.2.1", true)
	f("::ffff:192.0.2.1", true)
	f("192.0.2.2", false)
	f("2001:db8::1", false)
	if HashAddr(netip.Addr{}) != 0 {
		t.Error("the zero address has a hash")
	}
}
