// Package l4 accepts every connection that Weir takes and relays those that it
// passes through as bytes.
//
// A [Server] runs a number of loops, each one goroutine with its own listening
// sockets (SO_REUSEPORT). A connection stays on the loop that accepted it, and so
// does its backend connection; together they are a session. What a listener does
// with a connection is in an immutable snapshot that a reload swaps; live sessions
// keep theirs. Connections for L7 leave by the hand-over function.
package l4

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"weir/l4/loop"
	"weir/pool/accesslog"
	"weir/pool/limit"
	"weir/pool/metric"
)

// Options are the surroundings of a Server.
type Options struct {
	Loops   int              // 0: one per core
	Log     *slog.Logger     // nil: nothing is logged
	Metrics *metric.Registry // nil: nothing is shown
	Access  *accesslog.Log   // nil: none
	Conns   *limit.Conns     // nil: no caps

	// MaxPipes bounds the pipes that bulk goes through, each of two descriptors;
	// sessions that get none copy. 0: DefaultMaxPipes.
	MaxPipes int

	// HandOver takes over a connection for the L7 listener of this name. It is
	// called on a loop and must not block. Where it is nil, such connections are closed.
	HandOver func(l7 string, h loop.Handover)

	// Exhausted is called, on a loop, when an accept or a connect found no
	// descriptor: whoever holds idle ones should give them back. It must not
	// block. It may be nil.
	Exhausted func()
}

// DefaultMaxPipes is how many pipes there are where Options do not say.
const DefaultMaxPipes = 512

// Server is all of layer 4. Its methods may be called from any goroutine.
type Server struct {
	log       *slog.Logger
	metrics   *metric.Registry
	access    *accesslog.Log
	conns     *limit.Conns
	handOver  func(string, loop.Handover)
	exhausted func()
	shards    []*shard
	started   time.Time
	closing   chan struct{} // closed by Close
	closeOnce sync.Once

	maxPipes int64
	pipes    atomic.Int64  // open ones
	scarce   atomic.Uint32 // what is refused for want of memory: nothing, sessionsScarce or allScarce

	secured sync.WaitGroup // goroutines of sessions whose TLS Weir ends
	turns   *limit.Turns   // of the handshakes
	told    atomic.Int64   // when a line that traffic causes was logged, unix nanoseconds

	updating sync.Mutex // held from Prepare to Commit or Abort
	applying sync.Mutex // held while sockets come to or leave the loops

	mu        sync.Mutex
	bindings  map[bindKey]*binding // guarded by mu
	listeners map[string]*listener // guarded by mu
	nextUnix  int                  // guarded by mu; the loop of the next unix socket
	stopped   bool                 // guarded by mu; no more accepting
}

// New starts the loops. The caller must Close the Server.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metric.New()
	}
	if o.Conns == nil {
		o.Conns = limit.New(limit.Limits{})
	}
	if o.HandOver == nil {
		o.HandOver = refuse
	}
	if o.Exhausted == nil {
		o.Exhausted = func() {}
	}
	if o.Loops <= 0 {
		o.Loops = runtime.GOMAXPROCS(0)
	}
	if o.MaxPipes <= 0 {
		o.MaxPipes = DefaultMaxPipes
	}
	s := &Server{
		started:  time.Now(),
		maxPipes: int64(o.MaxPipes),
		log:      o.Log, metrics: o.Metrics, access: o.Access, conns: o.Conns,
		handOver: o.HandOver, exhausted: o.Exhausted,
		bindings: make(map[bindKey]*binding), listeners: make(map[string]*listener),
		closing: make(chan struct{}), turns: newTurns(),
	}
	stages := newStages(o.Metrics)
	for i := range o.Loops {
		l, err := loop.New(o.Log)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("cannot start event loop %d of %d: %w", i+1, o.Loops, err)
		}
		l.OnBackoff(s.exhausted)
		s.shards = append(s.shards, &shard{
			index: i, server: s, log: o.Log, events: l, loop: host{l}, stages: stages,
			cancels: make(map[*canceller]struct{}),
		})
		s.showLoop(i, l.Stats())
	}
	s.showPipes()
	o.Metrics.CounterFunc(metric.Panics, s.panics, "loop")
	return s, nil
}

// refuse stands in for a missing hand-over function.
func refuse(_ string, h loop.Handover) {
	h.Ticket.Release()
	loop.Reset(h.FD)
}

func (s *Server) showLoop(index int, st *loop.Stats) {
	name := strconv.Itoa(index)
	s.metrics.GaugeFunc(metric.LoopConnections, func() float64 { return float64(st.Watched.Load()) }, name)
	s.metrics.GaugeFunc(metric.LoopParked, func() float64 { return float64(st.Parked.Load()) }, name)
	s.metrics.CounterFunc(metric.LoopBackoffs, st.Backoffs.Load, name)
	s.metrics.CounterFunc(metric.LoopCallbacks, func() uint64 { return st.Progress.Load() / 2 }, name)
}

// Pulses returns one [loop.Pulse] for each loop, in their order. They are for one
// goroutine, which is to stop using them before Close.
func (s *Server) Pulses() []*loop.Pulse {
	pulses := make([]*loop.Pulse, 0, len(s.shards))
	for _, w := range s.shards {
		pulses = append(pulses, loop.NewPulse(w.events))
	}
	return pulses
}

func (s *Server) panics() uint64 {
	n := uint64(0)
	for _, w := range s.shards {
		n += w.events.Stats().Panics.Load()
	}
	return n
}

// StopAccepting closes all listening sockets after accepting what waits in their
// queues. Sessions live on. Later updates are refused.
func (s *Server) StopAccepting() {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.mu.Lock()
	s.stopped = true
	var gone []*binding
	for key, b := range s.bindings {
		gone = append(gone, b)
		delete(s.bindings, key)
	}
	s.mu.Unlock()
	s.unbind(gone)
}

// Drain stops accepting, waits for the sessions to end, and resets those that are
// left when ctx ends; it then returns the cause. Connections that were handed over
// are not waited for.
func (s *Server) Drain(ctx context.Context) error {
	s.StopAccepting()
	var waits []chan struct{}
	for _, w := range s.shards {
		w.call(func() {
			if w.idle() {
				return
			}
			if w.drained == nil {
				w.drained = make(chan struct{})
			}
			waits = append(waits, w.drained)
		})
	}
	for _, c := range waits {
		select {
		case <-c:
		case <-ctx.Done():
			left := s.Sessions()
			s.closeSessions()
			if left == 0 {
				return nil // the last one ended just now
			}
			return fmt.Errorf("cannot wait for %d L4 sessions: %w", left, context.Cause(ctx))
		}
	}
	return nil
}

func (s *Server) closeSessions() {
	for _, w := range s.shards {
		w.call(func() { w.closeAll(reasonDrain) })
	}
}

// Sessions returns the number of open sessions.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, l := range s.listeners {
		n += l.active()
	}
	return n
}

// Close stops accepting, resets all sessions and ends the loops. It returns when
// they have ended. A second call does nothing.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closing) })
	s.StopAccepting()
	s.closeSessions()
	s.secured.Wait()
	for _, w := range s.shards {
		w.events.Close()
	}
}

// Addrs returns where the named listener listens, as "host:port" with the port
// that the system chose for port 0, or "unix:/path", in the order of the configuration.
func (s *Server) Addrs(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.listeners[name]
	if l == nil {
		return nil
	}
	var addrs []string
	for _, key := range l.keys {
		if b := s.bindings[key]; b != nil {
			addrs = append(addrs, b.addr.String())
		}
	}
	return addrs
}

// errStopped refuses an update of a Server that drains.
var errStopped = errors.New("cannot change listeners: accepting has stopped")
