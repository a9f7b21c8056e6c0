package l4

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"weir/conf"
	"weir/l4/sniff"
)

const (
	mysqlFlags = 1<<9 | 1<<15 | 1<<19 // 4.1, with plugins
	mysqlTLS   = 1 << 11
)

func mysqlPacket(seq byte, payload string) string {
	n := len(payload)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}) + payload
}

// mysqlStart is what all first packets of clients begin with.
func mysqlStart(flags uint32) string {
	b := binary.LittleEndian.AppendUint32(nil, flags)
	return string(append(b, make([]byte, 28)...))
}

func mysqlAskTLS() string { return mysqlPacket(1, mysqlStart(mysqlFlags|mysqlTLS)) }

func mysqlLoginText(flags uint32, proof, plugin string) string {
	p := mysqlStart(flags) + "anna\x00" + string([]byte{byte(len(proof))}) + proof
	if flags&(1<<19) != 0 {
		p += plugin + "\x00"
	}
	return mysqlPacket(1, p)
}

func mysqlGreeting(tls bool) string {
	return string(sniff.AppendMySQLGreeting(nil, "10.11", [20]byte{1}, tls))
}

// readPacket reads one packet of a client that speaks MySQL.
func readPacket(c net.Conn) string {
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return ""
	}
	body := make([]byte, int(head[0])|int(head[1])<<8)
	if _, err := io.ReadFull(c, body); err != nil {
		return ""
	}
	return string(head) + string(body)
}

// mysqlServer sends its greeting in pieces, and then its name and all it gets back.
func mysqlServer(name, greeting string) func(c *net.TCPConn) {
	return func(c *net.TCPConn) {
		for i := range greeting {
			io.WriteString(c, greeting[i:i+1])
		}
		first := readPacket(c)
		io.WriteString(c, name+"\n"+first)
		echo(c)
	}
}

func mysqlWorld(t *testing.T, fallback string) (*world, string) {
	t.Helper()
	told := poolOf("told", origin(t, func(c *net.TCPConn) {
		io.WriteString(c, mysqlGreeting(true))
		echo(c)
	}))
	told.ProxyProtocol = "v2"
	w := newWorld(t, worldOptions{},
		poolOf("a", origin(t, mysqlServer("a", mysqlGreeting(true)))),
		poolOf("plain", origin(t, mysqlServer("plain", mysqlGreeting(false)))),
		poolOf("busy", origin(t, mysqlServer("busy", mysqlPacket(0, "\xff\x10\x04Too many connections")))),
		poolOf("other", origin(t, mysqlServer("other", "SSH-2.0-OpenSSH\r\n"))),
		poolOf("rest", origin(t, mysqlServer("rest", mysqlGreeting(true)))), told)
	w.serve(w.l4(conf.L4{Protocol: "mysql", ServerVersion: "10.11-test", Pool: fallback, Routes: []conf.L4Route{
		{SNI: []string{"a.test"}, Pool: "a"},
		{SNI: []string{"plain.test"}, Pool: "plain"},
		{SNI: []string{"busy.test"}, Pool: "busy"},
		{SNI: []string{"other.test"}, Pool: "other"},
		{SNI: []string{"told.test"}, Pool: "told"},
	}}))
	return w, w.srv.Addrs("t")[0]
}

// greeted connects and reads the greeting.
func greeted(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c := dial(t, addr)
	got := readPacket(c)
	if !strings.HasPrefix(got[4:], "\x0a10.11-test\x00") {
		t.Fatalf("greeting %q", got)
	}
	return c
}

func TestMySQLByName(t *testing.T) {
	_, addr := mysqlWorld(t, "rest")
	f := func(name, to string, step int) {
		t.Helper()
		c := greeted(t, addr)
		defer c.Close()
		text := mysqlAskTLS() + string(hello(t, name))
		for rest := text; rest != ""; rest = rest[min(step, len(rest)):] {
			send(t, c, rest[:min(step, len(rest))])
		}
		want(t, c, to+"\n"+text)
		send(t, c, "more")
		want(t, c, "more")
	}
	f("a.test", "a", 10000)
	f("a.test", "a", 36)
	f("a.test", "a", 1)
	f("no.test", "rest", 100)
	f("", "rest", 100)
}

// Each greeting has a nonce of its own.
func TestMySQLFreshNonce(t *testing.T) {
	_, addr := mysqlWorld(t, "rest")
	a, b := dial(t, addr), dial(t, addr)
	if x, y := readPacket(a), readPacket(b); x == "" || x == y {
		t.Errorf("greetings %q and %q", x, y)
	}
}

// A login in clear goes to the default pool, without its proof and with a plugin
// that makes the server ask.
func TestMySQLInClear(t *testing.T) {
	_, addr := mysqlWorld(t, "rest")
	c := greeted(t, addr)
	login := mysqlLoginText(mysqlFlags, "12345678901234567890", "caching_sha2_password")
	for i := range login {
		send(t, c, login[i:i+1])
	}
	want(t, c, "rest\n"+mysqlLoginText(mysqlFlags, "", "weir_asks"))
	send(t, c, "more")
	want(t, c, "more")
}

// wantError reads an ERR packet that ends the connection.
func wantError(t *testing.T, c net.Conn, code uint16, text string) {
	t.Helper()
	got, err := io.ReadAll(c)
	head := binary.LittleEndian.AppendUint16([]byte{byte(len(got) - 4), 0, 0, 2, 0xff}, code)
	if err != nil || !bytes.HasPrefix(got, head) || !bytes.Contains(got, []byte(text)) {
		t.Errorf("got %q, %v, want error %d %q", got, err, code, text)
	}
}

func TestMySQLErrors(t *testing.T) {
	login := mysqlLoginText(mysqlFlags, "", "x")
	w, addr := mysqlWorld(t, "")
	c := greeted(t, addr)
	send(t, c, login)
	wantError(t, c, 3159, "#HY000Connections using insecure transport are prohibited")
	w.closed(reasonNoRoute)

	w, addr = mysqlWorld(t, "rest")
	c = greeted(t, addr)
	send(t, c, mysqlLoginText(mysqlFlags&^(1<<19), "", ""))
	wantError(t, c, 1251, "plugins")
	w.closed(reasonTooOld)

	w, addr = mysqlWorld(t, "busy")
	c = greeted(t, addr)
	send(t, c, login)
	wantError(t, c, 1040, "Too many connections")
	w.closed(reasonBackendRefused)
}

func TestMySQLRefusals(t *testing.T) {
	f := func(why reason, fallback, in, out string) {
		t.Helper()
		w, addr := mysqlWorld(t, fallback)
		c := greeted(t, addr)
		send(t, c, in)
		if got, _ := io.ReadAll(c); string(got) != out {
			t.Errorf("client got %q, want %q", got, out)
		}
		w.closed(why)
	}
	byName := func(name string) string { return mysqlAskTLS() + string(hello(t, name)) }
	const unrecognized, internal = "\x15\x03\x03\x00\x02\x02\x70", "\x15\x03\x03\x00\x02\x02\x50"
	f(reasonNoRoute, "", byName("no.test"), unrecognized)
	f(reasonNoRoute, "", byName(""), unrecognized)
	f(reasonBackendRefusedTLS, "rest", byName("plain.test"), internal)
	f(reasonBackendRefused, "rest", byName("busy.test"), internal)
	f(reasonBackendMalformed, "rest", byName("other.test"), internal)
	f(reasonNotTLS, "rest", mysqlAskTLS()+mysqlLoginText(mysqlFlags, "", "x"), "")
	f(reasonMalformed, "rest", mysqlLoginText(mysqlFlags, "", "x")+"\x01", "")
	f(reasonMalformed, "rest", mysqlPacket(2, mysqlStart(mysqlFlags|mysqlTLS)), "")
	f(reasonTooLarge, "rest", "GET / HTTP/1.1\r\n\r\n", "")
}

// Slow clients and backends are closed by time.
func TestMySQLTimeouts(t *testing.T) {
	silent := poolOf("silent", origin(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) }))
	silent.ConnectTimeout = 50 * time.Millisecond
	w := newWorld(t, worldOptions{}, silent)
	w.serve(w.l4(conf.L4{
		Protocol: "mysql", Pool: "silent", SniffTimeout: 200 * time.Millisecond,
		Routes: []conf.L4Route{{SNI: []string{"a.test"}, Pool: "silent"}},
	}))
	addr := w.srv.Addrs("t")[0]
	quiet := dial(t, addr)
	readPacket(quiet)
	send(t, quiet, mysqlAskTLS()[:20])
	wantEnd(t, quiet, "")
	w.closed(reasonSniffTimeout)

	c := dial(t, addr)
	readPacket(c)
	send(t, c, mysqlAskTLS()+string(hello(t, "a.test")))
	io.Copy(io.Discard, c)
	w.closed(reasonConnectFailed)
}

// A PROXY header for the backend names the server name, which stands behind the
// request for TLS.
func TestMySQLProxyHeader(t *testing.T) {
	_, addr := mysqlWorld(t, "rest")
	c := greeted(t, addr)
	text := mysqlAskTLS() + string(hello(t, "told.test"))
	send(t, c, text)
	b := make([]byte, 4096)
	n, err := io.ReadAtLeast(c, b, len(text))
	var h sniff.ProxyHeader
	used, v := sniff.Proxy(b[:n], sniff.ProxyMaxV2, &h)
	if err != nil || v != sniff.Done || !bytes.Contains(h.TLVs, []byte("\x02\x00\x09told.test")) {
		t.Fatalf("got %q, %v", b[:n], err)
	}
	rest, _ := io.ReadFull(c, make([]byte, used+len(text)-n))
	if n+rest != used+len(text) {
		t.Errorf("got %d bytes behind the header, want %d", n+rest-used, len(text))
	}
}

// Without routes the backend greets for itself.
func TestMySQLWithoutRoutesIsPassedThrough(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, func(c *net.TCPConn) {
		io.WriteString(c, mysqlGreeting(false))
		echo(c)
	})))
	c := dial(t, w.simple(conf.L4{Protocol: "mysql"}))
	want(t, c, mysqlGreeting(false))
}

// A server that hangs or resets before it has greeted makes room for the next, with
// PostgreSQL too: nothing of the client's has gone to it.
func TestPrologueNextServer(t *testing.T) {
	hangs := origin(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) })
	ends := origin(t, func(c *net.TCPConn) { c.SetLinger(0) })
	serve := func(protocol, good string) string {
		p := poolOf("p", hangs, ends, good)
		p.ConnectTimeout = 500 * time.Millisecond // in which the good one greets on a busy machine, too
		w := newWorld(t, worldOptions{}, p)
		return w.simple(conf.L4{Protocol: protocol, Routes: []conf.L4Route{{SNI: []string{"a.test"}, Pool: "p"}}})
	}
	addr := serve("mysql", origin(t, mysqlServer("good", mysqlGreeting(true))))
	pg := serve("postgres", origin(t, pgServer("good", "S")))
	h := string(hello(t, "a.test"))
	for range 3 {
		c := dial(t, addr)
		readPacket(c)
		send(t, c, mysqlAskTLS()+h)
		want(t, c, "good\n"+mysqlAskTLS()+h)

		c = dial(t, pg)
		send(t, c, pgSSLRequest)
		want(t, c, "S")
		send(t, c, h)
		want(t, c, "good tls\n"+h)
	}
}
