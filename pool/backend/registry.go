package backend

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/conf"
	"weir/pool/metric"
)

// maxChecks is how many checks and probes may be under way at once.
const maxChecks = 64

// Options are what a Registry works with.
type Options struct {
	Log     *slog.Logger     // nil: nothing is logged
	Metrics *metric.Registry // nil: nothing is shown
	DNS     conf.DNS         // until the first Commit

	// OnDown is told of each endpoint that went down, was ejected, was put into
	// maintenance or left the configuration, so that idle connections to it can be
	// dropped. It is called without locks, on whatever goroutine noticed, an event
	// loop included: it must not block. Nil: no one is told.
	OnDown func(*Endpoint)

	// StickyKey gives the key that signs the cookies of pools which have none of
	// their own. Prepare calls it where there is such a pool. Nil: the registry makes
	// one for itself.
	StickyKey func() ([]byte, error)

	// OnLost is told of each server whose sessions its pool wants closed now. It is
	// called as OnDown is. Nil: no one is told.
	OnLost func(Lost)
}

// Registry owns all groups and endpoints of a process and the goroutines that
// keep their state.
type Registry struct {
	events   *events
	metrics  *metric.Registry
	onDown   func(*Endpoint)
	onLost   func(Lost)
	signKey  func() ([]byte, error)
	resolver atomic.Pointer[resolver]
	prober   prober

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // the keeper has something new to wait for
	slots  chan struct{} // one element per check under way

	mu        sync.Mutex // guards what follows and the control fields of groups, members and endpoints
	groups    map[string]*Group
	order     []*Group // as configured
	endpoints map[endpointKey]*Endpoint
	names     map[string]*dnsName
	dns       conf.DNS
	version   uint64 // of Commit
	lastID    uint64
	losses    losses
	closed    bool
}

// New makes an empty registry and starts its keeper. Close must be called.
func New(o Options) *Registry {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metric.New()
	}
	if o.OnDown == nil {
		o.OnDown = func(*Endpoint) {}
	}
	if o.OnLost == nil {
		o.OnLost = func(Lost) {}
	}
	if o.StickyKey == nil {
		o.StickyKey = ownKey()
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Registry{
		events: newEvents(o.Log), metrics: o.Metrics, onDown: o.OnDown, onLost: o.OnLost,
		signKey: o.StickyKey, prober: netProber{},
		ctx: ctx, cancel: cancel,
		wake: make(chan struct{}, 1), slots: make(chan struct{}, maxChecks),
		groups: map[string]*Group{}, endpoints: map[endpointKey]*Endpoint{}, names: map[string]*dnsName{},
		dns: o.DNS,
	}
	r.resolver.Store(newResolver(o.DNS))
	r.wg.Go(r.keep)
	go r.events.write(ctx.Done())
	return r
}

// Close ends all checks and lookups and returns when their goroutines have ended.
// Groups stay usable as they are.
func (r *Registry) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
	r.events.close()
}

// Group finds a committed group by the name of its pool; nil where there is none.
func (r *Registry) Group(name string) *Group {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.groups[name]
}

// dropped tells the owner of idle connections about endpoints that are out, and
// that of sessions about what was lost with them. No lock is held.
func (r *Registry) dropped(endpoints ...*Endpoint) {
	for _, e := range endpoints {
		r.onDown(e)
	}
	r.tellLost()
}

// guard runs one round of a goroutine's work, so that a panic costs that round
// and not the process.
func (r *Registry) guard(what string, round func()) {
	defer func() {
		if v := recover(); v != nil {
			r.events.add(slog.LevelError, "recovered a panic", "in", what, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	round()
}

// nextID hands out numbers that are never used again. r.mu is held.
func (r *Registry) nextID() uint64 {
	r.lastID++
	return r.lastID
}

// endpoint returns the endpoint for p under the check settings of pool, and makes
// it where there is none. secure is the TLS of the pool. r.mu is held.
func (r *Registry) endpoint(p place, pool *conf.Pool, secure *TLS) *Endpoint {
	h := &pool.Health
	key := endpointKey{network: p.network, address: p.address, name: p.name, health: healthKey(h)}
	if p.network != "unix" {
		key.way = wayKey(&pool.Socket)
	}
	if h.Type != "" && h.Port == 0 && pool.ProxyProtocol != "off" { // a port for checks is another listener
		key.proxy = pool.ProxyProtocol
	}
	if checksByTLS(h) && pool.TLS != nil {
		key.tls = fmt.Sprintf("%#v", *pool.TLS)
	}
	e := r.endpoints[key]
	if e != nil && key.tls != "" {
		e.tls.Store(secure) // the files may have changed
	}
	if e == nil {
		e = &Endpoint{
			id: r.nextID(), key: key, server: p.server, sockaddr: p.sockaddr, health: *h, hurry: make(chan struct{}, 1),
			socket: checkSocket(&pool.Socket),
		}
		if key.tls != "" {
			e.tls.Store(secure)
		}
		r.endpoints[key] = e
		r.startChecks(e)
	}
	return e
}

// release takes m off its endpoint and reports whether the endpoint went with it.
// r.mu is held.
func (r *Registry) release(m *Member) bool {
	e := m.endpoint
	e.members = slices.DeleteFunc(e.members, func(o *Member) bool { return o == m })
	if len(e.members) > 0 {
		return false
	}
	delete(r.endpoints, e.key)
	if e.stop != nil {
		e.stop()
	}
	return true
}

// rebuildAround makes new tables for every group that has e. r.mu is held.
func (r *Registry) rebuildAround(e *Endpoint, now time.Time) {
	for _, m := range e.members {
		m.group.rebuild(now)
	}
}
