package l4

import (
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/conf"
)

// cancelled servers write down what each got and close, as PostgreSQL does.
type cancelled struct {
	mu  sync.Mutex
	got []string
}

func (c *cancelled) server(t *testing.T, name string) string {
	return origin(t, func(conn *net.TCPConn) {
		b := readUntil(conn, pgCancel())
		c.mu.Lock()
		c.got = append(c.got, name+" "+b)
		c.mu.Unlock()
	})
}

// readUntil reads what ends with last, which may come in pieces.
func readUntil(c net.Conn, last string) (got string) {
	b := make([]byte, 1024)
	for !strings.HasSuffix(got, last) {
		n, err := c.Read(b)
		if got += string(b[:n]); err != nil {
			break
		}
	}
	return got
}

func (c *cancelled) want(t *testing.T, want ...string) {
	t.Helper()
	sorted := func() []string {
		c.mu.Lock()
		defer c.mu.Unlock()
		slices.Sort(c.got)
		return slices.Clone(c.got)
	}
	// A client is not kept waiting for a server that is slow.
	got := sorted()
	for end := time.Now().Add(patience); len(got) < len(want) && time.Now().Before(end); got = sorted() {
		time.Sleep(time.Millisecond)
	}
	if !slices.Equal(got, want) {
		t.Errorf("servers got %q, want %q", got, want)
	}
}

// A CancelRequest in clear goes once to each server of the listener's pools, and the
// client sees the end when they have it.
func TestPostgresCancelGoesToEachServer(t *testing.T) {
	var got cancelled
	a, b, c, other := got.server(t, "a"), got.server(t, "b"), got.server(t, "c"), got.server(t, "other")
	told := poolOf("three", c)
	told.ProxyProtocol = "v1"
	w := newWorld(t, worldOptions{}, poolOf("one", a, b), poolOf("two", b), told, poolOf("foreign", other))
	for _, l := range []conf.L4{
		{Protocol: "postgres", Pool: "one", Routes: []conf.L4Route{
			{SNI: []string{"two.test", "*.two.test"}, Pool: "two"}, {SNI: []string{"three.test"}, Pool: "three"},
		}},
		{Protocol: "postgres", Pool: "one"}, // no name is needed to reach both
	} {
		got.got = nil
		w.serve(w.l4(l))
		client := dial(t, w.srv.Addrs("t")[0])
		for i := range pgCancel() {
			send(t, client, pgCancel()[i:i+1])
		}
		wantEnd(t, client, "")
		want := []string{"a " + pgCancel(), "b " + pgCancel()}
		if len(l.Routes) > 0 {
			local, remote := client.LocalAddr().(*net.TCPAddr), client.RemoteAddr().(*net.TCPAddr)
			header := "PROXY TCP4 127.0.0.1 127.0.0.1 " + portText(local) + " " + portText(remote) + "\r\n"
			want = append(want, "c "+header+pgCancel())
		}
		got.want(t, want...)
	}
	w.closed(reasonCancel)
}

func portText(a *net.TCPAddr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// Servers that refuse, or say nothing, keep a client no longer than cancelWait, and
// nothing is left of them when Weir stops.
func TestPostgresCancelWaitsForNoOne(t *testing.T) {
	var got cancelled
	silent := origin(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) })
	w := newWorld(t, worldOptions{}, poolOf("p", closedAddr(t), silent, got.server(t, "a")))
	addr := w.simple(conf.L4{Protocol: "postgres"})
	client := dial(t, addr)
	send(t, client, pgCancel())
	start := time.Now()
	wantEnd(t, client, "")
	if took := time.Since(start); took > patience/2 {
		t.Errorf("the client waited %v", took)
	}
	got.want(t, "a "+pgCancel())

	gone := dial(t, addr) // a client that does not wait
	send(t, gone, pgCancel())
	gone.Close()
	w.until("the request of a client that is gone arrives", func() bool {
		got.mu.Lock()
		defer got.mu.Unlock()
		return len(got.got) == 2
	})
}

// No more than 16 servers get a request, and no more requests than the limit.
func TestPostgresCancelIsBounded(t *testing.T) {
	var got cancelled
	servers := make([]string, cancelServers+4)
	for i := range servers {
		servers[i] = got.server(t, "s")
	}
	w := newWorld(t, worldOptions{loops: 1}, poolOf("p", servers...))
	addr := w.simple(conf.L4{Protocol: "postgres"})
	one := dial(t, addr)
	send(t, one, pgCancel())
	wantEnd(t, one, "")
	got.want(t, slices.Repeat([]string{"s " + pgCancel()}, cancelServers)...)

	for w.closedCount(reasonCancelLimit) == 0 {
		c := dial(t, addr)
		send(t, c, pgCancel())
		io.Copy(io.Discard, c)
		c.Close()
		if w.closedCount(reasonCancel) > 100*cancelBurst {
			t.Fatal("no limit")
		}
	}
}

func TestMayCancel(t *testing.T) {
	var n counters
	took := func(now time.Duration, tries int) (granted int) {
		for range tries {
			if n.mayCancel(now) {
				granted++
			}
		}
		return granted
	}
	f := func(now time.Duration, tries, want int) {
		t.Helper()
		if got := took(now, tries); got != want {
			t.Errorf("at %v: %d of %d granted, want %d", now, got, tries, want)
		}
	}
	f(0, 2*cancelBurst, cancelBurst)
	f(10*cancelEvery, 20, 10)
	f(10*cancelEvery, 20, 0)
	f(time.Hour, 2*cancelBurst, cancelBurst)
}

// A startup that is refused in pieces gets its refusal whole.
func TestPostgresRefusalIsWhole(t *testing.T) {
	_, addr := pgWorld(t, "")
	for _, size := range []int{10, 3000, 9000} {
		c := dial(t, addr)
		startup := pgStartup("user\x00" + strings.Repeat("x", size) + "\x00")
		send(t, c, startup[:8])
		time.Sleep(time.Millisecond)
		send(t, c, startup[8:])
		got, err := io.ReadAll(c)
		if err != nil || len(got) == 0 || got[0] != 'E' {
			t.Errorf("%d bytes: got %q, %v", size, got, err)
		}
	}
}
