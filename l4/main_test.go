package l4

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/conf"
	"weir/l4/loop"
	"weir/pool"
	"weir/pool/accesslog"
	"weir/pool/backend"
	"weir/pool/limit"
	"weir/pool/metric"
)

// patience bounds every wait of a test. Reaching it is a failure, never a pace.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(fewDescriptorsChild())
	}
	// The runtime opens its poller with the first socket, for good: before any test counts.
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close()
	}
	pool.Track(true)
	goleak.VerifyTestMain(m)
}

// world is a Server with all it needs, and checks that nothing is left behind.
type world struct {
	t       testing.TB
	srv     *Server
	reg     *backend.Registry
	metrics *metric.Registry
	log     *safeBuffer
	pools   []conf.Pool
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type worldOptions struct {
	loops    int
	limits   limit.Limits
	handOver func(string, loop.Handover)
	access   *accesslog.Log
	maxPipes int
	dns      conf.DNS
}

func newWorld(t testing.TB, o worldOptions, pools ...conf.Pool) *world {
	t.Helper()
	fds, buffers := openFDs(t), pool.Live()
	w := &world{t: t, metrics: metric.New(), log: new(safeBuffer), pools: pools}
	logger := slog.New(slog.NewTextHandler(w.log, nil))
	w.reg = backend.New(backend.Options{Log: logger, Metrics: w.metrics})
	snap, err := w.reg.Prepare(t.Context(), pools, o.dns)
	if err != nil {
		t.Fatal(err)
	}
	w.reg.Commit(snap)
	if o.loops == 0 {
		o.loops = 2
	}
	conns := limit.New(o.limits)
	w.srv, err = New(Options{
		Loops: o.loops, Log: logger, Metrics: w.metrics, Conns: conns, HandOver: o.handOver, Access: o.access, MaxPipes: o.maxPipes,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.srv.Close()
		w.reg.Close()
		w.until("connections are released", func() bool { return conns.Count() == 0 })
		for _, p := range pools {
			for _, m := range w.reg.Group(p.Name).Members() {
				if n := m.InFlight(); n != 0 {
					t.Errorf("%s: %d slots not given back", m.Name(), n)
				}
			}
		}
		w.until("buffers are released", func() bool { return pool.Live() <= buffers })
		w.until(fmt.Sprintf("descriptors are closed (%d before)", fds), func() bool { return openFDs(t) <= fds })
	})
	return w
}

// until waits for something that must come true.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain: %s\n%s", what, w.log.String())
		}
	}
}

// hold stops all loops, as soon as it returns and until release is called.
func (w *world) hold() (release func()) {
	w.t.Helper()
	held, free := make(chan struct{}), make(chan struct{})
	for _, s := range w.srv.shards {
		s.loop.Do(func() {
			held <- struct{}{}
			<-free
		})
	}
	for range w.srv.shards {
		select {
		case <-held:
		case <-time.After(patience):
			w.t.Fatal("a loop does not take a function")
		}
	}
	return func() { close(free) }
}

// openFDs counts descriptors. Pipes are left out: the standard library keeps some
// for the splice behind io.Copy until the garbage collector takes them.
func openFDs(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(to, "pipe:") {
			n++
		}
	}
	return n
}

// serve makes the world serve these listeners.
func (w *world) serve(listeners ...Listener) {
	w.t.Helper()
	u, err := w.srv.Prepare(listeners)
	if err != nil {
		w.t.Fatal(err)
	}
	u.Commit()
}

// l4 is a Listener for c with defaults for what c leaves out.
func (w *world) l4(c conf.L4) Listener {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	if c.Name == "" {
		c.Name = "t"
	}
	if c.Protocol == "" {
		c.Protocol = "auto"
	}
	for i := range c.Routes {
		if r := &c.Routes[i]; r.Name == "" {
			r.Name = r.DerivedName()
		}
	}
	if len(c.Listen) == 0 {
		c.Listen = []conf.Addr{tcpAddr("127.0.0.1:0")}
	}
	if c.SniffMax == 0 {
		c.SniffMax = 16 << 10
	}
	c.Socket.NoDelay = true
	set(&c.SniffTimeout, patience)
	set(&c.IdleTimeout, time.Hour)
	set(&c.HalfClosedTimeout, patience)
	return Listener{Name: c.Name, Addrs: c.Listen, Conf: &c, Groups: w.reg.Group}
}

// simple serves one listener that passes everything to the pool "p" and returns its address.
func (w *world) simple(c conf.L4) string {
	w.t.Helper()
	if c.Pool == "" {
		c.Pool = "p"
	}
	w.serve(w.l4(c))
	return w.srv.Addrs("t")[0]
}

// closed waits until one session ended for this reason.
func (w *world) closed(why reason) {
	w.t.Helper()
	w.until("a session is closed: "+why.String(), func() bool { return w.closedCount(why) > 0 })
}

func (w *world) closedCount(why reason) uint64 {
	w.srv.mu.Lock()
	defer w.srv.mu.Unlock()
	n := uint64(0)
	for _, l := range w.srv.listeners {
		for i := range l.perLoop {
			n += l.perLoop[i].closed[why].Load()
		}
	}
	return n
}

func tcpAddr(s string) conf.Addr {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		panic(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		panic(err)
	}
	return conf.Addr{Network: "tcp", Host: host, Port: uint16(n)}
}

func anyAddr(s string) conf.Addr {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return conf.Addr{Network: "unix", Path: path}
	}
	return tcpAddr(s)
}

// poolOf is a pool without checks whose servers are taken in order.
func poolOf(name string, servers ...string) conf.Pool {
	p := conf.Pool{
		Name: name, Balance: "round_robin", ConnectTimeout: patience, Socket: conf.PoolSocket{NoDelay: true},
		Ejection: conf.Ejection{
			Enabled: true, Failures: 5, Time: time.Minute, MaxTime: time.Hour, MaxPercent: 50,
		},
	}
	for _, s := range servers {
		p.Servers = append(p.Servers, conf.Server{Addr: anyAddr(s), Weight: 1})
	}
	return p
}

// origin is a backend of a test: serve runs for each connection.
func origin(t testing.TB, serve func(c *net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, ln, func(c net.Conn) { serve(c.(*net.TCPConn)) })
	return ln.Addr().String()
}

func serveOn(t testing.TB, ln net.Listener, serve func(c net.Conn)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	stopped := false
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if open[c] = true; stopped {
				c.Close()
			}
			mu.Unlock()
			wg.Go(func() {
				serve(c)
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		stopped = true
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// echo sends everything back and ends when the client does.
func echo(c *net.TCPConn) {
	io.Copy(c, c)
	c.CloseWrite()
}

// greeter answers with its name, then echoes.
func greeter(name string) func(c *net.TCPConn) {
	return func(c *net.TCPConn) {
		io.WriteString(c, name+"\n")
		echo(c)
	}
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func send(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// want reads exactly s.
func want(t testing.TB, c net.Conn, s string) {
	t.Helper()
	got := make([]byte, len(s))
	n, err := io.ReadFull(c, got)
	if string(got[:n]) != s || err != nil {
		t.Fatalf("read %q, %v, want %q", got[:n], err, s)
	}
}

// wantEnd reads to an orderly end and checks that s came before it.
func wantEnd(t testing.TB, c net.Conn, s string) {
	t.Helper()
	got, err := io.ReadAll(c)
	if string(got) != s || err != nil {
		t.Fatalf("read %q, %v, want %q and the end", got, err, s)
	}
}

func shortContext(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
