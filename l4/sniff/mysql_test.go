package sniff

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

const testLogin = mysqlProtocol41 | mysqlSecureConn | mysqlPluginAuth

// mysqlLoginFor is a client's login with one-byte lengths.
func mysqlLoginFor(seq byte, flags uint32, user, proof, db, plugin, rest string) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{0, 0, 0, seq}, flags)
	b = append(b, 0, 0, 0, 1, 45)
	b = append(b, make([]byte, 23)...)
	b = append(append(b, user...), 0)
	switch {
	case flags&mysqlAuthLenEnc != 0 && len(proof) > 250:
		b = append(b, 0xfc, byte(len(proof)), byte(len(proof)>>8))
	default:
		b = append(b, byte(len(proof)))
	}
	b = append(b, proof...)
	if flags&mysqlConnectWithDB != 0 {
		b = append(append(b, db...), 0)
	}
	if flags&mysqlPluginAuth != 0 {
		b = append(append(b, plugin...), 0)
	}
	return endMySQL(append(b, rest...), 0)
}

func mysqlSSLRequest(flags uint32) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{32, 0, 0, 1}, flags)
	return append(b, make([]byte, 28)...)
}

// everyPart calls f with all beginnings of b.
func everyPart(b []byte, f func(part []byte)) {
	for at := range len(b) + 1 {
		f(b[:at])
	}
}

func TestMySQLClient(t *testing.T) {
	f := func(in []byte, seq byte, kind MySQLKind, n int, want Verdict) {
		t.Helper()
		decided := false
		everyPart(in, func(part []byte) {
			var l MySQLLogin
			k, m, v := MySQLClient(part, seq, 1000, &l)
			if v == NeedMore && len(part) < len(in) && !decided {
				return
			}
			decided = true
			if k != kind || m != n || v != want {
				t.Fatalf("%d of %d bytes: got %v, %d, %v, want %v, %d, %v", len(part), len(in), k, m, v, kind, n, want)
			}
		})
	}
	ssl := mysqlSSLRequest(testLogin | mysqlSSL)
	f(ssl, 1, MySQLSSLRequest, 36, Done)
	f(append(bytes.Clone(ssl), 0x16, 3), 1, MySQLSSLRequest, 36, Done)
	login := mysqlLoginFor(1, testLogin, "anna", "12345678901234567890", "", "mysql_native_password", "")
	f(login, 1, MySQLLoginPacket, len(login), Done)
	login = mysqlLoginFor(2, testLogin|mysqlSSL|mysqlConnectWithDB|mysqlAuthLenEnc, "", strings.Repeat("p", 300), "d", "x", "\x00")
	f(login, 2, MySQLLoginPacket, len(login), Done)
	f(nil, 1, MySQLNone, 0, NeedMore)

	f(mysqlSSLRequest(testLogin), 1, MySQLNone, 0, Malformed)       // 32 bytes, and no TLS wanted
	f(mysqlSSLRequest(mysqlSSL), 1, MySQLNone, 0, Malformed)        // older than 4.1
	f(ssl, 2, MySQLNone, 0, Malformed)                              // wrong number
	f([]byte{31, 0, 0, 1}, 1, MySQLNone, 0, Malformed)              // too short
	f([]byte{0xe5, 3, 0, 1}, 1, MySQLNone, 0, TooLarge)             // longer than the limit
	f([]byte("GET / HTTP/1.1\r\n"), 1, MySQLNone, 0, TooLarge)      // another protocol
	f([]byte{0x16, 3, 1, 2, 0, 1, 0, 1}, 1, MySQLNone, 0, TooLarge) // TLS without a request
	f(mysqlLoginFor(1, mysqlProtocol41, "a", "", "", "", ""), 1, MySQLNone, 0, Malformed)
	f(mysqlLoginFor(1, testLogin|mysqlSSL, "anna", "", "", "x", ""), 1, MySQLNone, 0, Malformed)

	short := mysqlLoginFor(1, testLogin, "anna", "123", "", "x", "")
	short[4+32+5] = 200 // a proof beyond the end
	f(short, 1, MySQLNone, 0, Malformed)
	open := mysqlLoginFor(1, testLogin, "anna", "", "", "", "")
	open = endMySQL(open[:4+32+3], 0) // the user does not end
	f(open, 1, MySQLNone, 0, Malformed)
}

// What is sent to the server has all of the login but the proof.
func TestMySQLAppendAsking(t *testing.T) {
	f := func(flags uint32, user, proof, db, rest string) {
		t.Helper()
		for _, tls := range []bool{false, true} {
			var l MySQLLogin
			in := mysqlLoginFor(1, flags, user, proof, db, "mysql_native_password", rest)
			if _, _, v := MySQLClient(in, 1, 1000, &l); v != Done {
				t.Fatalf("got %v", v)
			}
			wantFlags, seq := flags, byte(1)
			if tls {
				wantFlags, seq = flags|mysqlSSL, 2
			}
			want := mysqlLoginFor(seq, wantFlags, user, "", db, mysqlAsk, rest)
			if got := l.AppendAsking([]byte("x"), seq, tls); string(got) != "x"+string(want) {
				t.Errorf("got %q, want %q", got, want)
			}
			ask := string(l.AppendSSLRequest([]byte("x")))
			if ask[5:] != "x"[1:]+string(mysqlLoginFor(1, flags|mysqlSSL, "", "", "", "", "")[4:36]) || ask[:5] != "x\x20\x00\x00\x01" {
				t.Errorf("request for TLS %q", ask)
			}
		}
	}
	f(testLogin, "anna", "12345678901234567890", "", "")
	f(testLogin|mysqlConnectWithDB, "", "", "river", "")
	f(testLogin|mysqlConnectWithDB|mysqlAuthLenEnc, "anna", strings.Repeat("p", 251), "river", "\x05\x01a\x02bc")
}

func TestMySQLLoginWithoutPlugins(t *testing.T) {
	var l MySQLLogin
	in := mysqlLoginFor(1, testLogin&^mysqlPluginAuth, "anna", "x", "", "", "")
	if _, _, v := MySQLClient(in, 1, 1000, &l); v != Done || l.PluginAuth {
		t.Errorf("got %v, PluginAuth %v", v, l.PluginAuth)
	}
}

// mariadbGreeting is what a MariaDB 10.11 with TLS says.
const mariadbGreeting = "\x64\x00\x00\x00\x0a5.5.5-10.11.19-MariaDB-0+deb12u1\x00\x03\x00\x00\x00" +
	"12345678\x00\xfe\xff\x2d\x02\x00\xff\xc1\x15\x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00" +
	"123456789012\x00mysql_native_password\x00"

func TestMySQLServer(t *testing.T) {
	f := func(in string, n int, want Verdict, greeting MySQLGreeting) {
		t.Helper()
		decided := false
		everyPart([]byte(in), func(part []byte) {
			var g MySQLGreeting
			m, v := MySQLServer(part, &g)
			if v == NeedMore && len(part) < len(in) && !decided {
				return
			}
			decided = true
			if m != n || v != want || g != greeting {
				t.Fatalf("%d of %d bytes: got %d, %v, %v", len(part), len(in), m, v, g)
			}
		})
	}
	f(mariadbGreeting, len(mariadbGreeting), Done, MySQLGreeting{TLS: true, PluginAuth: true})
	f("\x17\x00\x00\x00\xff\x10\x04Too many connections", 27, Done, MySQLGreeting{Refused: true})
	own := string(AppendMySQLGreeting(nil, "8.0.11", [20]byte{}, true))
	f(own, len(own), Done, MySQLGreeting{TLS: true, PluginAuth: true})
	own = string(AppendMySQLGreeting(nil, "8.0.11", [20]byte{}, false))
	f(own+"more", len(own), Done, MySQLGreeting{PluginAuth: true})

	none := MySQLGreeting{}
	f("", 0, NeedMore, none)
	f("\x05\x00\x00\x00\x0a", 9, NeedMore, none)
	f("\x00\x00\x00\x00", 0, Malformed, none)
	f("\x05\x00\x00\x01", 0, Malformed, none)          // not the first packet
	f("\x05\x00\x00\x00\x09", 0, Malformed, none)      // protocol 9
	f("\xfd\x0f\x00\x00", 0, TooLarge, none)           // longer than the limit
	f("\x06\x00\x00\x00\x0a8.0.1", 0, Malformed, none) // the version does not end
	f("SSH-2.0-OpenSSH\r\n", 0, TooLarge, none)
}

// The nonce has no byte that clients take for its end.
func TestMySQLGreetingNonce(t *testing.T) {
	var nonce [MySQLNonceLen]byte
	for i := range nonce {
		nonce[i] = []byte{0, '$', 0x80, '$' | 0x80, 0xff}[i%5]
	}
	b := AppendMySQLGreeting(nil, "v", nonce, true)
	_, rest, _ := bytes.Cut(b[5:], []byte{0})
	if part := rest[4 : 4+8+1]; bytes.IndexByte(part, 0) != 8 || bytes.ContainsAny(part, "$\x80\xff") {
		t.Errorf("nonce %q", part)
	}
	if !bytes.HasSuffix(b, []byte("\x00"+mysqlOfferedPlugin+"\x00")) {
		t.Errorf("got %q", b)
	}
}

func TestMySQLError(t *testing.T) {
	const want = "\x14\x00\x00\x02\xff\x57\x0c#HY000no TLS here"
	if got := string(AppendMySQLError(nil, 2, 3159, "HY000", "no TLS here")); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMySQLAllocs(t *testing.T) {
	login := mysqlLoginFor(1, testLogin|mysqlConnectWithDB, "anna", "12345678901234567890", "d", "x", "")
	buf := make([]byte, 0, 512)
	n := testing.AllocsPerRun(100, func() {
		var l MySQLLogin
		var g MySQLGreeting
		MySQLClient(login, 1, 1000, &l)
		l.AppendAsking(buf, 1, true)
		MySQLServer(AppendMySQLGreeting(buf, "8.0.11", [20]byte{}, true), &g)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Numbers are shifted up to the packet that ends the login, however the bytes come.
func TestMySQLNumbers(t *testing.T) {
	const more, proof, empty = "\x03\x00\x00\x02\xfeab", "\x02\x00\x00\x03\x01\x03", "\x00\x00\x00\xff"
	const ok, later = "\x03\x00\x00\x04\x00\x00\x00", "\x01\x00\x00\x01\x05"
	f := func(in, want string, ended bool) {
		t.Helper()
		for step := 1; step <= len(in); step++ {
			var m MySQLNumbers
			got, done := []byte(in), false
			for at := 0; at < len(in) && !done; at += step {
				done = m.Shift(got[at:min(at+step, len(in))], 1)
			}
			if string(got) != want || done != ended {
				t.Fatalf("in steps of %d: got %q, %v, want %q, %v", step, got, done, want, ended)
			}
		}
	}
	f(more, "\x03\x00\x00\x03\xfeab", false)
	f(empty+more, "\x00\x00\x00\x00\x03\x00\x00\x03\xfeab", false)
	f(more+proof+ok+later, "\x03\x00\x00\x03\xfeab\x02\x00\x00\x04\x01\x03\x03\x00\x00\x05\x00\x00\x00"+later, true)
	f("\x02\x00\x00\x02\xff\x15"+later, "\x02\x00\x00\x03\xff\x15"+later, true)
}
