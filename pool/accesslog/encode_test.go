package accesslog

import (
	"encoding/json"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 89_400_000, time.FixedZone("", 3600))

func fullL7() *L7Record {
	return &L7Record{
		Start: start, Listener: "web", Route: "www.example.com/api/", Pool: "app", Backend: "10.0.0.1:8080",
		Client: netip.MustParseAddrPort("192.0.2.77:40000"), SNI: "www.example.com",
		Proto: "HTTP/1.1", Method: []byte("GET"), Host: []byte("www.example.com"),
		Path: []byte("/api/x y"), Query: []byte("token=secret"),
		Status: 502, BytesIn: 120, BytesOut: 9_000_000_000, Duration: 1234567 * time.Microsecond,
		Side: "upstream", Reason: "connect refused", RequestID: []byte("0af1"), Retries: 1,
		Stages: Stages{Route: time.Microsecond, Connect: 250 * time.Microsecond, FirstByte: time.Second},
	}
}

func line7(e encoder, r *L7Record) string {
	e.l7(r)
	return string(e.b)
}

func line4(e encoder, r *L4Record) string {
	e.l4(r)
	return string(e.b)
}

func TestLines(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want+"\n" {
			t.Errorf("got  %swant %s\n", got, want)
		}
	}
	f(line7(encoder{json: true, query: true}, fullL7()),
		`{"time":"2026-03-04T04:06:07.089Z","kind":"l7","listener":"web","route":"www.example.com/api/",`+
			`"pool":"app","backend":"10.0.0.1:8080","client":"192.0.2.77","client_port":40000,"sni":"www.example.com",`+
			`"proto":"HTTP/1.1","method":"GET","host":"www.example.com","path":"/api/x y","query":"token=secret",`+
			`"status":502,"bytes_in":120,"bytes_out":9000000000,"duration_seconds":1.234567,`+
			`"side":"upstream","reason":"connect refused","request_id":"0af1","retries":1,`+
			`"route_seconds":0.000001,"connect_seconds":0.000250,"first_byte_seconds":1.000000}`)
	f(line7(encoder{client: clientMasked}, fullL7()),
		`time=2026-03-04T04:06:07.089Z kind=l7 listener=web route=www.example.com/api/ `+
			`pool=app backend=10.0.0.1:8080 client=192.0.2.0 sni=www.example.com `+
			`proto=HTTP/1.1 method=GET host=www.example.com path="/api/x y" `+
			`status=502 bytes_in=120 bytes_out=9000000000 duration_seconds=1.234567 `+
			`side=upstream reason="connect refused" request_id=0af1 retries=1 `+
			`route_seconds=0.000001 connect_seconds=0.000250 first_byte_seconds=1.000000`)
	f(line7(encoder{json: true}, &L7Record{Start: start}),
		`{"time":"2026-03-04T04:06:07.089Z","kind":"l7","status":0,"bytes_in":0,"bytes_out":0,`+
			`"duration_seconds":0.000000}`)
	f(line4(encoder{json: true}, &L4Record{
		Start: start, Listener: "db", Pool: "db", Backend: "unix:/run/db", SNI: "db.example.com",
		TLS: "TLS 1.3", ALPN: "postgresql", ClientCert: "CN=app",
		Client: netip.MustParseAddrPort("[2001:db8:1:2:3::4]:5"), BytesIn: 1, BytesOut: 2,
		Duration: 3 * time.Hour, Reason: "client_fin", EndedBy: "client", Retries: 2, Stages: Stages{Sniff: 40 * time.Millisecond},
	}),
		`{"time":"2026-03-04T04:06:07.089Z","kind":"l4","listener":"db","pool":"db","backend":"unix:/run/db",`+
			`"client":"2001:db8:1:2:3::4","client_port":5,"sni":"db.example.com",`+
			`"tls":"TLS 1.3","alpn":"postgresql","client_cert":"CN=app","bytes_in":1,"bytes_out":2,`+
			`"duration_seconds":10800.000000,"reason":"client_fin","ended_by":"client","retries":2,"sniff_seconds":0.040000}`)
	f(line4(encoder{}, &L4Record{Start: start, Duration: -5}),
		`time=2026-03-04T04:06:07.089Z kind=l4 bytes_in=0 bytes_out=0 duration_seconds=0.000000`)
}

func TestClientAddress(t *testing.T) {
	f := func(c clientIP, addr, want string) {
		t.Helper()
		e := encoder{client: c}
		e.peer(netip.AddrPortFrom(netip.MustParseAddr(addr), 9))
		if got := strings.TrimSpace(string(e.b)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	f(clientFull, "192.0.2.77", "client=192.0.2.77 client_port=9")
	f(clientFull, "::ffff:192.0.2.77", "client=192.0.2.77 client_port=9")
	f(clientFull, "fe80::1%eth\n0", "client=fe80::1 client_port=9")
	f(clientMasked, "192.0.2.77", "client=192.0.2.0")
	f(clientMasked, "::ffff:192.0.2.77", "client=192.0.2.0")
	f(clientMasked, "2001:db8:1:2::3", "client=2001:db8:1::")
	f(clientMasked, "fe80::1%eth0", "client=fe80::")
	f(clientNone, "192.0.2.77", "")
	e := encoder{}
	e.peer(netip.AddrPort{})
	if len(e.b) != 0 {
		t.Errorf("a client without address: %q", e.b)
	}
}

func TestEscape(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		if got := string(appendEscaped(nil, s)); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
		if got := string(appendEscaped([]byte("x"), []byte(s))); got != "x"+want {
			t.Errorf("%q as bytes: %q, want %q", s, got, want)
		}
	}
	f("", "")
	f("plain /text?a=b&c", "plain /text?a=b&c")
	f(`a"b\c`, `a\"b\\c`)
	f("\r\n\t", `\r\n\t`)
	f("\x00\x1b[31m\x7f", `\u0000\u001b[31m\u007f`)
	f("grüße 世界 🙂", "grüße 世界 🙂")
	f("\u0080\u0085\u009b\u00a0", `\u0080\u0085\u009b`+"\u00a0")
	f("a\u2028b\u2029c", `a\u2028b\u2029c`)
	f("\uFFFD", "\uFFFD") // a replacement character that was sent is valid
	f("\xff\xc3", `\u00ff\u00c3`)
	f("\xe4\xb8", `\u00e4\u00b8`)           // a rune cut short
	f("\xed\xa0\x80", `\u00ed\u00a0\u0080`) // a surrogate
	f("\xc0\xaf", `\u00c0\u00af`)           // overlong

	f(strings.Repeat("a", maxField), strings.Repeat("a", maxField))
	f(strings.Repeat("a", maxField+1), strings.Repeat("a", maxField)+cutMark)
	f(strings.Repeat("a", maxField-1)+"ü", strings.Repeat("a", maxField-1)+cutMark)
	f(strings.Repeat("\x00", maxField), strings.Repeat(`\u0000`, maxField/6)+cutMark)
}

func TestLogfmtQuoting(t *testing.T) {
	f := func(v, want string) {
		t.Helper()
		var e encoder
		str(&e, "k", v)
		if got := string(e.b); got != want {
			t.Errorf("%q: %q, want %q", v, got, want)
		}
	}
	f("", "")
	f("plain", " k=plain")
	f("a b", ` k="a b"`)
	f("a=b", ` k="a=b"`)
	f(`a"b`, ` k="a\"b"`)
	f(`\`, ` k="\\"`)
	f("a\nkind=l4", ` k="a\nkind=l4"`)
	f("ü", ` k="ü"`)
	f(strings.Repeat("x", maxField+1), ` k="`+strings.Repeat("x", maxField)+cutMark+`"`)
}

// extremes is a record in which everything is as long as it gets.
func extremes(v string) *L7Record {
	b := []byte(v)
	return &L7Record{
		Start: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Listener: v, Route: v, Pool: v, Backend: v,
		Client: netip.MustParseAddrPort("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"), SNI: v,
		Proto: v, Method: b, Host: b, Path: b, Query: b,
		Status: math.MinInt64, BytesIn: math.MinInt64, BytesOut: math.MinInt64, Duration: math.MaxInt64,
		Side: v, Reason: v, RequestID: b, Retries: math.MaxInt64,
		Stages: Stages{math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64},
	}
}

func TestLinesStayInTheirBound(t *testing.T) {
	for _, v := range []string{
		"", "a", "\x00", strings.Repeat("\xff", 300), strings.Repeat("\n", 5000), strings.Repeat("x", 1<<20),
	} {
		r := extremes(v)
		r4 := &L4Record{
			Start: r.Start, Listener: v, Route: v, Pool: v, Backend: v, Client: r.Client, SNI: v,
			TLS: v, ALPN: v, ClientCert: v,
			BytesIn: r.BytesIn, BytesOut: r.BytesOut, Duration: r.Duration,
			Side: v, Reason: v, EndedBy: v, Retries: r.Retries, Stages: r.Stages,
		}
		for _, js := range []bool{true, false} {
			e := encoder{json: js, query: true}
			if got := len(line7(e, r)); got > r.bound() || got > batchSize {
				t.Errorf("json %v: an L7 line of %d bytes, bound %d", js, got, r.bound())
			}
			if got := len(line4(e, r4)); got > r4.bound() || got > batchSize {
				t.Errorf("json %v: an L4 line of %d bytes, bound %d", js, got, r4.bound())
			}
		}
	}
}

// FuzzLines feeds arbitrary bytes to every text field and reads the lines back:
// one line each, valid, with the value that went in.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"", "/a b", "\"\\\n\r\t\x00\x7f", "\xff\xfe", "ü\u2028", `{"a":1}`, "a=b c=\"d\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		r := &L7Record{Start: start, Listener: string(v), Path: v, Query: v, Reason: string(v), RequestID: v}
		want := readBack(v)
		js := line7(encoder{json: true, query: true}, r)
		checkOneLine(t, js)
		var got map[string]any
		if err := json.Unmarshal([]byte(js), &got); err != nil {
			t.Fatalf("not JSON: %v\n%q", err, js)
		}
		for _, k := range []string{"listener", "path", "query", "reason", "request_id"} {
			s, _ := got[k].(string)
			checkValue(t, k, s, want)
		}
		if got["kind"] != "l7" || got["status"] != 0.0 {
			t.Fatalf("a value changed another key: %q", js)
		}
		lf := line7(encoder{query: true}, r)
		checkOneLine(t, lf)
		pairs := parseLogfmt(t, lf)
		for _, k := range []string{"listener", "path", "query", "reason", "request_id"} {
			checkValue(t, k, pairs[k], want)
		}
		if pairs["kind"] != "l7" || pairs["status"] != "0" {
			t.Fatalf("a value changed another key: %q", lf)
		}
	})
}

// checkValue compares a value read back, which may have been cut.
func checkValue(t *testing.T, key, got, want string) {
	t.Helper()
	if start, cut := strings.CutSuffix(got, cutMark); cut && strings.HasPrefix(want, start) {
		return
	}
	if got != want {
		t.Fatalf("%s is %q, want %q", key, got, want)
	}
}

// readBack gives what a reader of the line sees for v: each byte that is not
// UTF-8 as the code point of its number.
func readBack(v []byte) string {
	var sb strings.Builder
	for len(v) > 0 {
		r, n := utf8.DecodeRune(v)
		if r == utf8.RuneError && n == 1 {
			r = rune(v[0])
		}
		sb.WriteRune(r)
		v = v[n:]
	}
	return sb.String()
}

func checkOneLine(t *testing.T, l string) {
	t.Helper()
	if !strings.HasSuffix(l, "\n") || !utf8.ValidString(l) {
		t.Fatalf("not a line of UTF-8: %q", l)
	}
	for _, r := range strings.TrimSuffix(l, "\n") {
		if r < 0x20 || r >= 0x7F && r < 0xA0 || r == '\u2028' || r == '\u2029' {
			t.Fatalf("a control character %U is in the line: %q", r, l)
		}
	}
}

func parseLogfmt(t *testing.T, l string) map[string]string {
	t.Helper()
	m := make(map[string]string)
	l = strings.TrimSuffix(l, "\n")
	for l != "" {
		k, rest, ok := strings.Cut(l, "=")
		if !ok || m[k] != "" {
			t.Fatalf("not logfmt at %q", l)
		}
		if strings.HasPrefix(rest, `"`) {
			end := 1
			for rest[end] != '"' {
				if rest[end] == '\\' {
					end++
				}
				end++
			}
			var v string
			if err := json.Unmarshal([]byte(rest[:end+1]), &v); err != nil {
				t.Fatalf("bad quoting of %s: %v", k, err)
			}
			m[k], l = v, strings.TrimPrefix(rest[end+1:], " ")
			continue
		}
		m[k], l, _ = strings.Cut(rest, " ")
	}
	return m
}
