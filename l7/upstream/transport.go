// Package upstream keeps connections to HTTP backends and speaks HTTP/1.1 on
// them: one request and one response at a time, streamed both ways.
//
// It does not choose backends, retry or rewrite: the exchange does. It answers
// every question the exchange has for that: see Error.
//
// # The life of an exchange
//
//	c, reused, err := t.Get(member, false)        // idle or dialled
//	c.Begin(timeouts)
//	head := message.Append...(c.Head(size), ...)  // the request head
//	c.SetHead(head, framing, length)
//	c.WriteBody(piece, end) ... or c.EndBody()    // head and first piece in one write
//	c.ReadHead(&resp, method)                     // again after each 1xx
//	piece, err := c.ReadBody()                    // until io.EOF
//	c.Release()                                   // kept or closed, always called
//
// # Who may call what
//
// A Conn is lent to one exchange at a time, from Get to Release or Hijack. Inside
// it there is a write side (Begin, Head, SetHead, Flush, WriteBody, EndBody) and
// a read side (ReadHead, ReadBody, Buffered). Each belongs to one goroutine; they
// may be two, so that an early response is seen while the body is still being
// sent. Begin and SetHead come before the first ReadHead. Abort may be called by
// any goroutine, any number of times, until Release is called. Release and Hijack
// are called when the other goroutine has ended.
//
// After an error of the write side the backend may have answered early (413 and
// the like): ReadHead is worth a try, and its error is the better one.
package upstream

import (
	"log/slog"
	"maps"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"weir/l7/message"
	"weir/pool/backend"
)

// reapInterval is the time between two looks at the idle connections. A backend
// that closed one leaves it half-open for no longer than that.
const reapInterval = time.Second

// Options configures a Transport. The zero value is ready for use.
type Options struct {
	Log    *slog.Logger    // nil: slog.Default()
	Limits *message.Limits // of response heads and trailers; nil: the defaults
}

// Transport holds the idle connections to all endpoints. One is shared by the
// whole process. All methods may be called from any goroutine.
type Transport struct {
	log    *slog.Logger
	limits *message.Limits

	// Both maps are replaced as a whole under mu and read without a lock: they
	// change when endpoints and groups come and go, and are read per request.
	mu       sync.Mutex
	idle     atomic.Pointer[map[uint64]*idlePool] // by Endpoint.ID
	counters atomic.Pointer[map[string]*counters] // by group
	closed   bool                                 // under mu
	lanes    []*Lane                              // under mu

	// What Drop took out of the pools, for the reaper to close.
	dropMu  sync.Mutex
	dropped []*Conn
	wake    chan struct{}

	told atomic.Int64 // when a failed handshake was logged, unix nanoseconds

	stop chan struct{}
	done chan struct{}
}

// New makes a transport and starts its reaper; Close ends it.
func New(o Options) *Transport {
	t := &Transport{
		log: o.Log, limits: o.Limits,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if t.log == nil {
		t.log = slog.Default()
	}
	t.idle.Store(&map[uint64]*idlePool{})
	t.counters.Store(&map[string]*counters{})
	go t.reap()
	return t
}

// Close closes the idle connections and ends the reaper. Connections in use are
// closed by their Release; Get fails from now on. A second Close does nothing.
func (t *Transport) Close() {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.closed = true
	pools := *t.idle.Load()
	t.idle.Store(&map[uint64]*idlePool{})
	lanes := t.lanes
	t.mu.Unlock()
	close(t.stop)
	<-t.done
	for _, p := range pools {
		closeAll(p.drop(true))
	}
	for _, ln := range lanes {
		ended := make(chan struct{})
		if ln.loop.Do(func() { defer close(ended); ln.end() }) {
			<-ended
		}
	}
	t.closeDropped()
}

// Drop takes the idle connections to an endpoint that went down out of use, and
// sees to it that those in use now are not kept. It is for backend.Options.OnDown:
// it does not block, the reaper closes the connections at once. Exchanges in
// progress go on: the endpoint may be out of rotation but alive.
func (t *Transport) Drop(e *backend.Endpoint) { t.drop(e.ID()) }

// Shed is Drop for all endpoints: it gives descriptors back when the process is
// out of them. It does not block.
func (t *Transport) Shed() {
	for endpoint := range *t.idle.Load() {
		t.drop(endpoint)
	}
}

func (t *Transport) drop(endpoint uint64) {
	p := (*t.idle.Load())[endpoint]
	if p == nil {
		return
	}
	conns := p.drop(false)
	if p.hasRaw() {
		t.mu.Lock()
		for _, ln := range t.lanes {
			ln.loop.Do(func() { ln.drop(endpoint) })
		}
		t.mu.Unlock()
	}
	if len(conns) == 0 {
		return
	}
	t.dropMu.Lock()
	t.dropped = append(t.dropped, conns...)
	t.dropMu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default: // the reaper is on its way
	}
}

// closeDropped closes what drop took out.
func (t *Transport) closeDropped() {
	t.dropMu.Lock()
	conns := t.dropped
	t.dropped = nil
	t.dropMu.Unlock()
	closeAll(conns)
}

func targetOf(m *backend.Member) target {
	e, g := m.Endpoint(), m.Group()
	pc := g.Conf()
	tg := target{
		endpoint: e.ID(), name: m.Name(), group: g.Name(),
		connectTimeout: pc.ConnectTimeout, maxIdle: pc.KeepAlive.MaxIdle, idleTimeout: pc.KeepAlive.IdleTimeout,
	}
	tg.network, tg.address = e.Addr()
	tg.tls, tg.member = g.TLS(), m
	tg.pool, tg.socket = g, g.Socket()
	return tg
}

// target is what Get needs to know of a member.
type target struct {
	endpoint         uint64
	name             string // of the member
	group            string
	network, address string
	connectTimeout   time.Duration
	hurried          bool // connectTimeout is less than the pool's
	maxIdle          int
	idleTimeout      time.Duration
	header           []byte       // to be sent first; nil: none
	tls              *backend.TLS // nil: plain
	member           *backend.Member
	socket           *backend.Socket
	pool             *backend.Group // told of options that failed; nil: nobody is
	leaver           Leaver         // nil: nobody leaves
}

// reuse takes an idle connection, nil when there is none.
func (t *Transport) reuse(tg *target) *Conn {
	p := (*t.idle.Load())[tg.endpoint]
	if p == nil {
		return nil
	}
	tlsID := ""
	if tg.tls != nil {
		tlsID = tg.tls.ID()
	}
	c := p.take(time.Now(), tlsID)
	if c == nil {
		return nil
	}
	c.lend(t.countersOf(tg.group), tg, true)
	c.counters.reuses.Add(1)
	return c
}

// poolOf returns the idle pool of an endpoint and its generation; false when the
// transport is closed.
func (t *Transport) poolOf(endpoint uint64) (p *idlePool, generation uint64, ok bool) {
	for {
		if p = (*t.idle.Load())[endpoint]; p != nil {
			if generation, ok = p.begin(); ok {
				return p, generation, true
			}
		}
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			return nil, 0, false
		}
		// A retired pool may still be in the map: the reaper removes it later.
		if old := *t.idle.Load(); old[endpoint] == p {
			m := maps.Clone(old)
			m[endpoint] = &idlePool{}
			t.idle.Store(&m)
		}
		t.mu.Unlock()
	}
}

// reap is the goroutine that closes idle connections in time.
func (t *Transport) reap() {
	defer close(t.done)
	tick := time.NewTicker(reapInterval)
	defer tick.Stop()
	for {
		select {
		case <-t.stop:
			return
		case <-t.wake:
			t.guard(t.closeDropped)
		case <-tick.C:
			t.guard(t.reapOnce)
		}
	}
}

// guard keeps the reaper alive: a panic is our bug, is logged, and the next round
// starts afresh.
func (t *Transport) guard(f func()) {
	defer func() {
		if v := recover(); v != nil {
			t.log.Error("panic in the reaper of upstream connections", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	f()
}

func (t *Transport) reapOnce() {
	now := time.Now()
	for id, p := range *t.idle.Load() {
		if p.reap(now) {
			t.forget(id, p)
		}
	}
}

// forget takes a retired pool out of the map.
func (t *Transport) forget(endpoint uint64, p *idlePool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := *t.idle.Load(); old[endpoint] == p {
		m := maps.Clone(old)
		delete(m, endpoint)
		t.idle.Store(&m)
	}
}
