package sniff

import (
	"bytes"
	"crypto/tls"
	"math/rand/v2"
	"strings"
	"testing"
)

const testLimit = 16 << 10

func TestClientHelloVerdicts(t *testing.T) {
	f := func(b []byte, limit int, want Verdict, sni string) {
		t.Helper()
		var h Hello
		got := ClientHello(b, limit, &h)
		if got != want || string(h.SNI()) != sni {
			t.Fatalf("got %v %q, want %v %q", got, h.SNI(), want, sni)
		}
	}
	whole := record(message(serverName("db.example.com")))

	f(nil, testLimit, NeedMore, "")
	f([]byte{0x16}, testLimit, NeedMore, "")
	f(whole[:len(whole)-1], testLimit, NeedMore, "")
	f(whole, testLimit, Done, "db.example.com")
	f(append(bytes.Clone(whole), "more"...), testLimit, Done, "db.example.com")

	f([]byte("GET / HTTP/1.1\r\n"), testLimit, NotTLS, "")
	f([]byte{0x15, 3, 1, 0, 2, 1, 0}, testLimit, NotTLS, "")   // an alert
	f([]byte{0x80, 0x2e, 1, 3, 1}, testLimit, NotTLS, "")      // SSL 2
	f([]byte{0x16, 2}, testLimit, Malformed, "")               // major version
	f([]byte{0x16, 3, 1, 0, 0}, testLimit, Malformed, "")      // empty record
	f([]byte{0x16, 3, 1, 0x40, 1}, testLimit, Malformed, "")   // record too long
	f([]byte{0x16, 3, 1, 0, 9, 2}, testLimit, Malformed, "")   // ServerHello
	f([]byte{0x16, 3, 3, 0x40, 0, 1}, testLimit, NeedMore, "") // the longest record

	// The second record of a message must be a handshake record as well.
	first := record(message(serverName("db.example.com"))[:20])
	f(append(bytes.Clone(first), 0x17), testLimit, Malformed, "")
	f(append(bytes.Clone(first), 0x16), testLimit, NeedMore, "")

	// Limits count bytes of the connection, record headers included.
	f(whole, len(whole), Done, "db.example.com")
	f(whole, len(whole)-1, TooLarge, "")
	f(whole[:9], len(whole)-1, TooLarge, "")
	f(whole[:8], len(whole)-1, NeedMore, "")
	f([]byte{0x16, 3, 1, 0, 200, 1, 0xff, 0xff, 0xff}, testLimit, TooLarge, "")
	f(whole, 0, TooLarge, "")
	split := records(message(serverName("db.example.com")), 1)
	f(split, len(split), Done, "db.example.com")
	f(split, len(split)-1, TooLarge, "")
	f(split[:100], 100, TooLarge, "")
}

func TestClientHelloBody(t *testing.T) {
	f := func(msg []byte, want Verdict, sni string) {
		t.Helper()
		everySplit(t, record(msg), want, sni)
		everySplit(t, records(msg, 3), want, sni)
	}
	f(message(), Done, "")
	f(message(serverName("a.b")), Done, "a.b")
	f(message(grease, serverName("a.b"), grease), Done, "a.b")
	f(body(nil, []byte{0, 2, 0x13, 1}, []byte{1, 0}, nil), Done, "") // no extensions
	f(body(nil, []byte{0, 0}, []byte{1, 0}, nil), Done, "")

	f(body(nil, []byte{0, 1, 0x13}, []byte{1, 0}, nil), Malformed, "") // odd list of suites
	f(body(nil, []byte{0, 2, 0x13, 1}, []byte{9, 0}, nil), Malformed, "")
	f(body(nil, []byte{0, 2, 0x13, 1}, []byte{1, 0}, []byte{0}), Malformed, "")
	f(body(nil, []byte{0, 2, 0x13, 1}, []byte{1, 0}, []byte{0, 9}), Malformed, "")
	f(body(nil, []byte{0, 2, 0x13, 1}, []byte{1, 0}, []byte{0, 0, 0}), Malformed, "") // surplus
	f([]byte{1, 0, 0, 0}, Malformed, "")
	f([]byte{1, 0, 0, 3, 3, 3, 0}, Malformed, "")

	f(message(serverName("a.b"), serverName("a.b")), Malformed, "")
	f(message(extension(0, nil)), Malformed, "")
	f(message(extension(0, []byte{0, 0})), Malformed, "")
	f(message(extension(0, []byte{0, 4, 0, 0, 1, 'a', 'x'})), Malformed, "")          // surplus
	f(message(extension(0, []byte{0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'})), Malformed, "") // two names
	f(message(extension(0, []byte{0, 8, 9, 0, 1, 'a', 0, 0, 1, 'b'})), Done, "b")     // another type
	f(message(extension(0, []byte{0, 3, 0, 0, 0})), Malformed, "")                    // empty name
	f(message(extension(0, []byte{0, 4, 0, 0, 9, 'a'})), Malformed, "")               // beyond the list
	f(message(extension(16, []byte{0, 0})), Malformed, "")                            // no protocol
	f(message(extension(16, []byte{0, 1, 0})), Malformed, "")                         // empty protocol
	f(message(extension(16, []byte{0, 2, 5, 'h'})), Malformed, "")                    // beyond the list
	f(message(extension(16, []byte{0, 2, 1, 'h'}), extension(16, []byte{0, 2, 1, 'h'})), Malformed, "")
}

func TestServerName(t *testing.T) {
	f := func(name string, want Verdict, sni string) {
		t.Helper()
		everySplit(t, record(message(serverName(name))), want, sni)
	}
	label := strings.Repeat("x", 63)
	longest := strings.Repeat(label+".", 3) + strings.Repeat("y", 61)

	f("DB.Example.COM", Done, "db.example.com")
	f("db.example.com.", Done, "db.example.com")
	f("_srv.x-1.example", Done, "_srv.x-1.example")
	f("xn--bcher-kva.example", Done, "xn--bcher-kva.example")
	f("10.0.0.1", Done, "10.0.0.1")
	f(label+".example", Done, label+".example")
	f(longest, Done, longest)
	f(longest+".", Done, longest)

	f(label+"x.example", Malformed, "")
	f(longest+"y", Malformed, "")
	f(strings.Repeat("x.", 200)+"x", Malformed, "")
	f(".", Malformed, "")
	f("..", Malformed, "")
	f(".example.com", Malformed, "")
	f("a..b", Malformed, "")
	f("a.b..", Malformed, "")
	f("a.b\x00.evil", Malformed, "")
	f("a b", Malformed, "")
	f("a/b", Malformed, "")
	f("*.example.com", Malformed, "")
	f("b\xc3\xbccher.example", Malformed, "")
	f("::1", Malformed, "")
}

func TestALPN(t *testing.T) {
	f := func(list []byte, want string, cut bool) {
		t.Helper()
		var h Hello
		ext := append([]byte{byte(len(list) >> 8), byte(len(list))}, list...)
		b := records(message(extension(16, ext), serverName("a.b")), 7)
		if v := ClientHello(b, testLimit, &h); v != Done {
			t.Fatalf("verdict %v", v)
		}
		if got := protocols(&h); got != want || h.ALPNCut != cut {
			t.Fatalf("got %q cut=%v, want %q cut=%v", got, h.ALPNCut, want, cut)
		}
	}
	long := string([]byte{200}) + strings.Repeat("p", 200)

	f([]byte("\x02h2\x08http/1.1"), "h2 http/1.1", false)
	f([]byte("\x0apostgresql"), "postgresql", false)
	f([]byte("\x02\x0a\x0a\x02h2"), "\x0a\x0a h2", false) // GREASE
	f([]byte(long+"\x02h2"), long[1:]+" h2", false)
	f([]byte("\x02h2"+long+long+"\x01x"), "h2 "+long[1:], true)
}

func TestECH(t *testing.T) {
	f := func(want bool, extensions ...[]byte) {
		t.Helper()
		var h Hello
		if v := ClientHello(record(message(extensions...)), testLimit, &h); v != Done || h.ECH != want {
			t.Fatalf("got %v ECH=%v, want ECH=%v", v, h.ECH, want)
		}
	}
	f(false, serverName("public.example"))
	f(true, serverName("public.example"), extension(0xfe0d, []byte{0, 1, 2, 3}))
}

// A Hello used again holds nothing of the message before.
func TestHelloReuse(t *testing.T) {
	var h Hello
	full := record(message(serverName("a.b"), extension(16, []byte{0, 2, 1, 'h'}), extension(0xfe0d, []byte{0})))
	for _, next := range [][]byte{record(message()), record(message(serverName("a..b")))} {
		if v := ClientHello(full, testLimit, &h); v != Done || string(h.SNI()) != "a.b" || !h.ECH {
			t.Fatalf("got %v %q", v, h.SNI())
		}
		ClientHello(next, testLimit, &h)
		if len(h.SNI()) != 0 || protocols(&h) != "" || h.ECH || h.ALPNCut {
			t.Fatalf("old values left: %q %q", h.SNI(), protocols(&h))
		}
	}
}

// However the records are cut and the bytes arrive, the answer is the same.
func TestClientHelloAnyRecords(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	hello := captureHello(t, &tls.Config{ServerName: "db.example.com", NextProtos: []string{"h2", "http/1.1"}})
	for range 200 {
		var cut []byte
		for msg := hello[recordHeaderLen:]; len(msg) > 0; {
			n := 1 + rnd.IntN(min(len(msg), 1+rnd.IntN(400)))
			cut = append(cut, record(msg[:n])...)
			msg = msg[n:]
		}
		everySplit(t, cut, Done, "db.example.com")
	}
}

func TestClientHelloAllocs(t *testing.T) {
	hello := captureHello(t, &tls.Config{ServerName: "DB.example.com", NextProtos: []string{"h2", "http/1.1"}})
	many := records(hello[recordHeaderLen:], 10)
	var h Hello
	n := testing.AllocsPerRun(100, func() {
		for _, b := range [][]byte{hello, many, hello[:700]} {
			ClientHello(b, testLimit, &h)
		}
		for p := range h.ALPN {
			_ = p
		}
	})
	if n != 0 {
		t.Fatalf("%v allocations per run", n)
	}
}

func BenchmarkClientHello(b *testing.B) {
	hello := captureHello(b, &tls.Config{ServerName: "db.example.com", NextProtos: []string{"h2", "http/1.1"}})
	var h Hello
	b.ReportAllocs()
	for b.Loop() {
		if ClientHello(hello, testLimit, &h) != Done {
			b.Fatal("not done")
		}
	}
}
