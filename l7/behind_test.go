package l7

import (
	"net/netip"
	"strings"
	"testing"

	"weir/l7/message"
)

// Who a request comes from, as trusted proxies say, and nobody else.
func TestBehind(t *testing.T) {
	l := &listener{trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}}
	f := func(peer, fields, want string) {
		t.Helper()
		x := &exchange{l: l}
		if peer != "" {
			x.client = netip.AddrPortFrom(netip.MustParseAddr(peer), 4711)
		}
		x.trusted = l.isTrusted(x.client.Addr())
		head := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.ReplaceAll(fields, "\n", "\r\n") + "\r\n"
		if n, err := x.req.Parse([]byte(head), &message.Limits{}); err != nil || n != len(head) {
			t.Fatalf("%q: %d, %v", head, n, err)
		}
		got := x.behind()
		if want == "" && got.IsValid() || want != "" && got != netip.MustParseAddr(want) {
			t.Errorf("%s, %q: got %v, want %q", peer, fields, got, want)
		}
		if n := testing.AllocsPerRun(10, func() { x.behind() }); n != 0 && !raceEnabled {
			t.Errorf("%q: %v allocations", fields, n)
		}
	}
	f("192.0.2.1", "", "192.0.2.1")
	f("192.0.2.1", "X-Forwarded-For: 198.51.100.1\n", "192.0.2.1") // not trusted
	f("", "X-Forwarded-For: 198.51.100.1\n", "")

	f("10.0.0.1", "", "10.0.0.1")
	f("10.0.0.1", "X-Forwarded-For: 198.51.100.1\n", "198.51.100.1")
	f("10.0.0.1", "X-Forwarded-For: 203.0.113.9, 198.51.100.1\n", "198.51.100.1") // the first is made up
	f("10.0.0.1", "X-Forwarded-For: 203.0.113.9, 198.51.100.1, 10.9.9.9\n", "198.51.100.1")
	f("10.0.0.1", "X-Forwarded-For: 198.51.100.1\nX-A: b\nX-Forwarded-For: 10.9.9.9\n", "198.51.100.1")
	f("10.0.0.1", "X-Forwarded-For: 10.0.0.3, 10.0.0.2\n", "10.0.0.3") // the client is in the network itself
	f("10.0.0.1", "X-Forwarded-For: unknown, 10.0.0.2\n", "10.0.0.2")
	f("10.0.0.1", "X-Forwarded-For: 203.0.113.9, unknown\n", "10.0.0.1")
	f("10.0.0.1", "X-Forwarded-For: ,198.51.100.1,, \n", "198.51.100.1")
	f("10.0.0.1", "X-Forwarded-For:\n", "10.0.0.1")
	f("10.0.0.1", "X-Forwarded-For: [2001:db9::1]:80\n", "2001:db9::1")
	f("10.0.0.1", "X-Forwarded-For: ::ffff:198.51.100.1\n", "198.51.100.1")
	f("2001:db8::1", "X-Forwarded-For: 2001:db9::1, 2001:db8::2\n", "2001:db9::1")

	f("192.0.2.1", "Forwarded: for=198.51.100.1\n", "192.0.2.1")
	f("10.0.0.1", "Forwarded: for=198.51.100.1;proto=http\n", "198.51.100.1")
	f("10.0.0.1", "Forwarded: for=203.0.113.9, for=\"198.51.100.1:80\"\nForwarded: for=10.9.9.9\n", "198.51.100.1")
	f("10.0.0.1", "Forwarded: for=203.0.113.9, for=unknown, for=10.0.0.2\n", "10.0.0.2")
	f("10.0.0.1", "Forwarded: for=203.0.113.9, for=_x\n", "10.0.0.1")
	f("10.0.0.1", "Forwarded: for=198.51.100.1, \"\n", "10.0.0.1")
	f("10.0.0.1", "Forwarded: for=198.51.100.1\nX-Forwarded-For: 198.51.100.2\n", "198.51.100.2")
}

// The client's address chooses the server, whichever proxy the request comes by.
func TestSourceHashBehindProxy(t *testing.T) {
	r := newBalanceRig(t, "balance = \"source_hash\"", "trusted_proxies = [\"127.0.0.0/8\"]\n")
	c := r.dial()
	servers := map[string]bool{}
	for i := range 12 {
		fields := "X-Forwarded-For: 198.51.100." + string(rune('1'+i%9)) + string(rune('0'+i/9)) + "\r\n"
		_, first := c.ask("/", fields)
		servers[first] = true
		if _, again := r.dial().ask("/other", fields); again != first {
			t.Errorf("%q went to server %s, then to %s", fields, first, again)
		}
	}
	if len(servers) < 2 {
		t.Error("all clients went to one server")
	}
}
