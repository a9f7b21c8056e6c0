package l7

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"weir/conf"
	"weir/l4/loop"
	"weir/l7/cache"
	"weir/l7/compress"
	"weir/l7/upstream"
	"weir/pool/accesslog"
	"weir/pool/backend"
	"weir/pool/metric"
)

// Options is what a Server shares with the rest of the process. The first three are
// needed.
type Options struct {
	Log     *slog.Logger
	Metrics *metric.Registry
	Access  *accesslog.Log

	// Relay takes over a tunnel and calls its Done when it has ended. It is called on
	// the loop that accepted the client and must not block. Where it is nil, and where
	// one side of a tunnel is TLS, goroutines relay.
	Relay func(*loop.Loop, loop.Tunnel)
	// EndTunnels resets every tunnel that Relay has taken over before. It does not wait
	// for that. It is needed with Relay.
	EndTunnels func()
	// Show has administrators see a tunnel that goroutines relay, until hide is called.
	// It must not block. nil: nobody sees those.
	Show func(l *loop.Loop, info loop.TunnelInfo, view loop.TunnelView) (hide func())
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

	relay      func(*loop.Loop, loop.Tunnel) // nil: there is none
	endTunnels func()
	show       func(*loop.Loop, loop.TunnelInfo, loop.TunnelView) func() // nil: there is none

	snapshot   atomic.Pointer[Snapshot]
	overloaded atomic.Bool // new requests are not served

	date  dateLine
	awake awake
	desks sync.Pool // of *desk
	loops sync.Map  // *loop.Loop to *lane: where connections may be parked

	noLanes bool // every request is served by a goroutine; set before Serve

	mu       sync.Mutex
	store    *cache.Store    // nil: no route has had a cache
	disk     *conf.CacheDisk // of store; Apply's
	conns    int             // open ones, awake and parked
	draining bool
	closed   bool
	empty    chan struct{} // closed when no connection is left; nil while no Drain waits

	sweeper sweeper
	mirrors mirrors
	fetches fetches

	cacheCounts sync.Map // statsKey to *cacheStats

	encoders *compress.Encoders
	shelf    *compress.Shelf
	governor compress.Governor
	tags     compress.Tags

	hedges sync.WaitGroup // goroutines of second tries
	looks  sync.WaitGroup // goroutines that look after files; see lookAside
}

// New makes a server without listeners and starts its sweeper. Close ends it.
func New(o Options) *Server {
	s := &Server{
		log: o.Log, metrics: o.Metrics, access: o.Access,
		transport: upstream.New(upstream.Options{Log: o.Log}),
		panics:    o.Metrics.Counter(metric.Panics, "l7"),
		relay:     o.Relay, endTunnels: o.EndTunnels, show: o.Show,
		encoders: compress.NewEncoders(0),
	}
	if s.relay == nil {
		s.endTunnels = func() {}
	}
	s.shelf = compress.NewShelf(s.encoders)
	s.snapshot.Store(&Snapshot{})
	s.fetches.init()
	s.showLanes()
	o.Metrics.GaugeFunc(metric.L7CompressMemory, func() float64 { return float64(s.encoders.Used()) })
	o.Metrics.GaugeFunc(metric.L7CompressDictionaries, func() float64 { return float64(s.shelf.Used()) })
	o.Metrics.GaugeFunc(metric.L7CompressSteps, func() float64 { return float64(s.governor.Steps()) })
	s.sweeper.start(s)
	return s
}

// Apply puts a snapshot of Build into force. Requests under way finish with the
// one they began with; connections of a listener that is gone are closed after
// their next response, or after a second without a request.
func (s *Server) Apply(snap *Snapshot) {
	old := s.snapshot.Swap(snap)
	old.publish(snap, s.metrics)
	s.limitStore(snap.cache)
	s.limitCompression(snap)
	for name := range old.listeners {
		if snap.listeners[name] == nil {
			s.limitParked(s.leaveIfGone)
			break
		}
	}
}

// Drop closes the idle connections to an endpoint that went down. It is for
// backend.Options.OnDown.
func (s *Server) Drop(e *backend.Endpoint) { s.transport.Drop(e) }

// Shed gives back the descriptors of idle connections, clients' and backends',
// because the process is out of them. Exchanges under way are not touched. It does
// not block and is cheap to call again.
func (s *Server) Shed() {
	if !s.sweeper.shed.Swap(true) {
		s.sweeper.rouse()
		s.transport.Shed()
	}
}

// SetOverloaded says whether new requests are answered with 503 at once, because the
// process has no memory to spare; their connections end. Exchanges under way go on.
// It may be called again and again.
func (s *Server) SetOverloaded(on bool) { s.overloaded.Store(on) }

// Serve takes over a connection for the listener of that name. It does not block, and
// is called on h.Loop where that is not nil. A connection is served by a goroutine
// while it is busy and parked on that loop while it is quiet.
func (s *Server) Serve(name string, h loop.Handover) {
	l := s.snapshot.Load().listeners[name]
	if l == nil || !s.join() {
		// Taken out of the configuration while the connection came in, or closed.
		loop.CloseSocket(h.FD)
		h.Ticket.Release()
		return
	}
	c := &conn{s: s, name: name, from: h, l: l, open: l.active}
	c.open.Add(1)
	c.enter()
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
		s.limitParked(leaveSoon)
	}
	if s.conns == 0 {
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
	s.mu.Unlock()
	s.awake.close()
	s.awake.each((*conn).kill)
	s.limitParked(leaveAll)
	s.endTunnels()
	s.eachLane((*lane).kill)
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
	s.fetches.close()
	s.sweeper.stop()
	s.hedges.Wait() // those are called off by now
	s.looks.Wait()
	s.transport.Close()
	s.closeStore()
}

// join counts a connection; false when the server is closed.
func (s *Server) join() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns++
	return true
}

// leave is the opposite, and tells Drain when it was the last.
func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns--
	if s.conns == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// lookAside runs what must not be done while a request waits, such as to look after files,
// in a goroutine of its own; not at all once the server is closed.
func (s *Server) lookAside(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.looks.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				s.panicked("look at files", p)
			}
		}()
		f()
	})
}

// panicked counts and logs a panic that was recovered in a goroutine.
func (s *Server) panicked(where string, p any) {
	s.panics.Inc()
	s.log.Error("panic in "+where, "panic", p, "stack", string(debug.Stack()))
}
