package backend

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"weir/conf"
	"weir/pool/metric"
)

// Group is a pool of the configuration at run time. A reload changes it in place,
// so callers may keep it as long as they have work; one that a reload removed
// keeps choosing among the members it had last, for those who still came to it
// by the old configuration. All methods may be called from any goroutine.
//
// Whether a member takes work follows from the administrator (drain,
// maintenance, weight 0), the active check of its endpoint, and the endpoint's
// ejection. An ejection is a mark on the endpoint; each group honours the oldest
// ones up to its max_percent and never so many that nothing is left, so one
// endpoint can be out in one group and still in use in another. Active checks
// know no such limit.
type Group struct {
	table  atomic.Pointer[table]
	tls    atomic.Pointer[TLS] // nil: plain
	turns  [tierCount]turn
	budget budget

	breaker     breaker
	opened      *metric.Counter
	refusedOpen *metric.Counter // requests, by the open breaker
	overMax     *metric.Counter // requests, beyond max_requests

	queue     queue
	queued    *metric.Gauge
	waited    *metric.Histogram
	overflows *metric.Counter

	complained atomic.Bool // a socket option failed since the last reload
	ports      portsTold

	r    *Registry
	name string
	none *metric.Counter // Picks that failed
	full *metric.Counter

	// The rest is guarded by Registry.mu.
	pool      *conf.Pool
	signer    signer
	socket    *Socket
	members   []*Member // in the order of the configuration
	committed bool
	retired   bool
	ramping   bool // a slow start is under way
	nextRamp  time.Time
	seeking   bool // it wants a role, and no member that is usable has it
}

// turn counts the picks of a balancer, on a cache line of its own.
type turn struct {
	n atomic.Uint64
	_ [56]byte
}

func newGroup(r *Registry, pool *conf.Pool) *Group {
	g := &Group{
		r: r, name: pool.Name, pool: pool, socket: newSocket(&pool.Socket),
		none: r.metrics.Counter(metric.BackendPickFailures, pool.Name, "none"),
		full: r.metrics.Counter(metric.BackendPickFailures, pool.Name, "full"),

		queued:    r.metrics.Gauge(metric.BackendQueued, pool.Name),
		waited:    r.metrics.Histogram(metric.BackendQueueSeconds, pool.Name),
		overflows: r.metrics.Counter(metric.BackendQueueOverflows, pool.Name),

		opened:      r.metrics.Counter(metric.BackendBreakerOpened, pool.Name),
		refusedOpen: r.metrics.Counter(metric.BackendRefused, pool.Name, "breaker_open"),
		overMax:     r.metrics.Counter(metric.BackendRefused, pool.Name, "max_requests"),
	}
	g.table.Store(newTable(g))
	return g
}

// Pick chooses a member for q and reserves one slot on it, to be given back with
// Done. A query gets each member at most once and connect_tries in all. It returns
// ErrNoServer, or ErrFull: then Enqueue may be worth it. It takes no lock and allocates nothing.
func (g *Group) Pick(q *Query) (*Member, error) {
	m, full := g.table.Load().pick(q)
	switch {
	case m != nil:
		m.picks.Add(1)
		return m, nil
	case full:
		g.full.Inc()
		return nil, ErrFull
	}
	g.none.Inc()
	return nil, ErrNoServer
}

// Name is the name of the pool.
func (g *Group) Name() string { return g.name }

// Conf gives the configuration in force. It is shared and must not be changed.
func (g *Group) Conf() *conf.Pool { return g.table.Load().pool }

// ConnectTimeout is how long connecting to a member may take.
func (g *Group) ConnectTimeout() time.Duration { return g.table.Load().pool.ConnectTimeout }

// Socket gives the options of sockets that lead to the group's members.
func (g *Group) Socket() *Socket { return g.table.Load().socket }

// SocketFailed counts an option that a socket could not have, though it could when
// the configuration came into force, and logs the first one. It does not block.
func (g *Group) SocketFailed(err *SocketError) {
	g.r.metrics.Counter(metric.BackendSocketFailures, g.name, err.Key).Inc()
	if !g.complained.Swap(true) {
		g.r.events.add(slog.LevelError, "cannot connect to backends of a pool", "pool", g.name, "error", err)
	}
}

// ConnectTotal is how long all connects of one session may take, 0: no limit.
func (g *Group) ConnectTotal() time.Duration { return g.table.Load().pool.ConnectTotal }

// RequestStarted counts one request for the retry budget. Retries are not requests.
func (g *Group) RequestStarted() { g.budget.requests.Add(1) }

// AllowRetry takes a retry out of the group's budget and reports whether there
// was one: in the last 10 seconds retries may make up a fifth of the requests,
// and 10 in each second whatever the number of requests.
func (g *Group) AllowRetry() bool { return g.budget.allow(time.Now()) }

// Member finds a member by its Name; nil where there is none.
func (g *Group) Member(name string) *Member {
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	i := slices.IndexFunc(g.members, func(m *Member) bool { return m.name == name })
	if i < 0 {
		return nil
	}
	return g.members[i]
}

// Members returns the present members in the order of the configuration.
func (g *Group) Members() []*Member {
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	return slices.Clone(g.members)
}

// Usable says how many members take work at present.
func (g *Group) Usable() int {
	t := g.table.Load()
	n := 0
	for i := range t.tiers {
		n += len(t.tiers[i].slots)
	}
	return n
}
