package l7

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"weir/l4/loop"
	"weir/l7/upstream"
	"weir/pool/accesslog"
	"weir/pool/backend"
	"weir/pool/metric"
)

// Options is what a Server shares with the rest of the process. All fields are
// needed.
type Options struct {
	Log     *slog.Logger
	Metrics *metric.Registry
	Access  *accesslog.Log
}

// Server serves HTTP on connections that are handed to it. Its methods may be
// called from any goroutine.
type Server struct {
	log       *slog.Logger
	metrics   *metric.Registry
	access    *accesslog.Log
	transport *upstream.Transport
	sampler   metric.Sampler
	panics    *metric.Counter

	snapshot   atomic.Pointer[Snapshot]
	overloaded atomic.Bool // new requests are not served

	mu       sync.Mutex
	conns    map[*conn]struct{}
	draining bool
	closed   bool
	empty    chan struct{} // closed when no connection is left; nil while no Drain waits

	sweeper sweeper
	mirrors mirrors
	hedges  sync.WaitGroup // goroutines of second tries
}

// New makes a server without listeners and starts its sweeper. Close ends it.
func New(o Options) *Server {
	s := &Server{
		log: o.Log, metrics: o.Metrics, access: o.Access,
		transport: upstream.New(upstream.Options{Log: o.Log}),
		panics:    o.Metrics.Counter(metric.Panics, "l7"),
		conns:     make(map[*conn]struct{}),
	}
	s.snapshot.Store(&Snapshot{})
	s.sweeper.start(s)
	return s
}

// Apply puts a snapshot of Build into force. Requests under way finish with the
// one they began with; connections of a listener that is gone are closed after
// their next response.
func (s *Server) Apply(snap *Snapshot) {
	old := s.snapshot.Swap(snap)
	old.publish(snap, s.metrics)
}

// Drop closes the idle connections to an endpoint that went down. It is for
// backend.Options.OnDown.
func (s *Server) Drop(e *backend.Endpoint) { s.transport.Drop(e) }

// Shed gives back the descriptors of idle connections, clients' and backends',
// because the process is out of them. Exchanges under way are not touched. It does
// not block and is cheap to call again.
func (s *Server) Shed() {
	if !s.sweeper.shed.Swap(true) {
		s.transport.Shed()
	}
}

// SetOverloaded says whether new requests are answered with 503 at once, because the
// process has no memory to spare; their connections end. Exchanges under way go on.
// It may be called again and again.
func (s *Server) SetOverloaded(on bool) { s.overloaded.Store(on) }

// Serve takes over a connection for the listener of that name and serves it in a
// goroutine of its own.
func (s *Server) Serve(name string, h loop.Handover) {
	c := &conn{s: s, name: name, accepted: h.Accepted}
	nc, err := loop.NewConn(h)
	if err != nil {
		s.log.Warn("connection lost on hand-over", "listener", name, "err", err)
		return
	}
	c.nc, c.sni = nc, h.SNI
	c.destination, c.tlvs = h.Destination, h.TLVs
	if !s.add(c) {
		_ = nc.Close() // closing is all there is to do with it
		return
	}
	go c.serve()
}

// Drain answers what is under way, tells clients to close, and ends connections
// that are idle. It returns when none is left; when ctx ends first it closes the
// rest and returns ctx's error.
//
// A connection that is handed over meanwhile is served as well, and told to close.
// One that comes after Drain has returned makes another call necessary; after the
// end of ctx none is taken any more.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining {
		s.draining = true
		s.sweeper.drain()
	}
	if len(s.conns) == 0 {
		s.mu.Unlock()
		return nil
	}
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	empty := s.empty
	s.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.kill()
	}
	s.mu.Unlock()
	<-empty
	return ctx.Err()
}

// Close ends everything at once and returns when all goroutines have ended.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Drain(ctx) // the error is that it was cut short, as intended
	s.mirrors.close()
	s.sweeper.stop()
	s.hedges.Wait() // those are called off by now
	s.transport.Close()
}

// add takes a connection into the books; false when the server is closed.
func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

// remove takes it out again, and tells Drain when it was the last.
func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// panicked counts and logs a panic that was recovered in a goroutine.
func (s *Server) panicked(where string, p any) {
	s.panics.Inc()
	s.log.Error("panic in "+where, "panic", p, "stack", string(debug.Stack()))
}
