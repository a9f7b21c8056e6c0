// Package limit caps concurrent client connections: in all, per listener and per
// source address. It also derives the first cap from the number of descriptors
// the process may open.
package limit

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// Limits are the caps of a whole process or of one listener. Zero means no cap.
type Limits struct {
	Max          int // connections
	MaxPerSource int // connections of one source address (IPv6: of one /64)
}

// Refusal says which cap refused a connection.
type Refusal uint8

// The values of Refusal. The zero value means that the connection was admitted.
const (
	Admitted Refusal = iota
	RefusedGlobal
	RefusedListener
	RefusedSource
	numRefusals
)

// String gives the name used as the label "reason" of a metric.
func (r Refusal) String() string {
	switch r {
	case Admitted:
		return "admitted"
	case RefusedGlobal:
		return "global"
	case RefusedListener:
		return "listener"
	case RefusedSource:
		return "source"
	}
	return "unknown"
}

// level is one place where connections are counted: the process or a listener.
type level struct {
	max     atomic.Int64
	perSrc  atomic.Int64
	active  atomic.Int64
	sources sources
}

func (v *level) setLimits(l Limits) {
	v.max.Store(int64(l.Max))
	v.perSrc.Store(int64(l.MaxPerSource))
}

// take counts one connection in, unless the level is full. It never refuses
// while there is room, as adding first and taking back would.
func (v *level) take() bool {
	for {
		n, limit := v.active.Load(), v.max.Load()
		if limit > 0 && n >= limit {
			return false
		}
		if v.active.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Conns counts the client connections of the process.
type Conns struct {
	all level

	mu        sync.Mutex
	listeners map[string]*Listener
}

// New returns a Conns without connections.
func New(l Limits) *Conns {
	c := &Conns{listeners: make(map[string]*Listener)}
	c.all.setLimits(l)
	return c
}

// SetLimits changes the caps. Connections beyond a lower cap stay; new ones are
// refused until there is room. A cap per source that is turned on counts only the
// connections that come after it.
func (c *Conns) SetLimits(l Limits) { c.all.setLimits(l) }

// Max is the cap of the process, 0 where there is none.
func (c *Conns) Max() int { return int(c.all.max.Load()) }

// Count returns the number of connections.
func (c *Conns) Count() int { return int(c.all.active.Load()) }

// Listener returns the counts of the listener with this name, made at first use,
// and sets its caps as SetLimits does.
func (c *Conns) Listener(name string, l Limits) *Listener {
	c.mu.Lock()
	defer c.mu.Unlock()
	ln := c.listeners[name]
	if ln == nil {
		ln = &Listener{conns: c}
		c.listeners[name] = ln
	}
	ln.own.setLimits(l)
	return ln
}

// Forget drops the name of a listener that a reload removed. Its connections stay
// counted until their tickets are released.
func (c *Conns) Forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.listeners, name)
}

// Listener counts the connections of one listener. Its methods may be called from
// any number of goroutines.
type Listener struct {
	conns   *Conns
	own     level
	refused [numRefusals]atomic.Uint64
}

// SetLimits is Conns.SetLimits for the listener.
func (l *Listener) SetLimits(lim Limits) { l.own.setLimits(lim) }

// Count returns the number of connections of the listener.
func (l *Listener) Count() int { return int(l.own.active.Load()) }

// Refused returns how many connections were refused for reason r.
func (l *Listener) Refused(r Refusal) uint64 { return l.refused[r].Load() }

// Refuse counts a connection that the caller did not ask a ticket for, for a reason
// of its own that comes down to r.
func (l *Listener) Refuse(r Refusal) { l.refused[r].Add(1) }

// Acquire admits a connection from src or says which cap refused it. An admitted
// connection holds the ticket until its end and then releases it. The zero Addr
// (a client on a unix socket) is no source and meets no cap per source.
func (l *Listener) Acquire(src netip.Addr) (Ticket, Refusal) {
	t := Ticket{listener: l, source: keyOf(src)}
	r := l.acquire(&t, src.IsValid())
	if r != Admitted {
		l.refused[r].Add(1)
		return Ticket{}, r
	}
	return t, Admitted
}

func (l *Listener) acquire(t *Ticket, hasSource bool) Refusal {
	g := &l.conns.all
	if !g.take() {
		return RefusedGlobal
	}
	if !l.own.take() {
		g.active.Add(-1)
		return RefusedListener
	}
	if !hasSource {
		return Admitted
	}
	// Sources are counted only where a cap asks for it: the maps would cost more
	// memory than an idle session does.
	if limit := g.perSrc.Load(); limit > 0 {
		t.inAll = g.sources.take(t.source, limit)
		if !t.inAll {
			t.Release()
			return RefusedSource
		}
	}
	if limit := l.own.perSrc.Load(); limit > 0 {
		t.inOwn = l.own.sources.take(t.source, limit)
		if !t.inOwn {
			t.Release()
			return RefusedSource
		}
	}
	return Admitted
}

// Ticket is the right to be connected. It is a value that moves with the
// connection: only the last copy is to be released. The zero Ticket holds nothing.
type Ticket struct {
	listener     *Listener
	source       key
	inAll, inOwn bool // counted by source: in the process, in the listener
}

// Release ends the connection for all counts. Called again on the same variable,
// or on a zero Ticket, it does nothing. Any goroutine may call it, one at a time.
func (t *Ticket) Release() {
	l := t.listener
	if l == nil {
		return
	}
	t.listener = nil
	if t.inAll {
		l.conns.all.sources.give(t.source)
	}
	if t.inOwn {
		l.own.sources.give(t.source)
	}
	l.own.active.Add(-1)
	l.conns.all.active.Add(-1)
}
