package l4

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"weir/conf"
	"weir/l4/loop"
)

const (
	headerV1 = "PROXY TCP4 192.0.2.1 198.51.100.1 4000 443\r\n"
	headerV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x12" +
		"\xc0\x00\x02\x01\xc6\x33\x64\x01\x0f\xa0\x01\xbb" + "\xe0\x00\x03abc"
	headerLocal = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

var (
	here      = []string{"127.0.0.0/8", "::1/128"}
	elsewhere = []string{"192.0.2.0/24"}
)

// TestProxyHeader: a balancer's header is taken out whole, in whatever pieces it
// comes, and not a byte behind it is lost.
func TestProxyHeader(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	addr := w.simple(conf.L4{ProxyProtocol: here})
	for _, header := range []string{headerV1, headerV2, headerLocal, "PROXY UNKNOWN\r\n"} {
		for _, at := range []int{0, 1, 7, len(header) - 1, len(header), len(header) + 3} {
			all := header + "hello"
			c := dial(t, addr)
			send(t, c, all[:at])
			time.Sleep(time.Millisecond) // lets the pieces arrive apart; either way is right
			send(t, c, all[at:])
			c.CloseWrite()
			wantEnd(t, c, "hello")
		}
	}
}

func TestProxyHeaderRefused(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, greeter("p"))))
	f := func(networks []string, sent string, why reason) {
		t.Helper()
		addr := w.simple(conf.L4{ProxyProtocol: networks})
		before := w.closedCount(why)
		c := dial(t, addr)
		defer c.Close()
		send(t, c, sent)
		c.CloseWrite()
		got, _ := io.ReadAll(c) // the end may be a reset
		if networks[0] == here[0] && len(got) > 0 {
			t.Fatalf("%q: got %q", sent, got)
		}
		w.until("closed: "+why.String(), func() bool { return w.closedCount(why) == before+1 })
	}
	f(here, "hello", reasonProxyMalformed)
	f(here, "", reasonProxyMalformed)
	f(here, headerV1[:20], reasonProxyMalformed)
	f(here, headerV2[:20], reasonProxyMalformed)
	f(here, "PROXY "+string(make([]byte, 200)), reasonProxyMalformed)
	f(elsewhere, headerV1, reasonProxyRefused)
	f(elsewhere, headerV2, reasonProxyRefused)
}

// TestProxyHeaderOfAStranger: whoever is no balancer is served, as long as what it
// says is no header. Servers that speak first may.
func TestProxyHeaderOfAStranger(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, greeter("p"))))
	addr := w.simple(conf.L4{ProxyProtocol: elsewhere})
	for _, pieces := range [][]string{{"hello"}, {"P", "ROX", "Y?"}, {"\r\n\r\n", "x"}, {"PROXY"}, {""}} {
		c := dial(t, addr)
		want(t, c, "p\n")
		all := ""
		for _, p := range pieces {
			send(t, c, p)
			time.Sleep(time.Millisecond) // as above
			all += p
		}
		c.CloseWrite()
		wantEnd(t, c, all)
	}
	// A header in pieces is refused all the same.
	c := dial(t, addr)
	want(t, c, "p\n")
	send(t, c, "PRO")
	time.Sleep(time.Millisecond)
	send(t, c, "XY TCP4")
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Fatalf("the backend got %q", got)
	}
	w.closed(reasonProxyRefused)
}

// TestProxyHeaderAndSNI: the name behind a header routes, and a stranger's header
// does not take the default route.
func TestProxyHeaderAndSNI(t *testing.T) {
	_, addr := sniWorld(t, conf.L4{Pool: "rest", ProxyProtocol: here})
	h := string(hello(t, "x.w.test"))
	for _, header := range []string{headerV1, headerV2} {
		c := dial(t, addr)
		send(t, c, header+h)
		want(t, c, "w\n"+h)
		c = dial(t, addr)
		send(t, c, header)
		send(t, c, "no tls")
		want(t, c, "rest\nno tls")
	}
	w, addr := sniWorld(t, conf.L4{Pool: "rest", ProxyProtocol: elsewhere})
	c := dial(t, addr)
	send(t, c, headerV1+h)
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Fatalf("got %q", got)
	}
	w.closed(reasonProxyRefused)
}

// TestProxyHeaderHandOver: an L7 listener gets the client that the header named,
// and all that follows the header.
func TestProxyHeaderHandOver(t *testing.T) {
	got := make(chan loop.Handover, 1)
	w := newWorld(t, worldOptions{handOver: func(_ string, h loop.Handover) { got <- h }})
	w.serve(Listener{Name: "web", L7: "web", Addrs: []conf.Addr{tcpAddr("127.0.0.1:0")}, ProxyProtocol: here})
	f := func(header, client, destination, tlvs string) {
		t.Helper()
		c := dial(t, w.srv.Addrs("web")[0])
		send(t, c, header+"GET /")
		h := <-got
		nc, err := loop.NewConn(h)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if client == "" {
			client = c.LocalAddr().String()
		}
		if h.Remote.String() != client || h.Local.String() != c.RemoteAddr().String() || string(h.TLVs) != tlvs {
			t.Fatalf("got %v to %v with %q", h.Remote, h.Local, h.TLVs)
		}
		if destination == "" && h.Destination.IsValid() || destination != "" && h.Destination.String() != destination {
			t.Fatalf("got destination %v, want %q", h.Destination, destination)
		}
		want(t, nc, "GET /")
	}
	f(headerV1, "192.0.2.1:4000", "198.51.100.1:443", "")
	f(headerV2, "192.0.2.1:4000", "198.51.100.1:443", "\xe0\x00\x03abc")
	f(headerLocal, "", "", "")
}

// TestProxyHeaderCaps: the cap per source is for the clients that headers name, not
// for the balancer they come through.
func TestProxyHeaderCaps(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, greeter("p"))))
	addr := w.simple(conf.L4{ProxyProtocol: here, MaxConnsPerSource: 1})
	for i := range 3 {
		c := dial(t, addr)
		client := netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)})
		send(t, c, "PROXY TCP4 "+client.String()+" 198.51.100.1 4000 443\r\n")
		want(t, c, "p\n")
	}
	c := dial(t, addr)
	send(t, c, "PROXY TCP4 192.0.2.10 198.51.100.1 4001 443\r\n")
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Fatalf("got %q beyond the cap", got)
	}
	w.closed(reasonOverLimit)
}

// TestProxyHeaderTimeout: a balancer that says nothing, or too little, is closed.
func TestProxyHeaderTimeout(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	addr := w.simple(conf.L4{ProxyProtocol: here})
	silent, slow := dial(t, addr), dial(t, addr)
	send(t, slow, "PROXY TCP4 1")
	wantEnd(t, silent, "")
	if got, _ := io.ReadAll(slow); len(got) > 0 { // unread bytes make the end a reset
		t.Fatalf("got %q", got)
	}
	w.until("both are closed", func() bool { return w.closedCount(reasonProxyTimeout) == 2 })
}
