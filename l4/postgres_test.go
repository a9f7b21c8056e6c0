package l4

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"weir/conf"
)

const pgGSSENCRequest = "\x00\x00\x00\x08\x04\xd2\x16\x30"

func pgStartup(params string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(9+len(params)))
	b = binary.BigEndian.AppendUint32(b, 3<<16)
	return string(b) + params + "\x00"
}

func pgCancel() string {
	return "\x00\x00\x00\x10\x04\xd2\x16\x2e" + "\x00\x00\x00\x01" + "\x00\x00\x00\x02"
}

// pgServer answers the request for TLS, says its name and echoes the rest.
func pgServer(name, answer string) func(c *net.TCPConn) {
	return func(c *net.TCPConn) {
		b := make([]byte, len(pgSSLRequest))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		if string(b) != pgSSLRequest {
			io.WriteString(c, name+" direct\n"+string(b))
			echo(c)
			return
		}
		io.WriteString(c, answer)
		if answer != "S" {
			return
		}
		first := make([]byte, 1)
		io.ReadFull(c, first) // the handshake comes after the answer
		io.WriteString(c, name+" tls\n"+string(first))
		echo(c)
	}
}

func pgWorld(t *testing.T, fallback string) (*world, string) {
	t.Helper()
	w := newWorld(t, worldOptions{},
		poolOf("a", origin(t, pgServer("a", "S"))),
		poolOf("plain", origin(t, pgServer("plain", "N"))),
		poolOf("rest", origin(t, pgServer("rest", "S"))))
	w.serve(w.l4(conf.L4{Protocol: "postgres", Pool: fallback, Routes: []conf.L4Route{
		{SNI: []string{"a.test"}, Pool: "a"}, {SNI: []string{"plain.test"}, Pool: "plain"},
	}}))
	return w, w.srv.Addrs("t")[0]
}

func TestPostgresByName(t *testing.T) {
	_, addr := pgWorld(t, "rest")
	f := func(name, to string) {
		t.Helper()
		c := dial(t, addr)
		defer c.Close()
		send(t, c, pgSSLRequest)
		want(t, c, "S")
		h := string(hello(t, name))
		send(t, c, h)
		want(t, c, to+" tls\n"+h)
	}
	f("a.test", "a")
	f("other.test", "rest")
	f("", "rest")
}

func TestPostgresPrologues(t *testing.T) {
	_, addr := pgWorld(t, "rest")
	c := dial(t, addr)
	send(t, c, pgGSSENCRequest)
	want(t, c, "N")
	for _, b := range []byte(pgSSLRequest) {
		c.Write([]byte{b})
	}
	want(t, c, "S")
	h := string(hello(t, "a.test"))
	for i := range len(h) {
		send(t, c, h[i:i+1])
	}
	want(t, c, "a tls\n"+h)

	direct := dial(t, addr) // sslnegotiation=direct: the backend gets the same
	send(t, direct, h)
	want(t, direct, "a direct\n"+h)

	startup := dial(t, addr)
	send(t, startup, pgStartup("user\x00x\x00"))
	want(t, startup, "rest direct\n"+pgStartup("user\x00x\x00"))
}

func TestPostgresWithoutFallback(t *testing.T) {
	w, addr := pgWorld(t, "")
	c := dial(t, addr)
	send(t, c, pgStartup("user\x00x\x00"))
	got, err := io.ReadAll(c)
	if err != nil || len(got) < 5 || got[0] != 'E' {
		t.Fatalf("got %q, %v, want an ErrorResponse", got, err)
	}
	if n := binary.BigEndian.Uint32(got[1:]); int(n) != len(got)-1 {
		t.Errorf("the ErrorResponse says %d bytes and has %d", n, len(got)-1)
	}
	if !bytes.Contains(got, []byte("\x00C08004\x00")) || !bytes.HasSuffix(got, []byte("\x00\x00")) {
		t.Errorf("ErrorResponse %q", got)
	}
	w.closed(reasonNoRoute)
}

func TestPostgresRefusals(t *testing.T) {
	f := func(why reason, answered string, pieces ...string) {
		t.Helper()
		w, addr := pgWorld(t, "rest")
		c := dial(t, addr)
		for i, p := range pieces {
			send(t, c, p)
			if i < len(answered) {
				want(t, c, answered[i:i+1])
			}
		}
		if got, _ := io.ReadAll(c); len(got) > 0 {
			t.Errorf("client got %q, want the end", got)
		}
		w.closed(why)
	}
	f(reasonMalformed, "", pgSSLRequest+"X") // CVE-2021-23214
	f(reasonMalformed, "", "GET / HTTP/1.1\r\n")
	f(reasonMalformed, "N", pgGSSENCRequest, pgGSSENCRequest)
	f(reasonNotTLS, "S", pgSSLRequest, pgStartup("user\x00x\x00"))
	f(reasonBackendRefusedTLS, "S", pgSSLRequest, string(hello(t, "plain.test")))
}

// Without routes nothing has to be read: the backend negotiates for itself.
func TestPostgresWithoutRoutesIsPassedThrough(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, pgServer("p", "N"))))
	c := dial(t, w.simple(conf.L4{Protocol: "postgres"}))
	send(t, c, pgSSLRequest)
	wantEnd(t, c, "N")
}
