package sniff

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

const allProtocols = TLS | HTTP1 | HTTP2 | PostgreSQL

// everyProtocolSplit checks the answer for all of b and that no prefix has another.
func everyProtocolSplit(t *testing.T, b string, among, want Protocols, v Verdict) {
	t.Helper()
	for n := range len(b) + 1 {
		got, gotV := Protocol([]byte(b[:n]), among)
		if gotV == NeedMore && (n < len(b) || v == NeedMore) && got == 0 {
			continue
		}
		if got != want || gotV != v {
			t.Fatalf("%d bytes of %.40q among %v: got %v %v, want %v %v", n, b, among, got, gotV, want, v)
		}
	}
}

func TestProtocol(t *testing.T) {
	f := func(b string, want Protocols) {
		t.Helper()
		everyProtocolSplit(t, b, allProtocols, want, Done)
		if want != 0 { // not asked for, it is something else
			got, _ := Protocol([]byte(b), allProtocols&^want)
			if got != 0 {
				t.Errorf("%.40q is %v, though it is not asked for", b, got)
			}
			everyProtocolSplit(t, b, want, want, Done)
		}
	}
	f("\x16", TLS)
	f("\x16garbage", TLS) // ClientHello judges it

	f("GET / HTTP/1.1\r\n", HTTP1)
	f("OPTIONS * HTTP/1.1\r\n", HTTP1)
	f("GET HTTP://example.com/ HTTP/1.1\r\n", HTTP1)
	f("GET https://example.com/ HTTP/1.1\r\n", HTTP1)
	f("CONNECT example.com:443 HTTP/1.1\r\n", HTTP1)
	f("CONNECT [::1]:443 HTTP/1.1\r\n", HTTP1)
	f("VERSION-CONTROL /x HTTP/1.1\r\n", HTTP1)
	f("P /", HTTP1)
	f("PR /", HTTP1)
	f("PRI /", HTTP1)
	f("PRI * HTTP/1.1\r\n", HTTP1)
	f("PROPFIND /", HTTP1)
	f(strings.Repeat("M", maxMethod)+" /", HTTP1)

	f(h2Preface, HTTP2)
	f(h2Preface+"\x00\x00\x00\x04", HTTP2)

	f("\x00\x00\x00\x08\x04\xd2\x16\x2f", PostgreSQL)                                 // SSLRequest
	f("\x00\x00\x00\x08\x04\xd2\x16\x30", PostgreSQL)                                 // GSSENCRequest
	f("\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x02", PostgreSQL) // cancel
	f("\x00\x00\x00\x15\x00\x03\x00\x00user\x00postgres\x00\x00", PostgreSQL)

	f("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", 0)
	f(strings.Repeat("M", maxMethod+1), 0)
	f("GET\t/", 0)
	f("GET  /", 0)
	f("GET httpx", 0)
	f("GET http:x", 0)
	f("GET http:\x0f/", 0)
	f("CONNECT \x00", 0)
	f("get / HTTP/1.1\r\n", 0)
	f("\r\nGET / HTTP/1.1\r\n", 0)
	f("SET river Isar\r\n", 0) // Redis, inline
	f("*1\r\n$4\r\nPING\r\n", 0)
	f("QUIT\r\n", 0)
	f("\x10\x2a\x00\x04MQTT", 0)
	f("\x15\x03\x01", 0)
	f("\x00\x00\x00\x08\x04\xd2\x16\x2d", 0)
	f("\x00\x00\x00\x07", 0)
	f("\x00\x01\x00\x00", 0)
	f("\xff", 0)
}

// What is not finished is nothing yet.
func TestProtocolNeedsMore(t *testing.T) {
	f := func(b string, among Protocols, v Verdict) {
		t.Helper()
		everyProtocolSplit(t, b, among, 0, v)
	}
	f("", allProtocols, NeedMore)
	f("G", allProtocols, NeedMore)
	f("GET ", allProtocols, NeedMore)
	f("GET https:/", allProtocols, NeedMore)
	f(h2Preface[:len(h2Preface)-1], allProtocols, NeedMore)
	f(h2Preface[:5], HTTP1, NeedMore) // the preface must not pass for HTTP/1
	f("\x00\x00\x00\x08\x04\xd2\x16", allProtocols, NeedMore)
	f("PR", HTTP2, NeedMore)
	f("", 0, Done)
}

// A set that does not ask does not wait.
func TestProtocolOfASmallSetDecidesEarly(t *testing.T) {
	f := func(first string, among Protocols) {
		t.Helper()
		if got, v := Protocol([]byte(first), among); got != 0 || v != Done {
			t.Errorf("%q among %v: got %v %v", first, among, got, v)
		}
	}
	f("", 0)
	f("G", 0)
	f("G", TLS|PostgreSQL)
	f("G", HTTP2)
	f("\x00", TLS|HTTP1|HTTP2)
	f("\x16", HTTP1)
}

func TestProtocolNames(t *testing.T) {
	f := func(name string, want Protocols) {
		t.Helper()
		if got := ProtocolNamed(name); got != want || want != 0 && got.String() != name {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
	f("tls", TLS)
	f("http1", HTTP1)
	f("http2", HTTP2)
	f("postgres", PostgreSQL)
	f("http3", 0)
	if got := (TLS | HTTP2).String(); got != "tls,http2" {
		t.Errorf("got %q", got)
	}
	if got := Protocols(0).String(); got != "other" {
		t.Errorf("got %q", got)
	}
}

func TestProtocolAllocs(t *testing.T) {
	first := [][]byte{[]byte("GET HTTPS://a/"), []byte(h2Preface), []byte("\x00\x00\x00\x08\x04\xd2\x16\x2f"), {0x16}}
	n := testing.AllocsPerRun(100, func() {
		for _, b := range first {
			Protocol(b, allProtocols)
		}
	})
	if n != 0 {
		t.Fatalf("%v allocations per run", n)
	}
}

// FuzzProtocol checks that neither the split nor what else is asked for changes an
// answer, that 33 bytes decide, and that what net/http takes for a request in
// capitals is HTTP/1.
func FuzzProtocol(f *testing.F) {
	for _, b := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
		"GET http://a/ HTTP/1.0\r\n\r\n", h2Preface, "\x00\x00\x00\x08\x04\xd2\x16\x2f", "\x16\x03\x01", "SSH-2.0-x\r\n",
	} {
		f.Add([]byte(b), uint8(3), uint8(allProtocols))
	}
	f.Fuzz(func(t *testing.T, b []byte, at, set uint8) {
		among := Protocols(set) & allProtocols
		got, v := Protocol(b, among)
		if got&^among != 0 || v != Done && v != NeedMore || v == NeedMore && (got != 0 || len(b) >= 33) {
			t.Fatalf("got %v %v", got, v)
		}
		part, partV := Protocol(b[:int(at)%(len(b)+1)], among)
		if partV == Done && (part != got || v != Done) {
			t.Fatalf("a part is %v, all of it %v %v", part, got, v)
		}
		all, allV := Protocol(b, allProtocols)
		if allV == Done && (v != Done || got != all&among) {
			t.Fatalf("among all it is %v, among %v it is %v %v", all, among, got, v)
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
		if err == nil && capitals(r.Method) && known(b) && all != HTTP1 && !strings.HasPrefix(h2Preface, string(b)) &&
			!bytes.HasPrefix(b, []byte(h2Preface)) {
			t.Fatalf("net/http reads %s %s, we say %v %v", r.Method, r.RequestURI, all, allV)
		}
	})
}

func capitals(method string) bool {
	return len(method) <= maxMethod && strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") == ""
}

// known reports whether the target has a form that HTTP/1 is known by. net/http takes
// any URL; RFC 9112 section 3.2 does not.
func known(b []byte) bool {
	method, rest, _ := bytes.Cut(b, []byte(" "))
	target := strings.ToLower(string(rest[:min(len(rest), 8)]))
	return strings.HasPrefix(target, "/") || strings.HasPrefix(target, "*") || strings.HasPrefix(target, "http://") ||
		target == "https://" || string(method) == "CONNECT" && len(rest) > 0 && rest[0] > ' ' && rest[0] < 0x7f
}
