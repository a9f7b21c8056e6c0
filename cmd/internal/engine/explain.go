package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"weir/conf"
	"weir/l7"
	"weir/pool/backend"
	"weir/pool/metric"
)

// Explanation is what a configuration makes of one request.
type Explanation struct {
	Request string `json:"request"`
	From    string `json:"from"`
	// L4 is the [[l4]] that the connection arrives at; nil: an [[l7]] has the address.
	L4 *PassThrough `json:"l4,omitempty"`
	// L7 is nil where L4 passes the connection through to a pool, or closes it.
	L7       *l7.Explanation `json:"l7,omitempty"`
	Backends []BackendChoice `json:"backends,omitempty"` // for each pool that the request may go to
	Cache    string          `json:"cache"`
}

// PassThrough is what an [[l4]] does with the connection: one of the last three.
type PassThrough struct {
	Listener string `json:"listener"`
	Route    string `json:"route,omitempty"`
	L7       string `json:"l7,omitempty"`
	Pool     string `json:"pool,omitempty"`
	Closed   bool   `json:"closed,omitempty"`
}

// BackendChoice is which server of a pool gets the request, as far as that can be
// told without knowing which are healthy and what is under way.
type BackendChoice struct {
	Pool    string   `json:"pool"`
	Balance string   `json:"balance"`
	Servers []string `json:"servers"`           // that may get it, as configured
	Backend string   `json:"backend,omitempty"` // the one that gets it; "": not decided by the request
	Why     string   `json:"why"`
	Breaker string   `json:"breaker,omitempty"` // what may refuse it, in words; "": the pool has none
}

// Ask is a request to be explained.
type Ask struct {
	Method  string
	URL     string     // http or https; nothing of it is made canonical
	Fields  []string   // "Name: value"; Host takes the place of the URL's
	From    netip.Addr // of the client
	Through string     // name of a listener; "": the one that has the URL's port
}

// Explain says what c makes of a request, with the code that serves it: nothing is
// bound, resolved, connected to or checked.
func Explain(c *conf.Config, ask *Ask) (*Explanation, error) {
	t, err := parseTarget(ask)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Request: ask.Method + " " + ask.URL, From: ask.From.String(), Cache: "no cache"}
	listener, err := e.arrive(c, ask, t)
	if err != nil || listener == "" {
		return e, err
	}
	o, err := newOffline(c)
	if err != nil {
		return nil, err
	}
	defer o.close()
	e.L7, err = o.l7.Explain(o.snapshot, l7.Question{
		Listener: listener, Head: t.head, Client: netip.AddrPortFrom(ask.From, clientPort), SNI: t.sni,
	})
	if err != nil {
		return nil, err
	}
	if e.L7.Cache != "" {
		e.Cache = e.L7.Cache
	}
	for _, p := range e.L7.Pools {
		e.Backends = append(e.Backends, o.choose(p))
	}
	return e, nil
}

// clientPort is that of a client where none is known; nothing depends on it.
const clientPort = 50_000

// offline is what serves requests, without anything that reaches out of the process.
type offline struct {
	config   *conf.Config
	registry *backend.Registry
	l7       *l7.Server
	snapshot *l7.Snapshot
	names    map[string][]string // servers by name, which are not looked up, by pool
}

func newOffline(c *conf.Config) (*offline, error) {
	log, metrics := slog.New(slog.DiscardHandler), metric.New()
	o := &offline{
		config: c, names: map[string][]string{},
		l7: l7.New(l7.Options{Log: log, Metrics: metrics}),
		registry: backend.New(backend.Options{
			Log: log, Metrics: metrics, StickyKey: func() ([]byte, error) { return knownStickyKey(c), nil },
		}),
	}
	if err := o.build(); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *offline) build() error {
	groups, err := o.registry.Prepare(context.Background(), o.quietPools(), conf.DNS{})
	if err != nil {
		return err
	}
	if o.snapshot, err = o.l7.Build(o.config, groups.Group); err != nil {
		o.registry.Discard(groups)
		return err
	}
	o.registry.Commit(groups)
	return nil
}

func (o *offline) close() {
	o.l7.Close()
	o.registry.Close()
}

// quietPools are the pools without what would look at the network: checks, options
// of sockets and names. A server that is a name has no address here.
func (o *offline) quietPools() []conf.Pool {
	pools := slices.Clone(o.config.Pools)
	for i := range pools {
		p := &pools[i]
		p.Health, p.Socket, p.TLS = conf.Health{}, conf.PoolSocket{}, nil
		p.Servers = slices.DeleteFunc(slices.Clone(p.Servers), func(s conf.Server) bool {
			_, err := netip.ParseAddr(s.Addr.Host)
			named := s.Addr.Network != "unix" && err != nil
			if named {
				o.names[p.Name] = append(o.names[p.Name], s.Addr.String())
			}
			return named
		})
	}
	return pools
}

// choose asks the pool's balancer, with every server healthy and idle.
func (o *offline) choose(p l7.PoolChance) BackendChoice {
	at := slices.IndexFunc(o.config.Pools, func(c conf.Pool) bool { return c.Name == p.Pool })
	pool := &o.config.Pools[at]
	b := BackendChoice{
		Pool: p.Pool, Balance: pool.Balance, Servers: candidates(pool), Breaker: breakerText(&pool.Breaker),
	}
	var q backend.Query
	q.Reset(p.Hash)
	q.Prefer(p.Pinned)
	m, err := p.Group.Pick(&q)
	if err == nil {
		defer m.Done()
	}
	names := o.names[p.Pool]
	switch {
	case len(b.Servers) == 0:
		b.Why = "no server takes requests: all have weight 0 or are in maintenance"
	case len(names) > 0:
		b.Why = "names are not looked up here, so the addresses to choose among are not known: " +
			strings.Join(names, ", ")
	case err != nil:
		b.Why = err.Error()
	case p.Pinned != nil:
		b.Backend, b.Why = m.Name(), p.Cookie
		return b
	case len(b.Servers) == 1:
		b.Backend, b.Why = m.Name(), "it is the only one"
	case pool.Balance == "source_hash" || pool.Balance == "hash":
		b.Backend, b.Why = m.Name(), fmt.Sprintf("%s of %s, while all servers are healthy", pool.Balance, p.HashOf)
	default:
		b.Why = pool.Balance + " decides when the request is there, by turn, chance or load"
	}
	local := func(s conf.Server) bool { return s.Zone == pool.Zone }
	if pool.Zone != "" && slices.ContainsFunc(pool.Servers, local) {
		b.Why += "; zone " + pool.Zone + " is preferred"
	}
	if p.Cookie != "" {
		b.Why += "; " + p.Cookie
	}
	return b
}

// candidates lists the servers that may get work while all are healthy: backups
// only where there is nobody else, and
// other zones only where Weir's own has none.
func candidates(p *conf.Pool) []string {
	list := func(backup bool, zone string) (servers []string) {
		for i := range p.Servers {
			if s := &p.Servers[i]; s.Backup == backup && !s.Maintenance && s.Weight > 0 &&
				(zone == "" || s.Zone == zone) {
				text := s.Addr.String()
				if s.Weight != 1 {
					text += fmt.Sprintf(" (weight %d)", s.Weight)
				}
				servers = append(servers, text)
			}
		}
		return servers
	}
	if local := list(false, p.Zone); p.Zone != "" && len(local) > 0 {
		return local
	}
	if primary := list(false, ""); len(primary) > 0 {
		return primary
	}
	return list(true, "")
}

// breakerText says when the breaker of a pool refuses requests, which depends on what
// came before them.
func breakerText(c *conf.Breaker) string {
	var parts []string
	if c.FailurePercent > 0 {
		parts = append(parts, fmt.Sprintf("503 for %s when %d %% of at least %d requests within %s failed",
			c.OpenTime, c.FailurePercent, c.MinRequests, c.Window))
	}
	if c.MaxRequests > 0 {
		parts = append(parts, fmt.Sprintf("503 when %d requests are under way", c.MaxRequests))
	}
	return strings.Join(parts, "; ")
}

// errNoHTTP is said of what no listener can serve.
var errNoHTTP = errors.New("expected http://host/path or https://host/path")
