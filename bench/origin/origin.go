// Package origin has the servers that load is tested against: as little as
// possible between the socket and the answer, so that what stands in front of them
// is what is measured. HTTP, the echoes, source and sink run on event loops; the servers
// that need TLS or HTTP/2 are net/http's.
package origin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
)

// Kind is what an origin does with a connection.
type Kind string

// The kinds of origin.
const (
	HTTP   Kind = "http"     // answer each HTTP/1.1 request with the same body
	Echo   Kind = "echo"     // send back what comes
	Source Kind = "source"   // send without end
	Sink   Kind = "sink"     // read and say nothing
	HTTPS  Kind = "https"    // as HTTP, over TLS, with HTTP/2 and WebSocket echo
	UDP    Kind = "udp-echo" // send back each datagram
	H2C    Kind = "h2c"      // as HTTP, with HTTP/2 without TLS and WebSocket echo
)

// Stall makes an origin stand still: for For at the end of each Every. Connections
// are still accepted. The zero value does not.
type Stall struct {
	Every, For time.Duration
}

// Options says how an origin behaves.
type Options struct {
	Kind   Kind
	Addr   string        // ADDR:PORT, port 0: any
	Body   int           // bytes of an HTTP response body
	MaxAge time.Duration // for which caches may keep the answer of HTTP, in whole seconds; 0: nothing is said of it
	JSON   bool          // the body of HTTP is JSON, which can be compressed
	Loops  int           // event loops, default 1
	Stall  Stall         // for HTTP and Echo
}

// Limits of an origin.
const (
	maxBody  = 1 << 30
	maxLoops = 256
)

// Origin is a running server.
type Origin struct {
	addr     netip.AddrPort
	requests atomic.Int64
	received atomic.Int64
	close    func()
}

// Addr is where the origin listens.
func (o *Origin) Addr() string { return o.addr.String() }

// Requests is how many HTTP requests were answered so far by the origin's own
// loops.
func (o *Origin) Requests() int64 { return o.requests.Load() }

// Received is how many bytes a sink has read so far.
func (o *Origin) Received() int64 { return o.received.Load() }

// Close closes all connections and returns when nothing of the origin is left.
func (o *Origin) Close() { o.close() }

// Start starts an origin, which the caller must Close.
func Start(opts Options) (*Origin, error) {
	addr, err := netip.ParseAddrPort(opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w", opts.Addr, err)
	}
	if opts.Body < 0 || opts.Body > maxBody {
		return nil, fmt.Errorf("body of %d bytes: expected 0 to %d", opts.Body, maxBody)
	}
	if opts.Loops == 0 {
		opts.Loops = 1
	}
	if opts.Loops < 0 || opts.Loops > maxLoops {
		return nil, fmt.Errorf("%d loops: expected 1 to %d", opts.Loops, maxLoops)
	}
	if s := opts.Stall; s.For < 0 || s.For > 0 && s.Every <= s.For {
		return nil, fmt.Errorf("a stall of %s every %s: expected a part of the time", s.For, s.Every)
	}
	switch opts.Kind {
	case HTTP, Echo, Source, Sink:
		return startLoops(addr, opts)
	case UDP:
		return startUDP(addr, opts)
	case HTTPS, H2C:
		return startNetHTTP(addr, opts)
	}
	return nil, fmt.Errorf("unknown kind of origin %q", opts.Kind)
}

// startLoops starts the loops, each with a socket of its own on the same port.
func startLoops(addr netip.AddrPort, opts Options) (*Origin, error) {
	o := &Origin{}
	var workers []*worker
	o.close = func() {
		for _, w := range workers {
			w.close()
		}
	}
	for range opts.Loops {
		fd, bound, err := bind(addr, unix.SOCK_STREAM)
		if err != nil {
			o.close()
			return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
		}
		addr = bound // the others share the port that the first one got
		w, err := newWorker(o, opts, fd)
		if err != nil {
			loop.CloseSocket(fd)
			o.close()
			return nil, err
		}
		workers = append(workers, w)
	}
	o.addr = addr
	return o, nil
}

const backlog = 4096

// bind returns a socket of this type on addr, which listens where it is one of TCP.
func bind(addr netip.AddrPort, kind int) (fd int, bound netip.AddrPort, err error) {
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
	if addr.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	fd, err = unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, addr, os.NewSyscallError("socket", err)
	}
	err = errors.Join(
		os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)),
		os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)),
		os.NewSyscallError("bind", unix.Bind(fd, sa)),
	)
	if kind == unix.SOCK_STREAM {
		err = errors.Join(err,
			os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)),
			os.NewSyscallError("listen", unix.Listen(fd, backlog)),
		)
	}
	if err != nil {
		loop.CloseSocket(fd)
		return -1, addr, err
	}
	return fd, loop.LocalAddr(fd), nil
}

// A worker serves the connections of one loop.
type worker struct {
	origin *Origin
	opts   Options
	loop   *loop.Loop
	ln     *loop.Listener
	answer []byte // to each HTTP request, or the bytes of a source
	bin    []byte // of a sink, which reads into it
	conns  map[*conn]struct{}
	closed bool

	stalled bool
	timer   loop.Timer
}

func newWorker(o *Origin, opts Options, fd int) (*worker, error) {
	l, err := loop.New(slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	w := &worker{origin: o, opts: opts, loop: l, conns: map[*conn]struct{}{}}
	switch opts.Kind {
	case HTTP:
		w.answer = append(appendHead(nil, &opts), opts.body()...)
	case Source:
		w.answer = body(sourcePiece)
	case Sink:
		w.bin = make([]byte, sourcePiece)
	}
	failed := make(chan error, 1)
	l.Do(func() {
		w.ln, err = l.Listen(fd, w.accept)
		if w.opts.Stall.For > 0 {
			l.Arm(&w.timer, opts.Stall.Every-opts.Stall.For, w)
		}
		failed <- err
	})
	if err := <-failed; err != nil {
		l.Close()
		return nil, err
	}
	return w, nil
}

// appendHead appends the head of the answer to each HTTP request.
func appendHead(dst []byte, opts *Options) []byte {
	media := "application/octet-stream"
	if opts.JSON {
		media = "application/json"
	}
	dst = fmt.Appendf(dst, "HTTP/1.1 200 OK\r\nServer: weir-origin\r\nContent-Type: %s\r\n", media)
	if opts.MaxAge > 0 {
		// With a date and a validator, as what caches are put in front of sends.
		dst = fmt.Appendf(dst, "Date: %s\r\nETag: \"bench\"\r\nCache-Control: max-age=%d\r\n",
			time.Now().UTC().Format(http.TimeFormat), int64(opts.MaxAge/time.Second))
	}
	return fmt.Appendf(dst, "Content-Length: %d\r\n\r\n", opts.Body)
}

// sourcePiece is what a source writes at once, and a sink reads: as iperf3 does.
const sourcePiece = 128 << 10

// body is the body of each answer of HTTP.
func (o *Options) body() []byte {
	if o.JSON {
		return records(o.Body)
	}
	return body(o.Body)
}

// body returns n bytes that repeat after a prime number of them, so that a piece
// that is lost or doubled does not fit.
func body(n int) []byte {
	const period = 251
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % period)
	}
	return b
}

func (w *worker) accept(fd int, _ netip.AddrPort) {
	if w.closed {
		loop.CloseSocket(fd)
		return
	}
	// The connection is as good without it, only slower.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	c := &conn{w: w, fd: fd}
	if err := w.loop.Watch(fd, c); err != nil {
		loop.CloseSocket(fd)
		return
	}
	w.conns[c] = struct{}{}
}

// Expire implements [loop.Expirer]: a stall begins or ends.
func (w *worker) Expire(*loop.Timer) {
	w.stalled = !w.stalled
	if w.stalled {
		w.loop.Arm(&w.timer, w.opts.Stall.For, w)
		return
	}
	w.loop.Arm(&w.timer, w.opts.Stall.Every-w.opts.Stall.For, w)
	for c := range w.conns {
		if c.missed {
			c.missed = false
			w.loop.Again(c.fd)
		}
	}
}

// Abort implements [loop.Expirer].
func (w *worker) Abort() {}

func (w *worker) close() {
	w.loop.Do(func() {
		w.closed = true
		w.ln.Close()
		w.loop.Disarm(&w.timer)
		for c := range w.conns {
			c.hangUp()
		}
	})
	w.loop.Close()
}

// addrPortOf is the address of a listener of package net.
func addrPortOf(ln net.Listener) netip.AddrPort { return ln.Addr().(*net.TCPAddr).AddrPort() }
