package l4

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"weir/conf"
	"weir/pool/metric"
)

// protocolWorld routes by everything but the server name.
func protocolWorld(t *testing.T, c conf.L4) (*world, string) {
	t.Helper()
	var pools []conf.Pool
	for _, name := range []string{"web", "h2c", "pg", "alpn", "near", "rest"} {
		pools = append(pools, poolOf(name, origin(t, greeter(name))))
	}
	w := newWorld(t, worldOptions{}, pools...)
	c.Routes = append(c.Routes,
		conf.L4Route{Protocol: []string{"http1"}, Pool: "web"},
		conf.L4Route{Protocol: []string{"http2"}, Pool: "h2c"},
		conf.L4Route{Protocol: []string{"postgres"}, Pool: "pg"},
		conf.L4Route{ALPN: []string{"x"}, Pool: "alpn"})
	w.serve(w.l4(c))
	return w, w.srv.Addrs("t")[0]
}

func TestRouteByProtocol(t *testing.T) {
	w, addr := protocolWorld(t, conf.L4{Pool: "rest", ServerFirstWait: time.Second})
	f := func(first, to string) {
		t.Helper()
		for _, step := range []int{1, 3, len(first)} {
			c := dial(t, addr)
			for b := first; b != ""; b = b[min(step, len(b)):] {
				send(t, c, b[:min(step, len(b))])
			}
			want(t, c, to+"\n"+first) // not a byte lost
			c.Close()
		}
	}
	f("GET / HTTP/1.1\r\n\r\n", "web")
	f("OPTIONS * HTTP/1.1\r\n\r\n", "web")
	f("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "h2c")
	f(pgSSLRequest, "pg")
	f(pgStartup("user\x00a\x00"), "pg")
	f("SSH-2.0-client\r\n", "rest")
	f("*1\r\n$4\r\nPING\r\n", "rest")
	with := func(alpn ...string) string {
		return string(helloWith(t, &tls.Config{ServerName: "a.test", NextProtos: alpn}))
	}
	for to, hello := range map[string]string{"alpn": with("h2", "x"), "rest": with("h2")} {
		c := dial(t, addr)
		send(t, c, hello)
		want(t, c, to+"\n"+hello)
	}
	silent := dial(t, addr)
	want(t, silent, "rest\n")

	var text strings.Builder
	w.metrics.WritePrometheus(&text)
	for _, line := range []string{
		metric.L4Routed.Name + `{listener="t",route="protocol:http1"} 6`,
		metric.L4Routed.Name + `{listener="t",route="alpn:x"} 1`,
		metric.L4Routed.Name + `{listener="t",route="default"} 8`,
	} {
		if !strings.Contains(text.String(), line+"\n") {
			t.Errorf("metrics lack %s", line)
		}
	}
}

// What may still become a protocol with a route never reaches the fallback.
func TestUnfinishedProtocolNeverReachesTheFallback(t *testing.T) {
	f := func(first string, why reason, end func(c *net.TCPConn)) {
		t.Helper()
		c := conf.L4{Pool: "rest", ServerFirstWait: 200 * time.Millisecond, SniffTimeout: 400 * time.Millisecond}
		w, addr := protocolWorld(t, c)
		// A client that is silent for server_first_wait has the fallback. On a busy machine
		// this one may be, unless the loops see the connection with its first bytes.
		release := w.hold()
		conn := dial(t, addr)
		send(t, conn, first)
		end(conn)
		release()
		if got, _ := io.ReadAll(conn); len(got) > 0 {
			t.Errorf("%q: got %q", first, got)
		}
		w.closed(why)
	}
	late, cut := func(*net.TCPConn) {}, func(c *net.TCPConn) { c.CloseWrite() }
	f("GE", reasonSniffTimeout, late)
	f("GE", reasonSniffEnd, cut)
	f("PRI * HTTP/2", reasonSniffTimeout, late)
	f("\x00\x00\x00\x08", reasonSniffEnd, cut)
	f("\x16", reasonSniffTimeout, late)
}

// A route by source alone waits for nothing, whatever else the listener routes.
func TestRouteBySourceAloneDoesNotSniff(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("near", origin(t, greeter("near"))), poolOf("far", origin(t, greeter("far"))))
	w.serve(w.l4(conf.L4{Routes: []conf.L4Route{
		{Source: []string{"127.0.0.0/8"}, Pool: "near"},
		{Source: []string{"127.0.0.2/32"}, Pool: "far"},
		{SNI: []string{"a.test"}, Source: []string{"127.0.0.3/32", "192.0.2.0/24"}, Pool: "far"},
	}}))
	from := func(ip string) *net.TCPConn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: patience}
		c, err := d.Dial("tcp", w.srv.Addrs("t")[0])
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		t.Cleanup(func() { c.Close() })
		return c.(*net.TCPConn)
	}
	want(t, from("127.0.0.1"), "near\n")
	want(t, from("127.0.0.2"), "far\n")
	named := from("127.0.0.3") // here a name counts, so its bytes are waited for
	h := hello(t, "a.test")
	named.Write(h)
	want(t, named, "far\n"+string(h))
	plain := from("127.0.0.3")
	send(t, plain, "plain")
	want(t, plain, "near\nplain")
}

// With no default, a silent client goes where its address leads after the wait.
func TestSilentClientBySource(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("near", origin(t, greeter("near"))))
	w.serve(w.l4(conf.L4{ServerFirstWait: 50 * time.Millisecond, Routes: []conf.L4Route{
		{Source: []string{"127.0.0.1/32"}, Pool: "near"}, {SNI: []string{"a.test"}, Pool: "near"},
	}}))
	want(t, dial(t, w.srv.Addrs("t")[0]), "near\n")
}

// A name in the hello of a database counts with ALPN and source like any other.
func TestPostgresBySource(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("near", origin(t, pgServer("near", "S"))), poolOf("a", origin(t, pgServer("a", "S"))))
	w.serve(w.l4(conf.L4{Protocol: "postgres", Routes: []conf.L4Route{
		{Source: []string{"127.0.0.0/8"}, Pool: "near"}, {SNI: []string{"a.test"}, Pool: "a"},
	}}))
	f := func(name, to string) {
		t.Helper()
		c := dial(t, w.srv.Addrs("t")[0])
		send(t, c, pgSSLRequest)
		want(t, c, "S")
		h := string(hello(t, name))
		send(t, c, h)
		want(t, c, to+" tls\n"+h)
	}
	f("a.test", "a")
	f("b.test", "near")
	c := dial(t, w.srv.Addrs("t")[0])
	send(t, c, pgStartup("user\x00a\x00"))
	want(t, c, "near direct\n")
}

// Where Weir ends TLS, only a route that asks for a protocol without it lets one in.
func TestProtocolBesideTerminatedTLS(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, greeter("p"))), poolOf("web", origin(t, greeter("web"))))
	addr := w.ended(a, func(c *conf.L4) {
		c.Routes = []conf.L4Route{
			{Protocol: []string{"http1"}, Pool: "web", Mode: "terminate"},
			{Source: []string{"127.0.0.0/8"}, Pool: "p", Mode: "terminate"},
		}
	})
	c := dial(t, addr)
	send(t, c, "GET / HTTP/1.1\r\n")
	want(t, c, "web\nGET / HTTP/1.1\r\n")
	other := dial(t, addr)
	send(t, other, "PING\r\n")
	wantEnd(t, other, "")
	w.closed(reasonNotTLS)
}
