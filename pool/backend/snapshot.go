package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/conf"
)

// Snapshot is a configuration that Prepare has made ready and Commit can put into
// force. It belongs to one goroutine; its groups do not.
type Snapshot struct {
	r       *Registry
	version uint64 // the registry's when this was prepared
	pools   []conf.Pool
	dns     conf.DNS
	groups  []*Group // as pools
	tls     []*TLS   // as pools
	keys    []signer // as pools
	answers map[string]prepared
}

// prepared is the first lookup of a name.
type prepared struct {
	answer answer
	err    error
	at     time.Time
}

// Prepare makes a snapshot of pools. Names that the registry does not know yet are
// looked up, for at most three times the DNS timeout in all; a name without an
// answer is no error: its servers join when one comes. Nothing is started or changed. The
// snapshot must go to Commit or Discard before the next Prepare.
func (r *Registry) Prepare(ctx context.Context, pools []conf.Pool, dns conf.DNS) (*Snapshot, error) {
	s := &Snapshot{r: r, pools: slices.Clone(pools), dns: dns, answers: map[string]prepared{}}
	var unknown []string
	r.mu.Lock()
	s.version = r.version
	for i := range s.pools {
		p := &s.pools[i]
		if err := checkPool(p); err != nil {
			r.mu.Unlock()
			return nil, err
		}
		if err := newSocket(&p.Socket).probe(p); err != nil {
			r.mu.Unlock()
			return nil, fmt.Errorf("cannot use pool %q: %w", p.Name, err)
		}
		g := r.groups[p.Name]
		if g == nil {
			g = newGroup(r, p)
		}
		s.groups = append(s.groups, g)
		for _, host := range poolNames(p) {
			if r.names[host] == nil && !slices.Contains(unknown, host) {
				unknown = append(unknown, host)
			}
		}
	}
	r.mu.Unlock()
	if err := s.loadTLS(); err != nil {
		return nil, err
	}
	if err := s.loadKeys(); err != nil {
		return nil, err
	}
	s.resolve(ctx, unknown)
	return s, ctx.Err()
}

// loadTLS reads the files of all pools that encrypt.
func (s *Snapshot) loadTLS() error {
	for i, g := range s.groups {
		t, err := loadTLS(s.pools[i].TLS, g.TLS())
		if err != nil {
			return fmt.Errorf("cannot use pool %q: %w", g.name, err)
		}
		s.tls = append(s.tls, t)
	}
	return nil
}

// resolve looks up hosts, a bounded number of them at a time.
func (s *Snapshot) resolve(ctx context.Context, hosts []string) {
	if len(hosts) == 0 {
		return
	}
	res := newResolver(s.dns)
	ctx, cancel := context.WithTimeout(ctx, lookupTimeouts*res.conf.Timeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxLookups)
	for _, host := range hosts {
		wg.Go(func() {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-ctx.Done():
				return // it is looked up after Commit
			}
			p := prepared{err: errPanicked}
			s.r.guard("lookup of "+host, func() { p.answer, p.err = res.lookup(ctx, host) })
			p.at = time.Now()
			s.r.countLookup(p.err)
			mu.Lock()
			defer mu.Unlock()
			s.answers[host] = p
		})
	}
	wg.Wait()
}

var errPanicked = errors.New("the lookup failed inside Weir, see the log")

// checkPool refuses what conf would have refused, for callers that made a
// configuration in memory.
func checkPool(p *conf.Pool) error {
	switch p.Balance {
	case "", balanceRoundRobin, balanceLeastConn, balanceP2C, balanceRandom, balanceSourceHash,
		balanceHash, balanceLatency:
	default:
		return fmt.Errorf("cannot use pool %q: unknown balance %q", p.Name, p.Balance)
	}
	switch p.Health.Type {
	case "", checkTCP, checkTLSType, checkHTTP, checkPostgres, checkMySQL, checkRedis, checkSMTP, checkExpect:
	default:
		return fmt.Errorf("cannot use pool %q: unknown health type %q", p.Name, p.Health.Type)
	}
	for _, s := range p.Servers {
		switch {
		case s.Addr.Network == "unix" && s.Addr.Path != "":
		case s.Addr.Network == "tcp" && s.Addr.Host != "" && s.Addr.Port != 0:
		default:
			return fmt.Errorf("cannot use server %q of pool %q: expected host:port or unix:/path", s.Addr, p.Name)
		}
		if s.Weight < 0 || s.Weight > MaxWeight {
			return fmt.Errorf("cannot use server %q of pool %q: weight %d is not within 0-%d",
				s.Addr, p.Name, s.Weight, MaxWeight)
		}
	}
	return nil
}

// poolNames lists the DNS names among the servers of p, in lower case.
func poolNames(p *conf.Pool) []string {
	var names []string
	for _, s := range p.Servers {
		if host, ok := dnsHost(s.Addr); ok {
			names = append(names, host)
		}
	}
	return names
}

// dnsHost gives the name that must be resolved to reach a, if it has one.
func dnsHost(a conf.Addr) (string, bool) {
	if a.Network != "tcp" {
		return "", false
	}
	if _, err := netip.ParseAddr(a.Host); err == nil {
		return "", false
	}
	return strings.ToLower(a.Host), true
}

// Group finds a group by the name of its pool; nil where there is none. A group
// that is new has no members before Commit.
func (s *Snapshot) Group(name string) *Group {
	for _, g := range s.groups {
		if g.name == name {
			return g
		}
	}
	return nil
}

// Groups returns all groups in the order of the configuration.
func (s *Snapshot) Groups() []*Group { return slices.Clone(s.groups) }

// Discard drops a snapshot that will not be committed.
func (r *Registry) Discard(s *Snapshot) { s.groups, s.answers = nil, nil }

// Commit puts s into force: new groups get their members, present ones change in
// place, and those that s does not name are retired. Endpoints that stay keep
// their health, members that stay keep what is in flight and what the
// administrator set. Checks and lookups of what is new start, of what is gone end.
// It is an error of the caller to commit a snapshot twice, or an older one after
// a newer.
func (r *Registry) Commit(s *Snapshot) {
	r.mu.Lock()
	if s.version != r.version || len(s.groups) != len(s.pools) {
		r.mu.Unlock()
		panic("BUG: commit of a backend snapshot that is stale or discarded")
	}
	r.version++
	now := time.Now()
	r.setDNS(s)
	r.groups = make(map[string]*Group, len(s.groups))
	var gone []*Endpoint
	old := r.order
	r.order = slices.Clone(s.groups)
	for i, g := range s.groups {
		r.groups[g.name] = g
		g.pool, g.socket = &s.pools[i], newSocket(&s.pools[i].Socket)
		g.signer = s.keys[i]
		g.complained.Store(false)
		g.tls.Store(s.tls[i])
		if t := g.pool.TLS; t != nil && !t.Verify {
			r.events.add(slog.LevelWarn, "servers are not verified: anyone in between can read and change everything",
				"pool", g.name, "key", "verify = false")
		}
		gone = append(gone, g.setMembers(now)...)
		if !g.committed {
			g.showBreaker()
		}
		g.committed = true
	}
	for _, g := range old {
		if !slices.Contains(r.order, g) {
			gone = append(gone, g.retire(now)...)
		}
	}
	gone = r.stillGone(gone)
	r.mu.Unlock()
	r.dropped(gone...)
}

// stillGone leaves out endpoints that another group took up again in the same
// commit. r.mu is held.
func (r *Registry) stillGone(gone []*Endpoint) []*Endpoint {
	return slices.DeleteFunc(gone, func(e *Endpoint) bool { return r.endpoints[e.key] == e })
}

// retire ends a group that the configuration no longer has. Its last table stays,
// for those who are on their way with the old configuration. Registry.mu is held.
func (g *Group) retire(now time.Time) []*Endpoint {
	g.retired = true
	g.hideBreaker()
	var gone []*Endpoint
	for _, m := range g.members {
		gone = g.remove(m, gone)
		g.r.lose(m, LossRemoved, now)
	}
	g.members = nil
	return gone
}
