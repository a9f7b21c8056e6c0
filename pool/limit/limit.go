// Package limit caps concurrent client connections and new ones per second: in all,
// per listener and per source. It also derives the first cap from the number of
// descriptors the process may open.
//
// Its memory is bounded whatever clients do: sources of connections are kept while
// they have some, which the caps bound, and connection rates of sources in caches of
// a fixed size.
package limit

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits are the caps of a whole process or of one listener. Zero means no cap.
type Limits struct {
	Max          int // connections
	MaxPerSource int // connections of one source

	// New connections per second. A second's worth may come at once.
	Rate          int
	RatePerSource int // of one source
}

// Networks say how much of an address makes a source: all addresses with the same
// first bits are one. Zero means the default, 32 and 64.
type Networks struct {
	Bits4, Bits6 int
}

const (
	defaultBits4 = 32
	defaultBits6 = 64 // one client commonly holds a whole /64
)

// Refusal says which cap refused a connection.
type Refusal uint8

// The values of Refusal. The zero value means that the connection was admitted.
const (
	Admitted Refusal = iota
	RefusedGlobal
	RefusedListener
	RefusedSource
	RefusedGlobalRate
	RefusedListenerRate
	RefusedSourceRate
	RefusedMemory        // by the caller: there is none to spare
	NumRefusals   = iota // how many values there are
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
	case RefusedGlobalRate:
		return "global_rate"
	case RefusedListenerRate:
		return "listener_rate"
	case RefusedSourceRate:
		return "source_rate"
	case RefusedMemory:
		return "memory"
	}
	return "unknown"
}

// level is one place where connections are counted: the process or a listener.
type level struct {
	max     atomic.Int64
	perSrc  atomic.Int64
	active  atomic.Int64
	sources sources

	rate       Bucket
	ratePerSrc atomic.Int64
	arrivals   arrivals
}

func (v *level) setLimits(l Limits) {
	v.max.Store(int64(l.Max))
	v.perSrc.Store(int64(l.MaxPerSource))
	v.rate.SetRate(int64(l.Rate))
	v.ratePerSrc.Store(int64(l.RatePerSource))
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
	all   level
	bits  atomic.Uint32        // of IPv4 << 8 | of IPv6
	clock func() time.Duration // monotonic

	mu        sync.Mutex
	listeners map[string]*Listener
}

// New returns a Conns without connections.
func New(l Limits) *Conns {
	start := time.Now()
	c := &Conns{
		listeners: make(map[string]*Listener),
		// Later than any bucket was empty: they all begin full.
		clock: func() time.Duration { return rateWindow + time.Since(start) },
	}
	c.all.setLimits(l)
	c.SetNetworks(Networks{})
	return c
}

// SetLimits changes the caps. Connections beyond a lower cap stay; new ones are
// refused until there is room. A cap per source that is turned on counts only the
// connections that come after it.
func (c *Conns) SetLimits(l Limits) { c.all.setLimits(l) }

// Max is the cap of the process, 0 where there is none.
func (c *Conns) Max() int { return int(c.all.max.Load()) }

// SetNetworks changes what a source is. Connections that exist stay counted for the
// source they had.
func (c *Conns) SetNetworks(n Networks) {
	if n.Bits4 <= 0 || n.Bits4 > 32 {
		n.Bits4 = defaultBits4
	}
	if n.Bits6 <= 0 || n.Bits6 > 128 {
		n.Bits6 = defaultBits6
	}
	c.bits.Store(uint32(n.Bits4)<<8 | uint32(n.Bits6))
}

func (c *Conns) keyOf(a netip.Addr) key {
	bits := c.bits.Load()
	return keyOf(a, uint(bits>>8), uint(bits&0xff))
}

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
	refused [NumRefusals]atomic.Uint64
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
	t := Ticket{listener: l, source: l.conns.keyOf(src)}
	r := l.acquire(&t, src.IsValid())
	if r == Admitted {
		r = l.arrive(&t, src.IsValid(), true)
	}
	if r != Admitted {
		l.refused[r].Add(1)
		return Ticket{}, r
	}
	return t, Admitted
}

// Identify is for a connection that was admitted without a source and turned out to
// be of src: it exchanges t for a ticket of src. The connection was new before, so it
// counts only for the rate of its source now. When it is refused t holds nothing.
func (l *Listener) Identify(t *Ticket, src netip.Addr) Refusal {
	t.Release()
	*t = Ticket{listener: l, source: l.conns.keyOf(src)}
	r := l.acquire(t, src.IsValid())
	if r == Admitted {
		r = l.arrive(t, src.IsValid(), false)
	}
	if r != Admitted {
		l.refused[r].Add(1)
		*t = Ticket{}
	}
	return r
}

// arrive holds a new connection against the rates, those of its source first: what
// one source has too many must not use up what is meant for all.
func (l *Listener) arrive(t *Ticket, hasSource, isNew bool) Refusal {
	g, own := &l.conns.all, &l.own
	perSrcAll, perSrcOwn := g.ratePerSrc.Load(), own.ratePerSrc.Load()
	if perSrcAll <= 0 && perSrcOwn <= 0 && g.rate.Rate() <= 0 && own.rate.Rate() <= 0 {
		return Admitted // spares the clock
	}
	now := l.conns.clock()
	refused := Admitted
	switch {
	case hasSource && perSrcOwn > 0 && !own.arrivals.take(t.source, now, perSrcOwn),
		hasSource && perSrcAll > 0 && !g.arrivals.take(t.source, now, perSrcAll):
		refused = RefusedSourceRate
	case isNew && !own.rate.Take(now, rateWindow):
		refused = RefusedListenerRate
	case isNew && !g.rate.Take(now, rateWindow):
		refused = RefusedGlobalRate
	}
	if refused != Admitted {
		t.Release()
	}
	return refused
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
	also         *Listener // to which the connection was handed over; nil: to none
	source       key
	inAll, inOwn bool // counted by source: in the process, in the listener
	inAlso       bool // the same in also
}

// Release ends the connection for all counts. Called again on the same variable,
// or on a zero Ticket, it does nothing. Any goroutine may call it, one at a time.
func (t *Ticket) Release() {
	l := t.listener
	if l == nil {
		return
	}
	t.listener = nil
	t.part()
	if t.inAll {
		l.conns.all.sources.give(t.source)
	}
	if t.inOwn {
		l.own.sources.give(t.source)
	}
	l.own.active.Add(-1)
	l.conns.all.active.Add(-1)
}
