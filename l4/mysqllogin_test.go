package l4

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"weir/conf"
)

// mysqlAfterTLS is a login as it follows the request for TLS.
func mysqlAfterTLS(proof, plugin string) string {
	login := []byte(mysqlLoginText(mysqlFlags|mysqlTLS, proof, plugin))
	login[3] = 2
	return string(login)
}

// What a server and a client say to each other in a login. The server counts from
// its answer to the login on.
const (
	mysqlSwitch = "\xfeed25519\x00abcdefgh"
	mysqlProof  = "proof of ed25519"
	mysqlMore   = "\x01\x03"
	mysqlOK     = "\x00\x00\x00\x02\x00\x00\x00"
	mysqlPing   = "\x0e"
)

// loginServer plays the server's side of a login that begins with packet login, and
// tells what it got instead where that is something else.
func loginServer(t *testing.T, c net.Conn, seq byte, login string) {
	expect := func(want string) {
		if got := readPacket(c); got != want {
			t.Errorf("the server got %q, want %q", got, want)
		}
	}
	answer := func(seq byte, payload string) {
		p := mysqlPacket(seq, payload)
		for i := range p {
			io.WriteString(c, p[i:i+1])
		}
	}
	expect(login)
	answer(seq+1, mysqlSwitch)
	expect(mysqlPacket(seq+2, mysqlProof))
	answer(seq+3, mysqlMore)
	answer(seq+4, mysqlOK)
	expect(mysqlPacket(0, mysqlPing))
	answer(1, mysqlOK)
	io.Copy(c, c)
	c.(stream).CloseWrite()
}

// mysqlEnded serves MySQL with TLS that Weir ends.
func mysqlEnded(a *authority, w *world, change func(c *conf.L4)) string {
	return w.ended(a, func(c *conf.L4) {
		c.Protocol, c.ServerVersion = "mysql", "10.11-test"
		if change != nil {
			change(c)
		}
	})
}

// overTLS is a client that has asked for TLS.
func overTLS(a *authority, addr string) *tls.Conn {
	raw := greeted(a.t, addr)
	send(a.t, raw, mysqlAskTLS())
	conn := tls.Client(raw, &tls.Config{ServerName: "a.example.com", RootCAs: a.pool})
	if err := conn.Handshake(); err != nil {
		a.t.Fatal(err)
	}
	return conn
}

// With its TLS ended here a client logs in by the server's nonce. Behind a server in
// plain the numbers of its packets are shifted until the login is over.
func TestMySQLTerminated(t *testing.T) {
	a := newAuthority(t)
	_, pair := a.issue("b.example.com", time.Hour)
	plain := origin(t, func(c *net.TCPConn) {
		io.WriteString(c, mysqlGreeting(false))
		loginServer(t, c, 1, mysqlLoginText(mysqlFlags, "", "weir_asks"))
	})
	encrypted := origin(t, func(c *net.TCPConn) {
		io.WriteString(c, mysqlGreeting(true))
		if got := readPacket(c); got != mysqlAskTLS() {
			t.Errorf("the server got %q, want a request for TLS", got)
		}
		loginServer(t, tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}), 2, mysqlAfterTLS("", "weir_asks"))
	})
	for server, secure := range map[string]*conf.PoolTLS{plain: nil, encrypted: a.trusting("b.example.com")} {
		p := poolOf("p", server)
		p.TLS = secure
		w := newWorld(t, worldOptions{}, p)
		c := overTLS(a, mysqlEnded(a, w, nil))
		login := mysqlAfterTLS("useless", "caching_sha2_password")
		send(t, c, login[:5])
		send(t, c, login[5:])
		want(t, c, mysqlPacket(3, mysqlSwitch))
		proof := mysqlPacket(4, mysqlProof)
		send(t, c, proof[:2])
		send(t, c, proof[2:])
		want(t, c, mysqlPacket(5, mysqlMore)+mysqlPacket(6, mysqlOK))
		send(t, c, mysqlPacket(0, mysqlPing))
		want(t, c, mysqlPacket(1, mysqlOK))
		send(t, c, "\x00\x00\x00\x00more")
		want(t, c, "\x00\x00\x00\x00more")
		c.CloseWrite()
		wantEnd(t, c, "")
		w.closed(reasonDone)
	}
}

// A server that does not speak MySQL makes room for the next.
func TestMySQLTerminatedNextServer(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, worldOptions{}, poolOf("p",
		origin(t, func(c *net.TCPConn) { io.WriteString(c, "SSH-2.0-OpenSSH\r\n") }),
		origin(t, func(c *net.TCPConn) {
			io.WriteString(c, mysqlGreeting(false))
			readPacket(c)
			io.WriteString(c, mysqlPacket(2, mysqlOK))
		})))
	addr := mysqlEnded(a, w, nil)
	for range 2 { // whoever is first
		c := overTLS(a, addr)
		send(t, c, mysqlAfterTLS("", "x"))
		want(t, c, mysqlPacket(3, mysqlOK))
	}
}

func TestMySQLTerminatedErrors(t *testing.T) {
	a := newAuthority(t)
	f := func(why reason, greeting, login string, code uint16, text string, change func(p *conf.Pool, c *conf.L4)) {
		t.Helper()
		p := poolOf("p", origin(t, mysqlServer("p", greeting)))
		var listener conf.L4
		if change != nil {
			change(&p, &listener)
		}
		w := newWorld(t, worldOptions{}, p)
		c := overTLS(a, mysqlEnded(a, w, func(c *conf.L4) {
			if listener.TLS != nil {
				c.TLS.HandshakeTimeout = listener.TLS.HandshakeTimeout
			}
		}))
		send(t, c, login)
		if code > 0 {
			got, err := io.ReadAll(c)
			if err != nil || len(got) < 7 || got[3] != 3 || uint16(got[5])|uint16(got[6])<<8 != code {
				t.Errorf("got %q, %v, want error %d %s", got, err, code, text)
			}
		} else if got, _ := io.ReadAll(c); len(got) > 0 {
			t.Errorf("got %q, want the end", got)
		}
		w.closed(why)
	}
	login, greeting := mysqlAfterTLS("", "x"), mysqlGreeting(false)
	f(reasonBackendRefused, mysqlPacket(0, "\xff\x10\x04Too many connections"), login, 1040, "Too many connections", nil)
	old := []byte(mysqlLoginText((mysqlFlags|mysqlTLS)&^(1<<19), "", ""))
	old[3] = 2
	f(reasonTooOld, greeting, string(old), 1251, "plugins", nil)
	f(reasonMalformed, greeting, mysqlLoginText(mysqlFlags, "", "x"), 0, "", nil)
	f(reasonMalformed, greeting, login+"x", 0, "", nil)
	f(reasonMalformed, greeting, mysqlPacket(2, mysqlStart(mysqlFlags|mysqlTLS)), 0, "", nil)
	f(reasonMalformed, greeting, "GET / HTTP/1.1\r\n\r\n", 0, "", nil)
	f(reasonConnectFailed, "SSH-2.0-OpenSSH\r\n", login, 0, "", nil)
	f(reasonConnectFailed, mysqlGreeting(true)[:30], login, 0, "", func(p *conf.Pool, _ *conf.L4) {
		p.ConnectTimeout = 50 * time.Millisecond // a server that stops in the middle of its greeting
	})
	f(reasonBackendTLS, greeting, login, 0, "", func(p *conf.Pool, _ *conf.L4) { p.TLS = a.trusting("b.example.com") })
	f(reasonSniffTimeout, greeting, login[:20], 0, "", func(_ *conf.Pool, c *conf.L4) {
		c.TLS = &conf.L4TLS{HandshakeTimeout: 300 * time.Millisecond}
	})
}

// A listener that ends TLS takes no login in clear.
func TestMySQLTerminatedInClear(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, mysqlServer("p", mysqlGreeting(true)))))
	c := greeted(t, mysqlEnded(a, w, nil))
	send(t, c, mysqlLoginText(mysqlFlags, "", "x"))
	wantError(t, c, 3159, "TLS is needed")
	w.closed(reasonNotTLS)
}

// A server hears of the client behind TLS that Weir ended by a PROXY header as of any other.
func TestTerminatedProxyHeader(t *testing.T) {
	a := newAuthority(t)
	p := poolOf("p", origin(t, echo))
	p.ProxyProtocol = "v1"
	w := newWorld(t, worldOptions{}, p)
	c := a.dialTLS(w.ended(a, nil), asked.Clone())
	client, weir := c.LocalAddr().(*net.TCPAddr), c.RemoteAddr().(*net.TCPAddr)
	want(t, c, "PROXY TCP4 127.0.0.1 127.0.0.1 "+portText(client)+" "+portText(weir)+"\r\n")
}
