package sniff

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"
)

// FuzzClientHello holds ClientHello against crypto/tls, and each answer against
// the one for the same bytes arriving in two parts.
func FuzzClientHello(f *testing.F) {
	for _, c := range []*tls.Config{
		{ServerName: "db.example.com"},
		{ServerName: "Www.Example.COM", NextProtos: []string{"h2", "http/1.1"}},
		{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
		{ServerName: "a.b", MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}},
	} {
		hello := captureHello(f, c)
		f.Add(hello, uint16(3))
		f.Add(records(hello[recordHeaderLen:], 100), uint16(200))
	}
	f.Add(records(message(grease, serverName("a.b"), extension(16, []byte{0, 2, 1, 'h'})), 9), uint16(50))
	f.Add(record(message(serverName("a..b"))), uint16(9))
	f.Add(record(message(serverName("a.b."), extension(0xfe0d, nil))), uint16(9))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint16(1))

	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		var h, part Hello
		v := ClientHello(b, testLimit, &h)
		checkSplit(t, b, int(at)%(len(b)+1), v, &h, &part)

		sni, alpn, ok := oracle(b)
		switch {
		case ok && len(b) <= testLimit && v != Done:
			if !stricter(b, sni) {
				t.Fatalf("crypto/tls reads %q, we say %v", sni, v)
			}
		case ok && v == Done:
			// The standard library keeps the case; a name with a final dot it refuses.
			if got := string(h.SNI()); got != strings.ToLower(sni) {
				t.Fatalf("got name %q, crypto/tls %q", got, sni)
			}
			if got := protocols(&h); !h.ALPNCut && got != strings.Join(alpn, " ") {
				t.Fatalf("got protocols %q, crypto/tls %q", got, alpn)
			}
		}
		if v == Done && !lowerDNSName([]byte("x"+string(h.SNI()))) {
			t.Fatalf("not a DNS name: %q", h.SNI())
		}
	})
}

func checkSplit(t *testing.T, b []byte, at int, v Verdict, h, part *Hello) {
	t.Helper()
	got := ClientHello(b[:at], testLimit, part)
	if got == NeedMore {
		return
	}
	if got != v || string(part.SNI()) != string(h.SNI()) || protocols(part) != protocols(h) {
		t.Fatalf("%d of %d bytes: got %v %q, all of them: %v %q", at, len(b), got, part.SNI(), v, h.SNI())
	}
}

// stricter reports whether b breaks one of the rules that are ours alone.
func stricter(b []byte, sni string) bool {
	name := []byte(sni)
	if sni != "" && !lowerDNSName(name) {
		return true
	}
	for len(b) >= recordHeaderLen {
		if b[0] != recordHandshake || b[1] != 3 {
			return true
		}
		b = b[min(len(b), recordHeaderLen+int(b[3])<<8+int(b[4])):]
	}
	return false
}

// FuzzPostgres checks that the split changes nothing and that a length is in its bounds.
func FuzzPostgres(f *testing.F) {
	f.Add([]byte{0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f}, uint8(3))
	f.Add([]byte("\x00\x00\x00\x15\x00\x03\x00\x00user\x00postgres\x00\x00"), uint8(9))
	f.Add([]byte{0x16, 3, 1}, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, at uint8) {
		kind, n, v := Postgres(b)
		inBounds := kind == PGDirectTLS || n >= pgHeaderLen && n <= pgStartupMax
		if (v == Done) != (kind != PGNone) || v == Done && !inBounds {
			t.Fatalf("got %v, %d, %v", kind, n, v)
		}
		k, m, w := Postgres(b[:int(at)%(len(b)+1)])
		if w != NeedMore && (k != kind || m != n || w != v) {
			t.Fatalf("got %v, %d, %v for a part and %v, %d, %v for all", k, m, w, kind, n, v)
		}
	})
}

// FuzzMySQL checks that the split changes nothing, that lengths are in their bounds,
// and that a login that was read can be written and read again.
func FuzzMySQL(f *testing.F) {
	f.Add(mysqlSSLRequest(testLogin|mysqlSSL), uint16(9), byte(1))
	f.Add(mysqlLoginFor(1, testLogin|mysqlConnectWithDB, "anna", "proof", "d", "x", "\x03\x01a\x00"), uint16(40), byte(1))
	f.Add(mysqlLoginFor(2, testLogin|mysqlSSL|mysqlAuthLenEnc, "anna", "", "", "x", ""), uint16(3), byte(2))
	f.Add([]byte(mariadbGreeting), uint16(30), byte(0))
	f.Add(AppendMySQLGreeting(nil, "8.0.11", [20]byte{1}, true), uint16(5), byte(0))
	f.Add(AppendMySQLError(nil, 0, 1040, "08004", "Too many connections"), uint16(5), byte(0))
	const limit = 2000
	f.Fuzz(func(t *testing.T, b []byte, at uint16, seq byte) {
		var l, part MySQLLogin
		piece := b[:int(at)%(len(b)+1)]
		kind, n, v := MySQLClient(b, seq, limit, &l)
		if (v == Done) != (kind != MySQLNone) || v == Done && (n > len(b) || n > limit) || v == NotTLS {
			t.Fatalf("got %v, %d, %v", kind, n, v)
		}
		if k, m, w := MySQLClient(piece, seq, limit, &part); w != NeedMore && (k != kind || m != n || w != v) {
			t.Fatalf("got %v, %d, %v for a part and %v, %d, %v for all", k, m, w, kind, n, v)
		}
		if kind == MySQLLoginPacket && l.PluginAuth {
			again := l.AppendAsking(nil, 2, true)
			var copied MySQLLogin
			_, _, v := MySQLClient(again, 2, 2*limit, &copied)
			if v != Done || string(copied.user) != string(l.user) || string(copied.db) != string(l.db) ||
				string(copied.rest) != string(l.rest) {
				t.Fatalf("%v: %+v was copied as %+v", v, l, copied)
			}
		}
		whole, halves := bytes.Clone(b), bytes.Clone(b)
		var one, two MySQLNumbers
		ended := one.Shift(whole, seq)
		if at := len(piece); !two.Shift(halves[:at], seq) {
			if two.Shift(halves[at:], seq) != ended || string(halves) != string(whole) {
				t.Fatalf("%q became %q, and in two parts %q", b, whole, halves)
			}
		}
		var g, partG MySQLGreeting
		n, v = MySQLServer(b, &g)
		if v == Done && (n > len(b) || n > MySQLGreetingMax) {
			t.Fatalf("got %d, %v", n, v)
		}
		if m, w := MySQLServer(piece, &partG); w != NeedMore && (m != n || w != v || partG != g) {
			t.Fatalf("got %d, %v for a part and %d, %v for all", m, w, n, v)
		}
	})
}
