package l7

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/conf"
	"weir/l4"
	"weir/l4/loop"
	"weir/pool/accesslog"
	"weir/pool/backend"
	"weir/pool/metric"
)

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given { // most of what runs in parallel waits for something to happen, or for nothing to
		flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	}
	goleak.VerifyTestMain(m)
}

// rig is an L7 server behind a plain accept loop, built from a configuration.
type rig struct {
	t       testing.TB
	server  *Server
	metrics *metric.Registry
	reg     *backend.Registry
	addr    string
	ln      *net.TCPListener
	log     *syncBuffer
	name    atomic.Value // of the listener that connections go to
	loop    *loop.Loop   // that the server parks connections on
	front   *l4.Server   // in its place, of newLoopRig
}

// newRig serves the listener "web" of a configuration. %s in it stands for the
// addresses of origins in turn.
func newRig(t testing.TB, config string, origins ...string) *rig {
	t.Helper()
	return newRigWith(t, !*noLanes, config, origins...)
}

var noLanes = flag.Bool("nolanes", false, "serve all requests by goroutines")

// newRigWith is newRig with lanes or without.
func newRigWith(t testing.TB, lanes bool, config string, origins ...string) *rig {
	t.Helper()
	r := makeRig(t, Options{}, config, origins...)
	r.server.noLanes = !lanes
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r.ln, r.addr = ln, ln.Addr().String()
	if r.loop, err = loop.New(r.server.log); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(r.accept)
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
		r.server.Close()
		r.loop.Close()
	})
	return r
}

// newLoopRig is newRig behind layer 4, as in the process: its loops accept, and relay
// tunnels.
func newLoopRig(t testing.TB, config string, origins ...string) *rig {
	t.Helper()
	var front *l4.Server
	r := makeRig(t, Options{
		Relay:      func(l *loop.Loop, u loop.Tunnel) { front.Relay(l, u) },
		EndTunnels: func() { front.EndTunnels() },
		Show:       func(l *loop.Loop, i loop.TunnelInfo, v loop.TunnelView) func() { return front.Show(l, i, v) },
	}, config, origins...)
	var err error
	front, err = l4.New(l4.Options{
		Loops: 2, Log: r.server.log, Metrics: r.metrics,
		HandOver: func(_ string, h loop.Handover) { r.server.Serve(r.name.Load().(string), h) },
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := front.Prepare([]l4.Listener{{
		Name: "web", L7: "web", Addrs: []conf.Addr{{Network: "tcp", Host: "127.0.0.1"}},
		Socket: conf.ListenSocket{NoDelay: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	u.Commit()
	r.front, r.addr = front, front.Addrs("web")[0]
	t.Cleanup(func() {
		front.StopAccepting()
		r.server.Close()
		front.Close()
	})
	return r
}

// makeRig is a rig to which no connection comes yet. Whoever makes it closes its server.
func makeRig(t testing.TB, o Options, config string, origins ...string) *rig {
	t.Helper()
	args := make([]any, len(origins))
	for i := range origins {
		args[i] = origins[i]
	}
	r := &rig{t: t, metrics: metric.New(), log: &syncBuffer{}}
	r.name.Store("web")
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	access, err := accesslog.Open(conf.AccessLog{Path: "off"}, r.metrics, log)
	if err != nil {
		t.Fatal(err)
	}
	o.Log, o.Metrics, o.Access = log, r.metrics, access
	r.server = New(o)
	r.reg = backend.New(backend.Options{Log: log, Metrics: r.metrics, OnDown: r.server.Drop})
	r.apply(fmt.Sprintf(config, args...))
	t.Cleanup(func() {
		r.reg.Close()
		access.Close()
	})
	return r
}

// apply puts a configuration into force, as a reload does.
func (r *rig) apply(config string) {
	r.t.Helper()
	c, err := conf.Parse("test.toml", []byte(config))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range c.Pools {
		// Two seconds are little on a busy machine for a handshake, say.
		if p := &c.Pools[i]; p.ConnectTimeout == defaultConnectTimeout {
			p.ConnectTimeout = clientPatience
		}
	}
	groups, err := r.reg.Prepare(context.Background(), c.Pools, c.DNS)
	if err != nil {
		r.t.Fatal(err)
	}
	snap, err := r.server.Build(c, groups.Group)
	if err != nil {
		r.t.Fatal(err)
	}
	r.reg.Commit(groups)
	r.server.Apply(snap)
}

func (r *rig) accept() {
	for {
		c, err := r.ln.AcceptTCP()
		if err != nil {
			return
		}
		f, err := c.File()
		if err != nil {
			continue
		}
		fd, err := syscall.Dup(int(f.Fd()))
		if err != nil {
			continue
		}
		syscall.SetNonblock(fd, true)
		h := loop.Handover{
			FD: fd, Remote: c.RemoteAddr().(*net.TCPAddr).AddrPort(),
			Local: c.LocalAddr().(*net.TCPAddr).AddrPort(), Accepted: time.Now(), Listener: r.name.Load().(string),
			Loop: r.loop,
		}
		f.Close()
		c.Close()
		if !r.loop.Do(func() { r.server.Serve(h.Listener, h) }) {
			syscall.Close(fd)
		}
	}
}

// clientPatience is how long a client waits for each thing; no test should meet it.
const clientPatience = 30 * time.Second

// defaultConnectTimeout is what a pool has that says nothing of it.
const defaultConnectTimeout = 2 * time.Second

// dial opens a client connection with a deadline that begins anew with whatever it sends,
// and with each response that it waits for.
func (r *rig) dial() *client {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(clientPatience))
	r.t.Cleanup(func() { c.Close() })
	return &client{r.t, c.(*net.TCPConn), bufio.NewReader(c)}
}

type client struct {
	t testing.TB
	*net.TCPConn
	br *bufio.Reader
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	c.SetDeadline(time.Now().Add(clientPatience))
	if _, err := fmt.Fprintf(c.TCPConn, format, args...); err != nil {
		c.t.Fatal(err)
	}
}

// response reads one whole response; the error is that of its body.
func (c *client) response(method string) (res *http.Response, body string, err error) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(clientPatience))
	res, err = http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("cannot read a response: %v", err)
	}
	b, err := io.ReadAll(res.Body)
	res.Body.Close()
	return res, string(b), err
}

// get sends a request for path and reads the response.
func (c *client) get(path string) (*http.Response, string) {
	c.t.Helper()
	c.send("GET %s HTTP/1.1\r\nHost: www.example.com\r\n\r\n", path)
	res, body, err := c.response("GET")
	if err != nil {
		c.t.Fatal(err)
	}
	return res, body
}

// wantClosed checks that the server ends the connection.
func (c *client) wantClosed() {
	c.t.Helper()
	switch b, err := c.br.ReadByte(); {
	case err == nil:
		c.t.Errorf("got octet %q, want the end of the connection", b)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.t.Error("the connection was not closed in time")
	}
}

// origin is a backend in raw octets: serve gets each connection.
type origin struct {
	addr  string
	conns atomic.Int32
}

func newOrigin(t testing.TB, serve func(c *net.TCPConn, br *bufio.Reader)) *origin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			o.conns.Add(1)
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				serve(c.(*net.TCPConn), bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return o
}

// newHTTPOrigin is a backend in net/http.
func newHTTPOrigin(t *testing.T, h http.HandlerFunc) *origin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(ln) })
	t.Cleanup(func() {
		srv.Close()
		wg.Wait()
	})
	return &origin{addr: ln.Addr().String()}
}

// readHead reads a request head as it came, up to the empty line.
func readHead(br *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := br.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String(), err
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("timed out waiting for %s", what)
}

// plain is a configuration with one pool of one server.
const plain = `
[pool.app]
servers = ["%s"]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
`

// two is a configuration with one pool of two servers.
const two = `
[pool.app]
servers = ["%s", "%s"]
[[l7]]
name = "web"
listen = ["127.0.0.1:0"]
[[l7.route]]
pool = "app"
`
