package l4

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"testing"

	"weir/conf"
	"weir/l4/sniff"
)

// announced splits what a backend got into the header and the rest.
func announced(t *testing.T, got string) (h sniff.ProxyHeader, rest string) {
	t.Helper()
	n, v := sniff.Proxy([]byte(got), sniff.ProxyMaxV2, &h)
	if v != sniff.Done {
		t.Fatalf("got %q: %v", got, v)
	}
	return h, got[n:]
}

// tlv finds a TLV.
func tlv(h *sniff.ProxyHeader, want byte) string {
	for rest := h.TLVs; ; {
		kind, value, after, ok := sniff.NextTLV(rest)
		if !ok {
			return ""
		}
		if kind == want {
			return string(value)
		}
		rest = after
	}
}

// exchange sends s to addr and returns what an echoing backend got.
func exchange(t *testing.T, addr, s string) (got string, c *net.TCPConn) {
	t.Helper()
	c = dial(t, addr)
	send(t, c, s)
	c.CloseWrite()
	var b strings.Builder
	if _, err := c.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String(), c
}

func announcing(t *testing.T, version string) conf.Pool {
	p := poolOf("p", origin(t, echo))
	p.ProxyProtocol = version
	return p
}

// TestAnnounce: the header is the first thing a backend gets, and all else follows.
func TestAnnounce(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		w := newWorld(t, worldOptions{}, announcing(t, version))
		addr := w.simple(conf.L4{})
		got, c := exchange(t, addr, "hello")
		h, rest := announced(t, got)
		src, dst := c.LocalAddr().(*net.TCPAddr).AddrPort(), netip.MustParseAddrPort(addr)
		if h.Source != src || h.Destination != dst || rest != "hello" || strings.HasPrefix(got, "PROXY") != (version == "v1") {
			t.Fatalf("%s: got %q", version, got)
		}
		if id := tlv(&h, sniff.TLVUniqueID); version == "v2" && len(id) != 32 {
			t.Fatalf("got id %q", id)
		}
	}
}

// TestAnnounceOff: no header where the pool does not say so.
func TestAnnounceOff(t *testing.T) {
	w := newWorld(t, worldOptions{}, announcing(t, "off"))
	if got, _ := exchange(t, w.simple(conf.L4{}), "hello"); got != "hello" {
		t.Fatalf("got %q", got)
	}
}

// TestAnnounceWhatWasAnnounced: addresses and TLVs of a balancer reach the backend.
func TestAnnounceWhatWasAnnounced(t *testing.T) {
	w := newWorld(t, worldOptions{}, announcing(t, "v2"))
	got, _ := exchange(t, w.simple(conf.L4{ProxyProtocol: here}), headerV2+"hello")
	h, rest := announced(t, got)
	if h.Source.String() != "192.0.2.1:4000" || h.Destination.String() != "198.51.100.1:443" ||
		tlv(&h, 0xe0) != "abc" || rest != "hello" {
		t.Fatalf("got %q", got)
	}
}

// TestAnnounceHello: the server name and the protocol of a TLS hello go along, in
// front of the hello itself.
func TestAnnounceHello(t *testing.T) {
	w := newWorld(t, worldOptions{}, announcing(t, "v2"))
	w.serve(w.l4(conf.L4{Pool: "p", Protocol: "tls"}))
	f := func(offer []string, alpn string) {
		t.Helper()
		all := helloWith(t, &tls.Config{ServerName: "DB.test", NextProtos: offer})
		got, _ := exchange(t, w.srv.Addrs("t")[0], string(all))
		h, rest := announced(t, got)
		if tlv(&h, sniff.TLVAuthority) != "db.test" || tlv(&h, sniff.TLVALPN) != alpn || rest != string(all) {
			t.Fatalf("got %q", got)
		}
	}
	f(nil, "")
	f([]string{"postgresql"}, "postgresql")
	f([]string{"h2", "http/1.1"}, "")
}
