package l4

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/conf"
	"weir/l4/loop"
)

// hello is a ClientHello for name, as crypto/tls writes it.
func hello(t testing.TB, name string) []byte {
	t.Helper()
	return helloWith(t, &tls.Config{ServerName: name, InsecureSkipVerify: name == ""})
}

func helloWith(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		c := tls.Client(client, config)
		c.HandshakeContext(context.Background()) // fails: no one answers
		client.Close()
	}()
	var got bytes.Buffer
	server.SetReadDeadline(time.Now().Add(patience))
	head := make([]byte, 5)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	got.Write(head)
	if _, err := io.CopyN(&got, server, int64(head[3])<<8|int64(head[4])); err != nil {
		t.Fatal(err)
	}
	return got.Bytes()
}

// sniWorld routes a.test, *.w.test and *.deep.w.test to pools of these names and
// everything else to "rest". Each pool's server says its name and echoes.
func sniWorld(t *testing.T, c conf.L4) (*world, string) {
	t.Helper()
	var pools []conf.Pool
	for _, name := range []string{"a", "w", "deep", "rest"} {
		pools = append(pools, poolOf(name, origin(t, greeter(name))))
	}
	w := newWorld(t, worldOptions{}, pools...)
	c.Routes = []conf.L4Route{
		{SNI: []string{"a.test", "b.test"}, Pool: "a"},
		{SNI: []string{"*.w.test"}, Pool: "w"},
		{SNI: []string{"*.deep.w.test"}, Pool: "deep"},
	}
	w.serve(w.l4(c))
	return w, w.srv.Addrs("t")[0]
}

func TestRouteBySNI(t *testing.T) {
	_, addr := sniWorld(t, conf.L4{Pool: "rest"})
	f := func(name, to string) {
		t.Helper()
		c := dial(t, addr)
		defer c.Close()
		h := hello(t, name)
		c.Write(h)
		want(t, c, to+"\n"+string(h)) // not a byte lost
	}
	f("a.test", "a")
	f("A.Test", "a")
	f("b.test", "a")
	f("x.w.test", "w")
	f("x.y.w.test", "w")
	f("x.deep.w.test", "deep")
	f("x.y.deep.w.test", "deep")
	f("deep.w.test", "w")
	f("w.test", "rest")
	f("other.test", "rest")
	f("", "rest")

	plain := dial(t, addr)
	send(t, plain, "SSH-2.0-x")
	want(t, plain, "rest\nSSH-2.0-x")
}

func TestRouteWithoutFallbackCloses(t *testing.T) {
	w, addr := sniWorld(t, conf.L4{})
	f := func(b []byte, why reason) {
		t.Helper()
		c := dial(t, addr)
		defer c.Close()
		c.Write(b)
		wantEnd(t, c, "")
		w.closed(why)
	}
	f(hello(t, "other.test"), reasonNoRoute)
	f([]byte("plain"), reasonNoRoute)
}

func TestHelloByteByByte(t *testing.T) {
	_, addr := sniWorld(t, conf.L4{Pool: "rest"})
	h := hello(t, "x.deep.w.test")
	c := dial(t, addr)
	for i := range h {
		if _, err := c.Write(h[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	want(t, c, "deep\n"+string(h))
}

// TestHelloInManyRecords also makes the buffer grow beyond its first size.
func TestHelloInManyRecords(t *testing.T) {
	_, addr := sniWorld(t, conf.L4{Pool: "rest"})
	h := hello(t, "a.test")
	var split bytes.Buffer
	for _, b := range h[5:] {
		split.Write([]byte{0x16, 3, 1, 0, 1, b})
	}
	if split.Len() <= sniffStart {
		t.Fatalf("%d bytes do not test growth", split.Len())
	}
	c := dial(t, addr)
	split.WriteTo(c)
	want(t, c, "a\n\x16\x03\x01\x00\x01")
}

// A hello that is broken, too long, cut or slow never reaches the fallback.
func TestBadHelloNeverReachesTheFallback(t *testing.T) {
	h := hello(t, "a.test")
	f := func(c conf.L4, why reason, act func(c *net.TCPConn)) {
		t.Helper()
		c.Pool = "rest"
		w, addr := sniWorld(t, c)
		conn := dial(t, addr)
		act(conn)
		got, err := io.ReadAll(conn)
		if len(got) != 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("client got %q, %v, want the end", got, err)
		}
		w.closed(why)
	}
	f(conf.L4{}, reasonMalformed, func(c *net.TCPConn) { send(t, c, "\x16\x03\x01\x00\x05\x02abcd") })
	f(conf.L4{}, reasonMalformed, func(c *net.TCPConn) { send(t, c, "\x16\x07") })
	f(conf.L4{SniffMax: 1024}, reasonTooLarge, func(c *net.TCPConn) { c.Write(h) })
	f(conf.L4{}, reasonSniffEnd, func(c *net.TCPConn) { c.Write(h[:len(h)-1]); c.CloseWrite() })
	f(conf.L4{}, reasonSniffEnd, func(c *net.TCPConn) { c.CloseWrite() })
	short := conf.L4{SniffTimeout: 100 * time.Millisecond}
	f(short, reasonSniffTimeout, func(c *net.TCPConn) { c.Write(h[:100]) })
	f(short, reasonSniffTimeout, func(*net.TCPConn) {})
	short.ServerFirstWait, short.SniffTimeout = 500*time.Millisecond, time.Second
	f(short, reasonSniffTimeout, func(c *net.TCPConn) { c.Write(h[:1]) })
	f(conf.L4{Protocol: "tls"}, reasonNotTLS, func(c *net.TCPConn) { send(t, c, "GET / HTTP/1.1") })
}

func TestSilentClientOfServerFirstProtocol(t *testing.T) {
	_, addr := sniWorld(t, conf.L4{Pool: "rest", ServerFirstWait: 50 * time.Millisecond})
	c := dial(t, addr)
	want(t, c, "rest\n")
	send(t, c, "answer")
	want(t, c, "answer")
}

func TestProtocolTLSWithoutRoutesRefusesOthers(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	addr := w.simple(conf.L4{Protocol: "tls"})
	c := dial(t, addr)
	h := hello(t, "any.test")
	c.Write(h)
	want(t, c, string(h))
	c = dial(t, addr)
	send(t, c, "plain")
	wantEnd(t, c, "")
	w.closed(reasonNotTLS)
}

func TestHandOverKeepsWhatWasRead(t *testing.T) {
	got := make(chan loop.Handover, 1)
	w := newWorld(t, worldOptions{handOver: func(name string, h loop.Handover) {
		if name != "web" {
			t.Errorf("handed over to %q", name)
		}
		got <- h
	}}, poolOf("p", origin(t, greeter("p"))))
	w.serve(w.l4(conf.L4{Routes: []conf.L4Route{
		{SNI: []string{"*.web.test"}, L7: "web"}, {SNI: []string{"db.test"}, Pool: "p"},
	}}))
	addr := w.srv.Addrs("t")[0]
	client := dial(t, addr)
	first, rest := hello(t, "www.web.test"), "and more"
	client.Write(first)
	h := <-got
	if !bytes.Equal(h.Data, first) || h.SNI != "www.web.test" || h.Listener != "t" ||
		h.Remote.String() != client.LocalAddr().String() || h.Local.String() != addr || h.Accepted.IsZero() {
		t.Errorf("handed over %+v", h)
	}
	c, err := loop.NewConn(h)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, client, rest)
	want(t, c, string(first)+rest)
	send(t, c, "answer")
	want(t, client, "answer")
	client.CloseWrite()
	wantEnd(t, c, "")

	other := dial(t, addr) // the port still passes other names through
	other.Write(hello(t, "db.test"))
	want(t, other, "p\n")
}

// TestDrainWaitsForHandOver: a drain that returned while a connection is on its way
// to L7 would let the process end under it.
func TestDrainWaitsForHandOver(t *testing.T) {
	var drained atomic.Bool
	early := make(chan bool, 1)
	w := newWorld(t, worldOptions{handOver: func(_ string, h loop.Handover) {
		time.Sleep(50 * time.Millisecond)
		early <- drained.Load()
		refuse("", h)
	}}, poolOf("p", origin(t, greeter("p"))))
	w.serve(w.l4(conf.L4{Routes: []conf.L4Route{{SNI: []string{"web.test"}, L7: "web"}}}))
	client := dial(t, w.srv.Addrs("t")[0])
	w.until("the session begins", func() bool { return w.srv.Sessions() == 1 })
	done := make(chan error)
	go func() {
		err := w.srv.Drain(context.Background())
		drained.Store(true)
		done <- err
	}()
	w.until("the drain waits for the session", func() bool {
		waits := false
		for _, sh := range w.srv.shards {
			sh.call(func() { waits = waits || sh.drained != nil })
		}
		return waits
	})
	client.Write(hello(t, "web.test"))
	if err := <-done; err != nil {
		t.Error(err)
	}
	if <-early {
		t.Error("the drain ended before the hand-over did")
	}
}

func TestL7ListenerHandsOverAtOnce(t *testing.T) {
	got := make(chan loop.Handover, 1)
	w := newWorld(t, worldOptions{handOver: func(_ string, h loop.Handover) { got <- h }})
	w.serve(Listener{Name: "web", L7: "web", Addrs: []conf.Addr{{Network: "tcp"}}}) // every interface
	port := tcpAddr(w.srv.Addrs("web")[0]).Port
	client := dial(t, net.JoinHostPort("127.0.0.1", conf.Addr{Network: "tcp", Port: port}.String()[1:]))
	h := <-got
	if h.Local.String() != client.RemoteAddr().String() {
		t.Errorf("local address %s, want %s", h.Local, client.RemoteAddr())
	}
	c, err := loop.NewConn(h)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send(t, client, "x")
	want(t, c, "x")
}

func TestPanicInHandOverCostsOneConnection(t *testing.T) {
	w := newWorld(t, worldOptions{handOver: func(string, loop.Handover) { panic("a bug") }},
		poolOf("p", origin(t, echo)))
	bad := w.l4(conf.L4{Name: "bad", Routes: []conf.L4Route{{SNI: []string{"a.test"}, L7: "web"}}})
	direct := Listener{Name: "direct", L7: "web", Addrs: []conf.Addr{tcpAddr("127.0.0.1:0")}}
	w.serve(bad, direct, w.l4(conf.L4{Pool: "p"}))
	for range 3 {
		c := dial(t, w.srv.Addrs("bad")[0])
		c.Write(hello(t, "a.test"))
		wantEnd(t, c, "")
		wantEnd(t, dial(t, w.srv.Addrs("direct")[0]), "")
	}
	if n := w.srv.panics(); n != 6 {
		t.Errorf("%d panics counted, want 6", n)
	}
	c := dial(t, w.srv.Addrs("t")[0])
	send(t, c, "alive")
	want(t, c, "alive")
}
