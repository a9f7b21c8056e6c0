package l4

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/conf"
	"weir/l4/loop"
	"weir/pool/accesslog"
	"weir/pool/limit"
	"weir/pool/metric"
)

func TestPrepareFindsForeignListeners(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	addr := w.simple(conf.L4{})

	other := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	_, err := other.srv.Prepare([]Listener{
		other.l4(conf.L4{Name: "free", Pool: "p"}),
		other.l4(conf.L4{Name: "taken", Pool: "p", Listen: []conf.Addr{tcpAddr(addr)}}),
	})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(fmt.Sprint(err), addr) ||
		!strings.Contains(fmt.Sprint(err), "taken") {
		t.Errorf("got %v, want an error that names %s and its listener", err, addr)
	}
	c := dial(t, addr) // not disturbed
	send(t, c, "x")
	want(t, c, "x")
	other.simple(conf.L4{}) // a failed update blocks nothing
}

// Another process on the same port of another address of this machine is found too.
func TestPrepareFindsForeignListenersOnOwnPort(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	own := tcpAddr(w.simple(conf.L4{}))
	other := conf.Addr{Network: "tcp", Host: "127.0.0.2", Port: own.Port}
	at, err := resolve(other)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := at.listen(true, new(options))
	if err != nil {
		t.Fatal(err)
	}
	defer loop.CloseSocket(fd)
	both := []Listener{w.l4(conf.L4{Pool: "p"}), w.l4(conf.L4{Name: "u", Pool: "p", Listen: []conf.Addr{other}})}
	if u, err := w.srv.Prepare(both); err == nil {
		u.Abort()
		t.Error("an address that another process serves was shared with it")
	}
}

// A listener that goes and comes back has the connections it had: its cap holds.
func TestRemovedListenerKeepsItsCount(t *testing.T) {
	got := make(chan loop.Handover, 2)
	w := newWorld(t, worldOptions{handOver: func(_ string, h loop.Handover) { got <- h }})
	web := Listener{Name: "web", L7: "web", Addrs: []conf.Addr{tcpAddr("127.0.0.1:0")}, MaxConns: 1}
	w.serve(web)
	dial(t, w.srv.Addrs("web")[0])
	h := <-got
	w.serve()
	w.serve(web)
	c, err := net.Dial("tcp", w.srv.Addrs("web")[0])
	if err == nil {
		c.SetDeadline(time.Now().Add(patience))
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection beyond the cap: %v, want a reset", err)
	}
	refuse("", h)
	w.serve()
	if n := len(w.srv.listeners); n != 0 {
		t.Errorf("%d listeners are kept without a connection", n)
	}
}

func TestPrepareErrors(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p"))
	f := func(want string, listeners ...Listener) {
		t.Helper()
		u, err := w.srv.Prepare(listeners)
		if err == nil {
			u.Abort()
		}
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	fixed := []conf.Addr{tcpAddr("127.0.0.1:1")}
	f("no such pool", w.l4(conf.L4{Pool: "none"}))
	f("no such pool", w.l4(conf.L4{Routes: []conf.L4Route{{SNI: []string{"a"}, Pool: "none"}}}))
	f("twice", w.l4(conf.L4{}), w.l4(conf.L4{}))
	f("twice", w.l4(conf.L4{Name: "a", Listen: fixed}), w.l4(conf.L4{Name: "b", Listen: fixed}))
	f("neither", Listener{Name: "x"})
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	f("address already in use", w.l4(conf.L4{Listen: []conf.Addr{{Network: "unix", Path: file}}}))
	if _, err := os.Stat(file); err != nil {
		t.Error("a file that is no socket was removed")
	}
}

func TestUpdateKeepsSocketsAndSessions(t *testing.T) {
	w := newWorld(t, worldOptions{},
		poolOf("one", origin(t, greeter("one"))), poolOf("two", origin(t, greeter("two"))))
	addr := w.simple(conf.L4{Pool: "one"})
	live := dial(t, addr)
	want(t, live, "one\n")
	for range 3 {
		w.serve(w.l4(conf.L4{Pool: "two"}), w.l4(conf.L4{Name: "new", Pool: "one"}))
		if got := w.srv.Addrs("t")[0]; got != addr {
			t.Fatalf("address changed from %s to %s", addr, got)
		}
		want(t, dial(t, addr), "two\n")
		want(t, dial(t, w.srv.Addrs("new")[0]), "one\n")
		send(t, live, "still here")
		want(t, live, "still here")
	}
	gone := w.srv.Addrs("new")[0]
	w.serve(w.l4(conf.L4{Pool: "two"}))
	if c, err := net.Dial("tcp", gone); err == nil {
		c.Close()
		t.Error("a removed listener accepts")
	}
	if w.srv.Addrs("new") != nil {
		t.Error("a removed listener has addresses")
	}
	w.serve() // none at all: what lives goes on
	send(t, live, "last")
	want(t, live, "last")
}

// freeAddr is an address at which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// An address may move from one listener to another, and from one interface to all.
func TestUpdateMovesAddresses(t *testing.T) {
	handed := make(chan string, 1)
	w := newWorld(t, worldOptions{handOver: func(name string, h loop.Handover) {
		handed <- name
		refuse(name, h)
	}}, poolOf("p", origin(t, greeter("p"))))
	addr := tcpAddr(freeAddr(t))
	w.simple(conf.L4{Listen: []conf.Addr{addr}})
	want(t, dial(t, addr.String()), "p\n")
	w.serve(Listener{Name: "web", L7: "web", Addrs: []conf.Addr{addr}})
	if c, err := net.Dial("tcp", addr.String()); err == nil { // else it was reset already
		c.Close()
	}
	if name := <-handed; name != "web" {
		t.Errorf("handed over to %q", name)
	}
	for _, host := range []string{"", "127.0.0.1", "0.0.0.0"} {
		w.simple(conf.L4{Listen: []conf.Addr{{Network: "tcp", Host: host, Port: addr.Port}}})
		want(t, dial(t, addr.String()), "p\n")
	}
}

func TestAbortAndFailureCloseNewSockets(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	addr := tcpAddr(freeAddr(t))
	u, err := w.srv.Prepare([]Listener{w.l4(conf.L4{Pool: "p", Listen: []conf.Addr{addr}})})
	if err != nil {
		t.Fatal(err)
	}
	u.Abort()
	if c, err := net.Dial("tcp", addr.String()); err == nil {
		c.Close()
		t.Error("an update that was given up still listens")
	}
}

// TestReloadUnderLoad swaps the listeners while clients come: none may fail.
func TestReloadUnderLoad(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	addr := w.simple(conf.L4{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(patience))
				io.WriteString(c, "ping")
				c.(*net.TCPConn).CloseWrite()
				if got, err := io.ReadAll(c); string(got) != "ping" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
				c.Close()
			}
		})
	}
	for i := range 100 {
		name := fmt.Sprint("extra", i%3)
		w.serve(w.l4(conf.L4{Pool: "p"}), w.l4(conf.L4{Name: name, Pool: "p"}))
	}
	close(stop)
	wg.Wait()
}

func TestStaleUnixSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, greeter("p"))))
	l := w.l4(conf.L4{Pool: "p", Listen: []conf.Addr{{Network: "unix", Path: path}}})
	if _, err := w.srv.Prepare([]Listener{l}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a socket in use: %v, want EADDRINUSE", err)
	}
	old.Close()
	w.serve(l)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	want(t, c, "p\n")
	c.Close()
	w.serve()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left behind: %v", err)
	}
}

func TestDrainWaitsForSessions(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	addr := w.simple(conf.L4{})
	c := dial(t, addr)
	send(t, c, "x")
	want(t, c, "x")
	done := make(chan error, 1)
	go func() { done <- w.srv.Drain(shortContext(t, patience)) }()
	w.until("accepting stops", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	send(t, c, "still served")
	want(t, c, "still served")
	if _, err := w.srv.Prepare(nil); !errors.Is(err, errStopped) {
		t.Errorf("update while draining: %v, want errStopped", err)
	}
	c.CloseWrite()
	wantEnd(t, c, "")
	if err := <-done; err != nil {
		t.Errorf("Drain: %v", err)
	}
}

func TestDrainEndsWhatDoesNotEnd(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", origin(t, echo)))
	c := dial(t, w.simple(conf.L4{}))
	send(t, c, "x")
	want(t, c, "x")
	err := w.srv.Drain(shortContext(t, 50*time.Millisecond))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 L4 session") {
		t.Errorf("Drain: %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client got %v, want a reset", err)
	}
	w.closed(reasonDrain)
}

func TestCaps(t *testing.T) {
	f := func(limits limit.Limits, c conf.L4, why limit.Refusal) {
		t.Helper()
		w := newWorld(t, worldOptions{limits: limits}, poolOf("p", origin(t, greeter("p"))))
		addr := w.simple(c)
		first, second := dial(t, addr), dial(t, addr)
		want(t, first, "p\n")
		want(t, second, "p\n")
		third, err := net.Dial("tcp", addr)
		if err == nil { // the reset may be faster than the client
			_, err = third.Read(make([]byte, 1))
			third.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("third connection: %v, want a reset", err)
		}
		send(t, first, "fine")
		want(t, first, "fine")
		first.Close()
		w.until("there is room again", func() bool { return w.srv.Sessions() == 1 })
		want(t, dial(t, addr), "p\n")
		line := fmt.Sprintf(`weir_l4_refused_total{listener="t",reason=%q} 1`, why)
		if out := w.scrape(); !strings.Contains(out, line) {
			t.Errorf("metrics lack %s:\n%s", line, out)
		}
	}
	f(limit.Limits{Max: 2}, conf.L4{}, limit.RefusedGlobal)
	f(limit.Limits{}, conf.L4{MaxConns: 2}, limit.RefusedListener)
	f(limit.Limits{}, conf.L4{MaxConnsPerSource: 2}, limit.RefusedSource)
	f(limit.Limits{MaxPerSource: 2}, conf.L4{}, limit.RefusedSource)
}

// scrape is what /metrics shows of l4.
func (w *world) scrape() string {
	var b bytes.Buffer
	w.metrics.WritePrometheus(&b)
	var kept []string
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "weir_l4_") || strings.HasPrefix(line, "weir_loop_") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestMetricsOfASession(t *testing.T) {
	w := newWorld(t, worldOptions{}, poolOf("p", closedAddr(t), origin(t, func(c *net.TCPConn) {
		io.Copy(io.Discard, c)
		io.WriteString(c, "1234567")
	})))
	for _, shard := range w.srv.shards {
		shard.call(func() { shard.sampler = metric.Sampler{Every: 1} })
	}
	c := dial(t, w.simple(conf.L4{}))
	send(t, c, "123")
	c.CloseWrite()
	wantEnd(t, c, "1234567")
	w.closed(reasonDone)
	out := w.scrape()
	for _, line := range []string{
		`weir_l4_accepted_total{listener="t"} 1`,
		`weir_l4_active_sessions{listener="t"} 0`,
		`weir_l4_received_bytes_total{listener="t"} 3`,
		`weir_l4_sent_bytes_total{listener="t"} 7`,
		`weir_l4_closed_total{listener="t",reason="done"} 1`,
		`weir_l4_connect_failures_total{pool="p",reason="refused"} 1`,
	} {
		if !strings.Contains(out, line+"\n") {
			t.Errorf("metrics lack %s:\n%s", line, out)
		}
	}
	for _, stage := range []string{"connect", "first_byte", "deliver"} {
		if n := w.metrics.Histogram(metric.StageSeconds, "l4", stage).Count(); n != 1 {
			t.Errorf("stage %s has %d samples, want 1", stage, n)
		}
	}
	w.serve()
	if out := w.scrape(); strings.Contains(out, `listener="t"`) {
		t.Errorf("metrics of a removed listener:\n%s", out)
	}
}

func TestAccessLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log, err := accesslog.Open(conf.AccessLog{Path: path, Format: "json", Buffer: 1 << 20, ClientIP: "full"},
		metric.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, worldOptions{access: log}, poolOf("p", closedAddr(t), origin(t, greeter("p"))))
	w.serve(w.l4(conf.L4{Routes: []conf.L4Route{{SNI: []string{"*.test"}, Pool: "p"}}}))
	c := dial(t, w.srv.Addrs("t")[0])
	h := hello(t, "a.test")
	c.Write(h)
	c.CloseWrite()
	wantEnd(t, c, "p\n"+string(h))
	w.srv.Close() // the line is written by now
	log.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	for key, want := range map[string]any{
		"kind": "l4", "listener": "t", "route": "*.test", "pool": "p", "sni": "a.test", "reason": "done",
		"ended_by": "client",
		"client":   netip.MustParseAddrPort(c.LocalAddr().String()).Addr().String(),
		"bytes_in": float64(len(h)), "bytes_out": float64(len(h) + 2), "retries": float64(1),
	} {
		if got[key] != want {
			t.Errorf("%s: got %v, want %v in %s", key, got[key], want, b)
		}
	}
	for _, stage := range []string{"sniff_seconds", "connect_seconds", "first_byte_seconds"} {
		if took, _ := got[stage].(float64); took <= 0 {
			t.Errorf("no %s in %s", stage, b)
		}
	}
}

// Each loop must be able to dial the same endpoint at the same time: addresses
// are shared.
func TestManyLoopsShareEndpoints(t *testing.T) {
	w := newWorld(t, worldOptions{loops: 8}, poolOf("p", origin(t, greeter("p"))))
	addr := w.simple(conf.L4{})
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			b := make([]byte, 2)
			if _, err := io.ReadFull(c, b); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestDrainOfAServerWithoutListeners(t *testing.T) {
	w := newWorld(t, worldOptions{})
	if err := w.srv.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	w.srv.Close()
	w.srv.Close()
	if w.srv.Addrs("none") != nil {
		t.Error("addresses of no listener")
	}
}

// A stop may come at any point of an update.
func TestStopAcceptingDuringUpdates(t *testing.T) {
	for range 20 {
		w := newWorld(t, worldOptions{}, poolOf("p"))
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 10 {
				u, err := w.srv.Prepare([]Listener{w.l4(conf.L4{Name: fmt.Sprint(i), Pool: "p"})})
				if err != nil {
					if !errors.Is(err, errStopped) {
						t.Error(err)
					}
					return
				}
				u.Commit()
			}
		})
		wg.Go(w.srv.StopAccepting)
		wg.Wait()
	}
}
