package l4

import (
	"sync/atomic"
	"time"

	"weir/conf"
	"weir/pool/backend"
	"weir/pool/cert"
	"weir/pool/limit"
	"weir/pool/metric"
)

// Listener is one listener of the configuration: an [[l4]], or the accepting half
// of an [[l7]].
type Listener struct {
	Name  string
	Addrs []conf.Addr

	// L7, where it is not empty, is the name under which each accepted connection
	// is handed over at once. The caps of Conf are then given here.
	L7                string
	MaxConns          int // 0: no limit
	MaxConnsPerSource int
	ConnRate          int // new connections per second
	ConnRatePerSource int
	// ProxyProtocol are the networks, in CIDR notation, whose peers must begin with
	// a header of the PROXY protocol. Where L7 is empty, those of Conf count.
	ProxyProtocol []string
	// Socket are the options of clients' connections. Where L7 is empty, those of
	// Conf count.
	Socket conf.ListenSocket

	Conf   *conf.L4                         // where L7 is empty
	Groups func(pool string) *backend.Group // finds the groups Conf names
}

func (l *Listener) limits() limit.Limits {
	if l.Conf != nil {
		c := l.Conf
		return limit.Limits{
			Max: c.MaxConns, MaxPerSource: c.MaxConnsPerSource,
			Rate: c.MaxConnRate, RatePerSource: c.MaxConnRatePerSource,
		}
	}
	return limit.Limits{
		Max: l.MaxConns, MaxPerSource: l.MaxConnsPerSource, Rate: l.ConnRate, RatePerSource: l.ConnRatePerSource,
	}
}

func (l *Listener) proxyProtocol() []string {
	if l.Conf != nil {
		return l.Conf.ProxyProtocol
	}
	return l.ProxyProtocol
}

func (l *Listener) options() options {
	if l.Conf != nil && l.Conf.UDP() {
		return newOptions(&conf.ListenSocket{Mark: l.Conf.Socket.Mark}) // all that a UDP socket has of them
	}
	if l.Conf != nil {
		o := newOptions(&l.Conf.Socket)
		if l.Conf.Protocol == "tls" {
			o[8] = deferred
		}
		return o
	}
	return newOptions(&l.Socket)
}

// listener is what stays of a Listener over reloads: its counters.
type listener struct {
	name    string
	keys    []bindKey // guarded by Server.mu
	front   *cert.TLS // as in routing; guarded by Server.mu
	limit   *limit.Listener
	udp     bool            // the metrics of UDP are shown; guarded by Server.mu
	routes  map[string]bool // guarded by Server.mu; those whose metrics are shown
	perLoop []counters

	shaping  *shaping
	refusing [limit.NumRefusals]refusing
}

// counters are written by one loop and read by the scrape.
type counters struct {
	accepted   atomic.Uint64
	handedOver atomic.Uint64
	active     atomic.Int64
	received   atomic.Uint64
	sent       atomic.Uint64
	spliced    atomic.Uint64
	closed     [numReasons]atomic.Uint64

	cancelFull time.Duration // the loop's alone; see mayCancel

	udp udpCounters

	_ [64]byte // no other loop's counters in the same cache line
}

func (l *listener) active() int {
	n := int64(0)
	for i := range l.perLoop {
		n += l.perLoop[i].active.Load()
	}
	return int(n)
}

// sum adds up one counter of all loops at each scrape.
func (l *listener) sum(of func(*counters) *atomic.Uint64) func() uint64 {
	return func() uint64 {
		n := uint64(0)
		for i := range l.perLoop {
			n += of(&l.perLoop[i]).Load()
		}
		return n
	}
}

// setFront notes how l ends TLS and shows its certificates; nil: it does not. Server.mu
// is held.
func (l *listener) setFront(r *metric.Registry, front *cert.TLS) {
	store := func(t *cert.TLS) *cert.Store {
		if t == nil {
			return nil
		}
		return t.Store
	}
	cert.Publish(r, l.name, store(l.front), store(front))
	l.front = front
}

// show registers the metrics of l.
func (l *listener) show(r *metric.Registry) {
	r.CounterFunc(metric.L4Accepted, l.sum(func(c *counters) *atomic.Uint64 { return &c.accepted }), l.name)
	r.CounterFunc(metric.L4HandedOver, l.sum(func(c *counters) *atomic.Uint64 { return &c.handedOver }), l.name)
	r.CounterFunc(metric.L4ReceivedBytes, l.sum(func(c *counters) *atomic.Uint64 { return &c.received }), l.name)
	r.CounterFunc(metric.L4SentBytes, l.sum(func(c *counters) *atomic.Uint64 { return &c.sent }), l.name)
	r.GaugeFunc(metric.L4Active, func() float64 { return float64(l.active()) }, l.name)
	r.CounterFunc(metric.L4Spliced, l.sum(func(c *counters) *atomic.Uint64 { return &c.spliced }), l.name)
	for why := range numReasons {
		closed := func(c *counters) *atomic.Uint64 { return &c.closed[why] }
		r.CounterFunc(metric.L4Closed, l.sum(closed), l.name, why.String())
	}
	for _, refusal := range refusals {
		refused := func() uint64 { return l.limit.Refused(refusal) }
		r.CounterFunc(metric.L4Refused, refused, l.name, refusal.String())
	}
}

// hide is the opposite of show.
func (l *listener) hide(r *metric.Registry) {
	for _, d := range []*metric.Def{
		metric.L4Accepted, metric.L4HandedOver, metric.L4ReceivedBytes, metric.L4SentBytes, metric.L4Active,
		metric.L4Spliced,
	} {
		r.Unregister(d, l.name)
	}
	for why := range numReasons {
		r.Unregister(metric.L4Closed, l.name, why.String())
	}
	if l.udp {
		l.hideUDP(r)
	}
	for _, refusal := range refusals {
		r.Unregister(metric.L4Refused, l.name, refusal.String())
	}
	hideRoutes(r, l.name, l.routes)
}

var refusals = [...]limit.Refusal{
	limit.RefusedGlobal, limit.RefusedListener, limit.RefusedSource,
	limit.RefusedGlobalRate, limit.RefusedListenerRate, limit.RefusedSourceRate,
	limit.RefusedMemory,
}
