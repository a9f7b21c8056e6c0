package sniff

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	proxyproto "github.com/pires/go-proxyproto"
)

// v2 makes a header of version 2 of its second half.
func v2(command, family byte, body string) string {
	return proxyV2Start + string([]byte{command, family, byte(len(body) >> 8), byte(len(body))}) + body
}

const (
	inetBody  = "\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50\x01\xbb"
	inet6Body = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x50\x01\xbb"
)

// splits checks that no part of in has another verdict than all of it.
func splits(t *testing.T, in string) (n int, v Verdict, h ProxyHeader) {
	t.Helper()
	n, v = Proxy([]byte(in), ProxyMaxV2, &h)
	for at := range len(in) {
		var part ProxyHeader
		m, w := Proxy([]byte(in[:at]), ProxyMaxV2, &part)
		if w == NeedMore {
			continue
		}
		if m != n || w != v || part.Source != h.Source || part.Local != h.Local || !bytes.Equal(part.TLVs, h.TLVs) {
			t.Fatalf("%q: %d bytes of %d: got %v, all: %v", in, at, len(in), w, v)
		}
	}
	return n, v, h
}

func TestProxyDone(t *testing.T) {
	f := func(in, src, dst string, local bool, tlvs string) {
		t.Helper()
		n, v, h := splits(t, in+"rest")
		if v != Done || n != len(in) {
			t.Fatalf("%q: got %v, %d, want done, %d", in, v, n, len(in))
		}
		text := func(a netip.AddrPort) string {
			if !a.IsValid() {
				return ""
			}
			return a.String()
		}
		if text(h.Source) != src || text(h.Destination) != dst || h.Local != local || string(h.TLVs) != tlvs {
			t.Fatalf("%q: got %v %v %v %q", in, h.Source, h.Destination, h.Local, h.TLVs)
		}
	}
	f("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n", "1.2.3.4:80", "5.6.7.8:443", false, "")
	f("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0:0", "255.255.255.255:65535", false, "")
	f("PROXY TCP6 2001:db8::1 ::1 80 443\r\n", "[2001:db8::1]:80", "[::1]:443", false, "")
	f("PROXY TCP6 ::ffff:1.2.3.4 :: 80 443\r\n", "1.2.3.4:80", "[::]:443", false, "")
	f("PROXY UNKNOWN\r\n", "", "", false, "")
	f("PROXY UNKNOWN anything at all\r\n", "", "", false, "")
	f("PROXY UNKNOWN "+strings.Repeat("f", 91)+"\r\n", "", "", false, "") // 107 bytes

	f(v2(0x20, 0x00, ""), "", "", true, "")
	f(v2(0x20, 0x11, inetBody), "", "", true, "")
	f(v2(0x20, 0xff, "whatever"), "", "", true, "")
	f(v2(0x21, 0x11, inetBody), "1.2.3.4:80", "5.6.7.8:443", false, "")
	f(v2(0x21, 0x21, inet6Body), "[2001:db8::1]:80", "[2001:db8::2]:443", false, "")
	f(v2(0x21, 0x00, ""), "", "", false, "")
	f(v2(0x21, 0x31, strings.Repeat("\x00", 216)), "", "", false, "")
	f(v2(0x21, 0x11, inetBody+"\x02\x00\x03a.b\x04\x00\x00"), "1.2.3.4:80", "5.6.7.8:443", false,
		"\x02\x00\x03a.b\x04\x00\x00")
	f(v2(0x21, 0x11, inetBody+"\x03\x00\x04\x94\xe1\x62\xa8\x04\x00\x01x"), "1.2.3.4:80", "5.6.7.8:443", false,
		"\x03\x00\x04\x94\xe1\x62\xa8\x04\x00\x01x")
	f(v2(0x21, 0x00, "\xe0\x00\x01x"), "", "", false, "\xe0\x00\x01x")
	f(v2(0x21, 0x00, strings.Repeat("\x04\x00\x01x", 130)), "", "", false, strings.Repeat("\x04\x00\x01x", 130))
}

func TestProxyNotDone(t *testing.T) {
	f := func(in string, want Verdict) {
		t.Helper()
		if n, v, h := splits(t, in); v != want || n != 0 || h.Source.IsValid() || h.TLVs != nil {
			t.Fatalf("%q: got %v, %d, %v, want %v", in, v, n, h, want)
		}
	}
	f("", NeedMore)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r", NeedMore)
	f("PROXY "+strings.Repeat("x", 100), NeedMore)
	f("PROXY "+strings.Repeat("x", 101), TooLarge)
	f("PROXY UNKNOWN "+strings.Repeat("f", 92)+"\r\n", TooLarge)
	f("GET / HTTP/1.1\r\n", Malformed)
	f("\x16\x03\x01", Malformed)
	f("PROXY\r\n", Malformed)
	f("PROXY \n", Malformed)
	f("PROXY \r\n", Malformed)
	f("proxy UNKNOWN\r\n", Malformed)
	f("PROXY UNKNOWN\n", Malformed)
	f("PROXY UNKNOWNS\r\n", Malformed)
	f("PROXY UDP4 1.2.3.4 5.6.7.8 80 443\r\n", Malformed)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 80\r\n", Malformed)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 80 443 \r\n", Malformed)
	f("PROXY TCP4  1.2.3.4 5.6.7.8 80 443\r\n", Malformed)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 80 65536\r\n", Malformed)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 080 443\r\n", Malformed)
	f("PROXY TCP4 1.2.3.4 5.6.7.8 -1 443\r\n", Malformed)
	f("PROXY TCP4 1.2.3.256 5.6.7.8 80 443\r\n", Malformed)
	f("PROXY TCP4 1.2.3 5.6.7.8 80 443\r\n", Malformed)
	f("PROXY TCP4 1.2.3.4.5 5.6.7.8 80 443\r\n", Malformed)
	f("PROXY TCP4 ::1 ::1 80 443\r\n", Malformed)
	f("PROXY TCP6 1.2.3.4 5.6.7.8 80 443\r\n", Malformed)
	f("PROXY TCP6 fe80::1%eth0 ::1 80 443\r\n", Malformed)

	f(v2(0x21, 0x11, inetBody)[:20], NeedMore)
	f(v2(0x11, 0x11, inetBody), Malformed) // version 1 in binary
	f(v2(0x22, 0x11, inetBody), Malformed) // unknown command
	f(v2(0x21, 0x12, inetBody), Malformed) // datagrams
	f(v2(0x21, 0x41, inetBody), Malformed) // unknown family
	f(v2(0x21, 0x11, inetBody[:11]), Malformed)
	f(v2(0x21, 0x21, inet6Body[:35]), Malformed)
	f(v2(0x21, 0x31, strings.Repeat("\x00", 215)), Malformed)
	f(v2(0x21, 0x11, inetBody+"\x02\x00"), Malformed)        // half a TLV
	f(v2(0x21, 0x11, inetBody+"\x02\x00\x04a.b"), Malformed) // a TLV that spills over
	f(v2(0x21, 0x11, inetBody+"\x03\x00\x04sums"), Malformed)
	f(v2(0x21, 0x11, inetBody+"\x03\x00\x02no"), Malformed)
	f(v2(0x21, 0x00, strings.Repeat("\x04\x00\x01x", 131)), TooLarge)
	f(v2(0x20, 0x00, strings.Repeat("x", 521)), TooLarge)
	f(v2(0x21, 0x11, inetBody)[:13]+"\x11\xff\xff", TooLarge)
}

func TestProxyStart(t *testing.T) {
	f := func(in string, want Verdict) {
		t.Helper()
		if v := ProxyStart([]byte(in)); v != want {
			t.Fatalf("%q: got %v, want %v", in, v, want)
		}
	}
	f("", NeedMore)
	f("P", NeedMore)
	f("PROXY", NeedMore)
	f("PROXY ", Done)
	f("PROXY TCP4", Done)
	f("PROXYS", Malformed)
	f("POST /", Malformed)
	f("\r\n\r\n", NeedMore)
	f("\r\n\r\n\x00\r\nQUIT", NeedMore)
	f(proxyV2Start, Done)
	f("\r\n\r\nGET", Malformed)
	f("\x16\x03", Malformed)
}

func TestAppendProxy(t *testing.T) {
	f := func(src, dst, v1, body string) {
		t.Helper()
		var s, d netip.AddrPort
		if src != "" {
			s, d = netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
		}
		if got := string(AppendProxyV1([]byte("x"), s, d)); got != "x"+v1 {
			t.Fatalf("version 1: got %q, want %q", got, v1)
		}
		b, at := AppendProxyV2([]byte("x"), s, d)
		if got := hex.EncodeToString(b[at+13:]); got != body {
			t.Fatalf("version 2: got %s, want %s", got, body)
		}
	}
	f("1.2.3.4:80", "5.6.7.8:443", "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n", "11000c010203040506070800"+"5001bb")
	f("[::ffff:1.2.3.4]:0", "5.6.7.8:65535", "PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n", "11000c01020304050607080000ffff")
	f("[fe80::1%2]:1", "[::2]:2", "PROXY TCP6 fe80::1 ::2 1 2\r\n",
		"210024fe800000000000000000000000000001"+"00000000000000000000000000000002"+"00010002")
	f("1.2.3.4:1", "[::2]:2", "PROXY TCP6 ::ffff:1.2.3.4 ::2 1 2\r\n",
		"21002400000000000000000000ffff01020304"+"00000000000000000000000000000002"+"00010002")
	f("", "", "PROXY UNKNOWN\r\n", "000000")
}

// TestAppendTLV: what would not fit is left out, and the length stays true.
func TestAppendTLV(t *testing.T) {
	b, at := AppendProxyV2([]byte("x"), netip.AddrPort{}, netip.AddrPort{})
	b = AppendTLV(b, at, TLVAuthority, []byte("db.example.com"), 40)
	b = AppendTLV(b, at, TLVALPN, []byte("postgresql"), 40)
	b = AppendTLV(b, at, TLVNoop, nil, 40)
	var h ProxyHeader
	if n, v := Proxy(b[at:], ProxyMaxV2, &h); v != Done || n != len(b)-1 {
		t.Fatalf("got %v, %d of %d", v, n, len(b)-1)
	}
	if want := "\x02\x00\x0edb.example.com\x04\x00\x00"; string(h.TLVs) != want {
		t.Fatalf("got %q, want %q", h.TLVs, want)
	}
}

func TestProxyClient(t *testing.T) {
	f := func(c ProxyClient, want string) {
		t.Helper()
		var h ProxyHeader
		b := c.AppendV2(nil)
		if n, v := Proxy(b, ProxyMaxV2, &h); v != Done || n != len(b) || string(h.TLVs) != want {
			t.Fatalf("got %v, %d of %d, %q, want %q", v, n, len(b), h.TLVs, want)
		}
	}
	ours := ProxyClient{Authority: []byte("a.b"), ALPN: []byte("h2"), UniqueID: []byte("1")}
	f(ProxyClient{}, "")
	f(ours, "\x02\x00\x03a.b\x01\x00\x02h2\x05\x00\x011")
	ours.TLVs = []byte("\x02\x00\x01x\x01\x00\x01x\x05\x00\x012\x04\x00\x00\xe0\x00\x01y\x03\x00\x04sums")
	f(ours, "\x02\x00\x03a.b\x01\x00\x02h2\x05\x00\x012\xe0\x00\x01y")
	f(ProxyClient{TLVs: ours.TLVs}, "\x02\x00\x01x\x01\x00\x01x\x05\x00\x012\xe0\x00\x01y")
}

func TestProxyAllocs(t *testing.T) {
	inputs := [][]byte{
		[]byte("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\n"), []byte("PROXY TCP6 2001:db8::1:2:3 ::1 80 443\r\n"),
		[]byte(v2(0x21, 0x21, inet6Body+"\x02\x00\x03a.b")), []byte(v2(0x20, 0, "")),
	}
	var h ProxyHeader
	out := make([]byte, 0, ProxyMaxV2)
	src, dst := netip.MustParseAddrPort("1.2.3.4:80"), netip.MustParseAddrPort("[2001:db8::1]:443")
	n := testing.AllocsPerRun(100, func() {
		for _, b := range inputs {
			if _, v := Proxy(b, ProxyMaxV2, &h); v != Done {
				t.Fatal(v)
			}
		}
		AppendProxyV1(out, src, dst)
		b, at := AppendProxyV2(out, src, dst)
		AppendTLV(b, at, TLVAuthority, inputs[0], ProxyMaxV2)
	})
	if n != 0 {
		t.Fatalf("%v allocations per run", n)
	}
}

// FuzzProxy holds Proxy against another implementation, and each answer against
// the one for a part of the bytes; what it reads is then written and read again.
func FuzzProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\nrest"), uint16(9))
	f.Add([]byte("PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 80 443\r\n"), uint16(30))
	f.Add([]byte("PROXY UNKNOWN\r\n"), uint16(2))
	f.Add([]byte(v2(0x21, 0x11, inetBody+"\x02\x00\x03a.b\xe0\x00\x00")+"rest"), uint16(30))
	f.Add([]byte(v2(0x21, 0x21, inet6Body)), uint16(13))
	f.Add([]byte(v2(0x20, 0x00, "")), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		var h, part ProxyHeader
		n, v := Proxy(b, ProxyMaxV2, &h)
		if m, w := Proxy(b[:int(at)%(len(b)+1)], ProxyMaxV2, &part); w != NeedMore && (m != n || w != v) {
			t.Fatalf("got %v for a part and %v for all", w, v)
		}
		if start := ProxyStart(b); (v == Done || v == TooLarge) && start != Done || start == Malformed && v != Malformed {
			t.Fatalf("got %v, but the start is %v", v, start)
		}
		if v != Done {
			return
		}
		if n > len(b) || n > ProxyMaxV2 || h.Source.IsValid() != h.Destination.IsValid() {
			t.Fatalf("got %d of %d bytes, %v", n, len(b), h)
		}
		if h.Source.IsValid() {
			checkOracle(t, b, &h)
		}
		out, start := AppendProxyV2(nil, h.Source, h.Destination)
		for rest := h.TLVs; len(rest) > 0; {
			var kind byte
			var value []byte
			kind, value, rest, _ = NextTLV(rest)
			if kind != TLVCRC32C {
				out = AppendTLV(out, start, kind, value, ProxyMaxV2)
			}
		}
		var again ProxyHeader
		if m, v := Proxy(out, ProxyMaxV2, &again); v != Done || m != len(out) || again.Source != h.Source {
			t.Fatalf("written and read again: %v, %v instead of %v", v, again, h)
		}
	})
}

func checkOracle(t *testing.T, b []byte, h *ProxyHeader) {
	t.Helper()
	theirs, err := proxyproto.Read(bufio.NewReader(io.MultiReader(bytes.NewReader(b), strings.NewReader(" "))))
	if err != nil {
		t.Fatalf("they refuse %q: %v", b, err)
	}
	src, ok := theirs.SourceAddr.(*net.TCPAddr)
	if !ok {
		t.Fatalf("they see %v", theirs.SourceAddr)
	}
	got := src.AddrPort()
	if netip.AddrPortFrom(got.Addr().Unmap(), got.Port()) != h.Source {
		t.Fatalf("they see %v, we %v", got, h.Source)
	}
}

// FuzzParseIPv6 holds it against netip.
func FuzzParseIPv6(f *testing.F) {
	for _, s := range []string{
		"::", "::1", "1::", "2001:db8::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "::ffff:1.2.3.4", "1::2::3",
		"1:2:3:4:5:6:7:", "::1:2:3:4:5:6:7", "1:2:3:4:5:6:7::", ":1", "1:", ":::", "12345::", "fe80::1%x", "1.2.3.4",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseIPv6([]byte(s))
		want, err := netip.ParseAddr(s)
		valid := err == nil && want.Is6() && want.Zone() == ""
		if ok != valid || ok && got != want.Unmap() {
			t.Fatalf("%q: got %v, %v, netip says %v, %v", s, got, ok, want, err)
		}
	})
}
